"""Ray's token, which controls who may run code on a cluster."""

import os
import stat
from pathlib import Path


def is_token_required() -> bool:
    """Return True if the cluster of this process requires a token; Ray notes it in the environment."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def token_file() -> Path | None:
    """Return the file from which Ray reads the token; None if the environment holds the token."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def is_readable_by_others(file: Path) -> bool:
    """Return True if users other than its owner can read a file and enter every folder above it."""
    try:
        readable = file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
        reachable = all(folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for folder in file.absolute().parents)
    except OSError:
        return False
    return bool(readable and reachable)
