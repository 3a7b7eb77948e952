"""Placeholders in example configurations and deployment files, which users replace with values of their own."""

import re

_PLACEHOLDER = re.compile(r"\b(?:BUCKET|ACCOUNT|REGISTRY)\b|\b(?:ami|sg)-0{8,}\b")
"""Words that no real bucket, account or registry is called, and ids of nothing."""


def placeholders_in(text: str) -> list[str]:
    """Return the placeholders in a text, each once, in order of appearance."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(text)))
