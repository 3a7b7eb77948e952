"""Settings of single photographs: the run's, rules by key, columns of a given manifest, and those of reviewers."""

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.config.loading import Section
from colorize_core.errors import UserError
from colorize_core.inference.settings import PhotoSettings
from jobs.inputs.corrections import Corrections

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.archive.config import ArchiveConfig

SETTINGS = tuple(PhotoSettings.model_fields)
"""Names of the settings, which are also the columns of a given manifest that are settings."""


class Rule(Section, PhotoSettings):
    """Settings of the photographs whose keys match a pattern."""

    keys: str
    """Pattern (*, ?, [abc]) for keys, such as 1920s/*."""

    def values(self) -> dict[str, Any]:
        """Return the settings that the rule gives."""
        return self.model_dump(exclude_unset=True, exclude={"keys"})


@dataclass(frozen=True)
class SettingsResolver:
    """Resolves the settings of photographs, in the order run, rules, manifest, corrections: the last one counts."""

    run: PhotoSettings
    rules: Sequence[Rule] = ()

    @classmethod
    def of(cls, config: "ArchiveConfig") -> "SettingsResolver":
        """Return the resolver of a run."""
        return cls(PhotoSettings.of(config), config.rules)

    def resolve(self, key: str, own: Mapping[str, Any]) -> PhotoSettings:
        """Return the settings of a photograph; `own` are those of the manifest and the corrections."""
        settings = self.run
        for rule in self.rules:
            if fnmatch.fnmatchcase(key, rule.keys):
                settings = settings.updated(rule.values())
        return settings.updated(own)


def encode(settings: PhotoSettings) -> str | None:
    """Return settings as the column `settings` of the rows has them: JSON, or None if all are defaults."""
    changed = settings.changed()
    return json.dumps(changed, sort_keys=True) if changed else None


def settings_of_columns(key: str, columns: Mapping[str, Any]) -> str | None:
    """Return the settings among the columns of a given manifest as JSON, None if there are none; raises UserError."""
    given = {name: value for name, value in columns.items() if name in SETTINGS and value != ""}
    if not given:
        return None
    try:
        if isinstance(given.get("calm"), str):
            given["calm"] = json.loads(given["calm"])
        PhotoSettings().updated(given)
    except ValueError:
        raise UserError(f'listing.manifest: {key}: calm: not JSON such as {{"violet": 0.5}}') from None
    except UserError as error:
        raise UserError(f"listing.manifest: {key}: {error}") from None
    return json.dumps(given)


def own_settings(inputs: "pa.Table", corrections: Corrections) -> list[dict[str, Any]]:
    """Return the settings of each input by its row of the manifest and its correction."""
    return [
        (json.loads(values) if values else {}) | (corrections.settings_of(key) or {})
        for key, values in zip(inputs.column("key").to_pylist(), inputs.column("settings").to_pylist(), strict=True)
    ]


def with_settings(inputs: "pa.Table", corrections: Corrections) -> "pa.Table":
    """Return inputs with the column `settings`: JSON of `own_settings`, null where there are none."""
    import pyarrow as pa

    texts = [json.dumps(own) if own else None for own in own_settings(inputs, corrections)]
    return inputs.set_column(inputs.column_names.index("settings"), "settings", pa.array(texts, pa.string()))


def changed_inputs(
    inputs: "pa.Table", rows: "pa.Table", resolver: SettingsResolver, corrections: Corrections
) -> "pa.Table":
    """Return the corrected inputs of a part whose row was made with other settings.

    Args:
        inputs: part of the manifest.
        rows: key and settings of its finished rows.
        resolver: of the run.
        corrections: those of reviewers; inputs without one are not returned.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if corrections == Corrections():
        return inputs.slice(0, 0)
    # Rows of a version without settings do not have the column.
    made = rows.column("settings").to_pylist() if "settings" in rows.column_names else [None] * len(rows)
    used = {
        key: text
        for key, text in zip(rows.column("key").to_pylist(), made, strict=True)
        if corrections.settings_of(key) is not None
    }
    inputs = inputs.filter(pc.is_in(inputs.column("key"), value_set=pa.array(list(used), pa.string())))
    keys = inputs.column("key").to_pylist()
    wanted = [
        encode(resolver.resolve(key, own)) for key, own in zip(keys, own_settings(inputs, corrections), strict=True)
    ]
    return inputs.filter(pa.array([want != used[key] for key, want in zip(keys, wanted, strict=True)], pa.bool_()))
