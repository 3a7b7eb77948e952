"""Pages: templates filled, style and scripts inlined, data as JSON that no content can break out of."""

import base64
import functools
import hashlib
import math
import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_PACKAGE = "colorize_core.report"
SHOWN_BY_BROWSERS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")


def render(template: str, scripts: Sequence[str], data: Any, **values: Any) -> str:
    """A page as HTML that needs no file but the pictures it names.

    Args:
        template: name of a template of this package.
        scripts: names of scripts of this package, in the order they run.
        data: anything JSON holds, for the scripts; NaN and infinities become null.
        values: for the template; all text is escaped there.
    """
    script = "\n".join(map(_static, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Nothing runs but our script, nothing is fetched but pictures beside the page (file: is for pages from a folder).
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template(template)
        .render(
            policy=policy, style=Markup(_static("page.css")), script=Markup(script), data=without_nan(data), **values
        )
    )


@functools.cache
def _static(name: str) -> str:
    return (resources.files(_PACKAGE) / "static" / name).read_text("utf-8")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": _count, "percent": _percent}
    return environment


def without_nan(value: Any) -> Any:
    """The same with null for what JSON has no word for."""
    if isinstance(value, Mapping):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def url(path: str) -> str | None:
    """A relative URL of a path whose parts may hold any character.

    None for one that a browser would take for another: it resolves `.` and `..` away, however they are written.
    """
    parts = path.split("/")
    return None if {"", ".", ".."} & set(parts) else "/".join(quote(part, safe="") for part in parts)


def is_shown_by_browsers(key: str) -> bool:
    """Whether a file of this name can be the source of an <img>."""
    return posixpath.splitext(key)[1].lower() in SHOWN_BY_BROWSERS


def _count(number: int) -> str:
    return f"{number:,}"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def moment(text: str) -> str:
    """An ISO 8601 time for people; what is no such time as it stands."""
    try:
        return f"{datetime.fromisoformat(text):%-d %B %Y, %H:%M} UTC"
    except ValueError:
        return text
