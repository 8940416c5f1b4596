"""Notebooks run from top to bottom, and are kept without outputs."""

import json
import os
from pathlib import Path

import nbclient
import nbformat
import pytest

COMPUTES = "09_language_models.ipynb"
"""It takes as long to compute as to compile without the optimisations that tests do without, and less with some."""
NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs(path, tmp_path, monkeypatch):
    """Where NASHPO_NOTEBOOKS names a folder, the notebook is left there as it ran, for the documentation."""
    monkeypatch.delenv("MPLBACKEND")  # notebooks show what they draw
    if path.name == COMPUTES:
        monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"].replace("optimization_level=0", "optimization_level=1"))
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    errors = [o for cell in notebook.cells for o in cell.get("outputs", ()) if o.output_type == "error"]
    warned = [o for cell in notebook.cells for o in cell.get("outputs", ()) if o.get("name") == "stderr"]
    assert not errors
    assert not warned
    if "NASHPO_NOTEBOOKS" in os.environ:
        nbformat.write(notebook, Path(os.environ["NASHPO_NOTEBOOKS"], path.name))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_kept_without_outputs(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_there_are_notebooks():
    assert NOTEBOOKS
