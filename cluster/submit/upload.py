"""Files that are uploaded with a job, counted by Ray's own rules before anything is sent."""

from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ConfigError
from cluster.ray_compat import uploaded_files
from colorize_core.formatting import counted, format_bytes

# Ray keeps a package in the memory of the head and refuses more than half a GiB.
MAX_BYTES = 512 * 1024**2
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
"""Files that no job of this project needs, or that contain secrets; patterns as in .gitignore."""
_MAX_NAMED = 3


@dataclass(frozen=True)
class Package:
    """Files of a folder that would be uploaded."""

    folder: str
    sizes: dict[str, int]
    """Bytes by path relative to the folder."""

    @property
    def bytes(self) -> int:
        """Total size; Ray's archive is not compressed."""
        return sum(self.sizes.values())

    def __str__(self) -> str:
        """Return the number of files and their total size."""
        return f"{counted(len(self.sizes), 'file')}, {format_bytes(self.bytes)}"

    def require_at_most(self, limit: int) -> None:
        """Raise ConfigError, naming the largest files, when the upload would be larger than `limit` bytes."""
        if self.bytes > limit:
            largest = sorted(self.sizes.items(), key=lambda item: -item[1])[:_MAX_NAMED]
            named = ", ".join(f"{path} ({format_bytes(size)})" for path, size in largest)
            raise ConfigError(
                f"{self.folder}: the upload ({self}) exceeds max_upload = {format_bytes(limit)}; the largest "
                f"files are {named}; exclude files with excludes or a .gitignore"
            )


def read_package(folder: str, excludes: list[str]) -> Package:
    """Return the files of a folder that Ray would upload: all but `excludes`, its own excludes, and ignored files.

    Raises:
        ConfigError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"working_dir = {folder!r}: no such folder")
    return Package(folder, uploaded_files(Path(folder).absolute(), excludes))
