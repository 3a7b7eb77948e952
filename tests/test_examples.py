"""The notebooks of examples/ run from start to end, and produce what they show."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

EXAMPLES = Path(__file__).parents[1] / "examples"
ONE_NOTEBOOK_SECONDS = 300


@pytest.fixture
def executed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NotebookNode:
    """The notebook that the test names, executed in `tmp_path` by a kernel of its own."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(EXAMPLES / request.param, as_version=4)
    client = NotebookClient(
        notebook, timeout=ONE_NOTEBOOK_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    return client.execute()


def results(notebook: NotebookNode) -> list[str]:
    """The values of the cells' last expressions, as text."""
    return [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "execute_result"
    ]


def shown_images(notebook: NotebookNode) -> int:
    """How many cells show an image."""
    return sum(
        any("image/png" in output.get("data", {}) for output in cell.get("outputs", ())) for cell in notebook.cells
    )


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.long  # 27 s; tests/jobs/test_python_api.py makes the same calls
@pytest.mark.parametrize("executed", ["colorize_a_folder.ipynb"], indirect=True)
def test_a_folder_is_colorized(executed: NotebookNode, tmp_path: Path) -> None:
    work = tmp_path / "output" / "colorize_a_folder"
    rows = pd.read_parquet(work / "colorized" / "metrics").set_index("key")
    assert dict(rows["status"].value_counts()) == {"ok": 5, "truncated": 1}
    colored = rows[rows["status"] == "ok"]
    assert all((work / "colorized" / "images" / key).is_file() for key in colored["output_key"])
    assert (colored["mean_chroma"] > 1).any()
    assert (work / "astronaut.png").is_file()
    assert "0" in results(executed)  # the exit code of the run
    assert shown_images(executed) == 1


@pytest.mark.long  # 75 s; tests/jobs/test_recipe.py runs the same verbs
@pytest.mark.parametrize("executed", ["train_evaluate_export.ipynb"], indirect=True)
def test_a_model_is_trained_evaluated_and_exported(executed: NotebookNode, tmp_path: Path) -> None:
    work = tmp_path / "output" / "train_evaluate_export"
    assert results(executed)[:2] == ["64", "0"]  # photographs written, exit code of prepare
    assert len(pd.read_csv(work / "run" / "metrics.csv")) == 2
    table = (work / "results" / "table.md").read_text()
    assert all(f"| {row} |" in table.replace("**", "") for row in ("gray", "constant color", "two epochs", "starter"))
    assert (work / "model.onnx").stat().st_size > 10_000
    assert results(executed)[-1] == "torch.Size([1, 3, 128, 128])"
    assert shown_images(executed) == 1
