from pathlib import Path
from typing import Any

import pytest

from cluster.nodes.authentication import is_readable_by_others
from cluster.nodes.query import Answer, Node
from jobs.doctor.checks import (
    Finding,
    check_answers,
    check_clocks,
    check_cuda,
    check_machines,
    check_placeholders,
    check_resources,
    check_token,
    check_versions,
)
from jobs.run.requirements import ResourceRequest

GB = 10**9


def facts(**changes: Any) -> dict[str, Any]:
    return {
        "host": "a",
        "python": "3.11.9",
        "versions": {"ray": "2.60.0", "torch": "2.7.0", "pyarrow": "20.0.0"},
        "code": "0123456789abcdef",
        "disk": {"total": 1000 * GB, "free": 500 * GB},
        "shared_memory": {"total": 8 * GB, "free": 8 * GB},
        "open_files": 65536,
        "time": 1000.0,
    } | changes


def node(name: str = "10.0.0.2", **resources: float) -> Node:
    return Node(name, name, {"CPU": 4.0, "object_store_memory": 4.0 * GB} | resources, "/tmp/ray")


def machine(**changes: Any) -> dict[str, Finding]:
    """Findings about one node, by check."""
    return {each.check: each for each in check_machines({"10.0.0.2": facts(**changes)}, {"10.0.0.2": node()})}


def test_nodes_with_equal_versions_are_ok() -> None:
    (finding,) = check_versions({"10.0.0.2": facts(), "10.0.0.3": facts(python="3.11.2")}, facts())
    assert (finding.verdict, finding.message) == ("ok", "python 3.11, ray 2.60.0, torch 2.7.0 on every node")


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"versions": {"ray": "2.59.0", "torch": "2.7.0", "pyarrow": "20.0.0"}}, "fail", "ray is 2.60.0 here, 2.59.0"),
        ({"python": "3.10.1"}, "fail", "python is 3.11 here, 3.10 on 10.0.0.3"),
        ({"code": "fedcba9876543210"}, "fail", "code of colorize is 0123456789ab here, fedcba987654 on 10.0.0.3"),
        ({"code": None}, "fail", "code of colorize is 0123456789ab here, none on 10.0.0.3"),
        ({"versions": {"ray": "2.60.0", "torch": None, "pyarrow": "20.0.0"}}, "warn", "torch is 2.7.0 here, none on"),
    ],
)
def test_a_node_that_differs_is_named(changes: dict[str, Any], verdict: str, words: str) -> None:
    (finding,) = check_versions({"10.0.0.2": facts(), "10.0.0.3": facts(**changes)}, facts())
    assert finding.verdict == verdict
    assert words in finding.message
    assert finding.advice


def test_many_nodes_that_differ_are_counted() -> None:
    others = {f"10.0.0.{number}": facts(python="3.12.0") for number in range(2, 9)}
    (finding,) = check_versions(others, facts())
    assert "3.12 on 10.0.0.2, 10.0.0.3, 10.0.0.4 and 4 more" in finding.message


def test_a_good_machine_is_ok() -> None:
    assert {each.verdict for each in machine().values()} == {"ok"}


def test_a_disk_that_ray_would_not_write_to_fails() -> None:
    assert machine(disk={"total": 1000 * GB, "free": 49 * GB})["disk"].verdict == "fail"
    assert machine(disk={"total": 100 * GB, "free": 9 * GB})["disk"].verdict == "warn"
    assert machine(disk={"total": 100 * GB, "free": 11 * GB})["disk"].verdict == "ok"
    assert machine(disk=None)["disk"].verdict == "warn"


def test_too_little_shared_memory_comes_with_the_option_for_the_container() -> None:
    finding = machine(shared_memory={"total": 64 * 10**6, "free": 0})["shared memory"]
    assert finding.verdict == "warn"
    assert finding.message == "64.0 MB in /dev/shm of 10.0.0.2 for an object store of 4.0 GB"
    assert "--shm-size=5gb" in finding.advice
    assert machine(shared_memory=None)["shared memory"].verdict == "warn"


def test_few_open_files() -> None:
    assert machine(open_files=1024)["open files"].verdict == "warn"
    assert machine(open_files=-1)["open files"].verdict == "ok"  # unlimited


def test_several_machines_are_one_finding_that_names_the_worst() -> None:
    bad = facts(disk={"total": 1000 * GB, "free": 1 * GB})
    nodes = {name: node(name) for name in ("a", "b", "c")}
    disk, memory, _ = check_machines({"a": facts(), "b": bad, "c": facts()}, nodes)
    assert disk.verdict == "fail"
    assert "free for Ray's session on b" in disk.message
    assert " on a" not in disk.message
    assert (memory.verdict, memory.message) == ("ok", "enough on 3 nodes")


def test_clocks_agree_within_the_time_of_the_request() -> None:
    assert check_clocks({"a": facts(time=1005.0)}, 1000.0, 1010.0).verdict == "ok"
    finding = check_clocks({"a": facts(time=700.0), "b": facts(time=1003.0)}, 1000.0, 1010.0)
    assert (finding.verdict, finding.message) == ("warn", "a is off by 300 s")


def test_a_silent_node_fails() -> None:
    (finding,) = check_answers([Answer(node("a"), value=1), Answer(node("b"), fault="did not answer within 60 s")])
    assert (finding.verdict, finding.message) == ("fail", "b: did not answer within 60 s")


@pytest.mark.parametrize(
    ("value", "verdict", "words"),
    [
        ({"devices": ["H200"] * 2, "cuda": "12.8", "bf16": True}, "ok", "2 x H200, CUDA 12.8, bfloat16"),
        ({"devices": ["T4"] * 2, "cuda": "12.8", "bf16": False}, "ok", "no bfloat16"),
        ({"devices": ["H200"], "cuda": "12.8", "bf16": True}, "fail", "declares 2 GPUs, but PyTorch finds 1"),
        ({"devices": [], "cuda": "12.8", "bf16": False}, "fail", "declares 2 GPUs, but PyTorch finds 0"),
        ({"devices": [], "cuda": None, "bf16": False}, "fail", "built without CUDA"),
        ({"fault": "RuntimeError: CUDA error"}, "fail", "10.0.0.2: RuntimeError: CUDA error"),
    ],
)
def test_gpus_that_are_declared_must_work(value: dict[str, Any], verdict: str, words: str) -> None:
    finding = check_cuda(Answer(node(GPU=2.0), value=value))
    assert finding.verdict == verdict
    assert words in finding.message


def test_a_gpu_node_that_does_not_answer_fails() -> None:
    assert check_cuda(Answer(node(GPU=1.0), fault="did not answer within 60 s")).verdict == "fail"


@pytest.mark.parametrize(
    ("need", "words"),
    [
        (
            ResourceRequest("workers", 2, 1, 1),
            "workers: 2 with 1 CPU and 1 GPU each need more than the cluster's 1 GPU",
        ),
        (
            ResourceRequest("actors", 8, 1, 0, 0.75),
            "8 with 1 CPU each and 0.75 CPUs for the rest of the pipeline need more than the cluster's",
        ),
        (ResourceRequest("workers", 1, 6, 0), "workers: 1 with 6 CPUs each, but only 0 of them fit"),
        (ResourceRequest("workers", 3, 2.5, 0), "3 with 2.5 CPUs each, but only 2 of them fit"),
    ],
)
def test_processes_that_do_not_fit_the_cluster_fail(need: ResourceRequest, words: str) -> None:
    nodes = [node("a"), node("b", GPU=1.0)]  # of four CPUs each
    finding = check_resources(need, nodes, can_grow=False)
    assert finding.verdict == "fail"
    assert words in finding.message


def test_processes_that_fit_are_ok_and_a_cluster_that_may_grow_is_a_warning() -> None:
    nodes = [node("a"), node("b")]
    assert check_resources(ResourceRequest("workers", 4, 2, 0), nodes, can_grow=False).verdict == "ok"
    later = check_resources(ResourceRequest("workers", 4, 2, 1), nodes, can_grow=True)
    assert later.verdict == "warn"
    assert "autoscaler" in later.advice


def test_processes_may_share_a_gpu() -> None:
    shared = ResourceRequest("actors", 10, 0.1, 0.1)
    assert check_resources(shared, [node(GPU=1.0)], can_grow=False).verdict == "ok"


def test_a_cluster_without_a_token_is_a_warning() -> None:
    assert check_token(is_required=False, open_file=None).verdict == "warn"
    assert check_token(is_required=True, open_file=None).verdict == "ok"
    finding = check_token(is_required=True, open_file=Path("/home/anna/token"))
    assert (finding.verdict, finding.advice) == ("warn", "chmod 600 /home/anna/token")


def test_a_token_is_readable_if_its_file_and_all_folders_above_are(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    token = folder / "token"
    folder.mkdir()
    token.write_text("secret")
    above = all(parent.stat().st_mode & 0o011 for parent in folder.parents)
    for mode, folder_mode, expected in ((0o600, 0o755, False), (0o644, 0o700, False), (0o644, 0o755, above)):
        token.chmod(mode)
        folder.chmod(folder_mode)
        assert is_readable_by_others(token) == expected
    assert not is_readable_by_others(folder / "absent")


def test_placeholders_that_are_left_are_named_with_their_lines() -> None:
    text = "region: eu-west-1  # REGISTRY is meant\nimage: REGISTRY/colorize\nids: [ami-00000000000000000]\n"
    finding = check_placeholders({"aws.yaml": text, "done.yaml": "image: 1.dkr/colorize#REGISTRY\n# BUCKET"})
    assert finding.verdict == "fail"
    left = "aws.yaml:2 REGISTRY, aws.yaml:3 ami-00000000000000000, done.yaml:1 REGISTRY"
    assert finding.message == f"placeholders are left: {left}"
    assert check_placeholders({"aws.yaml": "image: 1.dkr/colorize"}).verdict == "ok"
