import threading
import time

import pytest

from colorize_core.runtime.stage_timer import DECODE, FETCH, INFER, PUT, STAGES, StageTimer, add_stages


def test_a_stage_is_the_sum_of_its_blocks() -> None:
    clock = StageTimer()
    for _ in range(2):
        with clock.time(DECODE):
            time.sleep(0.01)
    assert clock.pop()[DECODE] >= 0.02


def test_a_block_on_several_cores_counts_for_each() -> None:
    clock = StageTimer()
    with clock.time(INFER, cores=3):
        time.sleep(0.01)
    assert clock.pop()[INFER] >= 0.03


def test_threads_add_to_one_sum() -> None:
    clock, together = StageTimer(), threading.Barrier(4)

    def work() -> None:
        with clock.time(DECODE):
            together.wait()
            time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.pop()[DECODE] >= 0.04


def test_a_block_that_raises_counts() -> None:
    clock = StageTimer()
    with pytest.raises(OSError, match="gone"), clock.time(FETCH):
        raise OSError("gone")
    assert list(clock.pop()) == [FETCH]


def test_pop_resets_the_totals() -> None:
    clock = StageTimer()
    with clock.time(PUT):
        pass
    assert list(clock.pop()) == [PUT]
    assert clock.pop() == {}


def test_sums_are_in_processing_order() -> None:
    parts = [{PUT: 1.0, INFER: 2.0}, dict.fromkeys(reversed(STAGES), 0.5)]
    sums = add_stages(parts)
    assert tuple(sums) == STAGES
    assert (sums[PUT], sums[INFER], sums[FETCH]) == (1.5, 2.5, 0.5)
    assert list(add_stages([{PUT: 1.0}, {DECODE: 1.0}])) == [DECODE, PUT]
