"""The course of a benchmark: describe the machine, measure in rounds, write the figures."""

import json
import logging
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from colorize_core.errors import UserError
from colorize_core.formatting import format_bytes
from jobs.benchmark.config import JobBenchmark
from jobs.command.config import VerbConfig
from jobs.command.console import say, summary

JSON, MARKDOWN, CHART = "benchmark.json", "benchmark.md", "stages.png"
_WORK = "_work"
_log = logging.getLogger(__name__)

Figures = dict[str, Any]
"""Numbers by name, or such dictionaries by name; None stands for a figure that was not measured."""


def start_record(kind: str, config: VerbConfig) -> Figures:
    """Return the first keys of benchmark.json: kind, machine, configuration."""
    from colorize_core.benchmark.machine import machine_facts, machine_line

    machine = machine_facts()
    _log.info("benchmark %s on %s", kind, machine_line(machine))
    return {"kind": kind, "machine": machine, "config": config.model_dump(mode="json")}


def run_rounds(kind: str, config: JobBenchmark, set_up: Callable[[Path], Callable[[], Figures]]) -> Figures:
    """Measure `config.rounds` times.

    Args:
        kind: name of the benchmark.
        config: of the benchmark.
        set_up: writes the inputs into a temporary folder; returns the function that measures one round.

    Returns:
        The content of benchmark.json: the record of `start_record`, medians over the rounds, and the rounds.
    """
    record = start_record(kind, config)
    with work_folder(config.output) as work:
        measure = set_up(work)
        rounds = []
        for number in range(1, config.rounds + 1):
            _log.info("round %d of %d", number, config.rounds)
            rounds.append(measure())
    return record | median_figures(rounds) | {"rounds": rounds}


def median_figures(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure over rounds with equal keys, and the maximum of figures of memory."""
    figures: Figures = {}
    for name, value in rounds[0].items():
        values = [each[name] for each in rounds]
        if isinstance(value, Mapping):
            figures[name] = median_figures(values)
        elif value is not None:
            figures[name] = (max if name.endswith("memory_bytes") else statistics.median)(values)
        else:
            figures[name] = None
    return figures


@contextmanager
def work_folder(output: str) -> Iterator[Path]:
    """Create the output folder, and in it a folder for temporary files that is deleted at the end.

    Raises:
        UserError: the output is not a writable local folder.
    """
    if "://" in output:
        raise UserError(f"output {output}: must be a local folder")
    work = Path(output).absolute() / _WORK
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"output {output}: cannot be written ({error.strerror})") from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_figures(
    output: str,
    figures: Figures,
    tables: str,
    facts: Sequence[tuple[str, object]],
    chart: bytes | None = None,
) -> None:
    """Write the output files and print the results.

    Args:
        output: folder.
        figures: content of benchmark.json.
        tables: Markdown.
        facts: name and value of each line of the printed summary.
        chart: PNG of the stages.
    """
    from colorize_core.benchmark.machine import machine_line

    folder = Path(output).absolute()
    (folder / JSON).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    text = f"{machine_line(figures['machine'])}\n\n{tables}"
    link = f"\n![core ms per image, by stage]({CHART})\n" if chart else ""
    (folder / MARKDOWN).write_text(f"# colorize benchmark {figures['kind']}\n\n{text}\n{link}", encoding="utf-8")
    if chart:
        (folder / CHART).write_bytes(chart)
    say(f"\n{text}")
    if "images_per_second" in figures:
        facts = [
            ("throughput", f"{figures['images_per_second']:.1f} images/s"),
            ("start-up", f"{figures['start_up_seconds']:.1f} s"),
            *facts,
            ("peak memory", f"{format_bytes(figures['peak_memory_bytes'])}, sum of all processes"),
        ]
    summary(f"benchmark {figures['kind']}", [*facts, ("figures", folder / JSON), ("tables", folder / MARKDOWN)])
