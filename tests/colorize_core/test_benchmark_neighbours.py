import multiprocessing
import time
from pathlib import Path

from colorize_core.benchmark.neighbours import neighbours_at_work
from colorize_core.checkpoint import save_checkpoint
from colorize_core.models.base import ColorModel


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_the_other_cores_work_during_the_block_alone(
    tiny_model: ColorModel, tmp_path: Path, photo_paths: list[Path]
) -> None:
    save_checkpoint(tmp_path, tiny_model, 32)
    with neighbours_at_work(1, str(tmp_path), None, [photo_paths[0].read_bytes()]):
        (neighbour,) = multiprocessing.active_children()
        before = cpu_seconds(neighbour.pid or 0)
        time.sleep(2)
        assert cpu_seconds(neighbour.pid or 0) > before
    assert multiprocessing.active_children() == []
