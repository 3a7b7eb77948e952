"""Report of an archive run: statistics of its rows, thumbnails, and the HTML page."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from cluster.errors import ClusterError
from cluster.storage.stores import Storage
from jobs.archive import rows
from jobs.archive.config import IMAGES
from jobs.inputs.listing import LISTING
from jobs.run.record import RUN_FILE
from jobs.run.report_files import FOLDER, INDEX, PICTURES, delete_stale_images, write_page

if TYPE_CHECKING:
    from colorize_core.report.archive.page import Thumbnails

_SAMPLE = 120
_SIDE = 400  # pixels of thumbnails: cards are half as wide, on displays with two pixels per CSS pixel
_THREADS = 8  # each holds one photograph in memory


def write_archive_report(output: Storage, source: Storage | None, pictures: int | None = None) -> str:
    """Write OUTPUT/report from the rows and color images of a run; return the location of the page.

    Memory does not grow with the run: rows are read part by part, and a few hundred are kept.

    Args:
        output: location of the run.
        source: location of the photographs, for comparison; if it is None or cannot be reached, the page shows the
            lightness of the color images instead.
        pictures: size of the random sample of rows; 120 if None.
    """
    from colorize_core.report.archive.page import archive_page, chosen_rows
    from colorize_core.report.archive.statistics import RowStatistics

    record = json.loads(output.read(RUN_FILE))
    statistics = RowStatistics(pictures or _SAMPLE)
    for reader in (rows.read_rows, rows.read_unmerged):
        for table in reader(output):
            statistics.add(table)
    writer = _ThumbnailWriter(output, source if source and _is_reachable(source) else None)
    chosen = chosen_rows(statistics)
    with ThreadPoolExecutor(_THREADS) as pool:
        thumbnails = dict(zip(chosen, pool.map(writer.write, chosen.values()), strict=True))
    listed = json.loads(output.read(LISTING))["count"] if output.exists(LISTING) else None
    page = write_page(output, INDEX, archive_page(record, statistics, thumbnails, output.uri, listed))
    delete_stale_images(output, (name for each in thumbnails.values() for name in (each.after, each.before) if name))
    return page


def _is_reachable(source: Storage) -> bool:
    try:
        source.check()
    except ClusterError:
        return False
    return True


class _ThumbnailWriter:
    """Writes the thumbnails of rows."""

    def __init__(self, output: Storage, source: Storage | None) -> None:
        self._images, self._source = output.child(IMAGES), source
        self._thumbnails = output.child(f"{FOLDER}/{PICTURES}")

    def write(self, row: Mapping[str, Any]) -> "Thumbnails":
        """Write the thumbnails of a row, as far as its images can be read and decoded."""
        from colorize_core.report.archive.page import Thumbnails

        if not row["output_key"]:
            return Thumbnails()
        name = hashlib.sha256(row["key"].encode()).hexdigest()[:20]
        try:
            after = self._write(f"{name}-after.jpg", self._images, row["output_key"])
        except OSError as error:
            return Thumbnails(error=f"the color image cannot be read: {error}")
        if after is None:
            return Thumbnails(error="the color image cannot be decoded")
        try:
            before = self._write(f"{name}-before.jpg", self._source, row["key"]) if self._source else None
        except OSError:
            before = None
        return Thumbnails(after, before)

    def _write(self, name: str, storage: Storage, key: str) -> str | None:
        """Write a thumbnail of an image and return its name, or None if it cannot be decoded; raises OSError."""
        from colorize_core.photo.decode import PhotoError
        from colorize_core.report.thumbnails import thumbnail

        try:
            data = thumbnail(storage.read(key), _SIDE)
        except PhotoError:
            return None
        self._thumbnails.write(name, data, "image/jpeg")
        return name
