import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
import torch
from prometheus_client.samples import Sample

from colorize_core.runtime.stage_timer import STAGES
from jobs.cli import main
from jobs.run.prometheus import METRICS, active
from jobs.train.outputs.prometheus import TrainMeter
from tests.jobs.run.endpoint import names_in, scrape_until, total

pytestmark = pytest.mark.slow  # workers export their values every ten seconds
TRAINED = "s3://bucket/run"
DASHBOARD = Path(__file__).parents[3] / "cluster" / "deploy" / "grafana.json"
WITHOUT_A_GPU = {"ray_node_gpus_utilization", "ray_node_gram_used"}
"""Ray exports these only on nodes with GPUs."""


@dataclass(frozen=True)
class Scraped:
    samples: list[Sample]
    output: Path

    def total(self, name: str, **labels: str) -> float:
        return total(self.samples, name, run=str(self.output), **labels)

    def trained(self, name: str, **labels: str) -> float:
        return total(self.samples, name, run=TRAINED, **labels)


@pytest.fixture(scope="module")
def scraped(
    ray_local: None, photo_paths: list[Path], tiny_checkpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Scraped:
    """Samples of the endpoint after a small archive run and two optimizer steps."""

    def train() -> None:
        """Make two steps, of two batches and of one."""
        meter = TrainMeter(TRAINED, is_rank_zero=True, loss_seconds=0)
        batches: list[list[tuple[list[str], Any, Any]]] = [[(["a", "b"], 0, 0), (["c", "d"], 0, 0)], [(["e"], 0, 0)]]
        for step, _ in enumerate(meter.steps(iter(batches)), 1):
            meter.losses(step, {"loss": torch.tensor(3.0), "batches": torch.tensor(2.0)})
        follower = TrainMeter(TRAINED, is_rank_zero=False)
        follower.epoch({"epoch": 99.0}, {})
        with active(TRAINED):
            pass
        row = {"epoch": 4.0, "learning_rate": 0.5, "mae_ab": 7.0, "gray_mae_ab": 9.0, "psnr": 20.0}
        meter.epoch(row, {"l1": 0.25})

    folder = tmp_path_factory.mktemp("metrics")
    (folder / "source").mkdir()
    for path in photo_paths[:3]:
        (folder / "source" / path.name).write_bytes(path.read_bytes())
    (folder / "source" / "text.jpg").write_text("not a photograph")
    arguments = [f"source={folder}/source", f"output={folder}/out", f"checkpoint={tiny_checkpoint}", "report=false"]
    assert main(["archive", *arguments, "max_failed_fraction=1"]) == 0
    ray.get(ray.remote(train).remote())  # in a worker: the metrics of a driver end with its first session
    wanted = [("ray_colorize_archive_images_total", 4.0), ("ray_colorize_train_images_total", 5.0)]

    def is_exported(samples: list[Sample]) -> bool:
        fetched = total(samples, "ray_colorize_archive_core_seconds_total", stage="fetch", run=f"{folder}/out")
        machine = total(samples, "ray_node_cpu_utilization") > 0
        return all(total(samples, name) >= value for name, value in wanted) and fetched > 0 and machine

    return Scraped(scrape_until(is_exported), folder / "out")


def test_photographs_are_counted_by_status(scraped: Scraped) -> None:
    counts = Counter(pd.read_parquet(scraped.output / "metrics").status)
    for status, count in counts.items():
        assert scraped.total("ray_colorize_archive_images_total", status=status) == count
    assert scraped.total("ray_colorize_archive_images_total") == 4


def test_core_seconds_are_those_of_run_json(scraped: Scraped) -> None:
    stages = json.loads((scraped.output / "run.json").read_text())["stages"]
    assert set(stages) <= set(STAGES)
    for stage, seconds in stages.items():
        assert scraped.total("ray_colorize_archive_core_seconds_total", stage=stage) == pytest.approx(seconds, abs=0.02)


def test_each_batch_is_in_the_histogram_of_every_stage(scraped: Scraped) -> None:
    for stage in ("fetch", "infer", "put"):
        assert scraped.total("ray_colorize_archive_stage_seconds_count", stage=stage) == 1


def test_bytes_are_counted(scraped: Scraped) -> None:
    rows = pd.read_parquet(scraped.output / "metrics")
    assert scraped.total("ray_colorize_archive_input_bytes_total") == rows.input_bytes.sum()
    assert scraped.total("ray_colorize_archive_output_bytes_total") == rows.output_bytes.sum()


def test_all_training_steps_are_counted(scraped: Scraped) -> None:
    assert scraped.trained("ray_colorize_train_step_seconds_count") == 2
    assert scraped.trained("ray_colorize_train_images_total") == 5
    assert scraped.trained("ray_colorize_train_seconds_total", part="learning") > 0


def test_losses_and_scores_are_those_of_rank_0(scraped: Scraped) -> None:
    assert scraped.trained("ray_colorize_train_loss", loss="loss") == 1.5
    assert scraped.trained("ray_colorize_train_loss", loss="l1") == 0.25
    assert scraped.trained("ray_colorize_train_score", score="mae_ab") == 7
    assert scraped.trained("ray_colorize_train_score", score="gray_mae_ab") == 9
    assert scraped.trained("ray_colorize_train_epoch") == 4


def test_a_run_is_active_while_its_driver_is_at_work(scraped: Scraped) -> None:
    assert scraped.trained("ray_colorize_run_active") == 1


def test_the_dashboard_uses_exported_metrics(scraped: Scraped) -> None:
    """Names of metrics, and labels in legends."""
    labels: dict[str, set[str]] = {}
    for sample in scraped.samples:
        labels.setdefault(sample.name, set()).update(sample.labels)
    unused = {name for metric in METRICS for name in metric.exported} - labels.keys()
    assert unused <= {"ray_colorize_archive_storage_retries_total"}  # this run repeated no request
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            asked = names_in(target["expr"]) - unused - WITHOUT_A_GPU
            assert asked <= labels.keys(), panel["title"]
            for name in asked:
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels[name], panel["title"]


def test_names_that_need_a_gpu_are_in_rays_own_table() -> None:
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    assert {f"ray_{name}" for name in METRICS_GAUGES} >= WITHOUT_A_GPU
