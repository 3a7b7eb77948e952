import pytest
import ray

from jobs.train_config import WorkersSection
from jobs.train_fit import say_what_is_missing


@pytest.mark.parametrize(
    ("workers", "there", "said"),
    [
        (WorkersSection(count=2, cpus=3), {"CPU": 4.0}, "train: waits for nodes: 2 workers need 6 CPUs, not 4\n"),
        (WorkersSection(count=2, gpu=True), {"CPU": 4.0}, "train: waits for nodes: 2 workers need 2 GPUs, not 0\n"),
        (WorkersSection(count=4, min=1, cpus=3), {"CPU": 4.0}, ""),
        (WorkersSection(count=4), {"CPU": 4.0, "GPU": 0.0}, ""),
    ],
)
def test_a_cluster_without_room_for_the_workers_is_told(
    workers: WorkersSection,
    there: dict[str, float],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ray Train waits for an autoscaler, and would be silent about it."""
    monkeypatch.setattr(ray, "cluster_resources", lambda: there)
    say_what_is_missing(workers)
    assert capsys.readouterr().out == said
