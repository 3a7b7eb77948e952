"""What an exception that came through Ray was at its origin."""

from collections.abc import Iterator

from colorize_core.errors import UserError


def root_cause(error: BaseException) -> BaseException:
    """The exception inside Ray's wrappers; of several workers', a mistake of the user's before what it set off."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = list(_inside(error))
        if not inner:
            break
        roots = [root_cause(each) for each in inner] if len(inner) > 1 else []
        error = next((root for root in roots if isinstance(root, UserError)), inner[0])
    return error


def _inside(error: BaseException) -> Iterator[BaseException]:
    failures = getattr(error, "worker_failures", None) or {}
    # Ray Train has no public name for what its wrapper of a worker's exception holds.
    wrapped = [getattr(error, name, None) for name in ("cause", "controller_failure", "_base_exc")]
    wrapped += failures.values()
    found = [inner for inner in wrapped if isinstance(inner, BaseException)]
    yield from found or ([error.__cause__] if error.__cause__ else [])
