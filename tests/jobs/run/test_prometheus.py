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
from jobs.run.prometheus import METRICS
from jobs.train.outputs.prometheus import TrainMeter
from tests.jobs.run.endpoint import names_in, scrape_until, total

pytestmark = pytest.mark.slow  # workers hand over what they have every ten seconds
TRAINED = "s3://bucket/run"
DASHBOARD = Path(__file__).parents[3] / "cluster" / "deploy" / "grafana.json"
WITHOUT_A_GPU = {"ray_node_gpus_utilization", "ray_node_gram_used"}
"""Ray tells these where there are GPUs."""


@dataclass(frozen=True)
class Seen:
    samples: list[Sample]
    output: Path

    def total(self, name: str, **labels: str) -> float:
        return total(self.samples, name, run=str(self.output), **labels)

    def trained(self, name: str, **labels: str) -> float:
        return total(self.samples, name, run=TRAINED, **labels)


@pytest.fixture(scope="module")
def seen(
    ray_local: None, photo_paths: list[Path], tiny_checkpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Seen:
    """The endpoint after a small archive run and two steps of training."""

    def train() -> None:
        """Two steps, of two batches and of one."""
        meter = TrainMeter(TRAINED, is_rank_zero=True, loss_seconds=0)
        batches: list[list[tuple[list[str], Any, Any]]] = [[(["a", "b"], 0, 0), (["c", "d"], 0, 0)], [(["e"], 0, 0)]]
        for step, _ in enumerate(meter.steps(iter(batches)), 1):
            meter.losses(step, {"loss": torch.tensor(3.0), "batches": torch.tensor(2.0)})
        follower = TrainMeter(TRAINED, is_rank_zero=False)
        follower.epoch({"epoch": 99.0}, {})
        row = {"epoch": 4.0, "learning_rate": 0.5, "mae_ab": 7.0, "gray_mae_ab": 9.0, "psnr": 20.0}
        meter.epoch(row, {"l1": 0.25})

    folder = tmp_path_factory.mktemp("metrics")
    (folder / "source").mkdir()
    for path in photo_paths[:3]:
        (folder / "source" / path.name).write_bytes(path.read_bytes())
    (folder / "source" / "text.jpg").write_text("no photograph")
    arguments = [f"source={folder}/source", f"output={folder}/out", f"checkpoint={tiny_checkpoint}", "report=false"]
    assert main(["archive", *arguments, "max_failed_fraction=1"]) == 0
    ray.get(ray.remote(train).remote())  # in a worker: what a driver counts ends with its first session
    wanted = [("ray_colorize_archive_images_total", 4.0), ("ray_colorize_train_images_total", 5.0)]

    def is_there(samples: list[Sample]) -> bool:
        fetched = total(samples, "ray_colorize_archive_core_seconds_total", stage="fetch", run=f"{folder}/out")
        machine = total(samples, "ray_node_cpu_utilization") > 0
        return all(total(samples, name) >= value for name, value in wanted) and fetched > 0 and machine

    return Seen(scrape_until(is_there), folder / "out")


def test_photographs_are_counted_by_status(seen: Seen) -> None:
    counts = Counter(pd.read_parquet(seen.output / "metrics").status)
    for status, count in counts.items():
        assert seen.total("ray_colorize_archive_images_total", status=status) == count
    assert seen.total("ray_colorize_archive_images_total") == 4


def test_core_seconds_are_those_of_run_json(seen: Seen) -> None:
    stages = json.loads((seen.output / "run.json").read_text())["stages"]
    assert set(stages) <= set(STAGES)
    for stage, seconds in stages.items():
        assert seen.total("ray_colorize_archive_core_seconds_total", stage=stage) == pytest.approx(seconds, abs=0.02)


def test_each_batch_is_in_the_histogram_of_every_stage(seen: Seen) -> None:
    for stage in ("fetch", "infer", "put"):
        assert seen.total("ray_colorize_archive_stage_seconds_count", stage=stage) == 1


def test_bytes_are_counted(seen: Seen) -> None:
    rows = pd.read_parquet(seen.output / "metrics")
    assert seen.total("ray_colorize_archive_input_bytes_total") == rows.input_bytes.sum()
    assert seen.total("ray_colorize_archive_output_bytes_total") == rows.output_bytes.sum()


def test_steps_of_training_are_counted_to_the_last(seen: Seen) -> None:
    assert seen.trained("ray_colorize_train_step_seconds_count") == 2
    assert seen.trained("ray_colorize_train_images_total") == 5
    assert seen.trained("ray_colorize_train_seconds_total", part="learning") > 0


def test_losses_and_scores_are_those_of_the_leading_worker(seen: Seen) -> None:
    assert seen.trained("ray_colorize_train_loss", loss="loss") == 1.5
    assert seen.trained("ray_colorize_train_loss", loss="l1") == 0.25
    assert seen.trained("ray_colorize_train_score", score="mae_ab") == 7
    assert seen.trained("ray_colorize_train_score", score="gray_mae_ab") == 9
    assert seen.trained("ray_colorize_train_epoch") == 4


def test_the_dashboard_asks_for_what_the_endpoint_has(seen: Seen) -> None:
    """Names, and the labels that legends name."""
    labels: dict[str, set[str]] = {}
    for sample in seen.samples:
        labels.setdefault(sample.name, set()).update(sample.labels)
    unused = {name for metric in METRICS for name in metric.exported} - labels.keys()
    assert unused <= {"ray_colorize_archive_storage_retries_total"}  # nothing was made again by this run
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            asked = names_in(target["expr"]) - unused - WITHOUT_A_GPU
            assert asked <= labels.keys(), panel["title"]
            for name in asked:
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels[name], panel["title"]


def test_names_that_need_a_gpu_are_in_rays_own_table() -> None:
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    assert {f"ray_{name}" for name in METRICS_GAUGES} >= WITHOUT_A_GPU
