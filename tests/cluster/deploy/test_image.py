"""The image: what goes into it, and that it is what was tested."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.cluster.deploy.deployment import HERE, ROOT

DOCKERFILE = (HERE / "Dockerfile").read_text()


def instructions() -> list[str]:
    """Of the Dockerfile, one to a line, without comments."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def taken() -> list[str]:
    """What .dockerignore lets into the build."""
    return [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def test_python_is_the_one_of_the_constraints() -> None:
    (version,) = re.findall(r"^ARG PYTHON=(.+)$", DOCKERFILE, re.MULTILINE)
    assert f"on Python {version}." in (ROOT / "constraints.txt").read_text().splitlines()[0]


def test_what_is_copied_or_mounted_is_there_and_let_in() -> None:
    copied = [word for line in instructions() if line.startswith("COPY") for word in line.split()[1:-1]]
    mounted = re.findall(r"type=bind,source=([^, ]+)", DOCKERFILE)
    assert copied
    assert mounted
    for name in [*copied, *mounted]:
        assert (ROOT / name).exists(), name
        assert name in taken(), name


def test_what_the_package_is_built_from_is_let_in() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    needed = {*folders, "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert needed <= set(taken())


def test_nothing_else_is_let_in() -> None:
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    assert all((ROOT / name).exists() for name in taken())


def test_the_dependencies_are_those_of_the_project(tmp_path: Path) -> None:
    """The Dockerfile's own line, run as it is there."""
    (code,) = re.findall(r'python -c "(import tomllib.*?)" ', DOCKERFILE)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    (block,) = re.findall(
        r"^dependencies = \[\n(.*?)^\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL
    )
    assert done.stdout.split() == re.findall(r'"(.+)"', block)


def test_versions_are_constrained() -> None:
    (install,) = [line for line in instructions() if "--requirement" in line]
    assert "--constraint constraints.txt" in install


def test_it_does_not_run_as_root_and_ray_is_on_the_path_of_login_shells() -> None:
    users = [line.split()[1] for line in instructions() if line.startswith("USER")]
    assert users == ["ray"]
    assert (
        "venv" not in DOCKERFILE
    )  # /usr/local/bin is on the PATH that a login shell sets, an environment's bin is not
    assert re.search(r"^ENV HOME=/home/ray\b", DOCKERFILE, re.MULTILINE)  # Ray's launcher reads it from the image


def test_configurations_are_where_the_manifests_look_for_them() -> None:
    order = [line for line in instructions() if line.startswith(("WORKDIR", "COPY configs"))]
    assert order == ["WORKDIR /colorize", "COPY configs configs"]
