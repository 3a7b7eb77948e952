"""tests/colorize_core/models/test_siggraph17.py compares the network with the published one."""

import pytest
import torch

from colorize_core.models import build_model, check_model
from colorize_core.models.siggraph17 import SIGGRAPH17
from colorize_core.published import recognition, zhang_eccv16
from colorize_core.published.family import PublishedFile
from colorize_core.published.recognition import load_published
from colorize_core.published.siggraph17 import FAMILY


@pytest.fixture(scope="module")
def network() -> SIGGRAPH17:
    torch.manual_seed(0)
    return build_model("siggraph17")


@pytest.fixture(scope="module")
def file(network: SIGGRAPH17, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("published") / "latest_net_G.pth"
    torch.save(network.state_dict(), path)
    return str(path)


def test_weights_are_imported_with_the_mask_of_the_converted_model(network: SIGGRAPH17, file: str) -> None:
    loaded = load_published(file)
    assert loaded.family is FAMILY
    assert loaded.model.architecture == {"name": "siggraph17", "options": {"centered_mask": False}}
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in loaded.model.state_dict().items())


def test_an_option_selects_the_mask_of_the_retrained_model(file: str) -> None:
    options = load_published(file, {"centered_mask": True}).model.architecture["options"]
    assert options == {"centered_mask": True}


def test_the_hash_of_a_file_tells_its_mask(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = PublishedFile("retrained", "", "", None, "siggraph17", options={"centered_mask": True})
    monkeypatch.setattr(recognition, "find_file", lambda sha256: (FAMILY, known))
    assert load_published(file).model.architecture["options"] == {"centered_mask": True}


def test_the_two_networks_of_these_authors_are_told_apart() -> None:
    for name, own, other in (
        ("siggraph17", FAMILY, zhang_eccv16.FAMILY),
        ("zhang_eccv16", zhang_eccv16.FAMILY, FAMILY),
    ):
        state = check_model(name).state_dict()
        assert own.recognize(state)
        assert not other.recognize(state)
