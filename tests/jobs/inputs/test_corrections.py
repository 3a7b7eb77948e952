"""Corrections files of reviewers."""

import json
from pathlib import Path

import pytest

from cluster.storage.stores import StorageOptions
from colorize_core.errors import UserError
from jobs.inputs.corrections import Corrections, decisions_of, merge_settings, read_corrections

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
        ('{"rules": [{"keys": "a", "settings": {"strength": 9}}]}', "rules.0.settings.strength: "),
        ('{"rules": [{}]}', "rules.0.keys: "),
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


def _decided(reviewer: tuple[str, str], **decisions: str | None) -> Corrections:
    by, at = reviewer
    rows = {key: {"decision": decision, "by": by, "at": at} for key, decision in decisions.items()}
    return Corrections.model_validate({"rows": rows})


ANN_TEN, ANN_ELEVEN, BEN_NINE = (
    ("Ann", "2026-11-28T10:00:00+00:00"),
    ("Ann", "2026-11-28T11:00:00+00:00"),
    ("Ben", "2026-11-28T09:00:00+00:00"),
)


def _summary(key: str, *files: Corrections) -> list[tuple[str, str | None]]:
    return [(each.by, each.decision) for each in decisions_of(key, files)]


def test_the_latest_decision_of_a_reviewer_counts() -> None:
    files = _decided(ANN_TEN, a="reject", b="accept"), _decided(ANN_ELEVEN, a="accept", b=None)
    for order in (files, files[::-1]):
        assert _summary("a", *order) == [("Ann", "accept")]
        assert _summary("b", *order) == [("Ann", "accept")]
        assert _summary("c", *order) == []


def test_every_reviewer_has_a_decision() -> None:
    assert _summary("a", _decided(ANN_TEN, a="accept"), _decided(BEN_NINE, a="reject")) == [
        ("Ann", "accept"),
        ("Ben", "reject"),
    ]


def test_rows_count_before_rules_and_later_rules_before_earlier_ones() -> None:
    corrections = Corrections.model_validate(
        {
            "rules": [
                {"keys": "box1/*", "decision": "accept", "settings": {"strength": 0.5, "max_chroma": 40}},
                {"keys": "*/b", "settings": {"strength": 0.75}},
            ],
            "rows": {"box1/c": {"decision": "reject", "settings": {"max_chroma": 50}}},
        }
    )
    assert corrections.settings_of("box1/a") == {"strength": 0.5, "max_chroma": 40}
    assert corrections.settings_of("box1/b") == {"strength": 0.75, "max_chroma": 40}
    assert corrections.settings_of("box1/c") == {"strength": 0.5, "max_chroma": 50}
    assert corrections.settings_of("box2/a") is None
    assert [_summary(f"box{key}", corrections) for key in ("1/a", "1/c", "2/b")] == [
        [("", "accept")],
        [("", "reject")],
        [],
    ]


def test_the_latest_settings_of_several_reviewers_count() -> None:
    def given(at: str, settings: dict[str, float] | None, **rest: str) -> Corrections:
        return Corrections.model_validate({"rows": {"a": {"settings": settings, "at": at, **rest}}})

    early, late = given("2026-11-28T10:00:00+00:00", {"strength": 0.5}), given("2026-11-28T11:00:00+00:00", {})
    accepted = given("2026-11-28T12:00:00+00:00", None, decision="accept")
    for order in ([early, late, accepted], [accepted, late, early]):
        assert merge_settings(order).settings_of("a") == {}
    assert merge_settings([early, accepted]).settings_of("a") == {"strength": 0.5}
    assert merge_settings([accepted]).settings_of("a") is None
    assert merge_settings([]) == Corrections()
