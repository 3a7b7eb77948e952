"""The documents agree with the project: links, verbs, files of configurations, columns, statuses, changeable keys."""

import re
from pathlib import Path

import pytest

from cluster.config.keys import list_keys
from colorize_core.status import Status
from jobs.archive.actor import ROW_SCHEMA
from jobs.archive.config import ArchiveConfig
from jobs.cli import VERBS
from jobs.command.config import VerbConfig
from jobs.evaluate.config import EvaluateConfig
from jobs.prepare.config import PrepareConfig
from jobs.train.config import TrainConfig

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "configs").rglob("*.md"),
        *ROOT.glob("colorize_core/*/*.md"),
    ]
)
OF_PAGES = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
CONFIGS: dict[str, type[VerbConfig]] = {
    "archive": ArchiveConfig,
    "evaluate": EvaluateConfig,
    "prepare": PrepareConfig,
    "train": TrainConfig,
}


def split(page: Path) -> tuple[str, str]:
    """The text of a page outside blocks of code, and the commands and other lines of blocks without a language."""
    outside, inside, language = [], [], None
    for line in page.read_text().replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            language = line.strip("` ") if language is None else None
        elif language is None:
            outside.append(line)
        elif not language:
            inside.append(line)
    return "\n".join(outside), "\n".join(inside)


def prose(page: Path) -> str:
    """The text of a page outside blocks of code."""
    return split(page)[0]


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as they are made on GitHub."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(page: Path) -> list[str]:
    """What follows `colorize` and `python -m jobs.` in blocks of code and in code within the text."""
    text, block = split(page)
    lines = [*block.splitlines(), *re.findall(r"`((?:colorize|python -m jobs\.)[^`]+)`", text.replace("\n", " "))]
    found = (re.match(r"\s*(?:\$ )?(?:colorize |python -m jobs\.)([a-z_].*)", line) for line in lines)
    return [match[1].split(" #")[0].strip() for match in found if match]


@OF_PAGES
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@OF_PAGES
def test_named_files_exist(page: Path) -> None:
    text = page.read_text()
    if page.name == "CHANGELOG.md":
        return
    for path in re.findall(r"(?<![\w/.])((?:configs|docs|examples|cluster/deploy)/[\w./-]+\.\w+)", text):
        if re.search(r"[A-Z]{4,}\.yaml|NAME", path) or path.startswith("cluster/deploy/data"):
            continue
        assert (ROOT / path).exists() or path == "cluster/deploy/.env", path


@OF_PAGES
def test_commands_name_verbs(page: Path) -> None:
    for command in commands(page):
        verb = command.split()[0]
        assert verb in VERBS or verb == "VERB", command


@OF_PAGES
def test_keys_of_commands_exist(page: Path) -> None:
    for command in commands(page):
        verb, *words = command.split()
        if verb not in CONFIGS or page.name == "CHANGELOG.md":
            continue
        known = {key.name for key in list_keys(CONFIGS[verb])}
        for key in (match[1] for word in words if (match := re.match(r"([a-z_][a-z_0-9.]*)=", word))):
            mapping = key.rpartition(".")[0]  # keys of sections and of mappings such as model.options
            assert key in known or mapping in known or any(name.startswith(f"{key}.") for name in known), command


def test_the_columns_of_an_archive_are_documented_in_order() -> None:
    text = (ROOT / "docs" / "reference" / "files-and-columns.md").read_text()
    table = text.split("Columns of `OUTPUT/metrics`:")[1].split("Statuses:")[0]
    names = [name for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert names == ROW_SCHEMA.names


def test_every_status_is_documented_in_order() -> None:
    text = (ROOT / "docs" / "reference" / "files-and-columns.md").read_text()
    table = text.split("Statuses:")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [str(status) for status in Status]
