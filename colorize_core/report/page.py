"""Rendering of self-contained HTML pages: styles and scripts are inlined, data is embedded as escaped JSON."""

import base64
import functools
import hashlib
import json
import math
import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from colorize_core.formatting import flatten

_PACKAGE = "colorize_core.report"
SHOWN_BY_BROWSERS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")


def render(template: str, scripts: Sequence[str], data: Any, **values: Any) -> str:
    """Render a page that needs no other files than the images it references.

    Args:
        template: file name in templates/.
        scripts: file names in static/, in the order in which they run.
        data: JSON values for the scripts; NaN and infinities become null.
        values: variables of the template, which escapes them.
    """
    script = "\n".join(map(_static, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Only our script runs, and only images next to the page are loaded (file: is for pages opened from a folder).
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    inlined = {"policy": policy, "style": Markup(_static("page.css")), "script": Markup(script)}
    return _environment().get_template(template).render(**inlined, data=without_nan(data), **values)


@functools.cache
def _static(name: str) -> str:
    return (resources.files(_PACKAGE) / "static" / name).read_text("utf-8")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": "{:,}".format, "percent": "{:.1%}".format}
    return environment


def without_nan(value: Any) -> Any:
    """Return nested values with None in place of NaN and infinities, which JSON cannot represent."""
    if isinstance(value, Mapping):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def relative_url(path: str) -> str | None:
    """Return a relative URL for a path with arbitrary characters.

    None for a path with an empty part, `.` or `..`: browsers resolve these to a different path, even if escaped.
    """
    parts = path.split("/")
    return None if {"", ".", ".."} & set(parts) else "/".join(quote(part, safe="") for part in parts)


def is_shown_by_browsers(key: str) -> bool:
    """Return True if a file of this name can be the source of an <img>."""
    return posixpath.splitext(key)[1].lower() in SHOWN_BY_BROWSERS


def format_time(text: str) -> str:
    """Format an ISO 8601 time as "1 May 2024, 10:00 UTC"; other text is returned as it is."""
    try:
        return f"{datetime.fromisoformat(text):%-d %B %Y, %H:%M} UTC"
    except ValueError:
        return text


def config_rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a configuration as (dotted key, value): text as it is, other values as JSON."""
    return [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in flatten(config).items()
    ]
