"""What all files for clusters have in common, and that the checks of their tests can fail."""

import re
from pathlib import Path

import pytest

from tests.cluster.deploy.deployment import HERE, amount, image, secrets_in

FILES = sorted([*HERE.glob("*.yaml"), *HERE.glob("kuberay/*.yaml"), HERE / "Dockerfile"])
PLACEHOLDERS = re.compile(r"BUCKET|ACCOUNT|REGISTRY|ami-0{8}|sg-0{8}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HERE)))
def test_what_must_be_replaced_is_marked(file: Path) -> None:
    """Beside it, or in the comment above the block that it is part of."""
    lines = file.read_text().splitlines()
    for number, line in enumerate(lines):
        if PLACEHOLDERS.search(line) and not line.startswith("#"):
            assert any("CHANGE" in near for near in lines[max(number - 3, 0) : number + 1]), f"{file}:{number + 1}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HERE)))
def test_every_image_of_ours_has_the_projects_version(file: Path) -> None:
    assert set(re.findall(r"colorize:[0-9][0-9.]*", file.read_text())) <= {image()}


@pytest.mark.parametrize(
    "value",
    [
        {"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "abc"}]},
        {"environment": {"RAY_AUTH_TOKEN": "abc"}},
        {"run_options": ["--env RAY_AUTH_TOKEN=abc"]},
        {"anything": "AKIAIOSFODNN7EXAMPLE"},
    ],
)
def test_a_credential_is_found(value: object) -> None:
    assert secrets_in(value)


def test_names_and_references_are_not_credentials() -> None:
    assert not secrets_in({"environment": {"RAY_AUTH_TOKEN": "${RAY_AUTH_TOKEN:?}"}})
    assert not secrets_in([{"secretRef": {"name": "colorize-s3"}}, "--env RAY_AUTH_MODE=token"])


def test_quantities_are_those_of_kubernetes() -> None:
    assert [amount(text) for text in ("500m", "7", 2, "1.5G", "1Gi")] == [0.5, 7, 2, 1.5e9, 2**30]
