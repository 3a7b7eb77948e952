import os
import subprocess
import sys

import pytest

from cluster.session import RayOptions, environment_variables, ray_session


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_session_of_this_machine() -> None:
    """One start of Ray for several facts, since it takes seconds.

    Another Ray may hold the default port of the agent: waiting for it would take 4 s. A session within a session joins
    it. Log records of workers are in Ray's log files, and they have the session's environment. SIGTERM, as `ray job
    stop` and Kubernetes send it, is an interrupt, so that locks are released and the job says that it can be continued.
    """
    code = (
        "import logging, os, pathlib, signal, time\n"
        "from cluster.session import RayOptions, ray_session\n"
        "import ray\n"
        "def log(): logging.getLogger('jobs.archive.tasks').info('a record with %s', os.environ['OF_SESSION'])\n"
        "try:\n"
        "    with ray_session(RayOptions(num_cpus=1), environment={'OF_SESSION': 'its value'}):\n"
        "        node = ray._private.worker.global_worker.node\n"
        "        assert node.dashboard_agent_listen_port not in (None, 52365)\n"
        "        with ray_session(RayOptions()): pass\n"
        "        assert ray.is_initialized() and ray.cluster_resources()['CPU'] == 1\n"
        "        ray.get(ray.remote(log).remote())\n"
        "        logs = pathlib.Path(node.get_logs_dir_path()).glob('worker-*.err')\n"
        "        assert 'a record with its value' in ''.join(map(pathlib.Path.read_text, logs))\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(60)\n"
        "except KeyboardInterrupt: print('interrupted', ray.is_initialized())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "interrupted False\n"), done.stderr
    assert done.stderr == ""


def test_environment_variables_are_set_for_a_block_and_replace_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_USER", "kept")
    monkeypatch.delenv("OF_THE_BLOCK", raising=False)
    with environment_variables({"OF_THE_USER": "other", "OF_THE_BLOCK": "set"}):
        assert (os.environ["OF_THE_USER"], os.environ["OF_THE_BLOCK"]) == ("kept", "set")
    assert os.environ["OF_THE_USER"] == "kept"
    assert "OF_THE_BLOCK" not in os.environ


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
        RayOptions.model_validate({"adress": "auto"})
