"""Keys of a configuration model: name, meaning, type, default; for `--help`, the reference, and error messages."""

import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

CHANGEABLE: dict[str, Any] = {"changeable": True}
"""`json_schema_extra` of a field that may change when a run continues; on a section it covers all keys of the section.
"""

_TYPE_NAMES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dict: "mapping",
    Any: "any",
    ByteSize: "bytes",
    types.NoneType: "none",
}


@dataclass(frozen=True)
class Key:
    """One key of a configuration."""

    name: str
    """Dotted path."""
    meaning: str
    """Docstring of the field."""
    type: str
    """Type in words, such as "list of text"."""
    default: str
    """Default as it is written, "none" for an empty value, or "required"."""
    is_changeable: bool
    """True if the key may change when a run continues."""

    def __str__(self) -> str:
        """Return the text of the key in `--help`."""
        default = self.default if self.default == "required" else f"default {self.default}"
        return f"{self.meaning} ({self.type}; {default})"


def list_keys(model: type[BaseModel]) -> list[Key]:
    """Return every key of a configuration: the model's own first, then those inherited from shared configurations."""
    return list(_keys(model, "", is_changeable=False))


def changeable_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the keys and sections marked `CHANGEABLE` as dotted paths, in the order of their definition."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        if _is_changeable(field):
            keys.append(f"{prefix}{name}")
        elif section := section_of(field.annotation):
            keys += changeable_keys(section, f"{prefix}{name}.")
    return keys


def default_values(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Return the defaults of all keys that have one, by dotted path, as in JSON."""
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        if section and field.default is not None:
            values |= default_values(section, f"{prefix}{name}.")
        elif not field.is_required():
            values[f"{prefix}{name}"] = to_jsonable_python(field.get_default(call_default_factory=True))
    return values


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that an annotation stands for, also for `X | None`; None for other types."""
    candidates = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def item_section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that the items of a list are; None for other types."""
    return section_of(get_args(annotation)[0]) if get_origin(annotation) is list else None


def meaning(field: FieldInfo) -> str:
    """Return the docstring of a field on one line."""
    return " ".join((field.description or "").split())


def _keys(model: type[BaseModel], prefix: str, *, is_changeable: bool) -> Iterator[Key]:
    own = inspect.get_annotations(model)
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] not in own):
        changeable = is_changeable or _is_changeable(field)
        if section := section_of(field.annotation):
            yield from _keys(section, f"{prefix}{name}.", is_changeable=changeable)
            continue
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        key = f"{prefix}{field.alias or name}"
        yield Key(key, meaning(field), _type_name(field.annotation), default, changeable)


def _is_changeable(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return bool(isinstance(extra, dict) and extra.get("changeable"))


def _default(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join(_type_name(argument) for argument in arguments if argument is not types.NoneType)
    if item_section_of(annotation):
        return "list of mappings"
    if origin in (list, tuple):
        return f"list of {_type_name(arguments[0])}"
    return _TYPE_NAMES.get(origin or annotation, str(annotation))
