import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from colorize_core.photo.decode import PhotoError
from colorize_core.report.charts import Bars, curve_chart, histogram_chart, interval_chart, overlaid_chart
from colorize_core.report.evaluation.difference_map import difference_map
from colorize_core.report.evaluation.rating_page import rating_page
from colorize_core.report.evaluation.study import make_study
from colorize_core.report.page import config_rows, relative_url, render
from colorize_core.report.queries import query_examples
from colorize_core.report.thumbnails import encode_png, thumbnail

HOSTILE = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(2)>\u2028写真"


def page() -> str:
    return render("rating.html", ["common.js"], {"key": HOSTILE, "nan": [float("nan"), (1.5, float("inf"))]}, pairs=1)


def test_data_cannot_break_out_of_its_element() -> None:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page(), re.DOTALL)
    assert found is not None
    assert json.loads(found[1]) == {"key": HOSTILE, "nan": [None, [1.5, None]]}
    assert page().count("<script") == 2
    assert "onerror" not in re.sub(re.escape(found[1]), "", page())


def test_only_our_script_may_run_and_nothing_is_loaded_from_elsewhere() -> None:
    script = re.search(r"<script>(.*?)</script>", page(), re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in page()
    assert "default-src &#39;none&#39;" in page()
    assert not re.search(r'(src|href)="?(https?:)?//', page())


def test_the_rating_page_hides_models_and_keys() -> None:
    html = rating_page(make_study(["a.jpg"], {"secret-model": "sha", "truth": "x"}, 10))
    assert "secret-model" not in html
    assert "a.jpg" not in html


def test_urls_can_contain_any_key() -> None:
    assert relative_url("images/a b/50%#?.jpg") == "images/a%20b/50%25%23%3F.jpg"
    assert relative_url("images/写.jpg") == "images/%E5%86%99.jpg"
    assert [relative_url(path) for path in ("a/../b", "./a", "a//b", "..")] == [None] * 4


CHARTS = {
    "histogram": lambda name: histogram_chart(Bars(np.array([0.0, 1, 2]), np.array([3, 4]), 0, 0), (1.0, name), name),
    "outlines": lambda name: overlaid_chart(np.array([0.0, 1, 2]), {name: np.array([1, 2])}, [], name),
    "curves": lambda name: curve_chart({name: [(1, 0.5), (2, 0.4)], "gray": [(1, 0.6)]}, ["gray"], "MAE"),
    "intervals": lambda name: interval_chart({name: (1.0, 0.5, 2.0), "gray": (1, 1, 1)}, ["gray"], "MAE"),
}


@pytest.mark.parametrize("kind", CHARTS)
def test_charts_take_their_colors_from_the_page_and_their_names_as_text(kind: str) -> None:
    svg = str(CHARTS[kind]("$x_1$ </svg><script>alert(1)</script>"))
    assert "<script" not in svg
    assert "&lt;/svg&gt;" in svg
    assert svg.count("<svg") == svg.count("</svg>") == 1
    assert "$x_1$" in svg  # no formula
    assert not re.findall(r"#0[0-9a-f]{5}", svg.replace("#000000", ""))
    assert "var(--" in svg
    assert 'role="img"' in svg
    assert "<metadata" not in svg


def test_charts_are_reproducible() -> None:
    assert CHARTS["curves"]("unet") == CHARTS["curves"]("unet")


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


@pytest.fixture
def gradient() -> Image.Image:
    """300 x 200, bright on the left."""
    return Image.fromarray(np.repeat(np.linspace(255, 0, 300).astype(np.uint8)[None], 200, axis=0))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_thumbnails_keep_aspect_ratio_and_content(gradient: Image.Image, format: str) -> None:
    small = Image.open(io.BytesIO(thumbnail(encoded(gradient, format), 90)))
    assert small.format == "JPEG"
    assert small.size == (90, 60)
    expected = np.asarray(gradient.resize((90, 60), Image.Resampling.LANCZOS), float)
    assert np.abs(np.asarray(small.convert("L"), float) - expected).mean() < 3


def test_thumbnails_of_small_photographs_are_not_enlarged(gradient: Image.Image) -> None:
    assert Image.open(io.BytesIO(thumbnail(encoded(gradient, "PNG"), 1000))).size == (300, 200)


def test_thumbnails_are_upright(gradient: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    small = Image.open(io.BytesIO(thumbnail(encoded(gradient, "JPEG", exif=exif), 90)))
    assert small.size == (60, 90)
    assert np.asarray(small.convert("L"))[:5].mean() > 240
    assert not small.getexif()


def test_thumbnails_of_sixteen_bits_are_scaled_not_clipped() -> None:
    wide = Image.fromarray(np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20))
    small = np.asarray(Image.open(io.BytesIO(thumbnail(encoded(wide, "PNG"), 20))).convert("L"))
    assert abs(float(small.mean()) - 127.5) < 3


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_damaged_photographs_have_no_thumbnail(gradient: Image.Image, format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    data = encoded(noise, format)
    for damaged in (data[: len(data) // 2], b"", b"text"):
        with pytest.raises(PhotoError):
            thumbnail(damaged, 90)


def test_images_of_an_evaluation_are_lossless() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (3, 8, 9), np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(encode_png(rgb)))).transpose(2, 0, 1) == rgb).all()


def test_difference_maps_show_ciede2000() -> None:
    random = torch.Generator().manual_seed(0)
    one, other = (torch.randint(0, 256, (3, 6, 5), dtype=torch.uint8, generator=random) for _ in range(2))
    from matplotlib import colormaps

    expected = deltaE_ciede2000(*(rgb2lab(each.numpy(), channel_axis=0) for each in (one, other)), channel_axis=0)
    shown = colormaps["inferno"](np.clip(expected / 40, 0, 1), bytes=True)[..., :3].transpose(2, 0, 1)
    assert np.abs(difference_map(one, other, 40).astype(int) - shown).max() <= 3
    assert difference_map(one, one, 40).max() <= 4


def test_configurations_are_rows_of_text() -> None:
    assert config_rows({"a": {"b": None, "c": [1]}, "d": "x", "e": {}}) == [
        ("a.b", "null"),
        ("a.c", "[1]"),
        ("d", "x"),
        ("e", "{}"),
    ]


def test_query_examples_are_valid_python_for_any_location() -> None:
    for output in ('/data/it\'s "here"', "s3://bucket/run"):
        lines = query_examples(output, "metrics/*.parquet", "metrics", "key", "status != 'ok'")
        for line in lines:
            compile(line["line"], "query", "eval")
    assert [line["tool"] for line in lines] == ["DuckDB", "pandas", "pyarrow"]
