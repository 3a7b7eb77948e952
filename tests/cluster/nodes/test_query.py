import pickle
import subprocess
import sys
import time

import pytest

from cluster.nodes.facts import collect_cuda_facts, collect_node_facts, source_hash
from cluster.nodes.query import Node, alive_nodes, ask_nodes


def double(number: int) -> int:
    return 2 * number


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def fail() -> None:
    raise OSError("first line\nsecond line")


def test_this_machine_is_a_node(ray_local: None) -> None:
    (node,) = alive_nodes()
    assert node.is_here
    assert node.resources["CPU"] == 5
    assert node.temp_dir.rpartition("/")[2].startswith("session_")


def test_every_node_is_asked(ray_local: None) -> None:
    nodes = alive_nodes()
    answers = ask_nodes(nodes, double, 21, seconds=60, by_value=True)
    assert [(answer.node, answer.value, answer.fault) for answer in answers] == [(nodes[0], 42, "")]


def test_a_node_that_does_not_answer_is_not_waited_for(ray_local: None) -> None:
    (answer,) = ask_nodes(alive_nodes(), sleep, 600, seconds=0.5, by_value=True)
    assert answer.fault == "did not answer within 0.5 s"


def test_a_node_that_is_gone_is_told(ray_local: None) -> None:
    gone = Node("0" * 56, "10.0.0.9", {}, "/tmp")
    here, other = ask_nodes([*alive_nodes(), gone], double, 1, seconds=60, by_value=True)
    assert here.value == 2
    assert other.fault


def test_a_fault_is_one_line(ray_local: None) -> None:
    (answer,) = ask_nodes(alive_nodes(), fail, seconds=60, by_value=True)
    assert answer.fault == "OSError: first line"


def test_a_node_says_what_it_is(ray_local: None) -> None:
    nodes = alive_nodes()
    temp_dirs = {node.id: node.temp_dir for node in nodes}
    (answer,) = ask_nodes(nodes, collect_node_facts, ["ray", "no-such-package"], temp_dirs, seconds=60, by_value=True)
    facts = answer.value
    assert facts["versions"]["ray"]
    assert facts["versions"]["no-such-package"] is None
    assert facts["code"] == source_hash()
    assert 0 < facts["disk"]["free"] < facts["disk"]["total"]
    assert facts["open_files"] != 0
    assert abs(facts["time"] - time.time()) < 60


def test_the_question_needs_nothing_of_this_project(ray_local: None) -> None:
    """As on a node where it is not installed: there its code counts as absent."""
    from ray import cloudpickle

    from cluster.nodes import facts as node_facts

    cloudpickle.register_pickle_by_value(node_facts)
    try:
        question = cloudpickle.dumps(source_hash)
    finally:
        cloudpickle.unregister_pickle_by_value(node_facts)
    code = (
        "import sys, importlib.util\n"
        "for name in ('cluster', 'jobs', 'colorize_core'): sys.modules[name] = None\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name in ('cluster', 'jobs', 'colorize_core') else find(name)\n"
        "from ray import cloudpickle\n"
        f"print(cloudpickle.loads({question!r})())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "None", done.stderr
    with pytest.raises(ImportError):
        _loads_without_the_project(pickle.dumps(source_hash))


def _loads_without_the_project(data: bytes) -> None:
    """By name it could not be asked."""
    code = f"import sys, pickle; sys.modules['cluster'] = None; pickle.loads({data!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise ImportError(done.stderr)


def test_cuda_is_tried_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory) -> None:
    script = tmp_path_factory.mktemp("python") / "python"
    script.write_text("#!/bin/sh\necho 'CUDA driver error: device not ready' >&2\nexit 134\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    assert collect_cuda_facts(10) == {"fault": "CUDA driver error: device not ready"}
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    assert collect_cuda_facts(0.2) == {"fault": "PyTorch did not answer within 0 s"}
