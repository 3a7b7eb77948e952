"""Who may give a cluster work: Ray's token."""

import os
import stat
from pathlib import Path


def is_token_asked() -> bool:
    """Whether the cluster that this process is connected to asks for a token; Ray notes it in the environment."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def token_file() -> Path | None:
    """Where Ray reads the token from; None where the environment holds it."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def is_open(file: Path) -> bool:
    """Whether users other than its owner can read a file, through every folder above it."""
    try:
        readable = file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
        reachable = all(folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) for folder in file.absolute().parents)
    except OSError:
        return False
    return bool(readable and reachable)
