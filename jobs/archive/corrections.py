"""Corrections files: what reviewers decided about single photographs."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from cluster.storage.stores import StorageOptions, read_location
from colorize_core.errors import UserError
from colorize_core.inference.settings import PhotoSettings
from colorize_core.options import Options


class Correction(Options):
    """What a reviewer wants for one photograph."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the photograph."""
    decision: Literal["accept", "reject"] | None = None
    """Whether `publish` copies the color image; no effect on colors."""
    note: str = ""
    """Remark for people."""
    by: str = ""
    """Name of the reviewer."""
    at: str = ""
    """Time of the decision, ISO 8601."""

    @field_validator("at")
    @classmethod
    def _check_time(cls, at: str) -> str:
        if at:
            datetime.fromisoformat(at)
        return at


class Corrections(Options):
    """Content of a corrections file."""

    version: int = Field(1, ge=1, le=1)
    """Version of the format."""
    rows: dict[str, Correction] = Field(default_factory=dict)
    """Corrections by key of the photograph."""


def read_corrections(location: str, storage: StorageOptions) -> Corrections:
    """Read a corrections file; raises UserError with the key that is wrong."""
    data = read_location(location, storage)
    try:
        corrections = Corrections.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        message = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"{location}: {where + ': ' if where else ''}{message}") from None
    for key, correction in corrections.rows.items():
        try:
            PhotoSettings().updated(correction.settings)
        except UserError as error:
            raise UserError(f"{location}: rows.{key}.settings.{error}") from None
    return corrections


def merge_decisions(files: Iterable[Corrections]) -> tuple[dict[str, Correction], dict[str, list[Correction]]]:
    """Merge the decisions of several reviewers.

    Of several decisions of one reviewer about a photograph, the latest counts. Reviewers who disagree are a conflict.

    Returns:
        The correction with the latest decision by key, without conflicts; and the contradicting ones by key.
    """
    by_key: dict[str, dict[str, Correction]] = {}
    for corrections in files:
        for key, correction in corrections.rows.items():
            if correction.decision is None:
                continue
            own = by_key.setdefault(key, {})
            if correction.by not in own or own[correction.by].at <= correction.at:
                own[correction.by] = correction
    merged, conflicts = {}, {}
    for key, own in by_key.items():
        if len({correction.decision for correction in own.values()}) > 1:
            conflicts[key] = list(own.values())
        else:
            merged[key] = max(own.values(), key=lambda correction: correction.at)
    return merged, conflicts
