"""The notebook of the documentation, executed as a person would."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pipeline.util import checkout

NOTEBOOK = checkout.ROOT / "examples" / "planes" / "planes.ipynb"


def test_the_notebook_goes_from_a_table_to_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(checkout.ROOT), os.environ.get("PYTHONPATH")))))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = {
        cell.source: "".join(str(output.get("text", output.get("data", {}).get("text/html", ""))) for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    run, report, predictions, explained, scored = (
        next(out for source, out in shown.items() if source.endswith(end)) for end in ENDINGS
    )
    assert "Pusher                   complete" in run
    assert "Blessed and pushed as version 1" in run
    assert "<iframe srcdoc=" in report
    assert predictions.count("<tr") == 6
    assert "prediction" in predictions
    assert "<th>average</th>" in explained
    assert "<th>engine</th>" in explained
    assert "N10156" in scored
    assert "prediction" in scored


ENDINGS = ("\nrun", "run.report", "model.predict(some))", "model.explain(some).round(1)", '"prediction"]].head()')
