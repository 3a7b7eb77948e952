import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from colorize_core.color.lab import lab_to_rgb, rgb_to_lab
from colorize_core.data.shards import read_batches, read_dataset_info
from colorize_core.errors import UserError
from colorize_core.evaluation.protocols import PROTOCOLS, PhotographSet
from colorize_core.evaluation.table import render_markdown
from colorize_core.metrics import fid, kid
from colorize_core.metrics.registry import FURTHER, MAIN, metrics_of, papers
from jobs.cli import main
from jobs.evaluate.config import EvaluateConfig, name_checkpoints
from jobs.evaluate.job import check_inputs, split_features
from tests.jobs.report_runs import data_of


@pytest.fixture(scope="module")
def evaluated(dataset: str, tiny_checkpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run with everything but FID: two equal checkpoints and their ensemble, LPIPS with random weights, definitions
    of two papers.
    """
    folder = tmp_path_factory.mktemp("evaluated") / "Köln 写真 📷"
    folder.mkdir()
    features = {f"features.{key}": value for key, value in alexnet_features().state_dict().items()}
    torch.save(features, folder / "alexnet.pth")
    names = f"checkpoint={{one: {tiny_checkpoint}, two: {tiny_checkpoint}}}"
    arguments = [f"shards={dataset}", f"output={folder}/out", names, "split=val", "grid_rows=2", "resamples=100"]
    arguments += ["definitions=[unet-gan, resnet18-losses]", "ensemble={weights: {one: 1, two: 3}}"]
    arguments += ["lpips.backbone=alex", f"lpips.weights={folder}/alexnet.pth"]
    assert main(["evaluate", *arguments]) == 0
    return folder / "out"


def alexnet_features() -> nn.Sequential:
    """The convolutions of AlexNet with the layer numbers of torchvision, without its large classifier."""
    torch.manual_seed(0)
    sizes = {0: (3, 64, 11), 3: (64, 192, 5), 6: (192, 384, 3), 8: (384, 256, 3), 10: (256, 256, 3)}
    return nn.Sequential(*(nn.Conv2d(*sizes[i]) if i in sizes else nn.Identity() for i in range(11)))


@pytest.fixture(scope="module")
def result(evaluated: Path) -> dict:
    return json.loads((evaluated / "metrics.json").read_text())


ROWS = ("gray", "constant color", "oracle color", "one", "two", "ensemble")


def test_baselines_come_first_then_the_models_as_named(result: dict) -> None:
    assert tuple(result["models"]) == ROWS


def test_the_ensemble_of_equal_checkpoints_has_their_scores(evaluated: Path) -> None:
    rows = pd.read_parquet(evaluated / "per_image.parquet").set_index(["model", "key"]).sort_index()
    pd.testing.assert_frame_equal(rows.loc["ensemble"], rows.loc["one"], rtol=1e-4)


def test_every_photograph_is_scored_by_every_model(evaluated: Path, dataset: str) -> None:
    rows = pd.read_parquet(evaluated / "per_image.parquet")
    count = read_dataset_info(dataset).splits["val"]["rows"]
    assert rows.groupby("model").key.nunique().to_dict() == dict.fromkeys(ROWS, count)
    assert rows.notna().all(axis=None)


def test_gray_baseline_equals_scikit_image(evaluated: Path, dataset: str) -> None:
    rows = pd.read_parquet(evaluated / "per_image.parquet").set_index(["model", "key"]).loc["gray"]
    info = read_dataset_info(dataset)
    batch = next(read_batches([f"{dataset}/{info.files('val', '')[0]}"], columns=["key", "rgb"]))
    for key, pixels in zip(batch["key"][:4], batch["rgb"][:4], strict=True):
        lab = rgb_to_lab(torch.from_numpy(pixels)[None].float() / 255)
        lab[:, 1:] = 0
        gray = np.round(lab_to_rgb(lab)[0].numpy() * 255).astype(np.uint8)
        assert rows.psnr[key] == pytest.approx(peak_signal_noise_ratio(pixels, gray), abs=1e-6)
        expected = structural_similarity(
            pixels, gray, channel_axis=0, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert rows.ssim[key] == pytest.approx(expected, abs=1e-5)


def test_values_and_intervals_are_of_the_rows(evaluated: Path, result: dict) -> None:
    rows = pd.read_parquet(evaluated / "per_image.parquet")
    for model, scores in result["models"].items():
        own = rows[rows.model == model]
        for metric in ("mae_ab", "psnr", "ssim", "ciede2000", "auc", "mse", "ssim_uniform", "colorfulness"):
            assert scores[metric]["value"] == pytest.approx(own[metric].mean())
            assert scores[metric]["low"] <= scores[metric]["value"] <= scores[metric]["high"]
        assert scores["psnr_pooled"]["value"] == pytest.approx(10 * np.log10(255**2 / own.mse.mean()))
        delta = abs(own.colorfulness.mean() - own.colorfulness_truth.mean())
        assert scores["colorfulness_delta"]["value"] == pytest.approx(delta)
        error = (own.colorfulness - own.colorfulness_truth).abs().mean()
        assert scores["colorfulness_error"]["value"] == pytest.approx(error)
        area = np.average(own.auc_rebalanced, weights=own.auc_weight)
        assert scores["auc_rebalanced"]["value"] == pytest.approx(area)


def test_errors_of_the_baselines_are_in_the_expected_order(result: dict) -> None:
    error = {name: scores["mae_ab"]["value"] for name, scores in result["models"].items()}
    assert error["oracle color"] < error["gray"]


def test_the_table_shows_every_metric_and_row(evaluated: Path) -> None:
    table = (evaluated / "table.md").read_text()
    assert all(f"| {name}" in table for name in ROWS)
    for title in ("MAE (ab/110) ↓", "CIEDE2000 ↓", "Δ colorfulness ↓", "AuC ↑", "PSNR of the pooled MSE (dB) ↑"):
        assert title in table


def test_equal_models_get_equal_scores_and_are_not_distinguishable(evaluated: Path, result: dict) -> None:
    one, two = result["models"]["one"], result["models"]["two"]
    for metric, score in two.items():
        difference = score.pop("difference", None)
        assert score == one[metric]
        assert difference in (None, {"from": "one", "value": 0, "low": 0, "high": 0})
    assert "difference" not in one["mae_ab"]
    assert "not distinguishable" in (evaluated / "table.md").read_text()


def test_grid_has_a_column_for_gray_each_model_their_ensemble_and_truth(evaluated: Path) -> None:
    grid = Image.open(evaluated / "grid.png")
    assert grid.width == 5 * 164 + 4
    assert grid.height > 2 * 160


def test_the_evaluation_ends_with_a_page(evaluated: Path, result: dict) -> None:
    data = data_of(evaluated / "report" / "index.html")
    assert len(data["rows"]) == result["photographs"]
    rows = pd.read_parquet(evaluated / "per_image.parquet").set_index(["key", "model"])
    for row in data["rows"]:
        assert [each["name"] for each in row["variants"]] == ["gray", "one", "two", "ensemble", "truth"]
        for each in row["variants"][:-1]:
            assert each["score"] == f"{rows.ciede2000[row['key'], each['name']]:.2f}"
        assert row["values"]["one"] == pytest.approx(rows.ciede2000[row["key"], "one"])
    assert "tiny" not in (evaluated / "report" / "rating.html").read_text()


def test_images_of_the_page_are_exact(evaluated: Path, dataset: str) -> None:
    info = read_dataset_info(dataset)
    batch = next(read_batches([f"{dataset}/{info.files('val', '')[0]}"], columns=["key", "rgb"]))
    truth = dict(zip(batch["key"], batch["rgb"], strict=True))
    for row in data_of(evaluated / "report" / "index.html")["rows"]:
        shown = {each["name"]: Image.open(evaluated / "report" / each["image"]) for each in row["variants"]}
        assert (np.asarray(shown["truth"]).transpose(2, 0, 1) == truth[row["key"]]).all()
        gray = np.asarray(shown["gray"]).astype(int)
        assert np.ptp(gray, axis=-1).max() <= 1


def test_a_page_says_why_it_has_no_images(evaluated: Path, tmp_path: Path) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(evaluated, copy)
    content = json.loads((copy / "metrics.json").read_text())
    for change, words in (
        ({"shards": "another"}, "no longer the photographs that were evaluated"),
        ({"checkpoints": {"one": "other", "two": "other"}}, "no longer the weights that were evaluated"),
        ({"config": {**content["config"], "shards": "/nowhere"}}, "/nowhere: not a dataset"),
    ):
        (copy / "metrics.json").write_text(json.dumps(content | change))
        assert main(["report", str(copy)]) == 0
        page = (copy / "report" / "index.html").read_text()
        assert "There are no images: " in page
        assert words in page


def test_a_damaged_shard_is_named_in_one_line(
    dataset: str, tiny_checkpoint: str, tmp_path: Path, one_line: Callable[[list[str], int], str]
) -> None:
    """A task of Ray finds it, so the message comes through Ray."""
    shards = Path(shutil.copytree(dataset, tmp_path / "shards"))
    victim = next((shards / "val").glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-100])
    arguments = [f"shards={shards}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", "split=val"]
    said = one_line(["evaluate", *arguments, "lpips.backbone=none"], 2)
    assert said.startswith(f"colorize: {victim}: damaged shard (Parquet magic bytes not found in footer.")
    assert "attempts" not in said


def test_given_lpips_weights_must_be_usable(
    dataset: str, tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"shards={dataset}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", "split=val"]
    assert main(["evaluate", *arguments, "lpips.weights=/nowhere.pth"]) == 2
    assert "/nowhere.pth: no such file" in capsys.readouterr().err


def test_lpips_is_computed_with_given_weights(evaluated: Path) -> None:
    rows = pd.read_parquet(evaluated / "per_image.parquet")
    assert (rows.lpips > 0).all()
    assert "LPIPS with the backbone alex" in (evaluated / "table.md").read_text()


def score(mae: float) -> dict:
    return {"mae_ab": {"value": mae, "low": mae - 0.01, "high": mae + 0.01}}


def test_fid_and_kid_are_computed_from_the_features_of_all_rows() -> None:
    features = {name: torch.randn(5, 4, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("ab")}
    features["truth"] = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    parts = []
    for name, values in features.items():
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.flatten().numpy()), 4)
        parts.append(pa.table({"key": list("vwxyz"), "model": [name] * 5, "features": column}))
    rows, distances = split_features(pa.concat_tables(parts), ["a", "b"])
    assert rows.column_names == ["key", "model"]
    assert set(rows.column("model").to_pylist()) == {"a", "b"}
    for name in "ab":
        for metric, function in (("fid", fid), ("kid", kid)):
            assert distances[name][metric]["value"] == pytest.approx(function(features["truth"], features[name]))


def test_a_model_below_gray_is_marked() -> None:
    models = {"gray": score(0.09), "constant color": score(0.08), "good": score(0.07), "bad": score(0.1)}
    result = {"models": models, "checkpoints": {"good": "", "bad": ""}, "photographs": 5, "split": "test", "size": 64}
    table = render_markdown({**result, "config": {"lpips": {"backbone": "none"}, "definitions": []}})
    assert "| bad ⚠ | 0.1000 [0.0900, 0.1100] |" in table
    assert "worse than leaving the photographs gray, by MAE: bad." in table
    assert "| good | 0.0700" in table


def test_the_protocol_and_the_reference_are_printed() -> None:
    models = {name: score(0.09) | {"fid": {"value": 3.0}} for name in ("gray", "good")}
    result = {"models": models, "checkpoints": {"good": ""}, "photographs": 5_000, "split": "test", "size": 256}
    config = {"lpips": {"backbone": "none"}, "definitions": []}
    protocol = PROTOCOLS["coltran-5k"].describe()
    table = render_markdown({**result, "config": config, "protocol": protocol, "reference": "5,000 others"})
    assert protocol in table
    assert "FID and KID are against 5,000 others." in table


@pytest.fixture
def small_protocol(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol that the small dataset fulfills."""
    info = read_dataset_info(dataset)
    scored = PhotographSet("a few", info.splits["val"]["rows"], info.size, info.resize)
    monkeypatch.setitem(PROTOCOLS, "coco-stuff-5k", replace(PROTOCOLS["coco-stuff-5k"], scored=scored))


def test_a_protocol_fixes_the_network_of_fid_and_refuses_other_photographs(
    dataset: str, tiny_checkpoint: str, tmp_path: Path, small_protocol: None, one_line: Callable[[list[str], int], str]
) -> None:
    arguments = [f"shards={dataset}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", "split=val"]
    config = EvaluateConfig.load(None, [*arguments, "protocol=coco-stuff-5k"])
    assert (config.fid.inception, config.inception) == ("torch-fidelity", "pytorch-fid")
    assert check_inputs(config).dataset.count == read_dataset_info(dataset).splits["val"]["rows"]
    for more, said in (
        (["protocol=imagenet-val5k"], "the protocol needs 5,000 photographs (ILSVRC2012_val_00000001 to 00005000)"),
        (["protocol=coco-stuff-5k", "fid.inception=torch-fidelity"], "coco-stuff-5k uses pytorch-fid"),
        (["protocol=coltran-5k"], "compares with other photographs: give reference=DATASET"),
        (["protocol=coco-stuff-5k", f"reference={dataset}", "fid.weights=x"], "compares with the scored photographs"),
        ([f"reference={dataset}"], "reference has no effect without fid.weights"),
    ):
        assert said in one_line(["evaluate", *arguments, *more], 2)


def test_a_plan_prints_the_protocol(
    dataset: str, tiny_checkpoint: str, tmp_path: Path, small_protocol: None, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"shards={dataset}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", "split=val"]
    assert main(["evaluate", *arguments, "protocol=coco-stuff-5k", "--dry-run"]) == 0
    assert PROTOCOLS["coco-stuff-5k"].describe() in capsys.readouterr().out


def test_definitions_of_papers_add_their_tables(evaluated: Path) -> None:
    table = (evaluated / "table.md").read_text()
    assert "### As unet-gan computes" in table
    assert "PSNR of ab, 32 photographs (dB) ↑" in table
    assert "### As resnet18-losses computes" in table
    rows = pd.read_parquet(evaluated / "per_image.parquet")
    assert {"psnr_ab", "ssim_ab"} <= set(rows.columns)


@pytest.mark.parametrize("value", ["unet-gan, resnet18-losses", ["unet-gan", "resnet18-losses"]])
def test_definitions_are_a_list_or_words_with_commas(value: object) -> None:
    config = EvaluateConfig(shards="a", checkpoint="b", output="c", definitions=value)
    assert config.definitions == ["unet-gan", "resnet18-losses"]


def test_help_names_every_metric_and_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(metric.title in text for metric in [*metrics_of(MAIN), *metrics_of(FURTHER)])
    assert all(paper in text for paper in papers())


def test_an_unknown_definition_is_one_line(
    dataset: str, tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"shards={dataset}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", "split=val"]
    assert main(["evaluate", *arguments, "--definitions", "seed-009"]) == 2
    assert "seed-009" in capsys.readouterr().err


@pytest.mark.long
def test_the_number_of_actors_does_not_change_a_digit(
    dataset: str, tiny_checkpoint: str, tmp_path: Path, inception_file: Path
) -> None:
    """FID and KID, which are computed from the whole set, included."""
    small = Path(shutil.copytree(tiny_checkpoint, tmp_path / "small"))
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps(config | {"working_size": 16}))
    arguments = [f"shards={dataset}", f"checkpoint={small}", "split=val", "lpips.backbone=none"]
    arguments += [f"fid.weights={inception_file}", "batch_size=2", "resamples=100", "grid_rows=1"]
    for actors in (1, 2, 4):
        assert main(["evaluate", *arguments, f"output={tmp_path}/{actors}", f"actors.count={actors}"]) == 0
    tables = [(tmp_path / str(actors) / "table.md").read_text() for actors in (1, 2, 4)]
    assert tables[0] == tables[1] == tables[2]
    assert "With fewer than 2049 FID is far too large" in tables[0]
    scores = json.loads((tmp_path / "1" / "metrics.json").read_text())["models"]
    assert scores["ceiling 16 px"]["fid"]["value"] < scores["gray"]["fid"]["value"]
    assert "features" not in pd.read_parquet(tmp_path / "1" / "per_image.parquet").columns
    # A second dataset of the same photographs is the same reference.
    shutil.copytree(dataset, tmp_path / "other")
    assert main(["evaluate", *arguments, f"output={tmp_path}/reference", f"reference={tmp_path}/other"]) == 0
    with_reference = json.loads((tmp_path / "reference" / "metrics.json").read_text())
    assert {name: each["fid"] for name, each in with_reference["models"].items()} == {
        name: each["fid"] for name, each in scores.items()
    }
    assert "FID and KID are against" in (tmp_path / "reference" / "table.md").read_text()
    assert f"{tmp_path}/other at 32 px" in with_reference["reference"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("runs/cnn/best", ["cnn"]),
        (["runs/cnn/best/", "runs/unet/last"], ["cnn", "unet"]),
        (["runs/cnn/best", "runs/cnn/last"], ["cnn/best", "cnn/last"]),
        ({"mine": "x"}, ["mine"]),
    ],
)
def test_checkpoints_are_named_after_their_run(given: object, names: list[str]) -> None:
    assert list(name_checkpoints(given)) == names


@pytest.mark.parametrize("name", ["gray", "truth"])
def test_names_of_other_rows_are_refused(
    dataset: str, tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    arguments = [f"shards={dataset}", f"output={tmp_path}/out", f"checkpoint={{{name}: {tiny_checkpoint}}}"]
    assert main(["evaluate", *arguments, "split=val"]) == 2
    assert f"checkpoint.{name}: " in capsys.readouterr().err


def test_checkpoints_are_checked_without_building_models(
    dataset: str, tiny_checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "colorize_core.checkpoint.weights.build_model", lambda *_, **__: pytest.fail("a model was built")
    )
    config = EvaluateConfig(shards=dataset, checkpoint=tiny_checkpoint, output=f"{tmp_path}/out", split="val")
    assert list(check_inputs(config).checkpoints) == ["tiny"]


def test_damaged_weights_are_found_before_ray_starts(dataset: str, tiny_checkpoint: str, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").write_bytes(b"cut")
    config = EvaluateConfig(shards=dataset, checkpoint=f"{tmp_path}/cut", output=f"{tmp_path}/out", split="val")
    with pytest.raises(UserError, match="half written or replaced"):
        check_inputs(config)


def test_two_checkpoints_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="two checkpoints would have the same name"):
        name_checkpoints(["a/cnn/best", "b/cnn/best"])
