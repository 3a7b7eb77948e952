"""A blind study: pairs of pictures under names that say nothing, and what raters' files say of them."""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from random import Random
from typing import Any

from colorize_core.errors import UserError
from colorize_core.evaluation.preference import Rate, Vote, preference_rates, rank_by_votes

RATINGS_FORMAT = "colorize-ratings-1"
_LEFT, _RIGHT, _TIE = "left", "right", "tie"


@dataclass(frozen=True)
class Pair:
    """Two pictures of one photograph, by their names on the page."""

    one: str
    other: str


@dataclass(frozen=True)
class Study:
    """Who competes, on which pairs."""

    name: str
    """Equal for equal contestants, their weights too."""
    contestants: list[str]
    pictures: dict[str, tuple[str, str]]
    """(key, contestant) by the picture's name on the page."""
    pairs: list[Pair]

    def sealed(self) -> str:
        """Who made which picture, so that nobody reads it by accident: it travels through the rater's file."""
        return base64.b64encode(zlib.compress(json.dumps(asdict(self)).encode(), 9)).decode()


def make_study(keys: Sequence[str], contestants: Mapping[str, str], most_pairs: int) -> Study:
    """Every pair of contestants on every photograph, or a random part of these.

    Args:
        keys: of the photographs, a fair sample: chosen ones would favor somebody.
        contestants: what each is made of, such as the SHA-256 of its weights, by name; this makes the study's name.
        most_pairs: how many at most.
    """
    name = hashlib.sha256(json.dumps(sorted(contestants.items())).encode()).hexdigest()[:16]
    pictures = {picture_name(name, key, each): (key, each) for key in keys for each in contestants}
    pairs = [
        Pair(picture_name(name, key, one), picture_name(name, key, other))
        for key in keys
        for one, other in combinations(contestants, 2)
    ]
    Random(name).shuffle(pairs)
    return Study(name, list(contestants), pictures, pairs[:most_pairs])


def picture_name(study: str, key: str, contestant: str) -> str:
    """A name that says nothing."""
    return hashlib.sha256(f"{study}\0{key}\0{contestant}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Preferences:
    """What the raters of a study prefer."""

    study: str
    contestants: list[str]
    raters: int
    votes: int
    rates: list[Rate]
    strengths: dict[str, tuple[float, float, float]]
    """(value, low, high) by contestant, strongest first; empty for two, whose rate says it all."""


def read_ratings(files: Mapping[str, bytes]) -> Preferences:
    """The votes of one or more raters' files of one study, by the name of each file.

    Raises:
        UserError: a file is not of a rating page, damaged, given twice, or of another study than the first.
    """
    votes: list[Vote] = []
    first: Study | None = None
    seen: dict[str, str] = {}
    for where, data in files.items():
        content, study = _open(where, data)
        if first is not None and study.name != first.name:
            raise UserError(
                f"{where}: votes of another study, of other models or photographs, than {next(iter(files))}"
            )
        first = first or study
        fingerprint = hashlib.sha256(json.dumps(content["votes"], sort_keys=True).encode()).hexdigest()
        if content["votes"] and fingerprint in seen:
            raise UserError(f"{where}: the same votes as {seen[fingerprint]}; a rater counts once")
        seen[fingerprint] = where
        shown = _both_ways(study)
        votes += [_vote(where, each, study, shown) for each in content["votes"]]
    if first is None:
        raise UserError("no file of ratings was given")
    strengths = rank_by_votes(votes, first.contestants) if len(first.contestants) > 2 else {}
    rates = preference_rates(votes, first.contestants)
    return Preferences(first.name, first.contestants, len(files), len(votes), rates, strengths)


def _open(where: str, data: bytes) -> tuple[dict[str, Any], Study]:
    try:
        content = json.loads(data)
        if content["format"] != RATINGS_FORMAT:
            raise ValueError(f"format {content['format']!r}")
        values = json.loads(zlib.decompress(base64.b64decode(content["sealed"])))
        pictures = {name: (str(key), str(contestant)) for name, (key, contestant) in values["pictures"].items()}
        pairs = [Pair(**pair) for pair in values["pairs"]]
        if not isinstance(content["votes"], list):
            raise ValueError("votes is no list")
        return content, Study(str(values["name"]), [str(each) for each in values["contestants"]], pictures, pairs)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise UserError(f"{where}: not a file of ratings, or damaged ({type(error).__name__}: {error})") from error


def _vote(where: str, vote: Any, study: Study, shown: set[Pair]) -> Vote:
    try:
        left, right = (study.pictures[vote[side]][1] for side in (_LEFT, _RIGHT))
        choice = vote["choice"]
        if choice not in (_LEFT, _RIGHT, _TIE) or Pair(vote[_LEFT], vote[_RIGHT]) not in shown:
            raise ValueError(f"choice {choice!r} on a pair that was not shown")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: a vote is damaged ({type(error).__name__}: {error})") from error
    return (right, left, False) if choice == _RIGHT else (left, right, choice == _TIE)


def _both_ways(study: Study) -> set[Pair]:
    return {Pair(*names) for pair in study.pairs for names in ((pair.one, pair.other), (pair.other, pair.one))}


def preferences_to_json(preferences: Preferences) -> bytes:
    """To be kept beside a report."""
    return json.dumps(asdict(preferences), indent=2).encode()


def preferences_from_json(data: bytes) -> Preferences:
    """What `preferences_to_json` wrote."""
    values = json.loads(data)
    strengths = {name: (value, low, high) for name, (value, low, high) in values["strengths"].items()}
    return Preferences(**values | {"rates": [Rate(**rate) for rate in values["rates"]], "strengths": strengths})
