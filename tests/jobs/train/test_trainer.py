"""Which failures of workers end a run."""

import pytest
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from colorize_core.errors import UserError
from jobs.train.callbacks import StopAtUserErrors


def of_worker(error: Exception) -> Exception:
    return UserExceptionWithTraceback(error, "Traceback ...")


def test_a_run_ends_at_once_for_a_user_error_and_continues_after_a_fault() -> None:
    stop = StopAtUserErrors()
    stop.after_exception(None, {0: of_worker(RuntimeError("a worker died"))})
    with pytest.raises(UserError, match=r"lower optim.lr"):
        stop.after_exception(None, {0: RuntimeError("peer"), 1: of_worker(UserError("lower optim.lr"))})
