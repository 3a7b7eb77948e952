from dataclasses import replace

import pytest

from colorize_core.errors import UserError
from colorize_core.evaluation.protocols import CROP, PROTOCOLS, SQUASH, require_photographs

VAL5K = PROTOCOLS["imagenet-val5k"].scored


def test_protocols_are_those_of_the_papers() -> None:
    """Number, side, squares, and the network of FID; ColTran compares with other photographs."""
    assert {
        name: (each.scored.count, each.scored.size, each.scored.resize, each.inception, each.reference is None)
        for name, each in PROTOCOLS.items()
    } == {
        "imagenet-val5k": (5_000, 256, CROP, "pytorch-fid", True),
        "imagenet-val50k": (50_000, 256, SQUASH, "pytorch-fid", True),
        "coco-stuff-5k": (5_000, 256, SQUASH, "pytorch-fid", True),
        "ade20k-2k": (2_000, 256, SQUASH, "pytorch-fid", True),
        "coltran-5k": (5_000, 512, CROP, "torch-fidelity", False),
    }


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_description_names_everything_that_is_fixed(name: str) -> None:
    protocol = PROTOCOLS[name]
    text = protocol.describe()
    fixed = [name, protocol.source, protocol.inception, f"{protocol.scored.count:,}", f"{protocol.scored.size} px"]
    assert all(each in text for each in fixed)
    assert ("the same photographs" in text) == (protocol.reference is None)


def test_photographs_of_the_protocol_are_accepted() -> None:
    require_photographs(VAL5K, 5_000, 256, CROP, "x")


@pytest.mark.parametrize("change", [{"count": 4_998}, {"size": 224}, {"resize": SQUASH}])
def test_other_photographs_are_refused_with_the_difference(change: dict[str, object]) -> None:
    found = replace(VAL5K, **change)
    with pytest.raises(UserError) as caught:
        require_photographs(VAL5K, found.count, found.size, found.resize, "the test split of shards")
    line = str(caught.value)
    assert line.startswith(f"the test split of shards: {replace(found, name='found').describe()}")
    assert f"the protocol needs {VAL5K.describe()} (prepare size=256 resize=crop screen=false)" in line
