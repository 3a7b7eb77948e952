import time
from pathlib import Path

import pytest
import torch
from torch import nn

from colorize_core.benchmark.model_facts import flops, milliseconds, parameters, receptive_field
from colorize_core.discriminators.patchgan import PatchGAN
from colorize_core.models import check_model, model_names

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "models.md"


def rows(first_column: str) -> list[list[str]]:
    """Cells of the table whose head starts with that column."""
    lines = DOCUMENT.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_column} |")) + 2
    cells = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        cells.append([cell.strip() for cell in line.strip("|").split("|")])
    return cells


def test_parameters_count_frozen_ones_too() -> None:
    network = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2).requires_grad_(False))
    assert parameters(network) == 3 * 5 + 5 + 5 * 2 + 2


def test_flops_are_two_per_multiply_add() -> None:
    """A 3x3 convolution of 4 to 6 channels, stride 2, gives 5x7 pixels; a 4x4 transposed one starts from them."""
    network = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ConvTranspose2d(6, 2, 4, stride=2, padding=1))
    expected = 2 * 9 * 4 * 6 * 5 * 7 + 2 * 16 * 6 * 2 * 5 * 7
    assert flops(network, torch.zeros(1, 4, 10, 14)) == expected


def test_flops_of_spectral_norm_can_be_counted() -> None:
    plain, normed = (PatchGAN(layers=1, width=4, norm=norm).eval() for norm in ("none", "spectral"))
    L, ab = torch.zeros(1, 1, 32, 32), torch.zeros(1, 2, 32, 32)
    assert flops(normed, L, ab) >= flops(plain, L, ab) > 0


@pytest.mark.parametrize(("strides", "field"), [((1,), 3), ((1, 1, 1), 7), ((2, 1), 7), ((2, 2, 1), 15)])
def test_the_receptive_field_is_that_of_the_closed_form(strides: tuple[int, ...], field: int) -> None:
    """3x3 convolutions: each adds twice the product of the strides before it."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1 if n == 0 else 4, 4, 3, stride=s, padding=1) for n, s in enumerate(strides)]
    assert receptive_field(nn.Sequential(*layers).double(), 64) == field


class Sleeper(nn.Module):
    """Takes as long for eight images as for one."""

    def forward(self, L: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return L


def test_milliseconds_are_per_image() -> None:
    assert 20 / 8 <= milliseconds(Sleeper(), torch.zeros(8, 1, 1, 1)) < 20


def test_the_document_has_every_model() -> None:
    assert {row[0].split("`")[1] for row in rows("model")} == set(model_names())


def test_the_documents_figures_are_the_models() -> None:
    """But for the milliseconds and the source; on the meta device, where nothing is computed."""
    for title, millions, gflop, *_ in rows("model"):
        name, *settings = title.split(", ")
        options = dict(setting.split(" ") for setting in settings)
        values = {"True": True, "7": 7}
        model = check_model(name.strip("`"), **{key: values.get(value, value) for key, value in options.items()})
        assert millions == f"{parameters(model) / 1e6:.2f}", title
        assert gflop == f"{flops(model.eval(), torch.zeros(1, 1, 256, 256, device='meta')) / 1e9:.1f}", title


def test_the_documents_figures_are_the_discriminators() -> None:
    for layers, (number, _, logits, millions, gflop) in enumerate(rows("layers")):
        discriminator = PatchGAN(layers)
        assert (number, millions) == (str(layers), f"{parameters(discriminator) / 1e6:.2f}")
        L, ab = torch.zeros(1, 1, 256, 256, device="meta"), torch.zeros(1, 2, 256, 256, device="meta")
        discriminator = discriminator.eval().to("meta")
        side = discriminator(L, ab).shape[-1]
        assert (logits, gflop) == (f"{side}x{side}", f"{flops(discriminator, L, ab) / 1e9:.1f}")
