"""What `kubectl kustomize` makes of a folder, for the fields of Kustomize that our manifests use; any other is refused.

Resources, components, namespace, images, patches (JSON patches, and merge patches without lists to merge) and
replacements, in Kustomize's order. test_kuberay.py compares it with `kubectl` where there is one.
"""

import copy
import json
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
_FIELDS = {"apiVersion", "kind", "resources", "components", "namespace", "images", "patches", "replacements"}
_LOCAL = "config.kubernetes.io/local-config"
_CLUSTER_WIDE = {"PriorityClass", "Namespace"}


def build(folder: Path) -> list[Document]:
    """The documents of a kustomization."""
    return [each for each in accumulate(folder, []) if _LOCAL not in each["metadata"].get("annotations", {})]


def accumulate(folder: Path, documents: list[Document]) -> list[Document]:
    """The documents after a kustomization, or a component, has been applied to those before it."""
    (spec,) = read(folder / "kustomization.yaml")
    assert set(spec) <= _FIELDS, f"{folder}: {set(spec) - _FIELDS}"
    documents = list(documents)
    for name in spec.get("resources", ()):
        path = folder / name
        documents += accumulate(path, []) if path.is_dir() else read(path)
    for name in spec.get("components") or ():
        documents = accumulate(folder / name, documents)
    for patch in spec.get("patches", ()):
        assert set(patch) == {"target", "patch"}
        for document in _select(documents, patch["target"]):
            _patch(document, yaml.safe_load(patch["patch"]))
    for document in documents:
        if "namespace" in spec and document["kind"] not in _CLUSTER_WIDE:
            document["metadata"]["namespace"] = spec["namespace"]
        for image in spec.get("images", ()):
            _set_image(document, image)
    for replacement in spec.get("replacements", ()):
        _replace(documents, replacement)
    return documents


def read(file: Path) -> list[Document]:
    """The documents of a file; what an alias stands for is a copy, which a patch can change by itself."""
    return [json.loads(json.dumps(each)) for each in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)]


def _select(documents: list[Document], target: dict[str, str]) -> list[Document]:
    assert set(target) <= {"kind", "name"}
    return [
        each
        for each in documents
        if each["kind"] == target["kind"] and target.get("name") in (None, each["metadata"]["name"])
    ]


def _patch(document: Document, patch: Any) -> None:
    if isinstance(patch, list):
        for operation in patch:
            _operate(document, **operation)
        return
    patch["metadata"].pop("name")
    _merge(document, patch)


def _operate(document: Document, op: str, path: str, value: Any = None) -> None:
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    parent: Any = document
    for part in parents:
        parent = parent[int(part) if isinstance(parent, list) else part]
    key: Any = int(last) if isinstance(parent, list) else last
    assert op in ("add", "replace", "remove"), op
    assert op == "add" or (key < len(parent) if isinstance(parent, list) else key in parent), path
    if op == "remove":
        del parent[key]
    elif op == "add" and isinstance(parent, list):
        parent.insert(key, value)
    else:
        parent[key] = value


def _merge(values: Document, changes: Document) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            assert not (isinstance(value, list) and key in values), f"{key}: lists are not merged here"
            values[key] = value


def _set_image(value: Any, image: dict[str, str]) -> None:
    if isinstance(value, list):
        for each in value:
            _set_image(each, image)
    elif isinstance(value, dict):
        for container in value.get("containers") or ():
            if container["image"].partition(":")[0] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
        for inner in value.values():
            _set_image(inner, image)


def _replace(documents: list[Document], replacement: dict[str, Any]) -> None:
    source = dict(replacement["source"])
    path = source.pop("fieldPath").split(".")
    (document,) = _select(documents, source) or (None,)
    assert document is not None, "Kustomize refuses a replacement without a source"
    value: Any = document
    for part in path:
        value = value[int(part) if isinstance(value, list) else part]
    for target in replacement["targets"]:
        for chosen in _select(documents, target["select"]):
            for field in target["fieldPaths"]:
                _set(chosen, field.split("."), copy.deepcopy(value), create=target.get("options", {}).get("create"))


def _set(document: Document, path: list[str], value: Any, *, create: bool | None) -> None:
    *parents, last = path
    parent: Any = document
    for part in parents:
        parent = parent[int(part) if isinstance(parent, list) else part]
    assert create or last in parent, path
    parent[last] = value
