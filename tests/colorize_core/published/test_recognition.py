"""Weight files of other projects: what is recognized, and one line about everything else."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from colorize_core.errors import UserError
from colorize_core.models import build_model, model_names
from colorize_core.published import recognition
from colorize_core.published.conversion import fold_spectral_norm, fold_weight_norm, take
from colorize_core.published.family import Conversion, Family, PublishedFile, Tensors
from colorize_core.published.recognition import families, find_file, load_published

SMALL = build_model("lite", width=4)
SHAPES = {key: tuple(value.shape) for key, value in SMALL.state_dict().items()}


def convert(state: Tensors, where: str) -> Conversion:
    tensors = take(state, SHAPES, where, "Small", published_name=lambda name: f"net/{name}")
    return Conversion("lite", tensors, {"width": 4})


FAMILY = Family(
    name="Small",
    source="Nobody 2026",
    license="CC0",
    data="random numbers",
    files=(),
    recognize=lambda state: any(key.startswith("net/") for key in state),
    convert=convert,
    allowed_types=(slice,),
)


@pytest.fixture
def state() -> dict[str, Tensor]:
    """The tensors of a small model under the names of `FAMILY`."""
    return {f"net/{key}": value.clone() for key, value in SMALL.state_dict().items()}


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a file, and make `FAMILY` one of the known families; with `variant` the file is known by its hash."""

    def write(content: Any, name: str = "small.pth", variant: str = "", **known: Any) -> str:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif path.suffix == ".safetensors":
            save_file(content, path)
        else:
            torch.save(content, path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files = (PublishedFile(variant, name, sha256, path.stat().st_size, "lite", **known),) if variant else ()
        family = dataclasses.replace(FAMILY, files=files)
        monkeypatch.setattr(recognition, "families", lambda: (*families(), family))
        return str(path)

    return write


def refusal(source: str) -> str:
    with pytest.raises(UserError) as caught:
        load_published(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def is_loaded(source: str) -> bool:
    own = load_published(source).model.state_dict()
    return all(torch.equal(own[key], value) for key, value in SMALL.state_dict().items())


# The known families


def test_every_known_file_is_described() -> None:
    known = [file for family in families() for file in family.files]
    assert len({file.sha256 for file in known}) == len(known) >= 1
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.model in model_names() for file in known)
    for family in families():
        assert all((family.name, family.source, family.license, family.data))
        assert [find_file(file.sha256) for file in family.files] == [(family, file) for file in family.files]


def test_the_guide_lists_every_known_file() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "published-weights.md").read_text().splitlines()
    rows = {line.split("`")[1]: line for line in guide if re.search("`[0-9a-f]{64}`", line)}
    known = {file.sha256: (family, file) for family in families() for file in family.files}
    assert rows.keys() == known.keys()
    for sha256, (family, file) in known.items():
        size = f"{file.size:,}" if file.size else "about"
        assert all(part in rows[sha256] for part in (f"{family.name} {file.variant}", file.name, size))
    assert all(f"`{file.model}`" in "\n".join(guide) for _, file in known.values())


def test_an_unknown_hash_is_no_file() -> None:
    assert find_file("0" * 64) == (None, None)


# Recognition


def test_a_file_is_recognized_by_its_tensors(publish: Callable[..., str], state: dict[str, Tensor]) -> None:
    loaded = load_published(publish(state))
    assert (loaded.family.name, loaded.file, loaded.tensors) == ("Small", None, len(state))
    assert "by the names of its tensors" in loaded.recognition
    assert loaded.record()["data"] == "random numbers"
    assert loaded.model.architecture == {"name": "lite", "options": {"width": 4}}


def test_a_known_file_is_recognized_by_its_hash(publish: Callable[..., str], state: dict[str, Tensor]) -> None:
    loaded = load_published(publish(state, variant="first", data="other numbers"))
    assert loaded.recognition == "Small first, by the SHA-256 of the file"
    assert loaded.record()["data"] == "other numbers"


def test_options_of_a_known_file_and_of_the_user(publish: Callable[..., str], state: dict[str, Tensor]) -> None:
    """They reach the model, to which the tensors then do not fit; the user's come first."""
    source = publish(state, variant="first", options={"width": 8})
    assert "another architecture than 'lite'" in refusal(source)
    assert load_published(source, {"width": 4}).model.architecture["options"] == {"width": 4}


@pytest.mark.parametrize("wrapper", ["params", "params_ema", "state_dict", "model"])
def test_a_state_dict_may_be_wrapped(wrapper: str, publish: Callable[..., str], state: dict[str, Tensor]) -> None:
    assert is_loaded(publish({wrapper: state, "iteration": 3}))


def test_the_moving_average_is_preferred(publish: Callable[..., str], state: dict[str, Tensor]) -> None:
    last = {key: value + 1 for key, value in state.items()}
    assert is_loaded(publish({"params": last, "params_ema": state}))


@pytest.mark.parametrize("name", ["small.safetensors", "small.bin"])
def test_other_endings_are_read(name: str, publish: Callable[..., str], state: dict[str, Tensor]) -> None:
    assert is_loaded(publish(state, name))


def test_files_of_old_torch_are_read(publish: Callable[..., str], state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"model": state, "opt": slice(1, 2)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    assert is_loaded(publish((tmp_path / "old").read_bytes()))


# Only tensors are loaded


def test_a_family_may_allow_a_type(publish: Callable[..., str], state: dict[str, Tensor]) -> None:
    assert is_loaded(publish({"model": state, "opt": slice(1, 2)}))


def test_what_one_family_allows_is_not_allowed_for_another(publish: Callable[..., str]) -> None:
    source = publish({"model": {"model1.0.weight": torch.zeros(1)}, "opt": slice(1, 2)})
    assert "not weights that can be imported" in refusal(source)


class Command:
    """Unpickling it runs a command."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("is_zip", [True, False])
def test_code_is_named_and_never_run(
    is_zip: bool, publish: Callable[..., str], state: dict[str, Tensor], tmp_path: Path
) -> None:
    content = {"params": state, "opt": Command(tmp_path / "ran")}
    torch.save(content, tmp_path / "code", _use_new_zipfile_serialization=is_zip)
    line = refusal(publish((tmp_path / "code").read_bytes()))
    assert "it asks for posix.system; only tensors are loaded" in line
    assert not (tmp_path / "ran").exists()


# Tensors that do not fit


def test_unknown_missing_and_misshapen_tensors_are_named_as_published(
    publish: Callable[..., str], state: dict[str, Tensor]
) -> None:
    names = sorted(state)
    state[names[0]] = torch.zeros(7, 3)
    del state[names[1]]
    state["net/zzz"] = torch.zeros(())
    line = refusal(publish(state))
    assert f"{names[0]}: 7x3 in the file, {'x'.join(map(str, SHAPES[names[0][4:]]))} in the model" in line
    assert f"{names[1]}: missing in the file" in line
    assert "net/zzz: a number in the file, missing in the model" in line


def test_the_first_five_are_named(publish: Callable[..., str], state: dict[str, Tensor]) -> None:
    for key in sorted(state)[:9]:
        state[key] = torch.zeros(99)
    line = refusal(publish(state))
    assert [key in line for key in sorted(state)[:6]] == [True] * 5 + [False]
    assert "; and 4 more)" in line


def test_other_weights_are_refused(publish: Callable[..., str]) -> None:
    line = refusal(publish({"classifier.weight": torch.zeros(2)}))
    assert "not weights that can be imported, which are" in line
    assert "its first tensor is classifier.weight" in line


# Failed downloads


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page, not weights"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page, not weights"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize 911914869\n" % (b"ab" * 32),
            f"a Git LFS pointer to a file of 911,914,869 bytes (SHA-256 {'ab' * 32})",
        ),
        (b"PK but nothing else", "not a readable state dict"),
    ],
)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_what_is_not_a_weight_file_is_named(
    content: bytes, fault: str, ending: str, publish: Callable[..., str]
) -> None:
    assert fault in refusal(publish(content, f"small.{ending}"))


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
@pytest.mark.parametrize("share", [0.3, 0.999])
def test_a_cut_download_is_named(
    kind: str, share: float, publish: Callable[..., str], state: dict[str, Tensor], tmp_path: Path
) -> None:
    if kind == "safetensors":
        save_file(state, tmp_path / "whole")
    else:
        torch.save({"model": state}, tmp_path / "whole", _use_new_zipfile_serialization=kind == "zip")
    whole = (tmp_path / "whole").read_bytes()
    kept = int(len(whole) * share)
    line = refusal(publish(whole[:kept], "small.safetensors" if kind == "safetensors" else "small.pth"))
    assert f"cut off after {kept:,} bytes; download it again" in line


# Spectral norm


def test_a_folded_weight_is_the_one_torch_uses_in_evaluation() -> None:
    torch.manual_seed(0)
    layer = torch.nn.utils.spectral_norm(torch.nn.Conv2d(5, 7, 3))
    for _ in range(3):
        layer(torch.rand(1, 5, 4, 4))
    layer.eval()(torch.rand(1, 5, 4, 4))
    assert layer.state_dict().keys() == {"bias", "weight_orig", "weight_u", "weight_v"}
    torch.testing.assert_close(fold_spectral_norm(layer.state_dict(), "weight"), layer.weight.detach())


def test_a_weight_under_weight_norm_is_folded_and_its_tensors_are_checked() -> None:
    torch.manual_seed(0)
    layer = torch.nn.utils.weight_norm(torch.nn.Conv2d(5, 7, 3))
    with torch.no_grad():
        layer.weight_g.mul_(torch.rand(7, 1, 1, 1) + 1)
    layer(torch.rand(1, 5, 4, 4))
    state, shapes = layer.state_dict(), {"weight": (7, 5, 3, 3), "bias": (7,)}
    torch.testing.assert_close(fold_weight_norm(state, "weight"), layer.weight.detach())
    ours = take(state, shapes, "memory", "it", weight_norm={"weight"})
    torch.testing.assert_close(ours["weight"], layer.weight.detach())
    with pytest.raises(UserError, match="weight_g: 7 in the file, 7x1x1x1 in the model"):
        take({**state, "weight_g": torch.ones(7)}, shapes, "memory", "it", weight_norm={"weight"})


def test_spectral_norm_is_folded_and_its_tensors_are_checked() -> None:
    torch.manual_seed(0)
    layer = torch.nn.utils.spectral_norm(torch.nn.Linear(3, 2))
    layer(torch.rand(1, 3))
    layer.eval()
    published = {f"a.{key}": value for key, value in layer.state_dict().items()}
    shapes = {"weight": (2, 3), "bias": (2,)}
    ours = take(published, shapes, "memory", "it", published_name="a.{}".format, spectral={"weight"})
    assert {key: tuple(value.shape) for key, value in ours.items()} == shapes
    x = torch.rand(4, 3)
    torch.testing.assert_close(x @ ours["weight"].T + ours["bias"], layer(x))
    with pytest.raises(UserError, match=r"a\.weight_v: 4 in the file, 3 in the model"):
        take(
            {**published, "a.weight_v": torch.zeros(4)},
            shapes,
            "memory",
            "it",
            published_name="a.{}".format,
            spectral={"weight"},
        )


def test_unused_tensors_are_checked_and_left_out() -> None:
    state = {"a": torch.zeros(2), "b": torch.zeros(3)}
    assert take(state, {"a": (2,)}, "memory", "it", unused={"b": (3,)}).keys() == {"a"}
    with pytest.raises(UserError, match="b: 3 in the file, 4 in the model"):
        take(state, {"a": (2,)}, "memory", "it", unused={"b": (4,)})
