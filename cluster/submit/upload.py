"""What is uploaded with a job: counted by Ray's own rules before anything is sent."""

from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ConfigError
from cluster.ray_compat import uploaded_files

# Ray keeps a package whole in its head's memory and refuses half a GiB of it.
LARGEST = 512 * 1024**2
EXCLUDES = (
    ".*_cache",
    "*.egg-info",
    "/build",
    "/dist",
    "/docs",
    "/tests",
    "/runs",
    "/demo",
    "/mlruns",
    ".env",
    ".env.*",
    "*.pem",
    "*.key",
)
"""What no job of this project needs, and what holds secrets; patterns as in .gitignore."""
_NAMED = 3


@dataclass(frozen=True)
class Package:
    """Files of a folder that would be uploaded."""

    folder: str
    sizes: dict[str, int]
    """Bytes by path relative to the folder."""

    @property
    def bytes(self) -> int:
        """Ray stores files in its archive without compressing them."""
        return sum(self.sizes.values())

    def __str__(self) -> str:
        """For people: how many files, and how large."""
        return f"{len(self.sizes)} files, {_size(self.bytes)}"

    def require_at_most(self, limit: int) -> None:
        """Raise ConfigError, naming the largest files, when the upload would be larger than `limit` bytes."""
        if self.bytes > limit:
            largest = sorted(self.sizes.items(), key=lambda item: -item[1])[:_NAMED]
            named = ", ".join(f"{path} ({_size(size)})" for path, size in largest)
            raise ConfigError(
                f"{self.folder}: {self} would be uploaded, more than max_upload = {_size(limit)}; the largest are "
                f"{named}; leave them out with excludes or a .gitignore"
            )


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 50_000 else f"{number / 1e3:.1f} kB"


def read_package(folder: str, excludes: list[str]) -> Package:
    """What Ray would upload of a folder: all but `excludes`, its own, and those of .gitignore and .rayignore.

    Raises:
        ConfigError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"working_dir = {folder!r}: no such folder")
    return Package(folder, uploaded_files(Path(folder).absolute(), excludes))
