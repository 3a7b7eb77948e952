"""IIIF manifests, as the Presentation API 3.0 describes them."""

from typing import Any

import pytest

from colorize_core.iiif import PublishedPhoto, folder_manifest

PHOTOS = [
    PublishedPhoto("box 1/ä?#.tif", "box 1/ä?#.tif", 640, 480, "image/tiff", "image/tiff"),
    PublishedPhoto("box 1/b.gif", "box 1/b.gif.color.png", 480, 640, "image/gif", "image/png"),
]


def _manifest(folder: str = "box 1", originals: str | None = "https://a.example/gray") -> dict[str, Any]:
    return folder_manifest(folder, PHOTOS, "https://a.example/color", originals, "A guess.")


def _body(manifest: dict[str, Any], canvas: int) -> dict[str, Any]:
    found: dict[str, Any] = manifest["items"][canvas]["items"][0]["items"][0]["body"]
    return found


@pytest.mark.parametrize("folder", ["", "box 1", "a/ü"])
def test_the_nesting_is_that_of_the_presentation_api(folder: str) -> None:
    """Types and required properties of version 3.0, in which the Cookbook's recipe 0033 has a choice."""
    manifest = _manifest(folder)
    assert manifest["@context"] == "http://iiif.io/api/presentation/3/context.json"
    assert (manifest["type"], list(manifest["label"])) == ("Manifest", ["none"])
    for canvas, photo in zip(manifest["items"], PHOTOS, strict=True):
        assert (canvas["type"], canvas["width"], canvas["height"]) == ("Canvas", photo.width, photo.height)
        [page] = canvas["items"]
        [annotation] = page["items"]
        assert (page["type"], annotation["type"], annotation["motivation"]) == (
            "AnnotationPage",
            "Annotation",
            "painting",
        )
        assert annotation["target"] == canvas["id"]
        assert all(" " not in each["id"] for each in (manifest, canvas, page, annotation))


def test_original_and_color_are_a_choice() -> None:
    body = _body(_manifest(), 0)
    assert body["type"] == "Choice"
    assert [image["id"] for image in body["items"]] == [
        "https://a.example/gray/box%201/%C3%A4%3F%23.tif",
        "https://a.example/color/images/box%201/%C3%A4%3F%23.tif",
    ]


def test_without_originals_there_is_no_choice() -> None:
    body = _body(_manifest(originals=None), 1)
    assert (body["type"], body["id"]) == ("Image", "https://a.example/color/images/box%201/b.gif.color.png")


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
