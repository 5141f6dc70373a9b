"""`conveyor score` after real runs of the pipeline."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from conveyor.pipeline import Pipeline
from pipeline.config.loading import load_config
from pipeline.contracts.model_description import DESCRIPTION_PATH, ModelDescription
from pipeline.report.read.evaluation import read_evaluation
from tests.integration.conftest import CONFIG, Project

SPAN = 201304
DECISION = "decision.recall=0.9"


@pytest.fixture(scope="module")
def pushed(project: Project) -> Project:
    """The project with a model that was pushed as version 1, after one that was not good enough."""
    assert project.run(settings=(DECISION, "evaluation.thresholds.auc.min=0.99")).returncode == 4
    before = project.conveyor("score", "--span", str(SPAN), "--output", "too-early.parquet")
    assert before.returncode == 2
    assert "No model has been blessed yet" in before.stderr
    done = project.run(settings=(DECISION,))
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture(scope="module")
def threshold(pushed: Project) -> float:
    """The score above which the pushed model calls a flight late."""
    path = pushed.workspace / "models" / "flights" / "1" / DESCRIPTION_PATH
    threshold = ModelDescription.from_json(path.read_text()).threshold
    assert threshold is not None
    return threshold


def score(project: Project, *arguments: str) -> pa.Table:
    done = project.conveyor("score", *arguments, "--output", "scored.parquet")
    assert done.returncode == 0, done.stdout + done.stderr
    return pq.read_table(project.folder / "scored.parquet")


def test_every_row_of_a_span_is_scored_in_its_order(pushed: Project, sample: dict[int, pa.Table], threshold: float) -> None:
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
        assert label == (score_ > threshold)
        assert probability == of_classes[str(label)]
    assert f"{rows.num_rows:,} rows scored with version 1 of flights, mean score 0." in done.stdout
    assert str(pushed.folder / "scored.parquet") in done.stdout
    assert "Next: conveyor lineage 1" in done.stdout


def test_all_decide_by_the_threshold_of_the_model(pushed: Project, sample: dict[int, pa.Table], threshold: float) -> None:
    assert 0 < threshold < 0.5
    assert f"A row is called 1 where its score is above {threshold:.4g}, for a recall of at least 0.9" in pushed.inspect("show")
    config = load_config(CONFIG, [f"workspace={pushed.workspace}"])
    evaluated = pa.concat_tables([sample[span] for span in (201302, 201303, 201304)]).to_pandas()
    answers = Pipeline(config).model().predict(evaluated)
    assert (answers["prediction"] == (answers["score"] > threshold)).all()
    assert answers["probability"].where(answers["prediction"] == 1, 1 - answers["probability"]).tolist() == pytest.approx(
        answers["score"].tolist(), abs=1e-6
    )
    (confusion,) = {
        read_evaluation(path.parent).plots["candidate"].confusion
        for path in pushed.workspace.glob("artifacts/flights/Evaluator/evaluation/*/eval_config.json")
    }
    assert confusion is not None
    assert confusion.threshold == pytest.approx(threshold, abs=1e-6)
    pairs = list(zip(evaluated["late"], answers["prediction"], strict=True))
    assert confusion.counts == tuple(tuple(pairs.count((actual, called)) for called in (0, 1)) for actual in (0, 1))


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
