import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest
from ray.util import get_node_ip_address

SCRIPT = """
import sys
from cluster.errors import ClusterError
from cluster.session import RayOptions, ray_session
try:
    with ray_session(RayOptions(address=sys.argv[1])): print("joined")
except ClusterError as error: print(error)
"""


@pytest.fixture
def guarded(free_port: int) -> Iterator[str]:
    """Address of a cluster that asks for the token aaaa..."""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 32, "RAY_USAGE_STATS_ENABLED": "0"}
    ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
    folder = tempfile.mkdtemp(prefix="ray-")  # a test's own is too long for the name of a socket
    options = [f"--port={free_port}", "--num-cpus=1", "--include-dashboard=false", f"--temp-dir={folder}", "--block"]
    head = subprocess.Popen(
        [*ray, "start", "--head", *options], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert head.stdout is not None
    said = ""
    for line in head.stdout:
        said += line
        if "will now block" in line:
            break
    else:
        pytest.fail(said)
    yield f"{get_node_ip_address()}:{free_port}"
    head.terminate()
    head.wait()
    shutil.rmtree(folder, ignore_errors=True)


def join(address: str, token: str) -> str:
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, address], env=environment, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr
    return done.stdout.strip()


@pytest.mark.long
def test_a_cluster_with_another_token_says_so(guarded: str) -> None:
    said = join(guarded, "b" * 32)
    assert said.startswith(f"Ray at {guarded} rejects the token of this process, or the lack of one")
    assert join(guarded, "a" * 32) == "joined"
