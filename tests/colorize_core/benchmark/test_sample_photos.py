import io

import numpy as np
from PIL import Image

from colorize_core.benchmark.sample_photos import sample_photographs, whole_photographs


def test_whole_photographs_are_in_color_and_larger_than_the_networks_see() -> None:
    photos = whole_photographs()
    assert set(photos) == {"astronaut", "chelsea", "coffee", "rocket", "grace_hopper"}
    for photo in photos.values():
        assert photo.dtype == np.uint8
        assert min(photo.shape[:2]) >= 256
        assert (photo.max(axis=2) - photo.min(axis=2)).mean() > 5


def test_windows_are_the_same_in_every_call_and_have_the_size_asked_for() -> None:
    first, second = (list(sample_photographs(5, gray=False, width=96, height=64)) for _ in range(2))
    assert first == second
    assert {Image.open(io.BytesIO(each)).size for each in first} == {(96, 64)}
    assert len(set(first)) == 5
