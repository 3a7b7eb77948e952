"""Follow a submitted job to its end, through lost connections."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

import aiohttp

from cluster.config.command_line import COMPLAINT
from cluster.errors import ClusterError
from cluster.submit.client import JobClient, JobDetails, JobStatus

_log = logging.getLogger(__name__)

_STATUS_SECONDS = 20.0  # without a log line, after which the state of the job is requested
_SILENT_SECONDS = 600.0  # without a log line, after which the connection is renewed
_PAUSE_SECONDS = 2.0
_MAX_OUTAGE_SECONDS = 600.0
_TAIL_CHARACTERS = 10_000  # a traceback and the summary of a run may follow the reason of its failure


class Follower:
    """Prints the log of a job as it grows, until the job has ended."""

    def __init__(self, client: JobClient, job: str) -> None:
        self._client, self._job = client, job
        self._tail = ""
        """The last characters that were printed."""
        self._printed = 0
        """Number of printed characters of the log: a new connection sends the log from its beginning."""
        self._answered = time.monotonic()
        self._lost = False
        self._waiting = False

    @property
    def complaint(self) -> str:
        """Last line that the job's command printed about a failure, without its prefix; empty if there is none."""
        lines = [line for line in self._tail.splitlines() if line.startswith(COMPLAINT)]
        return lines[-1].removeprefix(COMPLAINT) if lines else ""

    def to_end(self, stop_after: float | None = None) -> JobDetails:
        """Print the log until the job has ended, and return its final state.

        Args:
            stop_after: seconds after which the job is stopped.

        Raises:
            ClusterError: the cluster does not answer for ten minutes, or does not know the job.
        """
        return asyncio.run(self._to_end(time.monotonic() + stop_after if stop_after else None))

    async def _to_end(self, deadline: float | None) -> JobDetails:
        while True:
            await self._print_log(deadline)
            details = self._ask()
            if details and details.status.is_terminal():
                self._print_rest()
                return details
            if details and deadline and time.monotonic() > deadline and self._client.stop(self._job):
                _log.info("stopping the job, which took longer than stop_after")
                deadline = None
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _print_log(self, deadline: float | None) -> None:
        """Print the log until it ends, the connection breaks, the job has ended, or the deadline has passed."""
        chunks = self._client.tail_job_logs(self._job)
        assert isinstance(chunks, AsyncGenerator)
        received, until = 0, time.monotonic() + _SILENT_SECONDS
        following = asyncio.ensure_future(anext(chunks))
        try:
            while True:
                end = min(deadline or until, until)
                await asyncio.wait({following}, timeout=max(min(end - time.monotonic(), _STATUS_SECONDS), 0))
                if following.done():
                    chunk = following.result()
                    self._print(chunk, received)
                    received, until = received + len(chunk), time.monotonic() + _SILENT_SECONDS
                    following = asyncio.ensure_future(anext(chunks))
                elif time.monotonic() > end or self._has_ended():
                    return
        except (StopAsyncIteration, aiohttp.ClientError, RuntimeError, OSError):
            return
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, aiohttp.ClientError, RuntimeError, OSError):
                await following
            await chunks.aclose()

    def _has_ended(self) -> bool:
        """Return True if the job has ended, or the connection is lost."""
        details = self._ask()
        return details is None or details.status.is_terminal()

    def _ask(self) -> JobDetails | None:
        """Return the state of the job, and log changes of the connection; None while the cluster does not answer."""
        details = self._client.details(self._job)
        silent = time.monotonic() - self._answered
        if details is None:
            if silent > _MAX_OUTAGE_SECONDS:
                raise ClusterError(f"{self._client.get_address()} has not answered for {silent / 60:.0f} min")
            if not self._lost:
                _log.warning("%s does not answer; trying again", self._client.get_address())
            self._lost = True
            return None
        if self._lost:
            _log.info("connected again")
        self._answered, self._lost = time.monotonic(), False
        if details.status == JobStatus.PENDING and not self._waiting:
            self._waiting = True
            _log.info("the job has not started yet: %s", " ".join((details.message or "no reason given").split()))
        return details

    def _print_rest(self) -> None:
        """Print the rest of the log, if it is still available."""
        with suppress(aiohttp.ClientError, RuntimeError, OSError):
            self._print(self._client.get_job_logs(self._job), 0)

    def _print(self, text: str, position: int) -> None:
        """Print the new part of a chunk of the log that begins at character `position`."""
        new = text[max(self._printed - position, 0) :]
        if new:
            print(new, end="", flush=True)
            self._tail = (self._tail + new)[-_TAIL_CHARACTERS:]
            self._printed = position + len(text)
