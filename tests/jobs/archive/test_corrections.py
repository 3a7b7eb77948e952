"""Corrections files of reviewers."""

import json
from pathlib import Path

import pytest

from cluster.storage.stores import StorageOptions
from colorize_core.errors import UserError
from jobs.archive.corrections import Corrections, merge_decisions, read_corrections

OPTIONS = StorageOptions()


def test_a_corrections_file_is_read(tmp_path: Path) -> None:
    row = {
        "settings": {"strength": 0.5},
        "decision": "accept",
        "note": "<b>",
        "by": "Ann",
        "at": "2026-11-28T10:00:00Z",
    }
    (tmp_path / "c.json").write_text(json.dumps({"version": 1, "rows": {"ü/a.jpg": row}}))
    assert read_corrections(str(tmp_path / "c.json"), OPTIONS).rows["ü/a.jpg"].settings == {"strength": 0.5}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "Invalid JSON"),
        ('{"rows": {"a": {"colour": 1}}}', "rows.a.colour: "),
        ('{"rows": {"a": {"settings": {"strength": 9}}}}', "rows.a.settings.strength: "),
        ('{"version": 2}', "version: "),
        ('{"rows": {"a": {"decision": "maybe"}}}', "rows.a.decision: "),
        ('{"rows": {"a": {"at": "yesterday"}}}', "rows.a.at: Invalid isoformat"),
    ],
)
def test_a_wrong_corrections_file_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(UserError) as refused:
        read_corrections(str(tmp_path / "c.json"), OPTIONS)
    assert str(refused.value).startswith(f"{tmp_path}/c.json: {message}")
    assert "\n" not in str(refused.value)


def test_a_missing_corrections_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"c\.json: cannot be read"):
        read_corrections(str(tmp_path / "c.json"), OPTIONS)


def _decided(by: str, **decisions: tuple[str | None, str]) -> Corrections:
    rows = {key: {"decision": decision, "by": by, "at": at} for key, (decision, at) in decisions.items()}
    return Corrections.model_validate({"rows": rows})


def test_the_latest_decision_of_a_reviewer_counts() -> None:
    files = [
        _decided("Ann", a=("reject", "2026-11-28T10:00:00+00:00"), b=("accept", "2026-11-28T10:01:00+00:00")),
        _decided("Ann", a=("accept", "2026-11-28T11:00:00+00:00"), b=(None, "2026-11-28T12:00:00+00:00")),
    ]
    for order in (files, files[::-1]):
        merged, conflicts = merge_decisions(order)
        assert {key: correction.decision for key, correction in merged.items()} == {"a": "accept", "b": "accept"}
        assert conflicts == {}


def test_reviewers_who_disagree_are_a_conflict() -> None:
    ann = _decided("Ann", a=("accept", "2026-11-28T10:00:00+00:00"), b=("accept", "2026-11-28T10:00:00+00:00"))
    ben = _decided("Ben", a=("reject", "2026-11-28T09:00:00+00:00"), b=("accept", "2026-11-28T11:00:00+00:00"))
    merged, conflicts = merge_decisions([ann, ben])
    assert {key: correction.by for key, correction in merged.items()} == {"b": "Ben"}
    assert {key: [(each.by, each.decision) for each in found] for key, found in conflicts.items()} == {
        "a": [("Ann", "accept"), ("Ben", "reject")]
    }
