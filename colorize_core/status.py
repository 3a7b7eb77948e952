"""What became of an input of an archive: one enum, with what each status means and what to do about it."""

from enum import StrEnum


class Status(StrEnum):
    """Outcome of one input; the value is what the column `status` holds."""

    meaning: str
    """What happened, in a few words."""
    advice: str
    """What a user can do about it; empty where nothing is to be done."""

    def __new__(cls, value: str, meaning: str, advice: str = "") -> "Status":
        """Attach meaning and advice to the value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning, member.advice = meaning, advice
        return member

    OK = "ok", "colorized; the column note names what was simplified"
    SKIPPED_COLOR = "skipped_color", "already in color, and on_color is skip or copy"
    EMPTY = "empty", "the file has no bytes", "copy the file again from its origin"
    MISSING = "missing", "listed, but gone when it was read", "check whether the source changes during the run"
    NOT_AN_IMAGE = (
        "not_an_image",
        "the bytes are not of a known image format",
        "leave such files out with listing.exclude or listing.extensions",
    )
    TRUNCATED = (
        "truncated",
        "the file ends early or is damaged",
        "copy it again from its origin, then retry_failed=[truncated]",
    )
    TOO_LARGE = (
        "too_large",
        "more pixels than max_pixels, or more memory than max_memory",
        "raise max_pixels or max_memory, then retry_failed=[too_large]",
    )
    UNSUPPORTED = (
        "unsupported",
        "a variant of a format that cannot be read or written",
        "convert the file, or choose another output format",
    )
    READ_ERROR = (
        "read_error",
        "the storage failed at every attempt, or the key leads out of the source",
        "check access to the source, then retry_failed=[read_error]",
    )
    WRITE_ERROR = (
        "write_error",
        "the color image could not be written",
        "check access and space of the output, then retry_failed=[write_error]",
    )
    MODEL_ERROR = (
        "model_error",
        "the model returned no finite colors",
        "try another checkpoint or precision=fp32, then retry_failed=[model_error]",
    )

    @property
    def is_failure(self) -> bool:
        """True where the input has neither a color image nor needs one."""
        return self not in (Status.OK, Status.SKIPPED_COLOR)


FAILURES = tuple(status for status in Status if status.is_failure)
"""The statuses that `retry_failed` tries again and `max_failed_fraction` counts."""
