"""`colorize publish RUN OUTPUT`: copy the color images that reviewers accepted, with a record and IIIF manifests."""

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, field_validator, model_validator

from cluster.config.command_line import DONE
from cluster.storage.stores import Storage, StorageOptions, copy_file, reach
from colorize_core.errors import UserError
from colorize_core.formatting import counted
from colorize_core.photo.formats import media_type
from colorize_core.status import Status
from jobs.archive import rows
from jobs.archive.config import IMAGES
from jobs.command.config import OneOrMany, Output, VerbConfig
from jobs.command.console import summary
from jobs.command.runner import run_verb
from jobs.inputs.corrections import Correction, decisions_of, read_corrections
from jobs.run.record import RUN_FILE

if TYPE_CHECKING:
    from colorize_core.iiif import PublishedPhoto

RECORD, CONFLICTS = "published.csv", "conflicts.csv"
_COLUMNS = ("key", "image", "by", "at", "note", "settings", "width", "height", "bytes", "weights", "run")
_MADE_BY = ("bytes", "settings", "weights", "run")
"""Columns of the record that differ when an image was made again."""
_THREADS = 16
_STATEMENT = "Colors were added by a neural network. They are guesses and no evidence of the original colors."


class PublishConfig(VerbConfig):
    """Copy the color images that reviewers accepted: `colorize publish RUN OUTPUT`.

    OUTPUT/images has the images, OUTPUT/published.csv who accepted what and when, OUTPUT/conflicts.csv the photographs
    about which reviewers disagree, which are not published. Within S3, images are copied by the server. The same
    command continues, and removes images that are no longer accepted.
    """

    POSITIONAL = ("run", "output")

    run: str
    """Output of an archive run."""
    output: Output
    """Folder or URI (s3://, gs://, az://) of the publication."""
    corrections: OneOrMany = Field(min_length=1)
    """Corrections files with the decisions of the reviewers."""
    url: str | None = None
    """Address of OUTPUT on the web; with it, OUTPUT/iiif/FOLDER/manifest.json is a IIIF manifest of each folder."""
    originals_url: str | None = None
    """Address of the gray originals on the web; with it, viewers of the manifests offer original and color."""
    storage: StorageOptions = Field(default_factory=StorageOptions)
    """Access to object storage."""

    @field_validator("url", "originals_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("must start with https:// or http://")
        return url.rstrip("/") if url else url

    @model_validator(mode="after")
    def _check(self) -> "PublishConfig":
        if self.originals_url and not self.url:
            raise ValueError("originals_url has no effect without url")
        return self


CONFIG = PublishConfig


class _Plan(NamedTuple):
    """What is published of a run."""

    source: Storage
    output: Storage
    photos: list[dict[str, Any]]
    """Rows with the columns of the record."""
    conflicts: dict[str, list[Correction]]
    left: Counter[str]
    """Number of decisions that publish nothing, by reason."""


def plan(config: PublishConfig) -> str:
    """Return what would be published, for --dry-run."""
    found = _plan(config)
    return f"publish would copy {counted(len(found.photos), 'image')} to {found.output.uri}{_describe(found)}"


def run(config: PublishConfig, verbose: bool = False) -> int:
    """Copy the accepted images and write the record; return the exit code.

    Raises:
        UserError: the run, the output or a corrections file cannot be used.
        OSError: the storage failed at every attempt.
    """
    found = _plan(config)
    images = found.output.child(IMAGES)
    present = {entry.key: entry.size for entry in images.list()}
    wanted = {photo["image"]: photo for photo in found.photos}
    earlier = _recorded(found.output)
    new = [
        photo
        for image, photo in wanted.items()
        if present.get(image) != photo["bytes"] or earlier.get(image) != [str(photo[name] or "") for name in _MADE_BY]
    ]
    if not found.output.exists(RECORD):  # by which the next attempt recognizes a publication
        found.output.write(RECORD, _csv(_COLUMNS, ()))
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda photo: _copy(found.source, photo["image"], images), new))
        removed = [image for image in present if image not in wanted]
        list(pool.map(images.delete, removed))
    manifests = _write_manifests(config, found) if config.url else 0
    found.output.write(RECORD, _csv(_COLUMNS, ([photo[name] for name in _COLUMNS] for photo in found.photos)))
    disputed = (
        [key, each.by, each.decision, each.at, each.note] for key, own in found.conflicts.items() for each in own
    )
    found.output.write(CONFLICTS, _csv(("key", "by", "decision", "at", "note"), disputed))
    facts: list[tuple[str, object]] = [
        ("images", f"{len(found.photos)} ({len(new)} copied, {len(removed)} removed) in {images.uri}"),
        ("record", f"{found.output.uri}/{RECORD}"),
    ]
    if found.conflicts:
        facts.append(("conflicts", f"{len(found.conflicts)}, not published: {found.output.uri}/{CONFLICTS}"))
    facts += [("left out", f"{count} {reason}") for reason, count in found.left.items()]
    if manifests:
        facts.append(("manifests", f"{manifests} in {found.output.uri}/iiif"))
    summary("published", facts)
    return DONE


def _plan(config: PublishConfig) -> _Plan:
    source, output = reach(config.storage, config.run, config.output)
    record = json.loads(source.read(RUN_FILE)) if source.exists(RUN_FILE) else {}
    if record.get("verb") != "archive":
        raise UserError(f"{source.uri}: not the output of an archive run")
    if f"{output.uri}/".startswith(f"{source.uri}/"):
        raise UserError(f"output {output.uri} is inside the run; use another output")
    if not output.exists(RECORD) and next(iter(output.list()), None) is not None:
        raise UserError(f"{output.uri}: the output is not empty and contains no publication; use another output")
    files = [read_corrections(each, config.storage) for each in config.corrections]
    made = {"weights": " + ".join(record["inputs"].values()), "run": record["started"]}
    conflicts: dict[str, list[Correction]] = {}
    left: Counter[str] = Counter()
    photos = []
    named = {key for each in files for key in each.rows}
    for table in rows.read_rows(source, ["key", "status", "output_key", "width", "height", "output_bytes", "settings"]):
        for row in table.to_pylist():
            named.discard(row["key"])
            decisions = decisions_of(row["key"], files)
            if len({each.decision for each in decisions}) > 1:
                conflicts[row["key"]] = decisions
            elif not decisions:
                left["without a decision"] += 1
            elif decisions[0].decision == "reject":
                left["rejected"] += 1
            elif row["status"] != Status.OK:
                left["accepted without a color image"] += 1
            else:
                photos.append(_recorded_row(row, max(decisions, key=lambda each: each.at)) | made)
    left["decided but not in the run"] = len(named)
    return _Plan(source.child(IMAGES), output, photos, conflicts, +left)


def _recorded_row(row: dict[str, Any], decision: Correction) -> dict[str, Any]:
    """Return the columns of the record for a row of the run, without those that are equal for all."""
    return {
        "key": row["key"],
        "image": row["output_key"],
        "by": decision.by,
        "at": decision.at,
        "note": decision.note,
        "settings": row.get("settings"),
        "width": row["width"],
        "height": row["height"],
        "bytes": row["output_bytes"],
    }


def _describe(found: _Plan) -> str:
    notes = [f"{count} {reason}" for reason, count in found.left.items()]
    notes += [f"{counted(len(found.conflicts), 'conflict')}"] * bool(found.conflicts)
    return f" ({', '.join(notes)})" if notes else ""


def _recorded(output: Storage) -> dict[str, list[str]]:
    """Return how the images of the record were made, by image; empty without a record."""
    if not output.exists(RECORD):
        return {}
    lines = csv.DictReader(io.StringIO(output.read(RECORD).decode()))
    return {line["image"]: [line[name] for name in _MADE_BY] for line in lines}


def _copy(source: Storage, image: str, target: Storage) -> None:
    copy_file(source, image, target, image, media_type(image))


def _write_manifests(config: PublishConfig, found: _Plan) -> int:
    """Write one manifest for each folder; return their number."""
    from colorize_core.iiif import folder_manifest, manifest_key

    assert config.url
    folders: dict[str, list[PublishedPhoto]] = {}
    for photo in found.photos:
        folders.setdefault(photo["key"].rpartition("/")[0], []).append(_published(photo))
    for folder, photos in folders.items():
        manifest = folder_manifest(folder, photos, config.url, config.originals_url, _STATEMENT)
        found.output.write(
            manifest_key(folder), json.dumps(manifest, ensure_ascii=False).encode(), "application/ld+json"
        )
    return len(folders)


def _published(photo: dict[str, Any]) -> "PublishedPhoto":
    from colorize_core.iiif import PublishedPhoto

    types = media_type(photo["key"]), media_type(photo["image"])
    return PublishedPhoto(photo["key"], photo["image"], photo["width"], photo["height"], *types)


def _csv(columns: Iterable[str], lines: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    return text.getvalue().encode()


if __name__ == "__main__":
    sys.exit(run_verb("publish"))
