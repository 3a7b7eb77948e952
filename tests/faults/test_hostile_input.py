"""Malicious and unusual keys and images: each gets exactly one row, and nothing is written outside of the output."""

import io
import os
import struct
import zlib
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from cluster.storage.stores import LocalStorage, S3Storage, StorageOptions, open_storage
from jobs.cli import main
from tests.faults.archives import images_of, photographs, rows_of

SIDE = 60_000

KEYS = (
    "a/../b.jpg",
    "../up.jpg",
    "../../../etc/cron.d/job.jpg",
    "/absolute.jpg",
    "//twice.jpg",
    "a//empty folder.jpg",
    "a/./dot.jpg",
    "caf\u00e9.jpg",  # NFC
    "cafe\u0301.jpg",  # NFD: another key, the same word
    " leading and trailing .jpg",
    'it\'s "quoted".jpg',
    "tab\t.jpg",
    "return\r.jpg",
    "100%2F%20.jpg",
    "a+b&c=d?e#f.jpg",
    "back\\slash.jpg",
    "C:\\scans\\1.jpg",
    "<xml>&amp;.jpg",
    "\u202egpj.exe.jpg",
    "\U0001f4f7.jpg",
    "\x01.jpg",
    "nul\0.jpg",
    "file.jpg",
    "file.jpg/inside.jpg",
    "~root.jpg",
    f"{'n' * 996}.jpg",
)


@pytest.fixture
def photo(photo_paths: list[Path]) -> bytes:
    return next(iter(photographs(photo_paths, 1).values()))


@pytest.fixture
def hostile(s3_endpoint: str, bucket: str, photo: bytes) -> S3Storage:
    """Source with the same valid photograph under every key."""
    source = S3Storage(bucket, "s", StorageOptions(endpoint=s3_endpoint))
    for key in KEYS:
        source.write(key, photo)
    return source


def archive(source: str, output: str, checkpoint: str, *more: str) -> pd.DataFrame:
    assert main(["archive", f"source={source}", f"output={output}", f"checkpoint={checkpoint}", *more]) == 0
    return rows_of(open_storage(output, StorageOptions(endpoint=_endpoint(more))))


def _endpoint(arguments: tuple[str, ...]) -> str | None:
    return next((text.partition("=")[2] for text in arguments if text.startswith("storage.endpoint=")), None)


def test_every_legal_key_of_s3_is_colored_to_its_mirror(
    hostile: S3Storage, s3_endpoint: str, bucket: str, tiny_checkpoint: str, ray_local: None
) -> None:
    output = f"s3://{bucket}/out"
    rows = archive(hostile.uri, output, tiny_checkpoint, f"storage.endpoint={s3_endpoint}")
    assert sorted(rows.key) == sorted(KEYS)
    assert set(rows.status) == {"ok"}
    assert sorted(images_of(open_storage(output, hostile.options))) == sorted(KEYS)


def test_no_key_leads_out_of_a_local_output(
    hostile: S3Storage, s3_endpoint: str, tiny_checkpoint: str, ray_local: None, tmp_path: Path
) -> None:
    """Keys that are not possible in a file system have a row with the reason."""
    output = tmp_path / "inner" / "out"
    rows = archive(
        hostile.uri, str(output), tiny_checkpoint, f"storage.endpoint={s3_endpoint}", "max_failed_fraction=0.5"
    ).set_index("key")
    assert sorted(rows.index) == sorted(KEYS)
    assert set(rows.status) == {"ok", "write_error"}
    leading_out = [key for key in KEYS if ".." in key.split("/") or key.startswith("/")]
    assert set(rows.status[leading_out]) == {"write_error"}
    assert rows.error[leading_out].str.contains("unsafe key").all()
    failed = set(rows.index[rows.status == "write_error"]) - set(leading_out)
    impossible = {KEYS[-1], "nul\0.jpg"}
    assert impossible <= failed
    assert len(failed & {"file.jpg", "file.jpg/inside.jpg"}) == 1  # a file or a folder, not both
    assert len(failed) == 3
    images = {path.name for path in tmp_path.rglob("*.jpg") if path.parent != output / "report" / "pictures"}
    assert images <= {Path(key).name for key in KEYS}
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert len(images_of(LocalStorage(str(output)))) == (rows.status == "ok").sum()


@pytest.mark.long
def test_no_two_inputs_share_an_output(
    photo_paths: list[Path], tiny_checkpoint: str, ray_local: None, tmp_path: Path
) -> None:
    names = ["a.jpg", "a.jpeg", "a.JPG", "a.png", "a.jpg.color.png", "a.png.color.png", "a.color.png", "a.gif"]
    source = tmp_path / "source"
    source.mkdir()
    for name, data in zip(names, photographs(photo_paths, len(names)).values(), strict=True):
        (source / name).write_bytes(data)
    rows = archive(str(source), str(tmp_path / "out"), tiny_checkpoint, "format=png")
    assert rows.output_key.nunique() == len(rows) == len(names)
    assert len(set(images_of(LocalStorage(str(tmp_path / "out"))).values())) == len(names)


def test_odd_names_and_bombs_on_a_disk(photo: bytes, tiny_checkpoint: str, ray_local: None, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "new\nline.jpg").write_bytes(photo)
    Path(os.fsdecode(os.fsencode(source) + b"/caf\xe9.jpg")).write_bytes(photo)  # Latin-1, as on old disks
    (source / "header.png").write_bytes(png_header())
    (source / "bomb.png").write_bytes(png_bomb())
    rows = archive(str(source), str(tmp_path / "out"), tiny_checkpoint, "max_failed_fraction=0.9").set_index("key")
    assert len(rows) == 4
    assert rows.status["new\nline.jpg"] == rows.status["caf\\xe9.jpg"] == "ok"
    assert rows.status[["header.png", "bomb.png"]].tolist() == ["too_large", "too_large"]
    assert rows.error.str.contains("60000x60000").sum() == 2
    assert Counter(rows.status) == {"too_large": 2, "ok": 2}


def test_a_given_manifest_cannot_reach_out_of_the_source(
    photo: bytes, tiny_checkpoint: str, ray_local: None, tmp_path: Path
) -> None:
    (tmp_path / "secret.jpg").write_bytes(photo)
    source = tmp_path / "source"
    source.mkdir()
    (source / "own.jpg").write_bytes(photo)
    keys = ["own.jpg", "../secret.jpg", str(tmp_path / "secret.jpg"), "gone.jpg", "own.jpg"]
    pd.DataFrame({"key": keys}).to_csv(tmp_path / "keys.csv", index=False)
    given = f"listing.manifest={tmp_path}/keys.csv"
    rows = archive(str(source), str(tmp_path / "out"), tiny_checkpoint, given, "max_failed_fraction=0.9")
    found = dict(zip(rows.key, rows.status, strict=True))
    assert found == {keys[0]: "ok", keys[1]: "read_error", keys[2]: "read_error", keys[3]: "missing"}
    assert list(images_of(LocalStorage(str(tmp_path / "out")))) == ["own.jpg"]


def png_header() -> bytes:
    """Return a PNG with a header of 60,000 x 60,000 pixels and no pixels."""
    return _png_start(8) + _chunk(b"IDAT", zlib.compress(b""))


def png_bomb() -> bytes:
    """Return a valid PNG of 60,000 x 60,000 black pixels, half a megabyte."""
    packer = zlib.compressobj(9)
    rows = bytes(1 + SIDE // 8) * 1000
    data = b"".join(packer.compress(rows) for _ in range(SIDE // 1000)) + packer.flush()
    return _png_start(1) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _png_start(bits: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, bits, 0, 0, 0, 0))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_the_bomb_is_small_and_has_the_claimed_size() -> None:
    bomb = png_bomb()
    assert len(bomb) < 1_000_000
    assert Image.open(io.BytesIO(bomb)).size == (SIDE, SIDE)
