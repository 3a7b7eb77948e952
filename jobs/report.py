"""`colorize report RUN...`: web pages of archive runs and evaluations, and what blind ratings say."""

import json
import re
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.config.command_line import DONE
from cluster.storage.stores import Storage, open_storage, reach
from colorize_core.errors import UserError
from jobs.archive.report import write_archive_report
from jobs.command.console import say, summary
from jobs.command.runner import run_job
from jobs.evaluate.report import PER_IMAGE, RESULT, write_evaluation_report
from jobs.report_config import ReportConfig
from jobs.run.record import RUN_FILE

if TYPE_CHECKING:
    from colorize_core.report.evaluation.study import Preferences

_KEY = re.compile(r"[a-z_]+(\.[a-z_]+)*=")
_FLAGS = ("--dry-run", "--verbose", "--help")
_ARCHIVE, _EVALUATION = "archive", "evaluation"


@dataclass(frozen=True)
class _Subject:
    """A run to report on."""

    output: Storage
    kind: str


def plan(config: ReportConfig) -> str:
    """What would run."""
    subjects = _subjects(config)
    lines = [f"report would write {each.output.uri}/report/index.html of an {each.kind}" for each in subjects]
    return "\n".join(lines or [f"report would count the votes of {', '.join(config.ratings)}"])


def run(config: ReportConfig, verbose: bool) -> int:
    """Check every run and every file of ratings, then write the pages."""
    subjects = _subjects(config)
    preferences = _read(config) if config.ratings else None
    pages = [_write(subject, config, preferences) for subject in subjects]
    if preferences is not None:
        _tell(preferences)
    if pages:
        summary("report", [("open", page) for page in pages])
    return DONE


def _subjects(config: ReportConfig) -> list[_Subject]:
    """The runs with what each is; raises UserError for one that is neither, before anything is written."""
    subjects = [_Subject(output, _kind(output)) for output in reach(config.storage, *config.run)]
    for subject in subjects:
        if config.ratings and subject.kind != _EVALUATION:
            raise UserError(f"{subject.output.uri}: ratings are of evaluations, and this is an archive run")
    return subjects


def _kind(output: Storage) -> str:
    verb = json.loads(output.read(RUN_FILE)).get("verb") if output.exists(RUN_FILE) else None
    if verb == "archive":
        return _ARCHIVE
    if output.exists(RESULT) and output.exists(PER_IMAGE):
        return _EVALUATION
    hints = {"recipe": "; its evaluation lies in evaluation/", "train": "; evaluate its best/, and report on that"}
    found = f"a run of {verb!r}{hints.get(verb, '')}" if verb else "no run"
    raise UserError(f"{output.uri}: reports are of archive runs and of evaluations; there is {found}")


def _write(subject: _Subject, config: ReportConfig, preferences: "Preferences | None") -> str:
    output = subject.output
    if subject.kind == _EVALUATION:
        return write_evaluation_report(output, config.storage, config.pictures, preferences)
    source = json.loads(output.read(RUN_FILE))["config"]["source"]
    return write_archive_report(output, open_storage(source, config.storage), config.pictures)


def _read(config: ReportConfig) -> "Preferences":
    from colorize_core.report.evaluation.study import read_ratings

    files = {}
    for location in config.ratings:
        folder, _, name = location.rpartition("/")
        try:
            files[location] = open_storage(folder or ("/" if location.startswith("/") else "."), config.storage).read(
                name
            )
        except OSError as error:
            raise UserError(f"{location}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    return read_ratings(files)


def _tell(preferences: "Preferences") -> None:
    files = "1 file" if preferences.raters == 1 else f"{preferences.raters} files"
    say(f"{preferences.votes} votes in {files}; 95% Wilson intervals, undecided votes left out")
    rates = [
        (
            f"{each.one} to {each.other}",
            f"{each.value:.1%} [{each.low:.1%}, {each.high:.1%}]  {each.wins} : {each.losses}, {each.ties} undecided",
        )
        for each in preferences.rates
    ]
    summary("preferred", rates or [("nothing", "no pair has a vote")])
    if preferences.strengths:
        strengths = preferences.strengths.items()
        chances = [(name, f"{value:.1%} [{low:.1%}, {high:.1%}]") for name, (value, low, high) in strengths]
        summary("chance to be preferred to an average contestant (Bradley-Terry, 95% bootstrap)", chances)


def as_keys(arguments: Sequence[str]) -> list[str]:
    """The words of `colorize report RUN... --ratings FILE...` as key=value: several words of a kind are a list."""
    words: dict[str, list[str]] = {"run": [], "ratings": []}
    rest: list[str] = []
    kind = "run"
    given = deque(arguments)
    while given:
        word = given.popleft()
        if word == "--ratings":
            kind = "ratings"
        elif word.startswith("-") or _KEY.match(word):
            rest.append(word)
            if word.startswith("--") and "=" not in word and word not in _FLAGS and given:
                rest.append(given.popleft())
        else:
            words[kind].append(word)
    return [*rest, *(f"{key}={json.dumps(values)}" for key, values in words.items() if values)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_job("report", ReportConfig, run, plan, as_keys(given))


if __name__ == "__main__":
    sys.exit(main())
