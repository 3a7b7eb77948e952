"""Callbacks of Ray Train.

Ray's controller imports this module, in a process of its own while the job waits for it, so it imports no more than
that process needs.
"""

from typing import Any

from ray.train import UserCallback

from cluster.ray_compat import root_cause
from colorize_core.errors import UserError


class StopAtUserErrors(UserCallback):
    """Ends a run at the first UserError of a worker, because a retry would fail in the same way."""

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise in Ray's controller, which does not retry after its own exceptions."""
        for error in worker_exceptions.values():
            cause = root_cause(error)
            if isinstance(cause, UserError):
                raise cause
