"""Base class of the options that core classes take and that configuration files embed as sections."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A group of options; the docstring under each field is its description in `--help`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True, use_attribute_docstrings=True
    )
