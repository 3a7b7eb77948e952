import base64
import json
import zlib
from typing import Any

import pytest

from colorize_core.errors import UserError
from colorize_core.report.evaluation.study import (
    RATINGS_FORMAT,
    Study,
    make_study,
    preferences_from_json,
    preferences_to_json,
    read_ratings,
)

KEYS = ["a.jpg", "böx/<b>.jpg", "c.jpg"]
CONTESTANTS = {"unet": "sha1", "cgan": "sha2", "truth": "shards"}


@pytest.fixture
def study() -> Study:
    return make_study(KEYS, CONTESTANTS, 100)


def votes(study: Study, winner: str) -> list[dict[str, Any]]:
    """One for each pair: `winner` wherever it competes, else no decision; sides alternate."""
    cast = []
    for number, pair in enumerate(study.pairs):
        left, right = (pair.one, pair.other) if number % 2 else (pair.other, pair.one)
        by = {study.pictures[name][1]: side for name, side in ((left, "left"), (right, "right"))}
        cast.append({"pair": number, "left": left, "right": right, "choice": by.get(winner, "tie")})
    return cast


def file(study: Study, cast: list[dict[str, Any]], **changes: Any) -> bytes:
    content = {"format": RATINGS_FORMAT, "study": study.name, "rater": "", "votes": cast, "sealed": study.sealed()}
    return json.dumps(content | changes).encode()


def test_every_pair_of_contestants_meets_on_every_photograph(study: Study) -> None:
    met = {frozenset((study.pictures[pair.one], study.pictures[pair.other])) for pair in study.pairs}
    assert len(met) == len(study.pairs) == 9
    assert all(len({key for key, _ in pair}) == 1 for pair in met)


def test_image_names_are_anonymous(study: Study) -> None:
    for name in study.pictures:
        assert len(name) == 16
        assert int(name, 16) >= 0
    assert not any(word in study.sealed() for word in (*CONTESTANTS, *KEYS))


def test_the_name_of_a_study_depends_on_the_contestants_only() -> None:
    same = make_study(KEYS[:1], CONTESTANTS, 1)
    assert same.name == make_study(KEYS, dict(reversed(CONTESTANTS.items())), 9).name
    assert same.name != make_study(KEYS, {**CONTESTANTS, "unet": "other weights"}, 9).name
    assert len(same.pairs) == 1


def test_votes_count_independent_of_the_side(study: Study) -> None:
    found = read_ratings({"one.json": file(study, votes(study, "cgan"))})
    rates = {(each.one, each.other): (each.wins, each.losses, each.ties) for each in found.rates}
    assert rates == {("unet", "cgan"): (0, 3, 0), ("unet", "truth"): (0, 0, 3), ("cgan", "truth"): (3, 0, 0)}
    assert next(iter(found.strengths)) == "cgan"
    assert (found.raters, found.votes) == (1, 9)


def test_raters_are_pooled(study: Study) -> None:
    other = make_study(KEYS[:2], CONTESTANTS, 100)  # another sample of the same contestants
    found = read_ratings({"1": file(study, votes(study, "cgan")), "2": file(other, votes(other, "unet"))})
    assert (found.raters, found.votes) == (2, 15)
    assert (found.rates[0].wins, found.rates[0].losses) == (2, 3)


def test_two_contestants_have_a_rate_and_no_ranking() -> None:
    study = make_study(KEYS, {"unet": "x", "truth": "y"}, 100)
    assert read_ratings({"1": file(study, votes(study, "truth"))}).strengths == {}


def test_preferences_are_kept_as_json(study: Study) -> None:
    found = read_ratings({"one.json": file(study, votes(study, "cgan"))})
    assert preferences_from_json(preferences_to_json(found)) == found


def test_files_without_votes_are_valid(study: Study) -> None:
    found = read_ratings({"1": file(study, []), "2": file(study, [])})
    assert (found.rates, found.strengths) == ([], {})


def damaged_seal() -> str:
    return base64.b64encode(zlib.compress(b'{"name": 1}')).decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"sealed": "%%%"},
        {"sealed": base64.b64encode(b"no zlib").decode()},
        {"sealed": damaged_seal()},
        {"votes": {}},
        {"votes": [{"left": "0", "right": "1", "choice": "left"}]},
        {"votes": [3]},
    ],
)
def test_errors_name_the_damaged_file(study: Study, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^one\.json: "):
        read_ratings({"one.json": file(study, [], **changes)})


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"null"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(UserError, match=r"^x: damaged, or not a ratings file"):
        read_ratings({"x": data})


def test_invalid_votes_are_refused(study: Study) -> None:
    cast = votes(study, "cgan")
    cast[0]["choice"] = "both"
    with pytest.raises(UserError, match="damaged vote"):
        read_ratings({"x": file(study, cast)})
    cast = votes(study, "cgan")
    cast[0]["right"] = cast[0]["left"]
    with pytest.raises(UserError, match="pair that was not shown"):
        read_ratings({"x": file(study, cast)})


def test_other_studies_and_repeated_files_are_refused(study: Study) -> None:
    other = make_study(KEYS, {**CONTESTANTS, "unet": "other weights"}, 100)
    with pytest.raises(UserError, match="2: belongs to a different study"):
        read_ratings({"1": file(study, votes(study, "cgan")), "2": file(other, votes(other, "cgan"))})
    with pytest.raises(UserError, match="2: contains the same votes as 1"):
        read_ratings({"1": file(study, votes(study, "cgan")), "2": file(study, votes(study, "cgan"))})
