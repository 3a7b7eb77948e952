import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import c2pa
import numpy as np
import pytest
import tifffile
from PIL import Image

from colorize_core.provenance import xmp
from jobs.cli import main
from tests.certificates import make_certificates


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp", "out.tiff"])
def test_the_output_has_the_input_size_and_the_format_of_its_name(
    tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str, name: str
) -> None:
    source = tmp_path / "gray.png"
    Image.open(photo_paths[0]).convert("L").resize((200, 120)).save(source)
    assert main(["photo", str(source), str(tmp_path / name), "--checkpoint", tiny_checkpoint]) == 0
    image = Image.open(tmp_path / name)
    assert image.size == (200, 120)
    assert image.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}[name.split(".")[1]]
    assert np.asarray(image.convert("RGB")).std(axis=2).max() > 0


def test_the_starter_is_the_default_checkpoint(tmp_path: Path, photo_paths: list[Path]) -> None:
    Image.open(photo_paths[0]).convert("L").save(tmp_path / "gray.png")
    assert main(["photo", f"{tmp_path}/gray.png", f"{tmp_path}/color.png"]) == 0
    pixels = np.asarray(Image.open(tmp_path / "color.png")).astype(int)
    assert np.ptp(pixels, axis=2).mean() > 3  # none of these photographs is gray


def test_several_checkpoints_are_mixed(tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str) -> None:
    arguments = ["photo", str(photo_paths[0]), str(tmp_path / "out.png"), "--checkpoint"]
    arguments += [f"{{calm: {tiny_checkpoint}, bold: starter}}", "--ensemble", "{calm: calm, limit: 10}"]
    assert main(arguments) == 0
    assert np.asarray(Image.open(tmp_path / "out.png")).shape == (256, 256, 3)


def test_an_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str, one_line: Callable[[list[str], int], str]
) -> None:
    (tmp_path / "folder.png").mkdir()
    photo = ["photo", str(photo_paths[0])]
    assert "folder.png: is a folder" in one_line([*photo, f"{tmp_path}/folder.png"], 2)
    said = one_line([*photo, "/proc/out.png", f"checkpoint={tiny_checkpoint}"], 1)
    assert said == "colorize: /proc/out.png: cannot be written (No such file or directory)"


def test_a_sidecar_is_read_where_that_is_wanted(tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str) -> None:
    rights = ("http://purl.org/dc/elements/1.1/", "rights")
    Image.open(photo_paths[0]).convert("L").save(tmp_path / "gray.png")
    (tmp_path / "gray.png.xmp").write_bytes(xmp.rewrite(None, add={(rights[0], "dc", rights[1]): "public domain"}))
    arguments = ["photo", f"{tmp_path}/gray.png", f"{tmp_path}/out.jpg", f"checkpoint={tiny_checkpoint}"]
    for wanted, value in (("false", None), ("true", "public domain")):
        assert main([*arguments, f"xmp_sidecars={wanted}"]) == 0
        assert xmp.read_property(Image.open(tmp_path / "out.jpg").info["xmp"], rights) == value


def test_a_photograph_is_signed(tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str) -> None:
    made = make_certificates(tmp_path)
    arguments = ["photo", str(photo_paths[0]), f"{tmp_path}/out.webp", f"checkpoint={tiny_checkpoint}", made.option]
    assert main(arguments) == 0
    found = json.loads(c2pa.Reader(f"{tmp_path}/out.webp").json())
    assert found["validation_state"] == "Valid"
    assert found["manifests"][found["active_manifest"]]["title"] == photo_paths[0].name


@pytest.mark.parametrize("verb", ["photo", "archive"])
def test_a_certificate_that_cannot_be_used_is_one_line(
    tmp_path: Path, photo_paths: list[Path], one_line: Callable[[list[str], int], str], verb: str
) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    source, output = photo_paths[0], tmp_path / "out.png"
    place = f"input={source}" if verb == "photo" else f"source={source.parent}"
    for certificate, said in (("none.pem", "No such file"), ("bad.pem", "cannot be used")):
        given = f"content_credentials={{certificate: {tmp_path}/{certificate}, key: {tmp_path}/{certificate}}}"
        assert f"{tmp_path}/{certificate}" in (line := one_line([verb, place, f"output={output}", given], 2))
        assert said in line
    assert not output.exists()


def test_mistakes_in_an_ensemble_are_one_line(
    tmp_path: Path, photo_paths: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["photo", str(photo_paths[0]), str(tmp_path / "out.png")]
    for checkpoint, ensemble, said in (
        ("starter", "{calm: a, limit: 3}", "ensemble has no effect with one checkpoint"),
        ("{a: starter}", "{}", "at least two checkpoints are needed"),
        ("{a: starter, b: starter}", "{calm: c, limit: 3}", "not one of the checkpoints, which are a, b"),
        ("{a: starter, b: starter}", "{limit: 3}", "give both calm and limit"),
    ):
        assert main([*common, "--checkpoint", checkpoint, "--ensemble", ensemble]) == 2
        line = capsys.readouterr().err
        assert said in line
        assert len(line.strip().splitlines()) == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.slow
def test_ray_is_not_imported(tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str) -> None:
    code = "import sys; from jobs.cli import main; assert main(sys.argv[1:]) == 0; assert 'ray' not in sys.modules"
    arguments = ["photo", str(photo_paths[0]), str(tmp_path / "out.png"), "--checkpoint", tiny_checkpoint]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


def test_16_bits_are_kept_on_request(tmp_path: Path, tiny_checkpoint: str) -> None:
    source, target = tmp_path / "scan.png", tmp_path / "out.tiff"
    Image.fromarray(np.arange(64 * 96, dtype=np.uint16).reshape(64, 96) * 10).save(source)
    options = ["--bit-depth", "same", "--upsampling", "bilinear", "--working-size", "64"]
    assert main(["photo", str(source), str(target), "--checkpoint", tiny_checkpoint, *options]) == 0
    pixels = tifffile.imread(target)
    assert (pixels.dtype, pixels.shape) == (np.uint16, (64, 96, 3))


def test_chroma_is_kept_at_full_resolution_on_request(
    photo_paths: list[Path], tmp_path: Path, tiny_checkpoint: str
) -> None:
    target = tmp_path / "out.jpg"
    arguments = ["photo", str(photo_paths[0]), str(target), "--checkpoint", tiny_checkpoint, "--subsampling", "4:4:4"]
    assert main(arguments) == 0
    assert Image.open(target).layer[0][1:3] == (1, 1)


def test_help_of_the_module_explains_every_key() -> None:
    command = [sys.executable, "-m", "jobs.photo", "--help"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Path of the photograph" in text
    assert "JPEG and WebP quality" in text


@pytest.mark.parametrize("option", ["working_size=8", "quality=0", "subsampling=4:1:1", "bit_depth=12"])
def test_invalid_options_are_named(
    photo_paths: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(["photo", str(photo_paths[0]), str(tmp_path / "out.jpg"), option]) == 2
    assert option.partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "named"),
    [
        ("gray.png", "out.gif", "out.gif"),
        ("gray.png", "gray.png", "overwrite"),
        ("missing.png", "out.png", "missing.png"),
        ("gray.png", "folder/out.png", "folder"),
    ],
)
def test_unusable_paths_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, target: str, named: str
) -> None:
    Image.new("L", (40, 40)).save(tmp_path / "gray.png")
    assert main(["photo", f"{tmp_path}/{source}", f"{tmp_path}/{target}"]) == 2
    assert named in capsys.readouterr().err


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    Image.new("L", (40, 40)).save(tmp_path / "gray.png")
    assert main(["photo", f"{tmp_path}/gray.png", f"{tmp_path}/out.png", "--dry-run"]) == 0
    assert not (tmp_path / "out.png").exists()


def test_settings_change_the_colors(tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str) -> None:
    saturations = []
    for strength in (0, 1):
        target = tmp_path / f"{strength}.png"
        arguments = [str(photo_paths[0]), str(target), f"checkpoint={tiny_checkpoint}", f"strength={strength}"]
        assert main(["photo", *arguments]) == 0
        saturations.append(np.asarray(Image.open(target).convert("HSV"))[..., 1].mean())
    assert saturations[0] < 2 < saturations[1]


@pytest.mark.parametrize("end", ["input", "output"])
def test_object_storage_is_refused(
    end: str, tmp_path: Path, photo_paths: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    ends = {"input": str(photo_paths[0]), "output": f"{tmp_path}/a.png", end: "gs://bucket/a.png"}
    assert main(["photo", *(f"{key}={value}" for key, value in ends.items())]) == 2
    assert capsys.readouterr().err.endswith(
        "gs://bucket/a.png: photo works on files of this machine; archive works on object storage\n"
    )
