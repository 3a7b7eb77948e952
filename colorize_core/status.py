"""Outcomes of the inputs of an archive, with their meaning and the action to take."""

from enum import StrEnum


class Status(StrEnum):
    """Outcome of one input; the value is stored in the column `status`."""

    label: str
    """Name of the outcome for people."""
    meaning: str
    """Description of the outcome, in a few words."""
    advice: str
    """Action that a user can take; empty if none is needed."""

    def __new__(cls, value: str, label: str = "", meaning: str = "", advice: str = "") -> "Status":
        """Create a member with label, meaning and advice; `Status(value)` looks one up."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.label, member.meaning, member.advice = label, meaning, advice
        return member

    OK = "ok", "Colorized", "colorized; the column note lists simplifications"
    SKIPPED_COLOR = "skipped_color", "Already in color", "already in color, with on_color=skip or copy"
    SKIPPED = "skipped", "Skipped", "skipped by the setting skip"
    EMPTY = (
        "empty",
        "Empty file",
        "the file has no bytes",
        "copy the file again from its original, then retry_failed=[empty]",
    )
    MISSING = (
        "missing",
        "Deleted before it was read",
        "listed, but deleted before it was read",
        "check whether the source changes during the run",
    )
    NOT_AN_IMAGE = (
        "not_an_image",
        "Not a photograph",
        "the bytes are not in a known image format",
        "exclude such files with listing.exclude or listing.extensions",
    )
    TRUNCATED = (
        "truncated",
        "Incomplete file",
        "the file is incomplete or damaged",
        "copy the file again from its original, or use on_truncated=colorize, then retry_failed=[truncated]",
    )
    TOO_LARGE = (
        "too_large",
        "Too large",
        "more pixels than max_pixels, or more memory than max_memory",
        "raise max_pixels or max_memory, then retry_failed=[too_large]",
    )
    UNSUPPORTED = (
        "unsupported",
        "Unsupported kind of file",
        "a variant of a format that cannot be read, or an image that the output format cannot store",
        "convert the file, or choose another output format",
    )
    READ_ERROR = (
        "read_error",
        "Could not be read",
        "the storage failed at every attempt, or the key points outside the source",
        "check access to the source, then retry_failed=[read_error]",
    )
    WRITE_ERROR = (
        "write_error",
        "Could not be written",
        "the color image could not be written",
        "check access to the output and its free space, then retry_failed=[write_error]",
    )
    MODEL_ERROR = (
        "model_error",
        "Model failed",
        "the model ran out of memory, or predicted colors that are not finite numbers",
        "use precision=fp32, a smaller working_size or another checkpoint, then retry_failed=[model_error]",
    )

    @property
    def is_failure(self) -> bool:
        """True if the input should have a color image and has none."""
        return self not in (Status.OK, Status.SKIPPED_COLOR, Status.SKIPPED)


FAILURES = tuple(status for status in Status if status.is_failure)
"""Statuses that `retry_failed` processes again and `max_failed_fraction` counts."""
