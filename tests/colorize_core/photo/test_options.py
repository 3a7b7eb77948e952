import pytest
from pydantic import ValidationError

from colorize_core.photo.options import EncodingOptions


@pytest.mark.parametrize(
    "options",
    [{"quality": 0}, {"quality": 101}, {"compression": 10}, {"subsampling": "4:1:1"}, {"bit_depth": 12}, {"level": 3}],
)
def test_invalid_options_are_rejected(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EncodingOptions(**options)


@pytest.mark.parametrize(("value", "expected"), [("4:4:4", "4:4:4"), (14644, "4:4:4"), (14520, "4:2:0")])
def test_subsampling_may_be_unquoted_in_yaml(value: object, expected: str) -> None:
    """YAML 1.1 reads 4:4:4 as a number in base 60."""
    assert EncodingOptions(subsampling=value).subsampling == expected
