"""IIIF manifests, read by the reference implementation of the Presentation API."""

from typing import Any

import pytest
from iiif_prezi3 import Manifest

from colorize_core.iiif import PublishedPhoto, folder_manifest

PHOTOS = [
    PublishedPhoto("box 1/ä?#.tif", "box 1/ä?#.tif", 640, 480, "image/tiff", "image/tiff"),
    PublishedPhoto("box 1/b.gif", "box 1/b.gif.color.png", 480, 640, "image/gif", "image/png"),
]


def _manifest(folder: str = "box 1", originals: str | None = "https://a.example/gray") -> dict[str, Any]:
    return folder_manifest(folder, PHOTOS, "https://a.example/color", originals, "A guess.")


@pytest.mark.parametrize("folder", ["", "box 1", "a/ü"])
@pytest.mark.parametrize("originals", [None, "https://a.example/gray"])
def test_the_reference_implementation_reads_it(folder: str, originals: str | None) -> None:
    read = Manifest(**_manifest(folder, originals))
    assert [(canvas.width, canvas.height) for canvas in read.items] == [(640, 480), (480, 640)]
    assert read.id.startswith("https://a.example/color/iiif/")


def test_original_and_color_are_a_choice() -> None:
    body = Manifest(**_manifest()).items[0].items[0].items[0].body
    assert body.type == "Choice"
    assert [image["id"] for image in body.model_dump()["items"]] == [
        "https://a.example/gray/box%201/%C3%A4%3F%23.tif",
        "https://a.example/color/images/box%201/%C3%A4%3F%23.tif",
    ]


def test_without_originals_there_is_no_choice() -> None:
    body = Manifest(**_manifest(originals=None)).items[1].items[0].items[0].body
    assert (body.type, body.id) == ("Image", "https://a.example/color/images/box%201/b.gif.color.png")


def test_identifiers_are_unique() -> None:
    found: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            found.extend(value[name] for name in ("id",) if name in value)
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)

    collect(_manifest())
    assert len(found) == len(set(found)) == 11
