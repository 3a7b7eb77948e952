"""What all files for clusters have in common, and that the checks of their tests can fail."""

import re
from pathlib import Path

import pytest

from jobs.doctor.checks import check_placeholders
from tests.cluster.deploy.deployment import HERE, amount, image, secrets_in

FILES = sorted([*HERE.rglob("*.yaml"), HERE / "Dockerfile"])


def test_doctor_finds_what_must_be_replaced() -> None:
    """Few values, each in one place; everything else has a value that works."""
    texts = {str(file.relative_to(HERE)): file.read_text() for file in FILES}
    assert {name for name, text in texts.items() if check_placeholders({name: text}).verdict == "fail"} == {
        "aws.yaml",
        "kuberay/components/eks-irsa/kustomization.yaml",
        "kuberay/overlays/archive/rayjob.yaml",
        "kuberay/overlays/train/rayjob.yaml",
        "kuberay/site/kustomization.yaml",
    }


def test_values_to_replace_are_not_marked_in_another_way() -> None:
    assert not [file for file in FILES if "CHANGE" in file.read_text()]


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
