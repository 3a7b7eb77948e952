"""What a published model says about itself: metadata of exported files, and model cards.

A model card is README.md with a YAML header, in the form of the Hugging Face Hub
(https://huggingface.co/docs/hub/model-cards).
"""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from colorize_core import __version__
from colorize_core.checkpoint.config import CheckpointConfig
from colorize_core.formatting import markdown_table
from colorize_core.metrics.registry import Metric, validation_metrics

CARD = "README.md"
NOT_STATED = "not stated"
_LICENSES = (
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "gpl-3.0",
    "agpl-3.0",
)
"""SPDX identifiers that the Hub knows, in its spelling."""
_PROJECT = "colorize"


def model_metadata(config: CheckpointConfig, stride: int, license: str | None = None) -> dict[str, str]:
    """Return the texts that an exported file carries: model, units of input and output, license, hash.

    Args:
        config: of the checkpoint.
        stride: `ColorModel.stride`.
        license: license of the weights; that of the checkpoint if None.
    """
    return {
        "model": config.architecture["name"],
        "options": json.dumps(config.architecture["options"]),
        "working_size": str(config.working_size),
        "input": f"L: CIELAB lightness in [0, 100], float32 (batch, 1, height, width), sides multiples of {stride}",
        "output": "ab: CIELAB a and b, float32 (batch, 2, height, width)",
        "license": license or config.terms.get("license", NOT_STATED),
        "weights_sha256": config.weights_sha256,
        "software": f"{_PROJECT} {__version__}",
    }


def model_card(config: CheckpointConfig, parameters: int, license: str | None = None) -> str:
    """Return the model card of a checkpoint as Markdown with a YAML header.

    Args:
        config: of the checkpoint.
        parameters: number of parameters of the model.
        license: license of the weights; that of the checkpoint if None.
    """
    license = license or config.terms.get("license")
    header = yaml.safe_dump(_header(config, license), sort_keys=False, allow_unicode=True)
    return "\n\n".join([f"---\n{header}---", *_sections(config, parameters, license)]) + "\n"


def _header(config: CheckpointConfig, license: str | None) -> dict[str, Any]:
    name = config.architecture["name"]
    values: dict[str, Any] = _license_fields(license) | {
        "library_name": _PROJECT,
        "pipeline_tag": "image-to-image",
        "tags": ["image-colorization", "safetensors", name],
    }
    if scores := _validation_scores(config):
        metrics = [
            {"type": metric.name, "name": metric.title, "value": round(metric.factor * value, metric.digits)}
            for metric, value, _ in scores
        ]
        result = {
            "task": {"type": "image-to-image", "name": "Colorization"},
            "dataset": {"type": "custom", "name": "Validation split of the training run"},
            "metrics": metrics,
        }
        values |= {"metrics": [each["type"] for each in metrics], "model-index": [{"name": name, "results": [result]}]}
    return values


def _license_fields(license: str | None) -> dict[str, str]:
    if not license:
        return {"license": "unknown"}
    identifier = license.split()[0].lower()
    return {"license": identifier} if identifier in _LICENSES else {"license": "other", "license_name": license}


def _validation_scores(config: CheckpointConfig) -> list[tuple[Metric, float, float | None]]:
    """Return metric, value and that of gray, for checkpoints of `train`."""
    scores, gray = (config.training.get(key) or {} for key in ("metrics", "gray"))
    known = [metric for metric in validation_metrics() if metric.name in scores]
    return [(metric, scores[metric.name], gray.get(metric.name)) for metric in known]


def _sections(config: CheckpointConfig, parameters: int, license: str | None) -> Iterator[str]:
    name, terms = config.architecture["name"], config.terms
    yield f"# {name}: color for gray photographs"
    yield (
        "Predicts a and b of CIELAB from lightness. The lightness of a colored photograph is that of the gray one; the "
        "colors are plausible, not historical."
    )
    yield "## Use"
    yield _USE
    yield "## Model"
    options = ", ".join(f"{key}={value}" for key, value in config.architecture["options"].items())
    rows = [
        ("architecture", f"`{name}`" + (f", {options}" if options else "")),
        ("parameters", f"{parameters / 1e6:.2f} M"),
        ("working size", f"{config.working_size} px: the network sees photographs reduced to about this side"),
        ("SHA-256 of the weights", f"`{config.weights_sha256}`"),
    ]
    if "source" in terms:
        rows.append(("source", terms["source"]))
    yield markdown_table(("", ""), rows)
    yield "## Training and scores"
    yield "\n\n".join(_training(config))
    yield "## Limits and bias"
    yield _LIMITS
    yield "## License"
    yield (
        f"License of the weights: {license}."
        if license
        else "The license of the weights is not stated. Whoever publishes them must add one, here and in the header."
    )


def _training(config: CheckpointConfig) -> Iterator[str]:
    data = config.terms.get("data")
    yield f"Trained on: {data}." if data else "Trained on: not stated. Name the photographs and their terms here."
    scores = _validation_scores(config)
    if scores:
        rows = [
            (metric.heading, metric.format(value), metric.format(gray) if gray is not None else "")
            for metric, value, gray in scores
        ]
        yield f"Validation split of the training run, after {config.training['epoch']} epochs:"
        yield markdown_table(("metric", "this model", "gray"), rows, right=(1, 2))


_USE = """\
```
colorize photo gray.jpg color.jpg checkpoint=THIS_FOLDER
colorize archive source=GRAY output=COLOR checkpoint=THIS_FOLDER
```

```python
from colorize_core.colorizer import Colorizer

colorizer = Colorizer.load("THIS_FOLDER")
result = colorizer.colorize([open("gray.jpg", "rb").read()])[0]  # result.image: bytes of a file
```"""
_LIMITS = """\
- What has one likely color (grass, sky, skin, wood) is colored best. What could have any color (clothes, cars, painted
  walls, flags) is a guess, often grayish or brown. Do not take a color as evidence of what was there.
- Skin tones: scores by skin tone were not measured. Most public collections of photographs show light skin more often
  than dark skin, and a network that learned from them may make dark skin too light, too red or gray. Look at
  photographs of people before you publish them.
- Photographs that differ from those it was trained on (scans of faded or damaged prints, drawings, X-ray or aerial
  images) get worse colors."""
