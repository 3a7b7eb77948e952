import pytest

from colorize_core.photo.formats import WRITE_FORMATS, output_format, output_key


@pytest.mark.parametrize(
    ("key", "policy", "format"),
    [
        ("a.jpg", "same", "jpeg"),
        ("a.JPEG", "same", "jpeg"),
        ("a.png", "same", "png"),
        ("a.webp", "same", "webp"),
        ("a.tif", "same", "tiff"),
        ("a.TIFF", "same", "tiff"),
        ("a.gif", "same", "png"),
        ("a.bmp", "same", "png"),
        ("a", "same", "png"),
        ("a.jpg", "png", "png"),
        ("a.png", "webp", "webp"),
        ("a", "tiff", "tiff"),
    ],
)
def test_the_format_is_the_policy_or_follows_the_suffix(key: str, policy: str, format: str) -> None:
    assert output_format(key, policy) == format


@pytest.mark.parametrize("key", ["a.jpg", "b/c.JPG", "a.jpeg", "a.png", "a.webp", "a.tif", "a.TIFF", "é/ü ü.Png"])
def test_a_key_with_the_right_suffix_is_kept(key: str) -> None:
    assert output_key(key, "same") == key


@pytest.mark.parametrize(
    ("key", "policy", "expected"),
    [
        ("a/b.gif", "same", "a/b.gif.color.png"),
        ("a/b", "same", "a/b.color.png"),
        ("a.b/c", "same", "a.b/c.color.png"),
        (".jpg", "same", ".jpg.color.png"),
        ("a/b.png", "jpeg", "a/b.png.color.jpg"),
        ("a/b.jpg", "png", "a/b.jpg.color.png"),
        ("a/b.jpg", "webp", "a/b.jpg.color.webp"),
        ("a/b.jpg", "tiff", "a/b.jpg.color.tiff"),
        ("a/b.tif", "tiff", "a/b.tif"),
        ("a/b.JPEG", "jpeg", "a/b.JPEG"),
    ],
)
def test_another_suffix_is_appended_not_replaced(key: str, policy: str, expected: str) -> None:
    assert output_key(key, policy) == expected


@pytest.mark.parametrize("policy", ["same", *sorted(WRITE_FORMATS)])
def test_an_output_key_names_the_format_that_is_written(policy: str) -> None:
    for key in ("a.jpg", "b.gif", "c", "d.tif", "e.PNG"):
        assert output_format(output_key(key, policy), "same") == output_format(key, policy)


@pytest.mark.parametrize("policy", ["same", *sorted(WRITE_FORMATS)])
def test_keys_that_differ_in_their_suffix_have_different_outputs(policy: str) -> None:
    keys = [f"a{suffix}" for suffix in (".jpg", ".JPG", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".webp", ".bmp")]
    assert len({output_key(key, policy) for key in keys}) == len(keys)


@pytest.mark.parametrize(("key", "other"), [("a.gif", "a.gif.png"), ("a", "a.png"), ("a.gif", "a.gif.color.png")])
def test_a_key_that_is_the_output_of_another_key_has_a_different_output(key: str, other: str) -> None:
    assert output_key(key, "same") != output_key(other, "same")
