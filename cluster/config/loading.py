"""Configuration from YAML and key=value, validated by typed models; every error is one line."""

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from cluster.config.keys import item_section_of, list_keys, meaning, section_of
from cluster.errors import ConfigError
from colorize_core.formatting import set_dotted

AnySection = TypeVar("AnySection", bound="Section")


class Section(BaseModel, extra="forbid", frozen=True, coerce_numbers_to_str=True, use_attribute_docstrings=True):
    """A group of configuration keys. The docstring under each field is its text in `--help`."""

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Old names of keys with their new names, empty for a section whose keys moved one level up. An old name is refused
    with a message that gives the new one."""
    POSITIONAL: ClassVar[tuple[str, ...]] = ()
    """Keys that take the words of the command line without a key, in order; the last may be a list of several words.
    "--config" stands for the configuration file."""

    @classmethod
    def load(
        cls: type[AnySection],
        file: str | None,
        overrides: list[str],
        *,
        source: str = "command line",
        context: Mapping[str, Any] | None = None,
    ) -> AnySection:
        """Read a YAML file, apply key=value overrides, and validate the result.

        Args:
            file: YAML file; none when None.
            overrides: keys with their values, which take precedence over those of the file.
            source: origin of the overrides, for messages.
            context: facts about where the configuration will be used, for validators (pydantic's validation context).

        Raises:
            ConfigError: one line with the file (or `source`), the key path, the value, and what is valid.
        """
        values = read_yaml(file) if file else {}
        overridden = {_apply(values, override) for override in overrides}
        try:
            return cls.model_validate(values, context=context)
        except ValidationError as error:
            raise ConfigError(_explain(cls, error, file, overridden, source)) from None

    @classmethod
    def part(cls: type[AnySection], values: Mapping[str, Any], where: str) -> AnySection:
        """Validate a configuration that is the value of the key `where` of another one; raises ConfigError."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_explain(cls, error, where)) from None


def read_yaml(file: str) -> dict[str, Any]:
    """Return the keys and values of a YAML file; raises ConfigError with one line."""
    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML ({' '.join(str(error).split())})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: expected keys and values, found {type(values).__name__}")
    return values


def _apply(values: dict[str, Any], override: str) -> str:
    """Set a dotted key from `key=value` and return the key."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"{override!r}: expected key=value, such as optim.epochs=5")
    try:
        value = yaml.safe_load(text) if text else None
    except yaml.YAMLError:
        value = text
    set_dotted(values, key, value)
    return key


def _explain(
    model: type[BaseModel],
    error: ValidationError,
    file: str | None,
    overridden: Collection[str] = (),
    source: str = "command line",
) -> str:
    """Return one line about the first problem, and the number of others; missing keys are all named.

    Args:
        model: the configuration.
        error: what is wrong with it.
        file: file that the values come from, but for the keys `overridden`.
        overridden: keys whose values come from `source`.
        source: origin of those, and of all values where there is no file.
    """
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]  # a misspelled key is often the reason why another one is missing
    path = _key_path(model, first["loc"])
    key = ".".join(path)
    on_command_line = any(key == name or key.startswith(f"{name}.") for name in overridden)
    where = file if file and not on_command_line else source
    if first["type"] == "missing":
        missing = [_key_path(model, problem["loc"]) for problem in problems if problem["type"] == "missing"]
        problems = [first, *(problem for problem in problems if problem["type"] != "missing")]
        line = f"{where}: {_describe_missing(model, missing)}"
    elif renamed := _renamed(model, path, first):
        line = f"{where}: {renamed}"
    elif first["type"] == "extra_forbidden":
        prefix = "".join(f"{part}." for part in path[:-1])
        siblings = [f"{prefix}{name}" for name in _section_at(model, path[:-1]).model_fields]
        nearest = _nearest_key(path[-1], siblings, [each.name for each in list_keys(model)])
        hint = f"did you mean {nearest}?" if nearest else "see --help"
        line = f"{where}: {key} = {_show(first['input'])}: unknown key; {hint}"
    else:
        message = _PLAIN_WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        if first["input"] is None:
            message = "must not be empty"
        value = "" if isinstance(first["input"], dict) else f" = {_show(first['input'])}"
        line = f"{where}: {key}{value}: {message[:1].lower()}{message[1:]}" if key else f"{where}: {message}"
    more = len({tuple(_key_path(model, problem["loc"])) for problem in problems}) - 1
    return f"{line} (and {more} more)" if more else line


def _describe_missing(model: type[BaseModel], paths: list[list[str]]) -> str:
    """Return one line with every missing key and its meaning."""
    described = []
    for path in paths:
        words = meaning(_section_at(model, path[:-1]).model_fields[path[-1]]).rstrip(".")
        described.append(f"{'.'.join(path)} ({words[:1].lower()}{words[1:]})")
    return f"{', '.join(described)} {'is' if len(paths) == 1 else 'are'} required"


_PLAIN_WORDS = {
    "model_type": "expected a group of keys, see --help",
    "tuple_type": "expected a list, such as [0.5, 0.999]",
}
"""Messages for errors that pydantic describes with names of Python types."""


def _key_path(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys in an error's location, without the parts that pydantic appends for unions and plain items.

    Items of a list of sections are keys too, such as rules.0.strength.
    """
    path: list[str] = []
    section: type[BaseModel] | None = model
    for part in location:
        if section is None:
            break
        path.append(str(part))
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part)
        section = section_of(field.annotation) or item_section_of(field.annotation) if field else None
    return path


def _renamed(model: type[BaseModel], path: list[str], problem: Any) -> str | None:
    """Return a message with the new name of a key of an earlier version; None for other keys."""
    section = _section_at(model, path[:-1])
    if problem["type"] != "extra_forbidden" or not issubclass(section, Section) or path[-1] not in section.RENAMED:
        return None
    value, inner = problem["input"], []
    while isinstance(value, Mapping) and value:
        key, value = next(iter(value.items()))
        inner.append(str(key))
    names = (path[-1], section.RENAMED[path[-1]])
    old, new = (".".join(filter(None, [*path[:-1], name, *inner])) for name in names)
    return f"{old} = {_show(value)}: this key is now called {new}" if new else None


def _show(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."


def _nearest_key(word: str, siblings: list[str], all_keys: list[str]) -> str | None:
    """Return the most similar key: the same word in another section, a similar one in this, a similar one anywhere."""
    for candidates, cutoff in ((all_keys, 1.0), (siblings, 0.5), (all_keys, 0.8)):
        by_last = {key.rsplit(".", 1)[-1]: key for key in reversed(candidates)}
        if found := difflib.get_close_matches(word, by_last, n=1, cutoff=cutoff):
            return by_last[found[0]]
    return None


def _section_at(model: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """Return the section at a path of keys, or the last one on the way."""
    for part in path:
        if part.isdecimal():
            continue
        field = model.model_fields.get(part)
        inner = section_of(field.annotation) or item_section_of(field.annotation) if field else None
        if inner is None:
            return model
        model = inner
    return model


def to_yaml(config: BaseModel, *, with_defaults: bool = True) -> str:
    """Return the resolved configuration as YAML for --config: every key, or those that differ from their defaults."""
    values = config.model_dump(mode="json", by_alias=True, exclude_defaults=not with_defaults)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True) if values else ""
