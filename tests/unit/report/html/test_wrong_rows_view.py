"""The rows that a model is most wrong about, as they are shown."""

from __future__ import annotations

import pytest

from pipeline.config import Feature, Task
from pipeline.contracts.wrong_rows import FILE_NAME, WrongRow, WrongRows
from pipeline.report import formats, write_report
from pipeline.report.html.wrong_rows_view import WrongRowsView

ROW = WrongRow(1.0, 0.03, None, 3.5, {"a": (0.5,), "secret": ("x",), "b": ("<b>", "é" * 60), "c": ()})


def test_columns_come_by_importance_without_hidden_ones():
    view = WrongRowsView((ROW,), Task.BINARY, ("no", "yes"), ("c", "secret"), ("secret",))
    assert view.columns == ["c", "a", "b"]
    assert view.value(ROW, "a") == "0.5"
    assert len(view.value(ROW, "b")) == 40
    assert view.value(ROW, "c") == ""


def test_times_are_shown_as_such():
    row = WrongRow(1.0, 0.0, None, 1.0, {"day": (-86400,), "at": (90, float("nan")), "size": (90,)})
    view = WrongRowsView((row,), Task.REGRESSION, times=frozenset(["day", "at"]))
    assert [view.value(row, name) for name in view.columns] == ["1969-12-31", f"1970-01-01 00:01, {formats.DASH}", "90"]


def test_of_many_columns_the_most_important_are_shown():
    many = WrongRow(1.0, 0.0, None, 1.0, {f"x{number}": (number,) for number in range(20)})
    view = WrongRowsView((many,), Task.REGRESSION, important=("x15",))
    assert view.columns[:2] == ["x15", "x0"]
    assert view.left_out + len(view.columns) == 20


@pytest.mark.parametrize(
    ("task", "row", "label", "prediction"),
    [
        (Task.BINARY, ROW, "yes", "3.0 %"),
        (Task.MULTICLASS, WrongRow(0.0, 1.0, 0.25, 1.4, {}), "no", "yes; no 25.0 %"),
        (Task.REGRESSION, WrongRow(1200.0, 3.25, None, 1196.75, {}), "1,200", "3.25"),
    ],
)
def test_labels_and_predictions_have_names(task, row, label, prediction):
    view = WrongRowsView((row,), task, ("no", "yes"))
    assert (view.label(row), view.prediction(row)) == (label, prediction)


def test_the_report_has_a_section(workspace, config):
    workspace.run("first", "-1", version="1")
    (workspace.folder("Evaluator", "evaluation", "evaluation-1") / FILE_NAME).write_text(WrongRows((ROW,)).to_json())

    page = write_report(config, "first").read_text()

    assert "Rows that are most wrong" in page
    assert "&lt;b&gt;" in page


def test_the_configuration_says_what_is_a_time(workspace, config):
    workspace.run("first", "-1", version="1")
    (workspace.folder("Evaluator", "evaluation", "evaluation-1") / FILE_NAME).write_text(WrongRows((ROW,)).to_json())
    times = config.model_copy(update={"features": {"a": Feature(parts=("hour_of_day",))}})

    assert "1970-01-01 00:00" in write_report(times, "first").read_text()
    assert "1970-01-01 00:00" not in write_report(config, "first").read_text()
