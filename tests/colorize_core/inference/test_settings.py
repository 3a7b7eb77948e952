"""Settings of the colors of single photographs."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from skimage.color import rgb2lab

from colorize_core.errors import UserError
from colorize_core.inference.settings import HUES, NetworkChoice, PhotoSettings, adjust_chroma, hue_range


def _ab(chroma: float, degrees: float) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    return (chroma * torch.stack((angle.cos(), angle.sin()))).view(1, 2, 1, 1)


def _chroma(ab: torch.Tensor) -> float:
    return float(ab.square().sum().sqrt())


@pytest.mark.parametrize(
    ("color", "name"),
    [
        ((255, 0, 0), "red"),
        ((255, 140, 0), "orange"),
        ((255, 235, 0), "yellow"),
        ((34, 139, 34), "green"),
        ((0, 200, 200), "cyan"),
        ((70, 130, 180), "blue"),
        ((120, 0, 200), "violet"),
        ((255, 0, 144), "magenta"),
    ],
)
def test_hues_have_their_usual_names(color: tuple[int, int, int], name: str) -> None:
    _, a, b = rgb2lab(np.array([[color]], np.uint8))[0, 0]
    first, last = HUES[name]
    assert (np.degrees(np.arctan2(b, a)) - first) % 360 < last - first


def test_the_hues_cover_the_circle_once() -> None:
    ranges = sorted(HUES.values())
    assert [last for _, last in ranges] == [first for first, _ in ranges[1:]] + [ranges[0][0] + 360]


@pytest.mark.parametrize(("text", "found"), [("290-335", (290, 335)), ("330-20.5", (330, 380.5)), ("0-360", (0, 360))])
def test_a_range_may_be_given_in_degrees(text: str, found: tuple[float, float]) -> None:
    assert hue_range(text) == found


@pytest.mark.parametrize("text", ["purple", "10", "10-400", "20-20", "-5-20"])
def test_other_texts_are_no_hues(text: str) -> None:
    with pytest.raises(ValidationError, match=r"is no hue|degrees are from 0 to 360"):
        PhotoSettings(calm={text: 0.5})


def test_defaults_change_nothing() -> None:
    ab = _ab(40, 300)
    assert adjust_chroma(ab, PhotoSettings()) is ab


def test_strength_multiplies_chroma() -> None:
    torch.testing.assert_close(adjust_chroma(_ab(40, 300), PhotoSettings(strength=1.5)), _ab(60, 300))


@pytest.mark.parametrize(("chroma", "expected"), [(90, 60), (60, 60), (20, 20), (0, 0)])
def test_chroma_is_limited_and_keeps_its_hue(chroma: float, expected: float) -> None:
    torch.testing.assert_close(adjust_chroma(_ab(chroma, 200), PhotoSettings(max_chroma=60)), _ab(expected, 200))


def test_the_limit_counts_after_strength() -> None:
    assert _chroma(adjust_chroma(_ab(40, 10), PhotoSettings(strength=2, max_chroma=50))) == pytest.approx(50)


@pytest.mark.parametrize(
    ("degrees", "factor"), [(290, 0.5), (312, 0.5), (335, 0.5), (342.5, 0.75), (350, 1), (275, 1), (100, 1)]
)
def test_only_the_named_hues_are_calmed_and_the_others_gradually_not(degrees: float, factor: float) -> None:
    calmed = adjust_chroma(_ab(40, degrees), PhotoSettings(calm={"violet": 0.5}))
    assert _chroma(calmed) == pytest.approx(40 * factor, rel=1e-3)


def test_a_range_through_zero_is_calmed() -> None:
    for degrees in (340, 0, 15):
        calmed = adjust_chroma(_ab(40, degrees), PhotoSettings(calm={"330-20": 0}))
        assert _chroma(calmed) == pytest.approx(0, abs=1e-4)


def test_the_lowest_factor_counts_where_ranges_overlap() -> None:
    settings = PhotoSettings(calm={"violet": 0.5, "300-310": 0.2})
    assert _chroma(adjust_chroma(_ab(40, 305), settings)) == pytest.approx(8)


def test_later_settings_replace_earlier_ones() -> None:
    settings = PhotoSettings(strength=0.5, max_chroma=50).updated({"strength": 1.2}).updated({})
    assert settings.changed() == {"strength": 1.2, "max_chroma": 50.0}


def test_a_default_that_is_given_replaces_too() -> None:
    assert PhotoSettings(strength=0.5).updated({"strength": 1}).changed() == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strenght": 1}, "strenght: unknown setting"),
        ({"strength": 3}, "strength: Input should be less than or equal to 2"),
        ({"strength": float("nan")}, "strength: "),
        ({"calm": {"purple": 0.5}}, "calm: 'purple' is no hue"),
        ({"on_tone": "drop"}, "on_tone: "),
    ],
)
def test_a_wrong_setting_is_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as refused:
        PhotoSettings().updated(values)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_only_some_settings_choose_networks() -> None:
    assert NetworkChoice.of(PhotoSettings(strength=2, calm={"red": 0})) == NetworkChoice()
    assert NetworkChoice.of(PhotoSettings(checkpoint="a", working_size=96, temperature=0.5)) == ("a", 96, 0.5)
