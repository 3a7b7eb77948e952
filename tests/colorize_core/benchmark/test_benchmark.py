import io
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from colorize_core.benchmark.baselines import inference as peers
from colorize_core.benchmark.baselines import kernels as limit
from colorize_core.benchmark.baselines import preparation as preparing
from colorize_core.benchmark.baselines.clock import KERNELS, STAGE_OF, Clock, by_stage, medians
from colorize_core.benchmark.baselines.training import Levers, TutorialPhotographs, bare_pace, make_step, tutorial_pace
from colorize_core.benchmark.machine import describe_machine, in_words
from colorize_core.benchmark.model_speed import matmul_peak, measure, speed_table
from colorize_core.benchmark.process_usage import Watch
from colorize_core.benchmark.sample_photos import HEIGHT, WIDTH, sample_photographs
from colorize_core.benchmark.tables import markdown_table, stacked_bars
from colorize_core.color.kernels import pixels_to_lab_rows
from colorize_core.color.lab import lab_to_uint8
from colorize_core.colorizer import Colorizer
from colorize_core.data.screening import ResizePolicy, to_square
from colorize_core.data.shards import images_to_lab
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel
from colorize_core.photo.decode import decode
from colorize_core.runtime.stage_timer import INFER, STAGES

SIZE = 64
CPU = torch.device("cpu")
LOOPS = [
    peers.with_skimage,
    pytest.param(peers.with_opencv, marks=pytest.mark.skipif(not peers.has_opencv(), reason="OpenCV is not installed")),
]


@pytest.fixture(scope="module")
def photographs() -> list[bytes]:
    return list(sample_photographs(4, gray=True))


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Benchmarks set the number of threads; other tests keep theirs."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def colorful_model() -> ColorModel:
    torch.manual_seed(0)
    model = build_model("lite").eval()
    with torch.no_grad():
        model.to_ab.weight.mul_(15)
    return model


def square_photograph() -> bytes:
    sink = io.BytesIO()
    picture = Image.open(io.BytesIO(next(sample_photographs(1, gray=True))))
    picture.crop((80, 0, 80 + HEIGHT, HEIGHT)).save(sink, "JPEG", quality=95)
    return sink.getvalue()


def lab(jpeg: bytes) -> np.ndarray:
    return pixels_to_lab_rows(np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")))


def test_sample_photographs_are_gray_or_not_and_the_same_every_time() -> None:
    for gray, mode in ((True, "L"), (False, "RGB")):
        first, second = (list(sample_photographs(5, gray=gray)) for _ in range(2))
        assert first == second
        assert len(set(first)) == 5
        assert all(Image.open(io.BytesIO(data)).size == (WIDTH, HEIGHT) for data in first)
        assert Image.open(io.BytesIO(first[0])).mode == mode


@pytest.mark.parametrize("loop", LOOPS)
def test_loops_of_others_make_the_picture_that_we_make(loop: peers.Loop) -> None:
    model, data = colorful_model(), square_photograph()
    theirs = lab(loop(peers.Network(model, SIZE), data, Clock()))
    colorizer = Colorizer(model, SIZE, "cpu", upsampling="bilinear", precision="fp32")
    image = colorizer.colorize([data], "jpeg")[0].image
    assert image is not None
    ours = lab(image)
    assert np.hypot(*ours[1:]).mean() > 4  # there is something to compare
    # Codecs and roundings differ, and so do colors outside sRGB, which others clip by channel.
    assert np.abs(ours - theirs).mean() < 0.7
    assert np.median(np.abs(ours[1:] - theirs[1:])) < 0.7


@pytest.mark.parametrize("loop", LOOPS)
def test_a_pace_has_every_kernel(loop: peers.Loop, photographs: list[bytes]) -> None:
    pace = peers.run(loop, peers.Network(colorful_model(), SIZE), photographs[:2], threads=1)
    assert pace.seconds > 0
    assert set(pace.kernels) == set(KERNELS)
    assert sum(by_stage(pace.kernels).values()) == pytest.approx(sum(pace.kernels.values()))


def test_kernels_belong_to_stages_of_archive_runs() -> None:
    assert set(STAGE_OF) == set(KERNELS)
    assert set(STAGE_OF.values()) < set(STAGES)


def test_the_limit_has_every_kernel(photographs: list[bytes]) -> None:
    found = limit.limit(colorful_model(), SIZE, photographs)
    assert set(found) == set(KERNELS)
    assert all(value > 0 for value in found.values())


def test_the_limits_kernels_leave_a_gray_photograph_as_it_is(photographs: list[bytes]) -> None:
    pixels = limit.decode(photographs[0])
    L = limit.pixels_to_lab(pixels, CPU)
    rgb = limit.to_srgb(L, limit.enlarge(torch.zeros(1, 2, 48, 64), L))
    assert np.abs(rgb.astype(int) - pixels[..., None]).max() <= 1


def test_the_colorizer_alone_is_told_by_stage(photographs: list[bytes]) -> None:
    found = limit.colorizer_without_ray(Colorizer(colorful_model(), SIZE, "cpu"), photographs)
    assert set(found) < set(STAGES)
    assert found[INFER] > 0


def test_medians_are_of_each_value() -> None:
    assert medians([{"a": 1.0, "b": 9.0}, {"a": 3.0, "b": 8.0}, {"a": 2.0, "b": 1.0}]) == {"a": 2.0, "b": 8.0}


def test_usage_is_that_of_a_process_and_of_those_it_started() -> None:
    burn = "import time; block = bytearray(60_000_000)\nwhile time.process_time() < 0.6: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent])
    with Watch(process.pid, interval=0.02) as watch:
        process.wait()
    assert watch.core_seconds(watch.looks[0].time, watch.looks[-1].time) > 0.4
    assert watch.peak_memory > 60_000_000 > watch.peak_root_memory


def test_tutorial_photographs_are_on_the_networks_scale(tmp_path: os.PathLike[str]) -> None:
    file = os.path.join(tmp_path, "one.jpg")
    with open(file, "wb") as sink:
        sink.write(next(sample_photographs(1, gray=False)))
    pixels = np.asarray(Image.open(file).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    expected = pixels_to_lab_rows(pixels)
    L, ab = TutorialPhotographs([file], SIZE)[0]
    flipped = torch.flip(L, [2]), torch.flip(ab, [2])
    L, ab = min(
        ((L, ab), flipped), key=lambda pair: float((pair[0] - torch.from_numpy(expected[:1] / 50 - 1)).abs().sum())
    )
    np.testing.assert_allclose(L.numpy(), expected[:1] / 50 - 1, atol=1e-4)
    np.testing.assert_allclose(ab.numpy(), expected[1:] / 110, atol=1e-4)


def test_loops_that_train_have_a_pace_and_move_the_weights(tmp_path: os.PathLike[str]) -> None:
    files = [os.path.join(tmp_path, f"{number}.jpg") for number in range(2)]
    for file, data in zip(files, sample_photographs(2, gray=False), strict=True):
        with open(file, "wb") as sink:
            sink.write(data)
    for pace in (
        lambda model: tutorial_pace(model, files, 32, 2, 1, cores=2, device=CPU),
        lambda model: bare_pace(model, 32, 2, 1, cores=2, device=CPU, levers=Levers("fp32", kept_memory=False)),
    ):
        model = build_model("encoder_decoder", widths=[8, 8], latent=8)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        assert pace(model) > 0
        assert any(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_each_lever_of_a_step_can_be_left_out() -> None:
    assert list(Levers().without_each()) == ["bf16", "channels_last", "fused optimizer", "kept memory"]
    less = Levers("fp32", compiled=True).without_each()
    assert list(less) == ["channels_last", "fused optimizer", "kept memory", "compile"]


def test_a_step_without_a_lever_is_made_without_it() -> None:
    plain = make_step(build_model("lite"), CPU, Levers(channels_last=False, fused=False))
    usual = make_step(build_model("lite"), CPU, Levers())
    for step, has in ((plain, False), (usual, True)):
        kernel = next(value for value in step.network.parameters() if value.shape[1:3] == (16, 3))
        assert kernel.is_contiguous(memory_format=torch.channels_last) is has
        assert step.optimizer.optimizer.defaults["fused"] is has


@pytest.mark.parametrize("name", preparing.LOOPS)
def test_loops_that_prepare_make_what_shards_hold(name: str) -> None:
    data = next(sample_photographs(1, gray=False))
    found = preparing.LOOPS[name](data, SIZE)
    L, ab = lab_to_uint8(images_to_lab(to_square(decode(data), ResizePolicy(SIZE, "crop"))[None]))
    ours = torch.cat((L, ab), dim=1)[0].permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - ours).mean() < 1.5  # in levels; the ways to resize differ


def test_speeds_of_a_model_are_a_table() -> None:
    rows = measure(
        "lite",
        size=32,
        batch=2,
        precision="fp32",
        mode="eager",
        device=CPU,
        repeats=1,
        peak=matmul_peak(CPU, "fp32", 1),
    )
    assert [row.work for row in rows] == ["forward", "training step"]
    assert all(row.images_per_second > 0 and row.memory_bytes > 0 and row.fraction_of_peak > 0 for row in rows)
    assert "| lite | training step | 32 | 2 | fp32 | eager |" in speed_table(rows)


def test_the_entry_without_ray_prints_a_table() -> None:
    arguments = ["--models", "lite", "--sizes", "64", "--batches", "1", "--precisions", "fp32", "--repeats", "1"]
    module = "colorize_core.benchmark"
    code = f"import sys, runpy; sys.modules['ray'] = None; runpy.run_module({module!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| lite | forward | 64 | 1 | fp32 | eager |" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_graph_without_a_gpu_is_one_line() -> None:
    command = [sys.executable, "-m", "colorize_core.benchmark", "--modes", "graph"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "CUDA graphs need a GPU" in done.stderr


def test_machines_are_told_in_a_line() -> None:
    line = in_words(describe_machine())
    assert "cores of" in line
    assert "\n" not in line


def test_tables_show_a_dash_for_what_there_is_not() -> None:
    assert markdown_table(("", "ms"), [("a", 1.25), ("b", None)]) == "|  | ms |\n|---|---:|\n| a | 1.2 |\n| b | – |"


def test_bars_are_a_png() -> None:
    picture = stacked_bars({"ours": {"decode": 1.0, "infer": 5.0}, "theirs": {"infer": 9.0}}, STAGES, "ms")
    assert Image.open(io.BytesIO(picture)).format == "PNG"
