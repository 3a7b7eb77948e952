"""`colorize report RUN...`: write the pages of archive runs and evaluations, and evaluate blind ratings."""

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.config.command_line import DONE
from cluster.storage.stores import Storage, open_storage, reach, read_location
from colorize_core.errors import UserError
from colorize_core.formatting import counted
from jobs.archive.report import write_archive_report
from jobs.command.console import say, summary
from jobs.command.runner import run_verb
from jobs.evaluate.report import PER_IMAGE, RESULT, write_evaluation_report
from jobs.report_config import ReportConfig
from jobs.run.record import RUN_FILE

if TYPE_CHECKING:
    from colorize_core.report.evaluation.study import Preferences

CONFIG = ReportConfig
_ARCHIVE, _EVALUATION = "archive", "evaluation"


@dataclass(frozen=True)
class _ReportedRun:
    """A run whose page is written."""

    output: Storage
    kind: str
    """archive or evaluation."""


def plan(config: ReportConfig) -> str:
    """Return what would be written, for --dry-run."""
    runs = _find_runs(config)
    lines = [f"report would write {each.output.uri}/report/index.html ({each.kind})" for each in runs]
    return "\n".join(lines or [f"report would count the votes in {', '.join(config.ratings)}"])


def run(config: ReportConfig, verbose: bool = False) -> int:
    """Check every run and every ratings file, then write the pages and print the preference rates."""
    runs = _find_runs(config)
    preferences = _read_preferences(config) if config.ratings else None
    pages = [_write_page(each, config, preferences) for each in runs]
    if preferences is not None:
        _print_preferences(preferences)
    if pages:
        summary("report", [("open", page) for page in pages])
    return DONE


def _find_runs(config: ReportConfig) -> list[_ReportedRun]:
    """Return the configured runs with their kinds.

    Raises:
        UserError: a location is neither an archive run nor an evaluation, or has ratings and is not an evaluation.
    """
    runs = [_ReportedRun(output, _kind(output)) for output in reach(config.storage, *config.run)]
    for each in runs:
        if config.ratings and each.kind != _EVALUATION:
            raise UserError(f"{each.output.uri}: an archive run has no ratings; give the evaluation that was rated")
    return runs


def _kind(output: Storage) -> str:
    verb = json.loads(output.read(RUN_FILE)).get("verb") if output.exists(RUN_FILE) else None
    if verb == "archive":
        return _ARCHIVE
    if output.exists(RESULT) and output.exists(PER_IMAGE):
        return _EVALUATION
    hints = {
        "recipe": "; give its subfolder evaluation/",
        "train": "; run colorize evaluate on its best/, then report on that output",
    }
    found = f"the output of {verb!r}{hints.get(verb, '')}" if verb else "no run"
    raise UserError(f"{output.uri}: not an output of archive or evaluate: found {found}")


def _write_page(run: _ReportedRun, config: ReportConfig, preferences: "Preferences | None") -> str:
    """Write the page of a run; return its location."""
    output = run.output
    if run.kind == _EVALUATION:
        return write_evaluation_report(output, config.storage, config.pictures, preferences)
    source = json.loads(output.read(RUN_FILE))["config"]["source"]
    return write_archive_report(output, open_storage(source, config.storage), config.pictures)


def _read_preferences(config: ReportConfig) -> "Preferences":
    """Read the ratings files; raises UserError if one cannot be read or is damaged."""
    from colorize_core.report.evaluation.study import read_ratings

    return read_ratings({location: read_location(location, config.storage) for location in config.ratings})


def _print_preferences(preferences: "Preferences") -> None:
    files = counted(preferences.raters, "file")
    say(f"{preferences.votes} votes in {files}; 95% Wilson intervals, undecided votes excluded")
    rates = [
        (
            f"{each.one} to {each.other}",
            f"{each.value:.1%} [{each.low:.1%}, {each.high:.1%}]  {each.wins} : {each.losses}, {each.ties} undecided",
        )
        for each in preferences.rates
    ]
    summary("preference rates", rates or [("none", "no pair has a vote")])
    if preferences.strengths:
        strengths = preferences.strengths.items()
        chances = [(name, f"{value:.1%} [{low:.1%}, {high:.1%}]") for name, (value, low, high) in strengths]
        summary("probability of being preferred to an average contestant (Bradley-Terry, 95% bootstrap)", chances)


if __name__ == "__main__":
    sys.exit(run_verb("report"))
