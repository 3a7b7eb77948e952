import multiprocessing
import time
from pathlib import Path

import pytest

from colorize_core.benchmark.background_load import background_load
from colorize_core.benchmark.process_usage import ProcessTree
from colorize_core.checkpoint.weights import save_checkpoint
from colorize_core.models.base import ColorModel


@pytest.mark.slow
def test_other_cores_are_busy_during_the_block_only(
    tiny_model: ColorModel, tmp_path: Path, photo_paths: list[Path]
) -> None:
    save_checkpoint(tmp_path, tiny_model, 32)
    with background_load(1, str(tmp_path), None, [photo_paths[0].read_bytes()]):
        (neighbor,) = multiprocessing.active_children()
        busy = ProcessTree(neighbor.pid or 0)
        before = busy.sample().core_seconds
        time.sleep(0.5)
        assert busy.sample().core_seconds > before
    assert multiprocessing.active_children() == []
