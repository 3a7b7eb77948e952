"""A cluster of two nodes: intact, with one that hangs, and with one that runs other code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import os, signal, sys
from ray.cluster_utils import Cluster
from cluster.session import RayOptions, ray_session
from jobs.cli import main

job, other_code = sys.argv[1:-1], sys.argv[-1]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
other = cluster.add_node(num_cpus=1)

def run(what, *arguments):
    print(f"== {what}", flush=True)
    print("exit", main(list(arguments)), flush=True)

with ray_session(RayOptions(address=cluster.address)):
    run("whole", "doctor", "archive", *job)
    raylet = other.all_processes["raylet"][0].process
    os.kill(raylet.pid, signal.SIGSTOP)
    run("hanging", "doctor", "timeout=3")
    os.kill(raylet.pid, signal.SIGCONT)
    cluster.remove_node(other)
    cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": other_code})
    run("other code", "archive", *job)
cluster.shutdown()
"""


@pytest.mark.long
def test_every_node_is_checked(photo_folder: Path, tiny_checkpoint: str, tmp_path: Path) -> None:
    older = tmp_path / "older"
    for package in ("cluster", "colorize_core", "jobs"):
        shutil.copytree(ROOT / package, older / package, ignore=shutil.ignore_patterns("__pycache__"))
    (older / "jobs" / "rows.py").write_text("# another version\n")
    job = [f"source={photo_folder}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *job, str(older)],
        cwd=tmp_path,  # Ray's workers search it for modules first
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    whole, hanging, other_code = done.stdout.split("== ")[1:]
    assert "2 nodes" in whole
    assert "can be written here and on 1 other node\n" in whole
    assert whole.endswith("exit 0\n")
    assert hanging.count("did not answer within 3 s") == 1
    assert hanging.endswith("exit 1\n")
    assert other_code.endswith("exit 1\n")
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("colorize: "))
    assert line.startswith("colorize: versions: the code of colorize is ")
    assert not (tmp_path / "out" / "images").exists()
