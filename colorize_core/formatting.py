"""Text forms of numbers, errors and nested keys, shared by terminals, logs and pages."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

_MAX_ERROR_CHARACTERS = 200


def format_bytes(number: float) -> str:
    """Format bytes in decimal units: 812 bytes, 74 kB, 3.1 MB, 1.5 GB, 2.0 TB."""
    if number < 1000:
        return f"{number:.0f} bytes"
    if number < 1e6:
        return f"{number / 1e3:.0f} kB"
    for size, unit in ((1e9, "MB"), (1e12, "GB")):
        if number < size:
            return f"{number / size * 1000:.1f} {unit}"
    return f"{number / 1e12:.1f} TB"


def format_duration(seconds: float) -> str:
    """Format seconds as 8 s, 2 min 5 s or 3 h 20 min."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1: "1 epoch", "1,200 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shorten(text: str, limit: int) -> str:
    """Return a text in one line of at most `limit` characters; what is left out is marked by "..." in the middle."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    kept = limit - len("...")
    return f"{line[: kept // 2]}...{line[-(kept - kept // 2) :]}"


def first_line(error: BaseException | str, limit: int = _MAX_ERROR_CHARACTERS) -> str:
    """Return the first line of an error's message, at most `limit` characters; its type if the message is empty."""
    lines = str(error).strip().splitlines()
    if lines:
        return lines[0][:limit]
    return type(error).__name__ if isinstance(error, BaseException) else ""


def last_line(text: BaseException | str, limit: int = _MAX_ERROR_CHARACTERS) -> str:
    """Return the last line of a text, at most `limit` characters: the line of a traceback that names the error."""
    return (str(text).strip().splitlines() or [""])[-1][:limit]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to one with dotted keys; an empty mapping is kept as a value."""
    return dict(_leaves(values, prefix))


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def set_dotted(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested mappings, in place; values on the path that are not mappings are replaced by ones."""
    *parents, last = key.split(".")
    for parent in parents:
        inner = values.get(parent)
        if not isinstance(inner, dict):
            inner = values[parent] = {}
        values = inner
    values[last] = value


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """Format a Markdown table; the columns with the indices `right` are aligned to the right."""
    rule = "".join("---:|" if index in right else "---|" for index in range(len(headings)))
    return "\n".join([_markdown_row(headings), f"|{rule}", *map(_markdown_row, rows)])


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
