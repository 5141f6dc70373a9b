"""`conveyor score` after real runs of the pipeline."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from tests.integration.conftest import Project

SPAN = 201304


@pytest.fixture(scope="module")
def pushed(project: Project) -> Project:
    """The project with a model that was pushed as version 1, after one that was not good enough."""
    assert project.run(settings=("evaluation.thresholds.auc.min=0.99",)).returncode == 4
    before = project.conveyor("score", "--span", str(SPAN), "--output", "too-early.parquet")
    assert before.returncode == 2
    assert "No model has been blessed yet" in before.stderr
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def score(project: Project, *arguments: str) -> pa.Table:
    done = project.conveyor("score", *arguments, "--output", "scored.parquet")
    assert done.returncode == 0, done.stdout + done.stderr
    return pq.read_table(project.folder / "scored.parquet")


def test_every_row_of_a_span_is_scored_in_its_order(pushed: Project, sample: dict[int, pa.Table]) -> None:
    done = pushed.conveyor("score", "--span", str(SPAN), "--output", "scored.parquet")
    assert done.returncode == 0, done.stdout + done.stderr
    scored = pq.read_table(pushed.folder / "scored.parquet")
    # Parquet has no times in whole seconds.
    pq.write_table(sample[SPAN], pushed.folder / "as-it-came.parquet")
    rows = pq.read_table(pushed.folder / "as-it-came.parquet")
    assert scored.select(rows.column_names).equals(rows)
    assert scored.column_names[-5:] == ["prediction", "probability", "score", "probabilities", "model_version"]
    assert set(scored["model_version"].to_pylist()) == {1}
    for score_, of_classes, label, probability in zip(
        *(scored[name].to_pylist() for name in ("score", "probabilities", "prediction", "probability")), strict=True
    ):
        assert of_classes == {"0": pytest.approx(1 - score_), "1": score_}
        assert label == (score_ > 0.5)
        assert probability == max(of_classes.values())
    assert f"{rows.num_rows:,} rows scored with version 1 of flights, mean score 0." in done.stdout
    assert str(pushed.folder / "scored.parquet") in done.stdout
    assert "Next: conveyor lineage 1" in done.stdout


def test_text_without_a_label_gets_the_same_scores(pushed: Project, sample: dict[int, pa.Table]) -> None:
    """In the first rows of CSV many floats are integers: they are read with the types that the model was trained on."""
    # The data of the configuration, whose newest span that is.
    expected = score(pushed)["score"].to_pylist()[:20]
    rows = _with_epoch_seconds(sample[SPAN].slice(0, 20).drop_columns("late"))
    csv.write_csv(rows, pushed.folder / "new.csv")
    scored = score(pushed, "--input", "new.csv")
    assert scored["score"].to_pylist() == pytest.approx(expected, abs=1e-5)
    assert scored["flight"].to_pylist() == [str(flight) for flight in rows["flight"].to_pylist()], "text stays text"


def test_a_renamed_column_is_a_data_error_and_leaves_what_was_there(pushed: Project, sample: dict[int, pa.Table]) -> None:
    destination = pushed.folder / "scored.parquet"
    destination.write_bytes(b"earlier")
    names = ["airline" if name == "carrier" else name for name in sample[SPAN].column_names]
    pq.write_table(sample[SPAN].rename_columns(names), pushed.folder / "renamed.parquet")
    done = pushed.conveyor("score", "--input", "renamed.parquet", "--output", destination.name)
    assert done.returncode == 3
    assert "carrier" in done.stderr
    assert "Traceback" not in done.stderr
    assert destination.read_bytes() == b"earlier"
    assert not list(Path(pushed.folder).glob(".scored*"))


def _with_epoch_seconds(rows: pa.Table) -> pa.Table:
    """Times as the schema has them, since a CSV file does not say what is a time."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            seconds = rows.column(index).cast(pa.timestamp("s")).cast(pa.int64())
            rows = rows.set_column(index, field.name, seconds)
    return rows
