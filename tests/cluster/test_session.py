import subprocess
import sys

import pytest

from cluster.errors import ClusterError
from cluster.session import RayOptions, ray_session


def test_a_cluster_that_does_not_answer_is_one_line(free_port: int) -> None:
    code = (
        "from cluster.errors import ClusterError\n"
        "from cluster.session import RayOptions, ray_session\n"
        "try:\n"
        f"    with ray_session(RayOptions(address='127.0.0.1:{free_port}')): pass\n"
        "except ClusterError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == f"Ray at 127.0.0.1:{free_port} cannot be reached (Connection refused)"


def test_a_session_within_a_session_joins_it() -> None:
    code = (
        "import ray\n"
        "from cluster.session import RayOptions, ray_session\n"
        "with ray_session(RayOptions(num_cpus=1)):\n"
        "    with ray_session(RayOptions()): pass\n"
        "    assert ray.is_initialized()\n"
        "    assert ray.cluster_resources()['CPU'] == 1\n"
        "assert not ray.is_initialized()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "RayDeprecation" not in done.stderr


def test_a_cluster_that_somebody_started_on_this_machine_is_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray alone would: it looks for one when no address is given, and then refuses the number of CPUs."""
    import ray

    class AskedError(Exception):
        pass

    def init(**settings: object) -> None:
        raise AskedError(settings)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(AskedError) as asked, ray_session(RayOptions()):
        pass
    assert asked.value.args[0]["address"] == "local"


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="extra"):
        RayOptions(adress="auto")
    assert issubclass(ClusterError, Exception)
    assert ray_session is not None


def test_being_told_to_stop_is_an_interrupt() -> None:
    """SIGTERM, as `ray job stop` and Kubernetes send it: locks are given back, and the job says that it can go on."""
    code = (
        "import os, signal, time\n"
        "from cluster.session import RayOptions, ray_session\n"
        "try:\n"
        "    with ray_session(RayOptions(num_cpus=1)):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(60)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
