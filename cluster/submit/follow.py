"""Following a submitted job to its end, through lost connections."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

import aiohttp

from cluster.errors import ClusterError
from cluster.submit.client import JobClient, JobDetails, JobStatus

_LOOK_SECONDS = 20.0
_SILENT_SECONDS = 600.0
_PAUSE_SECONDS = 2.0
_PATIENCE_SECONDS = 600.0


class Follower:
    """Prints the log of a job as it grows, and knows when the job has ended."""

    def __init__(self, client: JobClient, job: str, say: Callable[[str], None]) -> None:
        """Watch `job`; what is to be said of the connection goes to `say`."""
        self._client, self._job, self._say = client, job, say
        self._shown = 0
        """Characters of the log that were printed: a new connection sends it from its beginning."""
        self._answered = time.monotonic()
        self._lost = False
        self._waiting = False

    def to_end(self, stop_after: float | None = None) -> JobDetails:
        """Print until the job has ended; how it ended.

        Args:
            stop_after: seconds after which it is stopped.

        Raises:
            ClusterError: the cluster does not answer for ten minutes, or has forgotten the job.
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
                self._say("stopping the job, which took longer than stop_after")
                deadline = None
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _print_log(self, deadline: float | None) -> None:
        """Print what comes, until the log ends, the connection breaks, the job is over or the deadline is."""
        chunks = self._client.tail_job_logs(self._job)
        assert isinstance(chunks, AsyncGenerator)
        received, until = 0, time.monotonic() + _SILENT_SECONDS
        following = asyncio.ensure_future(anext(chunks))
        try:
            while True:
                end = min(deadline or until, until)
                await asyncio.wait({following}, timeout=max(min(end - time.monotonic(), _LOOK_SECONDS), 0))
                if following.done():
                    chunk = following.result()
                    self._print(chunk, received)
                    received, until = received + len(chunk), time.monotonic() + _SILENT_SECONDS
                    following = asyncio.ensure_future(anext(chunks))
                elif time.monotonic() > end or self._is_over():
                    return
        except (StopAsyncIteration, aiohttp.ClientError, RuntimeError, OSError):
            return
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, aiohttp.ClientError, RuntimeError, OSError):
                await following
            await chunks.aclose()

    def _is_over(self) -> bool:
        """Whether there is nothing to wait for: the job has ended, or this connection has."""
        details = self._ask()
        return details is None or details.status.is_terminal()

    def _ask(self) -> JobDetails | None:
        details = self._client.ask(self._job)
        silent = time.monotonic() - self._answered
        if details is None:
            if silent > _PATIENCE_SECONDS:
                raise ClusterError(f"{self._client.get_address()} has not answered for {silent / 60:.0f} min")
            if not self._lost:
                self._say(f"{self._client.get_address()} does not answer; trying again")
            self._lost = True
            return None
        if self._lost:
            self._say("connected again")
        self._answered, self._lost = time.monotonic(), False
        if details.status == JobStatus.PENDING and not self._waiting:
            self._waiting = True
            self._say(f"the job has not started yet: {' '.join((details.message or 'no reason given').split())}")
        return details

    def _print_rest(self) -> None:
        """What the stream did not bring: of a log that no longer can be had, nothing."""
        with suppress(aiohttp.ClientError, RuntimeError, OSError):
            self._print(self._client.get_job_logs(self._job), 0)

    def _print(self, text: str, position: int) -> None:
        """Print what is new of a piece of the log that begins at character `position`."""
        new = text[max(self._shown - position, 0) :]
        if new:
            print(new, end="", flush=True)
            self._shown = position + len(text)
