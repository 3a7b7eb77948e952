"""Imports go one way: jobs -> cluster, colorize_core; packages form layers; the core runs without Ray."""

import ast
import graphlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = ("colorize_core", "cluster", "jobs")
FILES = {root: sorted((ROOT / root).rglob("*.py")) for root in ROOTS}
MOST_MODULES = 12


def module_of(file: Path) -> str:
    """Dotted name of a file of the project."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(file) for files in FILES.values() for file in files}
PACKAGES = {module_of(file) for files in FILES.values() for file in files if file.name == "__init__.py"}


def imported(file: Path) -> set[str]:
    """Dotted names that a file imports anywhere, inside functions and for type checkers too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "__import__"}:
            # colorize_core.models imports its own architectures by f"{__name__}.{name}"
            names |= {str(part.value) for part in ast.walk(node) if isinstance(part, ast.Constant)}
    return names


def roots_of(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def package_of(name: str) -> str | None:
    """The innermost package of a dotted name of the project; a module directly below a root stands for itself."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    if name in ROOTS or not name:
        return None
    return name if name in PACKAGES or name.count(".") == 1 else name.rpartition(".")[0]


def package_graph() -> dict[str, set[str]]:
    """Which packages each package imports."""
    graph: dict[str, set[str]] = {}
    for files in FILES.values():
        for file in files:
            if (own := package_of(module_of(file))) is None:
                continue
            others = {package_of(name) for name in imported(file)} - {own, None}
            graph.setdefault(own, set()).update(other for other in others if other)
    return graph


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_there_are_files_to_check() -> None:
    assert all(len(files) > 10 for files in FILES.values())


@pytest.mark.parametrize("file", FILES["colorize_core"], ids=relative)
def test_the_core_imports_neither_ray_nor_the_other_roots(file: Path) -> None:
    assert not roots_of(imported(file)) & {"ray", "jobs", "cluster"}


@pytest.mark.parametrize("file", FILES["cluster"], ids=relative)
def test_the_cluster_does_not_import_jobs(file: Path) -> None:
    assert "jobs" not in roots_of(imported(file))


def test_packages_form_layers_without_circles() -> None:
    graph = package_graph()
    assert len(graph) > 30
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_a_circle_would_be_found() -> None:
    graph = package_graph()
    graph["colorize_core.color"].add("colorize_core.inference")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("package", sorted(PACKAGES - set(ROOTS)))
def test_packages_stay_small(package: str) -> None:
    folder = ROOT / package.replace(".", "/")
    modules = [file for file in folder.glob("*.py") if file.name not in ("__init__.py", "__main__.py")]
    assert len(modules) <= MOST_MODULES


def verbs() -> Iterator[str]:
    from jobs.cli import VERBS

    yield from VERBS


@pytest.mark.parametrize("verb", list(verbs()))
@pytest.mark.slow
def test_every_verb_is_a_module_that_python_runs(verb: str) -> None:
    assert importlib.util.find_spec(f"jobs.{verb}")
    package = ROOT / "jobs" / verb
    assert not package.is_dir() or (package / "__main__.py").is_file()


def test_imports_inside_functions_are_found(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text("def f():\n    import ray.data\n    from jobs.cli import main\n    __import__('cluster.storage')\n")
    assert imported(file) == {"ray.data", "jobs.cli.main", "cluster.storage"}


@pytest.mark.slow
def test_the_whole_core_can_be_imported_without_ray() -> None:
    modules = [name for name in sorted(MODULES) if name.startswith("colorize_core") and "__main__" not in name]
    code = (
        "import sys, importlib\n"
        "for name in ('ray', 'jobs', 'cluster'): sys.modules[name] = None\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "from colorize_core.models import check_model, model_names\n"
        "for name in model_names(): check_model(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_names_that_users_import() -> None:
    code = (
        "from colorize_core.color import lab_to_rgb, rgb_to_lab\n"
        "from colorize_core.models import build_model, model_names\n"
        "from colorize_core.checkpoint import load_checkpoint, save_checkpoint\n"
        "from colorize_core.colorizer import Colorizer\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_archive_needs_torch_only_in_its_actors() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from jobs.archive import actor, job, pipeline, report, tasks\n"
        "from jobs.run import checkpoints\n"
        "from colorize_core.report.archive import page, statistics\n"
        "from colorize_core.report import thumbnails\n"
        "from cluster.storage.stores import StorageOptions\n"
        "checkpoints.check_checkpoint('starter', StorageOptions())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
