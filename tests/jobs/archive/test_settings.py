"""Settings of single photographs: rules, columns of a given manifest, corrections."""

import json
from typing import Any

import pyarrow as pa
import pytest

from cluster.errors import ConfigError
from cluster.storage.stores import StorageOptions
from colorize_core.errors import UserError
from jobs.archive.config import ArchiveConfig
from jobs.archive.settings import SettingsResolver, changed_inputs, encode, settings_of_columns, with_settings
from jobs.inputs.corrections import Corrections

OPTIONS = StorageOptions()


def _resolver(**keys: Any) -> SettingsResolver:
    return SettingsResolver.of(ArchiveConfig.part({"source": "s", "output": "/o", **keys}, "test"))


def _corrections(**rows: dict[str, Any]) -> Corrections:
    return Corrections.model_validate({"rows": {key: {"settings": values} for key, values in rows.items()}})


def test_the_most_specific_settings_count() -> None:
    rules = [{"keys": "box1/*", "strength": 0.8, "max_chroma": 50}, {"keys": "*/b", "strength": 1.2}]
    resolver = _resolver(strength=0.5, rules=rules)
    assert resolver.resolve("box2/a", {}).changed() == {"strength": 0.5}
    assert resolver.resolve("box1/a", {}).changed() == {"strength": 0.8, "max_chroma": 50.0}
    assert resolver.resolve("box1/b", {}).changed() == {"strength": 1.2, "max_chroma": 50.0}
    assert resolver.resolve("box1/b", {"strength": 0.9}).changed() == {"strength": 0.9, "max_chroma": 50.0}


def test_a_rule_may_return_to_the_default() -> None:
    assert _resolver(strength=0.5, rules=[{"keys": "a*", "strength": 1}]).resolve("a", {}).changed() == {}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"strength": 1}, "keys"),
        ({"keys": "a", "strenght": 1}, r"rules\.0\.strenght = 1: unknown key; did you mean rules\.0\.strength"),
        ({"keys": "a", "calm": {"pink": 0.5}}, "is no hue"),
        ({"keys": "a", "checkpoint": "bold"}, "'bold' is not the name of a checkpoint"),
    ],
)
def test_a_wrong_rule_is_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _resolver(rules=[rule])


def test_columns_of_a_manifest_are_settings() -> None:
    columns = {"strength": 0.5, "calm": '{"violet": 0.25}', "box": 12, "skip": True, "checkpoint": ""}
    found = settings_of_columns("a", columns)
    assert found is not None
    assert json.loads(found) == {"strength": 0.5, "calm": {"violet": 0.25}, "skip": True}
    assert settings_of_columns("a", {"box": 12}) is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"strength": 7}, "listing.manifest: box/a: strength: "),
        ({"calm": "violet"}, "listing.manifest: box/a: calm: not JSON"),
    ],
)
def test_a_wrong_column_names_the_photograph(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        settings_of_columns("box/a", columns)
    assert str(refused.value).startswith(message)


def test_corrections_count_before_the_manifest() -> None:
    inputs = pa.table({"key": ["a", "b", "c"], "settings": ['{"strength": 0.5, "skip": true}', None, None]})
    changed = with_settings(inputs, _corrections(a={"strength": 0.75}, c={"max_chroma": 40}))
    assert [json.loads(text) if text else None for text in changed.column("settings").to_pylist()] == [
        {"strength": 0.75, "skip": True},
        None,
        {"max_chroma": 40},
    ]


def test_only_rows_made_with_other_settings_are_repeated() -> None:
    resolver = _resolver(strength=0.5)
    inputs = pa.table({"key": ["a", "b", "c", "d"], "settings": pa.nulls(4, pa.string())})
    corrections = _corrections(a={"strength": 0.75}, b={"strength": 0.75}, c={"strength": 0.5}, e={"strength": 0})
    used = [encode(resolver.resolve(key, {})) for key in "abcd"]
    used[1] = encode(resolver.resolve("b", {"strength": 0.75}))
    rows = pa.table({"key": ["d", "c", "b", "a"], "settings": used[::-1]})
    assert changed_inputs(inputs, rows, resolver, corrections).column("key").to_pylist() == ["a"]


def test_rows_of_a_version_without_settings_have_the_defaults() -> None:
    inputs = pa.table({"key": ["a", "b"], "settings": pa.nulls(2, pa.string())})
    corrections = _corrections(a={}, b={"strength": 0.5})
    found = changed_inputs(inputs, inputs.select(["key"]), _resolver(), corrections)
    assert found.column("key").to_pylist() == ["b"]


def test_a_rule_of_reviewers_corrects_all_that_match() -> None:
    inputs = pa.table({"key": ["box1/a", "box1/b", "box2/a"], "settings": pa.nulls(3, pa.string())})
    corrections = Corrections.model_validate({"rules": [{"keys": "box1/*", "settings": {"strength": 0.75}}]})
    assert changed_inputs(inputs, inputs, _resolver(), corrections).column("key").to_pylist() == ["box1/a", "box1/b"]
    assert len(changed_inputs(inputs, inputs, _resolver(), Corrections())) == 0


def test_a_decision_alone_keeps_the_settings_of_an_image() -> None:
    """As when a reviewer accepts what an earlier corrections file has changed."""
    inputs = pa.table({"key": ["a", "b"], "settings": pa.nulls(2, pa.string())})
    rows = pa.table({"key": ["a", "b"], "settings": ['{"strength": 0.5}', '{"strength": 0.5}']})
    corrections = Corrections.model_validate({"rows": {"a": {"decision": "accept"}, "b": {"settings": {}}}})
    assert changed_inputs(inputs, rows, _resolver(), corrections).column("key").to_pylist() == ["b"]
