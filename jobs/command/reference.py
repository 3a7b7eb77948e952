"""Reference of all configuration keys: `python -m jobs.command.reference` writes docs/reference/configuration.md."""

from collections.abc import Iterator
from pathlib import Path

from cluster.config.command_line import usage
from cluster.config.keys import Key, list_keys
from jobs.command.config import StorageJobConfig
from jobs.command.verb import load_verb, verb_names

FILE = Path("docs/reference/configuration.md")
_SHARED = ("ray", "log", "storage")
_INTRODUCTION = """# Configuration

This page is generated from the configuration models by `make reference`. `colorize VERB --help` shows the same keys.

Keys are given in a YAML file (`--config FILE.yaml`) and as `key=value` or `--key value` on the command line, which
takes precedence. `a.b` is the key `b` of the section `a`. Positional arguments in a usage line, such as `INPUT`, are
values of the key of that name. "none" as a default means an empty value. Keys marked with * may change when the same
command continues an interrupted run; a change of any other key is refused.
"""


def write_reference() -> str:
    """Return the reference of all verbs as Markdown."""
    return "\n".join([_INTRODUCTION, *_shared(), *(line for name in verb_names() for line in _verb(name))])


def _shared() -> Iterator[str]:
    yield from (
        "## Shared sections",
        "",
        "Jobs on Ray have the sections `ray` and `log`; verbs that use object storage, `storage`.",
    )
    keys = list_keys(StorageJobConfig)
    yield from ("", *_table([key for key in keys if key.name.startswith(tuple(f"{name}." for name in _SHARED))]), "")


def _verb(name: str) -> Iterator[str]:
    config = load_verb(name).CONFIG
    keys = list_keys(config)
    sections = [section for section in _SHARED if any(key.name.startswith(f"{section}.") for key in keys)]
    yield from (f"## {name}", "", " ".join((config.__doc__ or "").split()), "", f"    {usage(name, config)}", "")
    if sections:
        yield from (f"Shared sections: {', '.join(f'`{section}`' for section in sections)}.", "")
    yield from (*_table([key for key in keys if key.name.partition(".")[0] not in sections]), "")


def _table(keys: list[Key]) -> Iterator[str]:
    yield from ("| Key | Type | Default | Meaning |", "|---|---|---|---|")
    for key in keys:
        mark = " *" if key.is_changeable else ""
        cells = (f"`{key.name}`{mark}", key.type, key.default, key.meaning)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    FILE.write_text(write_reference(), encoding="utf-8")
