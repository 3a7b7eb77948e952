"""XMP sidecars: metadata that editors keep in files beside photographs."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from cluster.storage.stores import Storage
from colorize_core.status import Status
from jobs.inputs.fetch import Fetched, fetch_all


class SidecarInput(BaseModel, use_attribute_docstrings=True):
    """Configuration of verbs that read photographs and keep their metadata."""

    xmp_sidecars: bool = False
    """Read XMP from the file beside each photograph, a.tif.xmp or else a.xmp. Its properties count before those in the
    photograph. A photograph whose sidecar cannot be read is a read_error, so that nothing of it is lost. In object
    storage that is one or two more requests for each photograph."""


def sidecar_keys(key: str) -> tuple[str, str]:
    """Return the keys at which editors keep the sidecar of a photograph: a.tif.xmp (darktable) and a.xmp (Adobe)."""
    folder, slash, name = key.rpartition("/")
    return f"{key}.xmp", f"{folder}{slash}{name.rpartition('.')[0] or name}.xmp"


def fetch_sidecars(source: Storage, keys: Sequence[str]) -> list[Fetched]:
    """Read the sidecar of each photograph, concurrently; MISSING where there is none."""
    found = fetch_all(source, [sidecar_keys(key)[0] for key in keys])
    missing = [index for index, sidecar in enumerate(found) if sidecar.status == Status.MISSING]
    others = fetch_all(source, [sidecar_keys(keys[index])[1] for index in missing])
    for index, sidecar in zip(missing, others, strict=True):
        found[index] = sidecar
    return [
        replace(sidecar, error=f"XMP sidecar: {sidecar.error}") if sidecar.status == Status.READ_ERROR else sidecar
        for sidecar in found
    ]
