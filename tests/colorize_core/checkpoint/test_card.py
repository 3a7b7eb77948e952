"""Metadata of exported files, and model cards."""

from typing import Any

import yaml

from colorize_core.checkpoint.card import model_card, model_metadata
from colorize_core.checkpoint.config import CheckpointConfig

SCORES = {"mae_ab": 0.0753, "psnr": 24.12, "ssim": 0.9391}
TRAINED = {"epoch": 12, "metrics": SCORES, "gray": {"mae_ab": 0.0962, "psnr": 22.31, "ssim": 0.9338}}
IMPORTED = {
    "imported": {"source": "Zhang et al. 2016", "license": "BSD-2-Clause (of the repository)", "data": "ImageNet"}
}


def checkpoint(training: dict[str, Any]) -> CheckpointConfig:
    return CheckpointConfig({"name": "lite", "options": {"width": 16}}, 192, "ab" * 32, training)


def header(card: str) -> dict[str, Any]:
    _, text, _ = card.split("---\n", 2)
    values = yaml.safe_load(text)
    assert isinstance(values, dict)
    return values


def test_a_card_of_a_trained_checkpoint_has_its_scores_in_the_form_of_the_hub() -> None:
    card = model_card(checkpoint(TRAINED), 3_930_000, "CC-BY-4.0")
    values = header(card)
    assert values["license"] == "cc-by-4.0"
    assert values["pipeline_tag"] == "image-to-image"
    (result,) = values["model-index"][0]["results"]
    assert {each["type"]: each["value"] for each in result["metrics"]} == SCORES
    assert "| MAE (ab/110) ↓ | 0.0753 | 0.0962 |" in card
    assert "after 12 epochs" in card
    assert "3.93 M" in card
    assert "Skin tones" in card


def test_a_card_says_what_is_not_known() -> None:
    card = model_card(checkpoint({}), 1)
    assert header(card)["license"] == "unknown"
    assert "model-index" not in header(card)
    assert "The license of the weights is not stated." in card
    assert "Trained on: not stated." in card


def test_imported_weights_keep_source_license_and_data() -> None:
    card = model_card(checkpoint(IMPORTED), 1)
    assert header(card)["license"] == "bsd-2-clause"
    assert "| source | Zhang et al. 2016 |" in card
    assert "Trained on: ImageNet." in card


def test_a_license_without_an_identifier_is_named() -> None:
    values = header(model_card(checkpoint({}), 1, "Museum terms"))
    assert (values["license"], values["license_name"]) == ("other", "Museum terms")


def test_metadata_have_units_license_and_hash() -> None:
    found = model_metadata(checkpoint(IMPORTED), 32)
    assert found["input"].endswith("sides multiples of 32")
    assert found["license"] == "BSD-2-Clause (of the repository)"
    assert found["weights_sha256"] == "ab" * 32
    assert model_metadata(checkpoint({}), 32)["license"] == "not stated"
    assert model_metadata(checkpoint(IMPORTED), 32, "MIT")["license"] == "MIT"
