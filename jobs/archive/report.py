"""The report of an archive run: its rows surveyed, small pictures made, the page written."""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from cluster.errors import ClusterError
from cluster.storage.stores import Storage
from jobs.archive import rows
from jobs.archive.config import IMAGES
from jobs.run.record import RUN_FILE
from jobs.run.report_files import FOLDER, INDEX, PICTURES, forget_pictures, write_page

if TYPE_CHECKING:
    from colorize_core.report.archive.page import Thumbnails

LISTING = "_state/listing.json"
_SAMPLE = 120
_SIDE = 400  # of small pictures in pixels: cards are half as wide, on screens of two pixels to a point
_THREADS = 8  # each holds one photograph


def write_archive_report(output: Storage, source: Storage | None, pictures: int | None = None) -> str:
    """Write OUTPUT/report from the run's rows and pictures; returns the location of the page.

    What is held does not grow with the run: rows come part by part, and a few hundred are kept.

    Args:
        output: of the run.
        source: of the run, for what photographs looked like before; None, or one that does not answer, leaves that to
            the lightness of the pictures.
        pictures: size of the fair sample.
    """
    from colorize_core.report.archive.page import archive_page, chosen_rows
    from colorize_core.report.archive.survey import Survey

    record = json.loads(output.read(RUN_FILE))
    survey = Survey(pictures or _SAMPLE)
    for reader in (rows.read_rows, rows.read_unmerged):
        for table in reader(output):
            survey.add(table)
    maker = _ThumbnailWriter(output, source if source and _answers(source) else None)
    chosen = chosen_rows(survey)
    with ThreadPoolExecutor(_THREADS) as pool:
        thumbnails = dict(zip(chosen, pool.map(maker.make, chosen.values()), strict=True))
    listed = json.loads(output.read(LISTING))["count"] if output.exists(LISTING) else None
    page = write_page(output, INDEX, archive_page(record, survey, thumbnails, output.uri, listed))
    forget_pictures(output, (name for each in thumbnails.values() for name in (each.after, each.before) if name))
    return page


def _answers(source: Storage) -> bool:
    try:
        source.check()
    except ClusterError:
        return False
    return True


class _ThumbnailWriter:
    """Makes the small pictures of a row."""

    def __init__(self, output: Storage, source: Storage | None) -> None:
        self._images, self._source = output.child(IMAGES), source
        self._small = output.child(f"{FOLDER}/{PICTURES}")

    def make(self, row: Mapping[str, Any]) -> "Thumbnails":
        """Write what there is to show of a row; what cannot be read or decoded is left out."""
        from colorize_core.report.archive.page import Thumbnails

        if not row["output_key"]:
            return Thumbnails()
        name = hashlib.sha256(row["key"].encode()).hexdigest()[:20]
        try:
            after = self._write(f"{name}-after.jpg", self._images, row["output_key"])
        except OSError as error:
            return Thumbnails(error=f"the picture cannot be read: {error}")
        if after is None:
            return Thumbnails(error="no small picture could be made of it")
        try:
            before = self._write(f"{name}-before.jpg", self._source, row["key"]) if self._source else None
        except OSError:
            before = None
        return Thumbnails(after, before)

    def _write(self, name: str, store: Storage, key: str) -> str | None:
        """A small copy of a photograph; None where it cannot be decoded. Raises OSError."""
        from colorize_core.photo.decode import PhotoError
        from colorize_core.report.thumbnails import thumbnail

        try:
            data = thumbnail(store.read(key), _SIDE)
        except PhotoError:
            return None
        self._small.write(name, data, "image/jpeg")
        return name
