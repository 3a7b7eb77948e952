"""Imports go one way: jobs -> cluster, colorize_core; and the science runs without Ray."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "colorize_core").rglob("*.py"))
CLUSTER = sorted((ROOT / "cluster").rglob("*.py"))


def imported(file: Path) -> set[str]:
    """First parts of the names of all modules that a file imports anywhere, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            names.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "__import__"}:
            # colorize_core.models imports its own architectures by f"{__name__}.{name}"
            names |= {str(part.value).partition(".")[0] for part in ast.walk(node) if isinstance(part, ast.Constant)}
    return names


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_there_are_files_to_check() -> None:
    assert len(CORE) > 10
    assert len(CLUSTER) > 1


@pytest.mark.parametrize("file", CORE, ids=relative)
def test_the_science_imports_neither_ray_nor_the_other_rooms(file: Path) -> None:
    assert not imported(file) & {"ray", "jobs", "cluster"}


@pytest.mark.parametrize("file", CLUSTER, ids=relative)
def test_the_cluster_does_not_import_jobs(file: Path) -> None:
    assert "jobs" not in imported(file)


def test_imports_inside_functions_are_found(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(
        "def f():\n    import ray.data\n    from jobs.cli import main\n    __import__('cluster.storage.stores')\n"
    )
    assert imported(file) == {"ray", "jobs", "cluster"}


def test_the_whole_science_can_be_imported_without_ray() -> None:
    modules = [relative(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in CORE]
    code = (
        "import sys, importlib\n"
        "for name in ('ray', 'jobs', 'cluster'): sys.modules[name] = None\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "from colorize_core.models import build_model, model_names\n"
        "for name in model_names(): build_model(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_archive_needs_no_torch_but_in_its_actors() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from jobs import archive, archive_actor, archive_graph, archive_report, archive_stages, checkpoints\n"
        "from colorize_core.report import archive_page, survey, thumbnails\n"
        "from cluster.storage.stores import StorageOptions\n"
        "checkpoints.check_checkpoint('starter', StorageOptions())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
