"""Structure of JPEG files (ITU-T T.81): frame header, scans, and whether a file without its end has all pixels."""

import io
import re
from collections.abc import Iterator

import numpy as np
from PIL import Image

SIGNATURE = b"\xff\xd8\xff"
"""First bytes of every JPEG."""
LOSSLESS = 0xC3
"""Marker of the frame of a lossless JPEG."""
END_OF_IMAGE = b"\xff\xd9"
"""Marker at the end of every JPEG."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker other than stuffed bytes and restarts
_FILLER = b"\x55\xaa\x33\xcc" * 64
_COEFFICIENTS = 64


def find_frame(data: bytes) -> int | None:
    """Return the position of the frame header: marker, length, bits per sample, height, width, components."""
    return next((position for position, marker in _segments(data) if marker in _FRAMES), None)


def lacks_only_its_end(data: bytes) -> bool:
    """Return True if a JPEG without an end marker has all its pixels.

    All coefficients of all components must be announced, and the decoder must not read what follows the file: bytes
    that become pixels show that some are missing.
    """
    if not _announces_all_coefficients(data):
        return False
    followed = (io.BytesIO(data + filler + END_OF_IMAGE) for filler in (b"", _FILLER))
    first, second = (np.asarray(Image.open(each, formats=["JPEG"])) for each in followed)
    return np.array_equal(first, second)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the position and the marker of each segment up to the end marker or the first damage."""
    position = len(END_OF_IMAGE)
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        yield position, marker
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
        if marker == _START_OF_SCAN:
            following = _AFTER_SCAN.search(data, position)
            position = following.start() if following else len(data)


def _announces_all_coefficients(data: bytes) -> bool:
    """Return True if the scans hold every coefficient of every component to its last bit."""
    frame = find_frame(data)
    if frame is None or len(data) < frame + 10:
        return False
    missing = {
        (data[frame + 10 + 3 * component], coefficient)
        for component in range(data[frame + 9])
        for coefficient in range(_COEFFICIENTS)
    }
    for position, marker in _segments(data):
        if marker != _START_OF_SCAN:
            continue
        count = data[position + 4]
        first, last, bits = data[position + 5 + 2 * count : position + 8 + 2 * count]
        if bits & 0x0F == 0:
            components = data[position + 5 : position + 5 + 2 * count : 2]
            missing -= {(component, number) for component in components for number in range(first, last + 1)}
    return not missing
