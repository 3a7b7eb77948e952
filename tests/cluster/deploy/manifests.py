"""The Kubernetes manifests as they are applied: overlays, and combinations of components."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.cluster.deploy.deployment import HERE, amount
from tests.cluster.deploy.kuberay_schema import MANIFESTS
from tests.cluster.deploy.kustomize import Document

KUBERAY = HERE / "kuberay"
OVERLAYS = sorted((KUBERAY / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (KUBERAY / "components").iterdir())
OPERATORS = ("PodMonitor", "PrometheusRule")
"""Kinds of the Prometheus operator, which no schema here describes."""
_KUBERNETES = "1.33"


def write_overlay(folder: Path, resources: Sequence[str], components: Sequence[str], *own: str) -> Path:
    """Write a kustomization of a user; returns its folder.

    Args:
        folder: where it goes.
        resources: folders below kuberay/.
        components: components below kuberay/.
        own: files in the folder itself.
    """
    here = os.path.relpath(KUBERAY, folder)
    spec = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*(f"{here}/{name}" for name in resources), *own],
        "components": [f"{here}/{name}" for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(spec))
    return folder


def validate(document: Document) -> None:
    """Check every field by the schema of its kind; raises ValidationError of jsonschema or of Kubernetes' schemas."""
    if document["kind"] in MANIFESTS:
        jsonschema.Draft202012Validator(MANIFESTS[document["kind"]]).validate(document)
        for template in pod_templates(document):
            validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}} | template)
    elif document["kind"] not in OPERATORS:
        kubernetes_validate.validate(document, _KUBERNETES, strict=True)


def pod_templates(document: Document) -> Iterator[dict[str, Any]]:
    """The templates of all pods that a document leads to: head first, then workers, then the submitter."""
    spec = document.get("spec", {})
    cluster = spec.get("rayClusterSpec", spec)
    if document["kind"] in ("RayCluster", "RayJob"):
        yield from (group["template"] for group in groups(cluster))
        if "submitterPodTemplate" in spec:
            yield spec["submitterPodTemplate"]
    elif document["kind"] == "StatefulSet":
        yield spec["template"]


def cluster_of(document: Document) -> dict[str, Any]:
    """The specification of the cluster of a RayCluster or a RayJob."""
    return document["spec"].get("rayClusterSpec", document["spec"])


def groups(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    """The group of the head, then those of the workers."""
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def container(group: dict[str, Any]) -> dict[str, Any]:
    """The container of Ray in a group's pods."""
    return group["template"]["spec"]["containers"][0]


def limit(group: dict[str, Any], resource: str) -> float:
    """How much of a resource a pod of a group has."""
    return amount(container(group)["resources"]["limits"].get(resource, 0))
