"""What a model leans on, as it is shown."""

from __future__ import annotations

import math

import pytest

from pipeline.contracts.importance import FILE_NAME, ColumnImportance, Dependence, Importance
from pipeline.report import write_report
from pipeline.report.html.importance_view import ImportanceView

IMPORTANCE = Importance(
    "auc",
    0.8,
    2_000,
    (ColumnImportance("distance", 0.1, 0.05, 0.15), ColumnImportance("origin", -0.01, -math.inf, math.inf)),
    (
        Dependence("distance", (1.0, 2.0), (0.25, 0.75)),
        Dependence("origin", ("EWR", "<b>"), (0.2, 0.4)),
    ),
)


def test_intervals_share_a_scale_and_end_at_its_edges():
    view = ImportanceView(IMPORTANCE)

    assert view.place(-0.01) == 0
    assert view.place(0.15) == 100
    assert view.place(0) == pytest.approx(6.25)
    assert view.place(-math.inf) == 0
    assert view.place(math.inf) == 100


def test_numbers_are_lines_and_texts_are_bars():
    view = ImportanceView(IMPORTANCE)

    ((column, (line,)),) = view.lines
    assert (column, line.points) == ("distance", [(1.0, 0.25), (2.0, 0.75)])
    assert view.bars == [("origin", [("EWR", 0.2, 50.0), ("<b>", 0.4, 100.0)])]


def test_times_are_bars_with_dates():
    dependences = (Dependence("sold", (0.0, 5400.0), (0.2, 0.4)),)
    view = ImportanceView(Importance("auc", 0.8, 500, (), dependences), frozenset(["sold"]))
    assert view.lines == []
    assert view.bars == [("sold", [("1970-01-01", 0.2, 50.0), ("1970-01-01 01:30", 0.4, 100.0)])]


def test_the_least_important_of_many_columns_are_counted():
    many = tuple(ColumnImportance(f"x{number}", 0.0, 0.0, 0.0) for number in range(40))
    view = ImportanceView(Importance("auc", 0.8, 500, many))

    assert view.left_out + len(view.columns) == 40
    assert view.columns[0].column == "x0"
    assert view.place(0.0) == 0


def test_the_report_has_a_section(workspace, config):
    workspace.run("first", "-1", version="1")
    (workspace.folder("Evaluator", "evaluation", "evaluation-1") / FILE_NAME).write_text(IMPORTANCE.to_json())

    page = write_report(config, "first").read_text()

    assert "What the model relies on" in page
    assert "worse than 0.8000 when the values of one column are shuffled among 2,000 rows" in page
    assert "&lt;b&gt;" in page


def test_without_the_file_there_is_none(workspace, config):
    workspace.run("first", "-1", version="1")

    assert "What the model relies on" not in write_report(config, "first").read_text()
