"""The image: what goes into it, and that it is what was tested."""

import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from colorize_core import __version__
from tests.cluster.deploy.deployment import HERE, ROOT, pinned

DOCKERFILE = (HERE / "Dockerfile").read_text()


def instructions() -> list[str]:
    """Of the Dockerfile, one to a line, without comments."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def taken() -> list[str]:
    """What .dockerignore lets into the build."""
    return [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def test_python_is_the_one_of_the_constraints() -> None:
    (version,) = re.findall(r"^ARG BASE=python:(3\.\d+)-slim-", DOCKERFILE, re.MULTILINE)
    assert f"on Python {version}." in (ROOT / "constraints.txt").read_text().splitlines()[0]


def test_what_is_copied_or_mounted_is_there_and_let_in() -> None:
    copied = [word for line in instructions() if line.startswith("COPY configs") for word in line.split()[1:-1]]
    mounted = re.findall(r"type=bind,source=([^, ]+)", DOCKERFILE)
    assert copied
    assert mounted
    for name in [*copied, *mounted]:
        assert (ROOT / name).exists(), name
        assert any(f"{name}/".startswith(f"{folder}/") for folder in taken()), name


def test_what_the_package_is_built_from_is_let_in() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    needed = {*folders, "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert needed <= set(taken())


def test_nothing_else_is_let_in() -> None:
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    assert all((ROOT / name).exists() for name in taken())


def locked() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes by name of every package of the lock file."""
    lock = re.sub(r"\\\n\s*", "", (HERE / "requirements.txt").read_text())
    entries = [line.split() for line in lock.splitlines() if not line.startswith("#")]
    return {entry[0].partition("==")[0]: (entry[0].partition("==")[2], entry[1:]) for entry in entries}


def test_every_package_has_the_tested_version_and_hashes() -> None:
    assert len(locked()) > 100
    for name, (version, hashes) in locked().items():
        if name != "setuptools":  # `pip freeze` leaves it out
            assert pinned(name) == version, f"{name}: make lock"
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), name


def test_every_dependency_of_the_project_is_locked() -> None:
    """And in that version; what these need themselves was resolved with them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        assert requirement.specifier.contains(locked()[canonicalize_name(requirement.name)][0]), requirement


def test_pip_installs_what_is_locked_alone() -> None:
    installs = [line for line in instructions() if "pip install" in line]
    assert len(installs) == 4
    assert all("--no-deps" in line for line in installs)
    shared, gpu, cpu, project = installs
    assert all("--require-hashes" in line for line in (shared, gpu))
    assert "--index-url" in cpu
    assert project.endswith("--no-build-isolation /source")  # a build would fetch its own tools


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [("shared", {"ray", "numpy", "torch-fidelity", "setuptools"}), ("gpu", {"torch", "torchvision", "triton"})],
)
def test_both_variants_share_all_but_pytorch_and_cuda(chosen: str, wanted: set[str]) -> None:
    """By the Dockerfile's own lines."""
    (program,) = re.findall(rf"awk '(/\^\[a-z\]/ {{{chosen} = .*?)'", DOCKERFILE)
    file = HERE / "requirements.txt"
    text = subprocess.run(["awk", program, str(file)], capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE))
    assert wanted <= names
    is_gpu = re.compile(r"(torch|torchvision|triton|(nvidia|cuda)-.+)")
    assert all(bool(is_gpu.fullmatch(name)) == (chosen == "gpu") for name in names)


def test_a_variant_is_a_stage() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE)
    assert {"dependencies-gpu", "dependencies-cpu"} <= set(stages)
    assert "FROM dependencies-${VARIANT} AS dependencies" in instructions()


def test_labels_have_the_projects_version_and_license() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\S+)="([^"]*)"', DOCKERFILE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (labels["version"], labels["licenses"]) == (__version__, project["license"])


def test_the_cache_of_compiled_loops_belongs_to_the_user_and_holds_for_other_processors() -> None:
    environment = dict(re.findall(r"(NUMBA_\w+)=(\S*)", DOCKERFILE))
    assert environment["NUMBA_CPU_NAME"] == "x86-64-v3"
    assert environment["NUMBA_CPU_FEATURES"] == '""'  # otherwise those of the machine that builds
    assert f"install --directory --owner=ray {environment['NUMBA_CACHE_DIR']}" in DOCKERFILE
    lines = instructions()
    (warm,) = [line for line in lines if "colorize photo" in line]
    assert lines.index("USER 1000") < lines.index(warm)


def test_it_does_not_run_as_root_and_ray_is_on_the_path_of_login_shells() -> None:
    users = [line.split()[1] for line in instructions() if line.startswith("USER")]
    assert users == ["1000"]  # a number, or Kubernetes cannot tell that it is not root
    assert "useradd --uid 1000" in DOCKERFILE
    # /usr/local/bin is on the PATH that a login shell sets, an environment's bin is not
    assert "venv" not in DOCKERFILE
    assert "COPY --from=dependencies /install /usr/local" in instructions()
    assert re.search(r"^ENV HOME=/home/ray\b", DOCKERFILE, re.MULTILINE)  # Ray's launcher reads it from the image


def test_configurations_are_where_the_manifests_look_for_them() -> None:
    order = [line for line in instructions() if line.startswith(("WORKDIR", "COPY configs"))]
    assert order == ["WORKDIR /colorize", "COPY configs configs"]
