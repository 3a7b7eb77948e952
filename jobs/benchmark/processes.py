"""What benchmarks of jobs share: runs of real verbs in processes of their own, and files for people."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cluster.config.command_line import USAGE
from cluster.errors import ClusterError
from cluster.session import RayOptions, local_cores
from colorize_core.errors import UserError
from jobs.command.config import VerbConfig
from jobs.command.console import say, summary

if TYPE_CHECKING:
    from colorize_core.benchmark.process_usage import Watch

JSON, MARKDOWN, PICTURE = "benchmark.json", "benchmark.md", "stages.png"
_WORK = "_work"
_CODE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """A verb that ran."""

    start: float
    """Seconds since the epoch."""
    stop: float
    watch: "Watch"
    """Of all its processes."""

    @property
    def seconds(self) -> float:
        """It took so long."""
        return self.stop - self.start

    @property
    def core_seconds(self) -> float:
        """Of all its processes."""
        return self.watch.core_seconds(self.start, self.stop)


@dataclass(frozen=True)
class JobRound:
    """What one round measured of a job."""

    images_per_second: float
    """Without start-up."""
    core_ms: float
    """Of all its processes for each photograph, without start-up."""
    start_up_seconds: float
    peak_memory_bytes: int
    """Of all its processes together."""


def summarize_job(rounds: Sequence[JobRound]) -> dict[str, Any]:
    """What benchmark.json says of any job: medians over rounds, and the largest memory."""
    return {
        "images_per_second": statistics.median(each.images_per_second for each in rounds),
        "start_up_seconds": statistics.median(each.start_up_seconds for each in rounds),
        "peak_memory_bytes": max(each.peak_memory_bytes for each in rounds),
    }


def require_this_machine(options: RayOptions) -> None:
    """Raise UserError where a job would run elsewhere."""
    if local_cores(options) is None:
        raise UserError("a benchmark measures this machine: leave ray.address and RAY_ADDRESS empty")


def begin(kind: str, config: VerbConfig) -> dict[str, Any]:
    """Say what the machine is; returns the head of benchmark.json."""
    from colorize_core.benchmark.machine import describe_machine, in_words

    machine = describe_machine()
    say(f"benchmark: {in_words(machine)}")
    return {"kind": kind, "machine": machine, "config": config.model_dump(mode="json")}


@contextmanager
def work_folder(output: str) -> Iterator[Path]:
    """A folder on the output's disk for what is made on the way, deleted in the end; the output is made too.

    Raises:
        UserError: the output cannot be a local folder.
    """
    if "://" in output:
        raise UserError(f"output {output}: figures are written to a local folder")
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


def run_verb(verb: str, config: VerbConfig, work: Path) -> Run:
    """Run a verb as users do, in a process of its own that is watched.

    Raises:
        UserError: what it said of a mistake.
        ClusterError: what it said of a failure.
    """
    from colorize_core.benchmark.process_usage import Watch

    file, log = work / f"{verb}.yaml", work / f"{verb}.log"
    # What was not said stays unsaid: some keys may not be given beside others.
    file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(_CODE), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", f"jobs.{verb}", "--config", str(file)]
    start = time.time()
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=os.environ | {"PYTHONPATH": path})
        try:
            with Watch(process.pid) as watch:
                code = process.wait()
        finally:
            process.terminate()
            process.wait()
    stop = time.time()
    if code:
        last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise (UserError if code == USAGE else ClusterError)(f"{verb}: {last.removeprefix('colorize: ')}")
    return Run(start, stop, watch)


def write_figures(
    output: str,
    figures: Mapping[str, Any],
    tables: str,
    facts: Sequence[tuple[str, object]],
    picture: bytes | None = None,
) -> None:
    """Write what was measured, and say it.

    Args:
        output: folder.
        figures: of benchmark.json.
        tables: Markdown.
        facts: for the terminal, in two columns.
        picture: PNG of the stages.
    """
    from colorize_core.benchmark.machine import in_words

    folder = Path(output).absolute()
    (folder / JSON).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    text = f"{in_words(figures['machine'])}\n\n{tables}"
    shown = f"\n![core ms for a picture by stage]({PICTURE})\n" if picture else ""
    (folder / MARKDOWN).write_text(f"# colorize benchmark {figures['kind']}\n\n{text}\n{shown}", encoding="utf-8")
    if picture:
        (folder / PICTURE).write_bytes(picture)
    say(f"\n{text}")
    summary(f"benchmark {figures['kind']}", [*facts, ("figures", folder / JSON), ("tables", folder / MARKDOWN)])
