"""The alerts for Prometheus."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobs.run.prometheus import METRICS
from tests.cluster.deploy.deployment import HERE, read
from tests.jobs.run.endpoint import names_in

RULES: list[dict[str, Any]] = [rule for group in read("alerts.yaml")["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_names_of_ours_exist(rule: dict[str, Any]) -> None:
    ours = {name for name in names_in(rule["expr"]) if name.startswith("ray_colorize_")}
    assert ours <= {name for metric in METRICS for name in metric.exported}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_clusters_are_told_apart(rule: dict[str, Any]) -> None:
    assert "sum by" not in rule["expr"] or "sum by (ray_io_cluster, run)" in rule["expr"]


def test_the_operator_of_prometheus_gets_the_same_groups() -> None:
    assert read("kuberay/components/prometheus/prometheusrule.yaml")["spec"] == read("alerts.yaml")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's package prometheus)")
def test_alerts_fire_when_they_should() -> None:
    """By Prometheus itself, on series that are written down."""
    file = Path(__file__).with_name("alerts_promtool.yaml")
    subprocess.run(["promtool", "check", "rules", HERE / "alerts.yaml"], check=True, capture_output=True)
    done = subprocess.run(["promtool", "test", "rules", file.name], cwd=file.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
