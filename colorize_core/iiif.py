"""IIIF Presentation API 3.0 manifests that offer each photograph in gray and in color, as a choice of the viewer.

Source: IIIF Cookbook, recipe 0033 "Multiple choice of images in a single view (canvas)".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_CONTEXT = "http://iiif.io/api/presentation/3/context.json"


@dataclass(frozen=True)
class PublishedPhoto:
    """A photograph with its color image."""

    key: str
    """Key of the gray original, relative to its location on the web."""
    image: str
    """Key of the color image, relative to the folder `images` of the publication."""
    width: int
    height: int
    original_type: str
    """Media type of the original, such as image/tiff."""
    image_type: str
    """Media type of the color image."""


def manifest_key(folder: str) -> str:
    """Return the key of the manifest of a folder, "" for the top, relative to the publication."""
    return "/".join(filter(None, ("iiif", folder, "manifest.json")))


def folder_manifest(
    folder: str, photos: Sequence[PublishedPhoto], base: str, originals: str | None, statement: str
) -> dict[str, Any]:
    """Return the manifest of the photographs of one folder.

    Args:
        folder: folder of the keys, "" for the top.
        photos: in the order of the pages.
        base: URL of the publication, without a slash at the end.
        originals: URL of the originals likewise; without it the manifest has the color images alone.
        statement: sentence that says how the colors were made.
    """
    url = f"{base}/{quote(manifest_key(folder))}"
    canvases = f"{url.rpartition('/')[0]}/canvas"
    return {
        "@context": _CONTEXT,
        "id": url,
        "type": "Manifest",
        "label": _text(folder.rpartition("/")[2] or "photographs"),
        "requiredStatement": {"label": _text("Attribution"), "value": _text(statement)},
        "items": [_canvas(f"{canvases}/{number}", photo, base, originals) for number, photo in enumerate(photos, 1)],
    }


def _canvas(url: str, photo: PublishedPhoto, base: str, originals: str | None) -> dict[str, Any]:
    color = _image(f"{base}/images/{quote(photo.image)}", photo.image_type, photo, "Colorized")
    body = color
    if originals:
        gray = _image(f"{originals}/{quote(photo.key)}", photo.original_type, photo, "Original")
        body = {"type": "Choice", "items": [gray, color]}
    annotation = {
        "id": f"{url}/page/1/image",
        "type": "Annotation",
        "motivation": "painting",
        "body": body,
        "target": url,
    }
    return {
        "id": url,
        "type": "Canvas",
        "label": _text(photo.key.rpartition("/")[2]),
        "width": photo.width,
        "height": photo.height,
        "items": [{"id": f"{url}/page/1", "type": "AnnotationPage", "items": [annotation]}],
    }


def _image(url: str, media_type: str, photo: PublishedPhoto, label: str) -> dict[str, Any]:
    return {
        "id": url,
        "type": "Image",
        "format": media_type,
        "width": photo.width,
        "height": photo.height,
        "label": _text(label),
    }


def _text(value: str) -> Mapping[str, list[str]]:
    return {"none": [value]}
