"""Corrections files: what reviewers decided about single photographs."""

import fnmatch
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from cluster.storage.stores import StorageOptions, read_location
from colorize_core.errors import UserError
from colorize_core.inference.settings import PhotoSettings
from colorize_core.options import Options, describe_problem


class Correction(Options):
    """What a reviewer wants for one photograph."""

    settings: dict[str, Any] | None = None
    """Own settings of the photograph, which replace its earlier own ones; none when empty, and without this key the
    photograph keeps those that it has."""
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


class CorrectionRule(Correction):
    """What a reviewer wants for all photographs whose keys match a pattern."""

    keys: str
    """Pattern (*, ?, [abc]) for keys, such as box12/*."""


class Corrections(Options):
    """Content of a corrections file."""

    version: int = Field(1, ge=1, le=1)
    """Version of the format."""
    rules: list[CorrectionRule] = Field(default_factory=list)
    """Corrections by pattern of the key; where several match, the last one counts."""
    rows: dict[str, Correction] = Field(default_factory=dict)
    """Corrections by key of the photograph, which count before the rules."""

    def of(self, key: str) -> list[Correction]:
        """Return the corrections of a photograph; later ones count before earlier ones."""
        found: list[Correction] = [rule for rule in self.rules if fnmatch.fnmatchcase(key, rule.keys)]
        return [*found, self.rows[key]] if key in self.rows else found

    def settings_of(self, key: str) -> dict[str, Any] | None:
        """Return the own settings that a photograph gets; None if it keeps those that it has."""
        given = [correction.settings for correction in self.of(key) if correction.settings is not None]
        return {name: value for settings in given for name, value in settings.items()} if given else None

    def decision_of(self, key: str) -> Correction | None:
        """Return the correction with the decision that counts for a photograph; None without a decision."""
        decided = [correction for correction in self.of(key) if correction.decision]
        return decided[-1] if decided else None


def read_corrections(location: str, storage: StorageOptions) -> Corrections:
    """Read a corrections file; raises UserError with the key that is wrong."""
    data = read_location(location, storage)
    try:
        corrections = Corrections.model_validate_json(data)
    except ValidationError as error:
        raise UserError(f"{location}: {describe_problem(error)}") from None
    named = [(f"rules.{number}", rule) for number, rule in enumerate(corrections.rules)]
    for name, correction in (*named, *((f"rows.{key}", row) for key, row in corrections.rows.items())):
        try:
            PhotoSettings().updated(correction.settings or {})
        except UserError as error:
            raise UserError(f"{location}: {name}.settings.{error}") from None
    return corrections


def merge_settings(files: Sequence[Corrections]) -> Corrections:
    """Merge the settings of several reviewers: all rules in the order of the files, and of each row the latest."""
    rows: dict[str, Correction] = {}
    for corrections in files:
        for key, correction in corrections.rows.items():
            if correction.settings is not None and (key not in rows or rows[key].at <= correction.at):
                rows[key] = correction
    return Corrections(rules=[rule for corrections in files for rule in corrections.rules], rows=rows)


def decisions_of(key: str, files: Iterable[Corrections]) -> list[Correction]:
    """Return the decisions about a photograph, one for each reviewer: of several of one reviewer, the latest."""
    latest: dict[str, Correction] = {}
    for corrections in files:
        decision = corrections.decision_of(key)
        if decision and (decision.by not in latest or latest[decision.by].at <= decision.at):
            latest[decision.by] = decision
    return list(latest.values())
