"""Facts about a node: versions, code, CUDA, disk, shared memory, limits, clock.

The functions are sent to nodes by value and import inside their bodies, so that they need only Python and Ray there: a
node without this project, or with another version of it, must be able to answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

PACKAGES = ("cluster", "colorize_core", "jobs")
"""Packages whose source code is compared."""

_CUDA = """
import json, torch
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
if names:
    torch.ones(2, device="cuda").sum().item()
bf16 = bool(names) and torch.cuda.get_device_capability(0)[0] >= 8
print(json.dumps({"devices": names, "cuda": torch.version.cuda, "bf16": bf16}))
"""


def collect_node_facts(packages: Sequence[str], temp_dirs: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts that need no other process.

    Args:
        packages: names of packages whose versions are returned; None for one that is not installed.
        temp_dirs: folders of Ray's session by id of the node.

    Returns:
        host, python, versions, code (hash of the source; None if a package is missing), disk and shared_memory (free
        and total bytes), open_files (limit per process), time (seconds since 1970).
    """
    import importlib.metadata
    import platform
    import resource
    import shutil
    import time

    import ray

    def version(package: str) -> str | None:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    def space(path: str) -> dict[str, int] | None:
        try:
            usage = shutil.disk_usage(path)
        except OSError:
            return None
        return {"total": usage.total, "free": usage.free}

    temp_dir = temp_dirs[ray.get_runtime_context().get_node_id()]
    return {
        "host": platform.node(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "code": source_hash(),
        "disk": space(temp_dir),
        "shared_memory": space("/dev/shm"),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "time": time.time(),
    }


def source_hash(root: str | None = None) -> str | None:
    """Return the SHA-256 of the names and contents of all modules of `PACKAGES`; None if a package is missing.

    Args:
        root: folder that contains the packages; those that this process imports when None.
    """
    import hashlib
    import importlib.util
    from pathlib import Path

    def folder_of(package: str) -> Path | None:
        if root is not None:
            return Path(root, package)
        spec = importlib.util.find_spec(package)
        return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None

    digest = hashlib.sha256()
    for package in PACKAGES:
        folder = folder_of(package)
        if folder is None or not folder.is_dir():
            return None
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{file.relative_to(folder).as_posix()}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def collect_cuda_facts(seconds: float) -> dict[str, Any]:
    """Compute on the machine's GPUs with PyTorch in a separate process.

    Ray hides GPUs from tasks that did not request one, and a broken driver can hang or abort the process.

    Returns:
        devices (names), cuda (version PyTorch was built for; None without CUDA), bf16 (native support); or fault.
    """
    import json
    import os
    import subprocess
    import sys

    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CUDA], env=environment, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {"fault": f"PyTorch did not answer within {seconds:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"fault": lines[-1][:200] if lines else f"PyTorch ended with code {done.returncode}"}
    return json.loads(done.stdout.strip().splitlines()[-1])
