"""Tests of the pages in a real browser."""

import functools
import io
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

from cluster.storage.stores import LocalStorage, StorageOptions
from jobs.cli import main
from jobs.inputs.corrections import read_corrections
from tests.jobs.report_runs import (
    HOSTILE_KEYS,
    HOSTILE_TEXT,
    archive_rows,
    data_of,
    gradient,
    gray_source,
    write_archive_run,
    write_evaluation_run,
)

pytestmark = pytest.mark.slow

PICTURES = 60


@pytest.fixture(scope="module")
def archive_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with 64 images and two failures."""
    folder = tmp_path_factory.mktemp("archive")
    made = archive_rows(PICTURES)
    write_archive_run(LocalStorage(str(folder / "run")), gray_source(folder / "gray", made), made, len(made))
    assert main(["report", str(folder / "run")]) == 0
    return folder / "run" / "report" / "index.html"


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Function that opens a page; the test fails if a page reports an error or loads something from elsewhere."""
    errors: list[str] = []
    contexts: list[Any] = []

    def open_page(address: str, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("requestfailed", lambda request: errors.extend(failures(request)))
        root = address.rsplit("/report/", 1)[0]
        page.on("request", lambda request: None if is_ours(request.url, root) else errors.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def failures(request: Any) -> list[str]:
    """The error of a failed request; images that are removed from the page before they are loaded are no error."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"failed: {request.url}: {request.failure}"]


def is_ours(url: str, root: str) -> bool:
    return url.startswith((root, "data:", "blob:"))


@pytest.fixture
def page(opened: Any, archive_page: Path) -> Any:
    return opened(archive_page.as_uri())


def wait_for_widths(page: Any, selector: str, width: int) -> None:
    """Wait until all images of a selector are loaded; the policy of the page forbids waiting by a script in it."""
    widths: list[int] = []
    for _ in range(150):
        widths = page.locator(selector).evaluate_all("all => all.map(one => one.naturalWidth)")
        if widths and set(widths) == {width}:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{selector}: {widths}")


def shown_keys(page: Any) -> list[str]:
    return page.locator(".card").evaluate_all("cards => cards.map(card => card.ariaLabel)")


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def leave_viewer(page: Any) -> None:
    """Press Escape and wait until the page has emptied the viewer and moved the focus.

    The browser closes dialogs asynchronously, and until then fields take no text.
    """
    page.keyboard.press("Escape")
    page.locator("#viewer-body > *").first.wait_for(state="detached")


def test_the_page_shows_its_images_from_a_folder(page: Any) -> None:
    page.locator(".card").first.scroll_into_view_if_needed()
    wait_for_widths(page, ".card:first-child img", 48)
    assert page.title() == "run in color"


def test_images_below_the_window_are_not_loaded_yet(opened: Any, archive_page: Path) -> None:
    page = opened(archive_page.as_uri(), viewport={"width": 800, "height": 300})
    assert page.locator(".card img").last.evaluate("image => image.loading") == "lazy"
    assert page.locator(".card img").last.evaluate("image => image.naturalWidth") == 0


@pytest.fixture
def http_address(archive_page: Path) -> Iterator[str]:
    """URL of the page on a server.

    Tests request it before `opened`: pages are then closed before the server is. A server that stops first resets the
    connections of thumbnails that are still being loaded, which a page reports as errors.
    """
    handler = functools.partial(QuietHandler, directory=str(archive_page.parents[1]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/report/index.html"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without logging."""

    def log_message(self, *_: Any) -> None:
        """Discard the message."""


def test_a_page_over_http_loads_from_its_folder_only(http_address: str, opened: Any) -> None:
    page = opened(http_address)
    page.locator(".card .open").first.click()
    wait_for_widths(page, "#viewer img.after", 48)


def test_sliders_move_by_mouse_and_by_key(page: Any) -> None:
    card = page.locator(".card").first
    slider, box = card.locator("input[type=range]"), card.locator(".compare")
    clipped = lambda: card.locator(".after").evaluate("image => getComputedStyle(image).clipPath")  # noqa: E731
    assert "50%" in clipped()
    card.scroll_into_view_if_needed()
    place = box.bounding_box()
    page.mouse.click(place["x"] + 0.9 * place["width"], place["y"] + place["height"] / 2)
    assert int(slider.input_value()) > 80
    assert f"{slider.input_value()}%" in clipped()
    before = int(slider.input_value())
    press(page, "ArrowLeft", "ArrowLeft")
    assert int(slider.input_value()) == before - 2
    assert slider.get_attribute("aria-valuetext").startswith(f"{before - 2} % source")
    press(page, "b")
    assert slider.input_value() == "0"


def test_groups_sort_filter_and_search(page: Any) -> None:
    page.get_by_role("button", name="Most colorful").click()
    assert shown_keys(page)[0] == f"{HOSTILE_KEYS[-1]}.png"
    page.get_by_role("button", name="All on this page").click()
    page.select_option("#sort", "mean_chroma")
    assert shown_keys(page)[:2] == ["box/000.png", "box/001.png"]
    page.click("#direction")
    assert shown_keys(page)[1] == f"{HOSTILE_KEYS[-2]}.png"
    page.select_option("#status", "truncated")
    assert shown_keys(page) == ["broken.jpg"]
    page.click("#reset")
    page.select_option("#folder", "glass")
    assert shown_keys(page) == [f"{HOSTILE_KEYS[-1]}.png"]
    page.click("#reset")
    page.select_option("#measure", "mean_chroma")
    page.fill("#low", "10")
    page.fill("#high", "12.5")
    assert sorted(shown_keys(page)) == ["box/010.png", "box/011.png", "box/012.png"]
    assert page.locator("#shown").inner_text() == f"3 of {PICTURES + 6} shown"
    page.click("#reset")
    page.fill("#search", "BOX/01")
    assert len(shown_keys(page)) == 10
    page.fill("#search", "nothing like it")
    assert page.locator("#nothing").is_visible()


def test_the_page_can_be_used_by_keyboard(page: Any) -> None:
    press(page, "/")
    page.keyboard.type("box/0")
    assert len(shown_keys(page)) == 48  # of 60, until more are asked for
    press(page, "Tab")
    page.locator("#direction").focus()
    press(page, "j", "j", "Enter")
    title = page.locator("#viewer-title")
    first = title.inner_text()
    assert first == shown_keys(page)[1]
    press(page, "ArrowRight", "j", "k")
    assert title.inner_text() == shown_keys(page)[2]
    assert page.locator("#viewer-place").inner_text() == "3 of 60"
    press(page, "z")
    assert page.locator("#actual").get_attribute("aria-pressed") == "true"
    press(page, "b")
    assert page.locator("#viewer .compare input").input_value() == "100"
    leave_viewer(page)
    assert not page.locator("#viewer").is_visible()
    assert page.evaluate("document.activeElement.title") == f"Open {shown_keys(page)[2]}"


def test_more_cards_are_shown_on_request(page: Any) -> None:
    page.get_by_role("button", name="All on this page").click()
    page.click("#more")
    assert len(shown_keys(page)) == PICTURES + 6
    assert not page.locator("#more").is_visible()
    assert page.evaluate("document.activeElement.className") == "open"


def test_an_image_opens_at_full_size_with_its_row(page: Any) -> None:
    page.fill("#search", "box/007")
    page.locator(".open").click()
    wait_for_widths(page, "#viewer img.after", 48)
    text = page.locator("#viewer aside").inner_text()
    for fact in ("48 × 36", "PNG", "7.0", "0.57", "box/007.png"):
        assert fact in text


def test_lightness_on_the_page_is_that_of_cielab(page: Any) -> None:
    """Compare the gray in the viewer with scikit-image's L* of the same image."""
    page.fill("#search", "box/009")
    page.locator(".open").click()
    page.click("#actual")
    page.locator("#viewer .compare input").fill("100")
    wait_for_widths(page, "#viewer img.after", 48)
    page.add_style_tag(content=".compare::after, .compare .side { display: none; }")
    shot = Image.open(io.BytesIO(page.locator("#viewer .compare").screenshot())).convert("RGB")
    lab = rgb2lab(np.asarray(Image.open(io.BytesIO(gradient(9)))))
    lab[..., 1:] = 0
    gray = (lab2rgb(lab) * 255).round()
    assert np.abs(np.asarray(shot, float) - gray).max() <= 3


def save_corrections(page: Any, path: Path) -> dict[str, Any]:
    """Save the decisions of the page to a file and return its content."""
    with page.expect_download() as download:
        page.locator("#review-save").click()
    download.value.save_as(path)
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_photographs_are_reviewed_by_keyboard_and_published(page: Any, archive_page: Path, tmp_path: Path) -> None:
    first, second, third = shown_keys(page)[:3]
    page.locator("#reviewer").fill("Ann")
    page.locator(".card .open").first.focus()
    press(page, "a", "r", "a", "u")
    assert page.locator(".mark").all_inner_texts()[:3] == ["accepted", "rejected", ""]
    assert page.locator("#review-state").inner_text() == "1 accepted, 1 rejected, 0 changed"
    saved = save_corrections(page, tmp_path / "ann.json")
    assert {key: (row["decision"], row["by"]) for key, row in saved["rows"].items()} == {
        first: ("accept", "Ann"),
        second: ("reject", "Ann"),
    }
    run = archive_page.parents[1]
    assert main(["publish", str(run), str(tmp_path / "out"), f"corrections={tmp_path}/ann.json"]) == 0
    record = (tmp_path / "out" / "published.csv").read_text()
    assert f"{first}," in record
    assert f"{third}," not in record
    page.locator(".card .open").nth(2).focus()
    press(page, "Enter", "a")  # in the viewer: decides and shows the next photograph
    assert page.locator("#viewer-title").inner_text() == shown_keys(page)[3]


def test_strength_is_shown_at_once_and_saved_with_the_note(page: Any, tmp_path: Path) -> None:
    page.locator(".card .open").first.click()
    page.locator("#strength").fill("0.4")
    color = page.locator("#viewer-body .compare .after")
    assert color.evaluate("image => image.style.filter") == "saturate(0.4)"
    page.locator("#note").fill(HOSTILE_TEXT)
    page.locator("#accept").click()
    assert page.locator("#accept").get_attribute("aria-pressed") == "true"
    leave_viewer(page)
    assert page.locator(".mark").first.inner_text() == "accepted, strength 0.4, note"
    saved = save_corrections(page, tmp_path / "c.json")
    [(key, row)] = saved["rows"].items()
    assert (row["settings"], row["note"]) == ({"strength": 0.4}, HOSTILE_TEXT)
    assert read_corrections(str(tmp_path / "c.json"), StorageOptions()).settings_of(key) == {"strength": 0.4}
    for _ in range(3):
        page.locator("#review-undo").click()
    assert page.locator("#review-state").inner_text() == "nothing decided yet"
    assert page.locator("#review-save").is_disabled()


def test_a_correction_keeps_the_other_settings_of_the_image(page: Any, tmp_path: Path) -> None:
    page.fill("#search", "box/009")
    page.locator(".open").click()
    assert page.locator("#strength").input_value() == "0.8"
    page.locator("#strength").fill("0.4")
    color = page.locator("#viewer-body .compare .after")
    assert color.evaluate("image => image.style.filter") == "saturate(0.5)"
    leave_viewer(page)
    saved = save_corrections(page, tmp_path / "c.json")
    assert saved["rows"]["box/009.png"]["settings"] == {"calm": {"violet": 0.5}, "strength": 0.4}


def test_decisions_survive_a_reload(http_address: str, opened: Any) -> None:
    page = opened(http_address)
    page.locator("#reviewer").fill("Ann")
    page.locator(".card .open").first.focus()
    press(page, "r")
    page.reload()
    assert page.locator("#reviewer").input_value() == "Ann"
    assert page.locator(".mark").first.inner_text() == "rejected"
    assert page.locator("#review-state").inner_text() == "0 accepted, 1 rejected, 0 changed"


def test_hostile_keys_and_metadata_are_shown_as_text(page: Any) -> None:
    page.get_by_role("button", name="All on this page").click()
    page.click("#more")
    assert set(shown_keys(page)) >= {f"{key}.png" for key in HOSTILE_KEYS} | {f"{HOSTILE_TEXT}.jpg"}
    for key in HOSTILE_KEYS:
        page.fill("#search", key)
        page.locator(".open").click()
        assert page.locator("#viewer-title").inner_text() == f"{key}.png"
        assert HOSTILE_TEXT in page.locator("#viewer aside").inner_text()
        wait_for_widths(page, "#viewer img.after", 48)
        leave_viewer(page)
    page.fill("#search", "")
    page.select_option("#status", "not_an_image")
    assert HOSTILE_TEXT in page.locator(".blank").inner_text()
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 2
    assert page.locator("main img[onerror]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark_mode(opened: Any, archive_page: Path, scheme: str) -> None:
    """Every text has a contrast of 4.5 : 1 (WCAG 2 AA) against the nearest background."""
    page = opened(archive_page.as_uri(), color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []


CONTRAST = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => parse(color).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (parse(color)[3] === undefined) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  const texts = "h1, h2, p, dt, dd, th, td, button, label, a, small, code, summary, .figures";
  for (const node of document.querySelectorAll(texts)) {
    if (!node.checkVisibility() || node.disabled || !node.textContent.trim()) continue;
    const [one, other] = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
    if ((one + 0.05) / (other + 0.05) < 4.5) poor.push(`${node.tagName} ${node.textContent.slice(0, 30)}`);
  }
  return poor;
}"""


def test_a_phone_does_not_scroll_horizontally(opened: Any, archive_page: Path) -> None:
    page = opened(archive_page.as_uri(), viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".card .open").first.tap()
    assert page.locator("#viewer .compare").bounding_box()["width"] > 300
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_image_and_control_has_a_name(page: Any) -> None:
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("svg.chart:not([aria-label])").count() == 0
    unnamed = page.locator("input, select, button").evaluate_all(
        "all => all.filter(one => !one.ariaLabel && !one.labels?.length && !one.textContent.trim()).length"
    )
    assert unnamed == 0


def test_motion_is_reduced_on_request(opened: Any, archive_page: Path) -> None:
    page = opened(archive_page.as_uri(), reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


@pytest.fixture(scope="module")
def evaluation(tiny_checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of two models on eight photographs, with its report."""
    folder = tmp_path_factory.mktemp("evaluation")
    output, shards = LocalStorage(str(folder / "out")), LocalStorage(str(folder / "shards"))
    write_evaluation_run(output, shards, {"<b>one</b>": tiny_checkpoint, "two": tiny_checkpoint}, 8)
    assert main(["report", output.uri]) == 0
    return folder / "out"


def test_an_evaluation_shows_models_truth_and_difference_maps(opened: Any, evaluation: Path) -> None:
    page = opened((evaluation / "report" / "index.html").as_uri())
    names = page.locator(".card").first.locator("figcaption b").all_inner_texts()
    assert names == ["gray", "<b>one</b>", "two", "truth"]
    page.locator(".card").first.scroll_into_view_if_needed()
    wait_for_widths(page, ".card:first-child img", 32)
    press(page, "m")
    assert page.locator("#legend").is_visible()
    sources = page.locator(".card").first.locator("img").evaluate_all("all => all.map(one => one.src)")
    assert [source.endswith("-map.png") for source in sources] == [True, True, True, False]
    page.locator(".open").first.click()
    wait_for_widths(page, "#viewer img", 32)
    leave_viewer(page)
    press(page, "m")
    assert "-map" not in page.locator(".card img").first.get_attribute("src")
    assert page.locator("table.metrics").first.locator("tbody tr").count() == 5


def test_ratings_from_votes_to_rates(
    opened: Any, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Vote for the truth in every pair with it; check the rates on the terminal and on the page."""
    page = opened((evaluation / "report" / "rating.html").as_uri())
    pairs = json.loads(page.locator("#data").inner_text())["pairs"]
    assert len(pairs) == 3 * 8
    true = truths(evaluation)
    press(page, "ArrowLeft", "Backspace")  # a vote that is undone
    for _ in pairs:
        left, right = (Path(page.locator(f"#{side}-image").get_attribute("src")).stem for side in ("left", "right"))
        press(page, "ArrowLeft" if left in true else "ArrowRight" if right in true else " ")
    assert page.locator("#done").is_visible()
    page.fill("#rater", "</script> me")
    with page.expect_download() as download:
        page.click("#save")
    file = tmp_path / "ratings.json"
    download.value.save_as(file)
    capsys.readouterr()
    assert main(["report", "--ratings", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "<b>one</b> to truth  0.0% [0.0%, 32.4%]  0 : 8, 0 undecided" in printed
    assert "<b>one</b> to two" in printed
    assert printed.index("truth  ", printed.index("Bradley-Terry")) < printed.index(
        "two  ", printed.index("Bradley-Terry")
    )
    assert main(["report", str(evaluation), "--ratings", str(file)]) == 0
    assert main(["report", str(evaluation)]) == 0  # the ratings are kept
    shown = opened((evaluation / "report" / "index.html").as_uri())
    assert "24 blind votes in 1 ratings file" in shown.locator("main").inner_text()


def truths(evaluation: Path) -> set[str]:
    """File names of the images that are original photographs."""
    rows = data_of(evaluation / "report" / "index.html")["rows"]
    return {Path(each["image"]).stem for row in rows for each in row["variants"] if each["name"] == "truth"}


def test_a_small_photograph_is_enlarged_at_most_four_times(opened: Any, evaluation: Path) -> None:
    page = opened((evaluation / "report" / "rating.html").as_uri())
    wait_for_widths(page, ".pair img", 32)
    assert page.locator("#left-image").bounding_box()["width"] == 4 * 32


def test_on_a_phone_pairs_are_above_each_other_and_tables_of_differences_folded(opened: Any, evaluation: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = opened((evaluation / "report" / "rating.html").as_uri(), **phone)
    left, right = (page.locator(side).bounding_box() for side in ("#left", "#right"))
    assert left["x"] == right["x"]
    assert right["y"] > left["y"] + left["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page = opened((evaluation / "report" / "index.html").as_uri(), **phone)
    assert not page.locator("details[open]").count()


def test_votes_survive_a_reload(opened: Any, evaluation: Path) -> None:
    page = opened((evaluation / "report" / "rating.html").as_uri())
    page.click("#left")
    page.click("#tie")
    page.reload()
    assert page.locator("#state").inner_text().startswith("2 of ")
    with page.expect_download() as download:
        page.click("#save")
    votes = json.loads(Path(download.value.path()).read_text())["votes"]
    assert [vote["choice"] for vote in votes] == ["left", "tie"]
