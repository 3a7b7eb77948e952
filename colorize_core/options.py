"""Base class of the options that core classes take and that configuration files embed as sections."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Options(BaseModel):
    """A group of options; the docstring under each field is its description in `--help`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True, use_attribute_docstrings=True
    )


def describe_problem(error: ValidationError) -> str:
    """Return the first problem in one line, "KEYS: message"; without keys if it concerns all of the value."""
    first = error.errors(include_url=False)[0]
    where, message = ".".join(map(str, first["loc"])), str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
