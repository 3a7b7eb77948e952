"""XMP sidecars: metadata that editors keep in files beside photographs."""

from collections.abc import Sequence

from pydantic import BaseModel

from cluster.storage.stores import Storage
from jobs.inputs.fetch import fetch_all


class SidecarInput(BaseModel, use_attribute_docstrings=True):
    """Configuration of verbs that read photographs and keep their metadata."""

    xmp_sidecars: bool = False
    """Read XMP from the file beside each photograph, a.tif.xmp or else a.xmp. Its properties count before those in the
    photograph. On S3 that is one or two more requests for each photograph."""


def sidecar_keys(key: str) -> tuple[str, str]:
    """Return the keys at which editors keep the sidecar of a photograph: a.tif.xmp (darktable) and a.xmp (Adobe)."""
    folder, slash, name = key.rpartition("/")
    return f"{key}.xmp", f"{folder}{slash}{name.rpartition('.')[0] or name}.xmp"


def fetch_sidecars(source: Storage, keys: Sequence[str]) -> list[bytes | None]:
    """Read the sidecar of each photograph, concurrently; None where there is none, or where it cannot be read."""
    found: list[bytes | None] = [None] * len(keys)
    for choice in range(2):
        missing = [index for index, packet in enumerate(found) if packet is None]
        files = fetch_all(source, [sidecar_keys(keys[index])[choice] for index in missing])
        for index, file in zip(missing, files, strict=True):
            found[index] = None if file.status else file.data
    return found
