"""A blind study: pairs of images under anonymous names, and the evaluation of the ratings files."""

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
    """Two images of one photograph, by their anonymous names."""

    one: str
    other: str


@dataclass(frozen=True)
class Study:
    """Contestants and pairs of a blind study."""

    name: str
    """Hash of the contestants and their weights."""
    contestants: list[str]
    """Models and the truth."""
    pictures: dict[str, tuple[str, str]]
    """(key, contestant) by anonymous name of the image."""
    pairs: list[Pair]
    """Pairs to rate."""

    def sealed(self) -> str:
        """Encode the study for the ratings files, so that raters do not read by accident which model made an image."""
        return base64.b64encode(zlib.compress(json.dumps(asdict(self)).encode(), 9)).decode()


def make_study(keys: Sequence[str], contestants: Mapping[str, str], max_pairs: int) -> Study:
    """Pair all contestants on every photograph; keep a random subset if there are too many pairs.

    Args:
        keys: of the photographs; a random sample, since a selection would favor some contestants.
        contestants: identity of each by name, such as the SHA-256 of its weights.
        max_pairs: maximum number of pairs.
    """
    name = hashlib.sha256(json.dumps(sorted(contestants.items())).encode()).hexdigest()[:16]
    pictures = {anonymous_name(name, key, each): (key, each) for key in keys for each in contestants}
    pairs = [
        Pair(anonymous_name(name, key, one), anonymous_name(name, key, other))
        for key in keys
        for one, other in combinations(contestants, 2)
    ]
    Random(name).shuffle(pairs)
    return Study(name, list(contestants), pictures, pairs[:max_pairs])


def anonymous_name(study: str, key: str, contestant: str) -> str:
    """Return the file name, without ending, of an image: it reveals neither photograph nor contestant."""
    return hashlib.sha256(f"{study}\0{key}\0{contestant}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Preferences:
    """Result of the ratings of a study."""

    study: str
    contestants: list[str]
    raters: int
    votes: int
    rates: list[Rate]
    strengths: dict[str, tuple[float, float, float]]
    """Bradley-Terry (value, low, high) by contestant, strongest first; empty for two contestants, who have one rate."""


def read_ratings(files: Mapping[str, bytes]) -> Preferences:
    """Evaluate the content of one or more ratings files of one study, given by file name.

    Raises:
        UserError: a file is damaged, not a ratings file, given twice, or of a different study than the first.
    """
    votes: list[Vote] = []
    first: Study | None = None
    seen: dict[str, str] = {}
    for where, data in files.items():
        content, study = _open(where, data)
        if first is not None and study.name != first.name:
            raise UserError(
                f"{where}: belongs to a different study (other models or photographs) than {next(iter(files))}"
            )
        first = first or study
        fingerprint = hashlib.sha256(json.dumps(content["votes"], sort_keys=True).encode()).hexdigest()
        if content["votes"] and fingerprint in seen:
            raise UserError(f"{where}: contains the same votes as {seen[fingerprint]}; give each ratings file once")
        seen[fingerprint] = where
        shown = _both_orders(study)
        votes += [_vote(where, each, study, shown) for each in content["votes"]]
    if first is None:
        raise UserError("no ratings file given")
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
            raise ValueError("votes is not a list")
        return content, Study(str(values["name"]), [str(each) for each in values["contestants"]], pictures, pairs)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise UserError(f"{where}: damaged, or not a ratings file ({type(error).__name__}: {error})") from error


def _vote(where: str, vote: Any, study: Study, shown: set[Pair]) -> Vote:
    try:
        left, right = (study.pictures[vote[side]][1] for side in (_LEFT, _RIGHT))
        choice = vote["choice"]
        if choice not in (_LEFT, _RIGHT, _TIE) or Pair(vote[_LEFT], vote[_RIGHT]) not in shown:
            raise ValueError(f"choice {choice!r} for a pair that was not shown")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: damaged vote ({type(error).__name__}: {error})") from error
    return (right, left, False) if choice == _RIGHT else (left, right, choice == _TIE)


def _both_orders(study: Study) -> set[Pair]:
    return {Pair(*names) for pair in study.pairs for names in ((pair.one, pair.other), (pair.other, pair.one))}


def preferences_to_json(preferences: Preferences) -> bytes:
    """Serialize for the file next to a report."""
    return json.dumps(asdict(preferences), indent=2).encode()


def preferences_from_json(data: bytes) -> Preferences:
    """Restore what `preferences_to_json` serialized."""
    values = json.loads(data)
    strengths = {name: (value, low, high) for name, (value, low, high) in values["strengths"].items()}
    return Preferences(**values | {"rates": [Rate(**rate) for rate in values["rates"]], "strengths": strengths})
