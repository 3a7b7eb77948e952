"""Run a verb in its own process, as users do, and measure that process."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from cluster.config.command_line import USAGE
from cluster.errors import ClusterError
from cluster.session import RayOptions, local_cores
from colorize_core.errors import UserError
from colorize_core.formatting import last_line
from jobs.command.config import VerbConfig

if TYPE_CHECKING:
    from colorize_core.benchmark.process_usage import UsageMonitor

_CODE = Path(__file__).parents[2]


@dataclass(frozen=True)
class VerbProcess:
    """A finished process of a verb."""

    start: float
    """Seconds since the epoch."""
    stop: float
    """Seconds since the epoch."""
    usage: "UsageMonitor"
    """CPU time and memory of all its processes."""

    @property
    def seconds(self) -> float:
        """Wall-clock seconds."""
        return self.stop - self.start

    @property
    def core_seconds(self) -> float:
        """CPU seconds of all its processes."""
        return self.usage.core_seconds(self.start, self.stop)


def require_this_machine(options: RayOptions) -> None:
    """Raise UserError if the job would run on a remote cluster."""
    if local_cores(options) is None:
        raise UserError("benchmarks measure this machine only: unset ray.address and RAY_ADDRESS")


def run_verb(verb: str, config: VerbConfig, work: Path) -> VerbProcess:
    """Run a verb in a new process and measure it; its configuration and log are written to `work`.

    Raises:
        UserError: the verb exited with a usage error.
        ClusterError: the verb failed.
    """
    from colorize_core.benchmark.process_usage import UsageMonitor

    file, log = work / f"{verb}.yaml", work / f"{verb}.log"
    # Unset keys stay unset: some are refused in combination with others.
    file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(_CODE), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", f"jobs.{verb}", "--config", str(file)]
    start = time.time()
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=os.environ | {"PYTHONPATH": path})
        try:
            with UsageMonitor(process.pid) as usage:
                code = process.wait()
        finally:
            process.terminate()
            process.wait()
    stop = time.time()
    if code:
        message = last_line(log.read_text(errors="replace"), limit=1000) or "no output"
        raise (UserError if code == USAGE else ClusterError)(f"{verb}: {message.removeprefix('colorize: ')}")
    return VerbProcess(start, stop, usage)
