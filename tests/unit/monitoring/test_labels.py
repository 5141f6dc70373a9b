"""Labels that come after the predictions: joined to the log, counted, and the quality that they show."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.cli.main import main
from pipeline.config import PipelineConfig
from pipeline.contracts.model_description import ModelDescription
from pipeline.errors import DataError, UsageError
from pipeline.monitoring.labels import Import, LabelStore, import_labels
from pipeline.monitoring.moments import UTC, Period
from pipeline.monitoring.prediction_files import PredictionFiles
from pipeline.monitoring.textfile import render_quality

FIRST = datetime.datetime(2026, 1, 1, 6, tzinfo=UTC)


@pytest.fixture
def log(config: PipelineConfig) -> PredictionFiles:
    """Three requests on two days, of two rows each, with keys a to f."""
    folder = Path(config.resolve(str(config.gateway.log.folder)))
    for day, requests in enumerate((["r1", "r2"], ["r3"])):
        write(
            folder,
            FIRST + datetime.timedelta(days=day),
            [each for each in requests for _ in range(2)],
            "abcd" if not day else "ef",
        )
    return PredictionFiles(folder)


def write(folder: Path, moment: datetime.datetime, requests: list[str], keys: str, **columns: Any) -> None:
    size = len(requests)
    numbers = [requests[:place].count(each) + 1 for place, each in enumerate(requests)]
    table = pa.table(
        {
            "carrier": ["UA", "AA"] * (size // 2),
            "prediction_time": pa.array([moment] * size, pa.timestamp("us", tz="UTC")),
            "prediction_request_id": requests,
            "prediction_row": pa.array(numbers, pa.int32()),
            "prediction_key": list(keys),
            "prediction_version": [1] * size,
            "prediction_label": [0, 1] * (size // 2),
            "prediction_score": [0.25, 0.75] * (size // 2),
        }
        | columns
    )
    path = folder / f"date={moment.date()}" / f"{moment:%H%M%S}-x.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


@pytest.fixture
def store(config: PipelineConfig) -> LabelStore:
    return LabelStore.of(config)


Importer = Callable[..., Import]


@pytest.fixture
def imported(log: PredictionFiles, store: LabelStore) -> Importer:
    def run(replace: bool = False, **columns: Any) -> Import:
        return import_labels(log, store, pd.DataFrame(columns), "late", replace=replace)

    return run


def known(store: LabelStore) -> dict[str, str]:
    days = [store.read(day) for day in store.days()]
    return {f"{row.prediction_request_id}/{row.prediction_row}": row.label for day in days for row in day.itertuples()}


def test_labels_are_joined_by_request_and_row(imported: Importer, store: LabelStore) -> None:
    done = imported(prediction_request_id=["r1", "r3"], prediction_row=[2, 1], late=[1.0, 0.0])
    assert (done.given, done.new, done.unknown) == (2, 2, 0)
    assert known(store) == {"r1/2": "1", "r3/1": "0"}
    assert store.days() == [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)]
    assert done.delays is not None
    assert done.delays[0] < done.delays[2]


def test_labels_are_joined_by_key(imported: Importer, store: LabelStore) -> None:
    done = imported(prediction_key=["b", "f", None, "z"], late=[1, 0, 1, 1])
    assert (done.new, done.unknown) == (2, 2)
    assert known(store) == {"r1/2": "1", "r3/2": "0"}


@pytest.mark.parametrize("number", [None, "second", 1.5, float("inf")])
def test_a_row_without_a_number_is_one_that_was_not_logged(imported: Importer, store: LabelStore, number: object) -> None:
    done = imported(prediction_request_id=["r1", "r1"], prediction_row=[2, number], late=[1, 0])
    assert (done.given, done.new, done.unknown) == (2, 1, 1)
    assert known(store) == {"r1/2": "1"}


def test_importing_again_changes_nothing(imported: Importer, store: LabelStore) -> None:
    table = {"prediction_key": ["a", "b"], "late": [1, 0]}
    imported(**table)
    before = store.read(store.days()[0])
    done = imported(**table)
    assert (done.new, done.known) == (0, 2)
    pd.testing.assert_frame_equal(store.read(store.days()[0]), before)


def test_more_labels_join_those_that_are_known(imported: Importer, store: LabelStore) -> None:
    imported(prediction_key=["a"], late=[1])
    done = imported(prediction_key=["a", "b"], late=[1, 0])
    assert (done.new, done.known) == (1, 1)
    assert known(store) == {"r1/1": "1", "r1/2": "0"}


def test_a_label_that_contradicts_another_is_told_and_kept_out_unless_it_is_to_replace_it(
    imported: Importer, store: LabelStore
) -> None:
    imported(prediction_key=["a"], late=[1])
    done = imported(prediction_key=["a"], late=[0])
    (found,) = done.contradictions
    assert (done.contradicted, found.row, found.known, found.given) == (1, "r1/1", "1", "0")
    assert known(store) == {"r1/1": "1"}
    assert imported(prediction_key=["a"], late=[0], replace=True).replaced == 1
    assert known(store) == {"r1/1": "0"}


def test_labels_that_come_twice_in_a_table(imported: Importer, store: LabelStore) -> None:
    done = imported(prediction_key=["a", "a", "b", "b"], late=[1, 1, 1, 0])
    assert (done.given, done.new, done.twice, done.contradicted) == (4, 2, 2, 1)
    assert known(store) == {"r1/1": "1", "r1/2": "1"}


def test_rows_without_a_label_wait(imported: Importer) -> None:
    done = imported(prediction_key=["a", "b"], late=[1, None])
    assert (done.new, done.without_label) == (1, 1)
    with pytest.raises(DataError, match="The table has no label"):
        imported(prediction_key=["a"], late=[None])


def test_what_a_table_lacks_is_told(imported: Importer) -> None:
    with pytest.raises(UsageError, match="Did you mean 'prediction_request'") as error:
        imported(prediction_request=["r1"], late=[1])
    assert error.value.fix == "Name the column of the labels with --label, and that of the keys that requests had with --key."


def test_two_imports_at_once_do_not_lose_labels(imported: Importer, store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.errors import StorageError
    from pipeline.monitoring import labels

    monkeypatch.setattr(labels, "_LOCK_SECONDS", 0.01)
    with store.locked(), pytest.raises(StorageError, match="Another process imports labels"):
        imported(prediction_key=["a"], late=[1])


def test_the_command_and_the_quality_that_labels_show(
    workspace: Any, config: PipelineConfig, log: PredictionFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.contracts.model_description import DESCRIPTION_PATH

    workspace.run("run-1", "-1", version="7")
    described = config.serving_path / "7" / DESCRIPTION_PATH
    described.parent.mkdir(parents=True)
    described.write_text(ModelDescription("binary_classification", "late", [0, 1], features={"carrier": "string"}).to_json())
    path = tmp_path / "pipeline.yaml"
    document = config.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"evaluation": {"slices": [["carrier"]]}}
    path.write_text(yaml.safe_dump(document))
    (tmp_path / "came.csv").write_text("order,late\na,0\nb,1\nc,1\nd,0\nx,1\n")

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["labels", *arguments, "--config", str(path)])
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        return out

    out = run("import", str(tmp_path / "came.csv"), "--key", "order")
    assert "flights: 4 of 5 labels are new" in out
    assert "1 labels are of rows that were not logged" in out
    found = json.loads(run("quality", "--since", "2026-01-01", "--json"))
    assert (found["logged"], found["labelled"], found["unusable"]) == (6, 4, 0)
    groups = {(each["by"], each["value"]): each for each in found["groups"]}
    assert set(groups) == {("all", ""), ("version", "1"), ("day", "2026-01-01"), ("carrier", "UA"), ("carrier", "AA")}
    assert groups["all", ""]["metrics"]["accuracy"] == 0.5
    assert groups["carrier", "UA"]["rows"] == 2
    textfile = tmp_path / "labels.prom"
    assert "carrier UA" in run("quality", "--since", "2026-01-01", "--textfile", str(textfile))
    metrics = textfile.read_text()
    assert 'conveyor_labels_rows{metric="auc",model="flights",version="1"} 4.0' in metrics
    # Version 1 was pushed by no run, so nobody knows how it was judged.
    assert "conveyor_labels_decayed" not in metrics


def test_a_version_has_decayed_where_all_of_the_interval_is_worse_than_when_it_was_judged() -> None:
    from pipeline.monitoring.quality import LabelledQuality, Quality

    def told(primary: str, judged: float) -> bool:
        group = Quality("version", "7", 100, {primary: 0.7}, primary, 0.65, 0.75, 0.7)
        page = render_quality("flights", LabelledQuality((group,), 100, 100, 0), {"7": judged}, 5.0)
        assert f'conveyor_labels_judged{{metric="{primary}",model="flights",version="7"}} {judged}' in page
        return f'conveyor_labels_decayed{{metric="{primary}",model="flights",version="7"}} 1.0' in page

    assert [told("auc", judged) for judged in (0.6, 0.7, 0.74, 0.76)] == [False, False, False, True]
    assert [told("rmse", judged) for judged in (0.6, 0.66, 0.7, 0.8)] == [True, False, False, False]
    unknown = Quality("version", "7", 1, {"auc": 0.7}, "auc", math.nan, math.nan, 0.7)
    assert not unknown.is_worse_than(0.9)


@pytest.mark.parametrize(("kind", "first", "second"), [("boolean", "1", "0"), ("text", "yes", "no")])
def test_labels_are_read_as_those_of_training(
    kind: str,
    first: str,
    second: str,
    config: PipelineConfig,
    log: PredictionFiles,
    store: LabelStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    (tmp_path / "came.csv").write_text("prediction_key,came\na,yes\nb,no\n")
    columns = ("--set", f"data.columns={{late: {kind}}}")
    with pytest.raises(SystemExit) as ended:
        main(["labels", "import", str(tmp_path / "came.csv"), "--label=came", "--config", str(path), *columns])
    assert not ended.value.code, capsys.readouterr().err
    assert known(store) == {"r1/1": first, "r1/2": second}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("task", "class_weights"),
    [
        ("binary_classification", []),
        ("multiclass_classification", []),
        ("multiclass_classification", [1.0, 2.0, 8.0]),
        ("regression", []),
    ],
)
def test_metrics_are_those_that_the_evaluator_has_for_the_same_rows(
    task: str, class_weights: list[float], config: PipelineConfig, store: LabelStore
) -> None:
    import tensorflow_model_analysis as tfma

    from components.evaluator.config import eval_config
    from pipeline.monitoring.quality import measure

    rng = np.random.default_rng(0)
    size = 600
    changed = {"task": task, "evaluation": {"slices": [["carrier"]]}}
    own = PipelineConfig.model_validate(config.model_dump(by_alias=True, exclude_unset=True) | changed)
    folder = Path(own.resolve(str(own.gateway.log.folder)))
    requests = [f"r{number}" for number in range(size)]
    classes: list[Any] = {"binary_classification": [0, 1], "multiclass_classification": ["a", "b", "c"]}.get(task, [])
    probabilities = rng.dirichlet([1, 1, 1], size).astype(np.float32)
    answers = {
        "binary_classification": {"prediction_score": probabilities[:, 0].astype(np.float64)},
        "multiclass_classification": {"prediction_probabilities": [list(map(float, each)) for each in probabilities]},
        "regression": {"prediction_value": probabilities[:, 0].astype(np.float64)},
    }[task]
    write(folder, FIRST, requests, "k" * size, **answers)
    labels: Any = rng.choice(classes, size).tolist() if classes else rng.normal(0.5, 0.2, size).astype(np.float32).tolist()
    import_labels(
        PredictionFiles(folder), store, pd.DataFrame({"prediction_request_id": requests, "late": labels}), "late", replace=False
    )

    threshold = 0.3 if task == "binary_classification" else None
    description = ModelDescription(task, "late", classes, threshold=threshold, class_weights=class_weights)
    found = measure(own, description, PredictionFiles(folder), store, Period())
    groups = {(each.by, each.value): each for each in found.groups}

    # The Evaluator's own way to the same numbers: TFMA on predictions that are given.
    complete = tfma.utils.update_eval_config_with_defaults(eval_config(own), has_baseline=False, rubber_stamp=True)
    if threshold:
        from components.evaluator.thresholds import at_thresholds

        complete = at_thresholds(complete, {"": threshold})
    frame = pd.DataFrame({"carrier": ["UA", "AA"] * (size // 2)})
    frame["label"] = [classes.index(each) for each in labels] if classes else labels
    if class_weights:
        weighed = probabilities * np.array(class_weights)
        probabilities = weighed / weighed.sum(axis=1, keepdims=True)
    frame["prediction"] = list(probabilities) if task == "multiclass_classification" else probabilities[:, 0]
    for spec in complete.model_specs:
        spec.Clear()
        spec.label_key, spec.prediction_key = "label", "prediction"
    for specs in complete.metrics_specs:
        for metric in specs.metrics:
            del metric.per_slice_thresholds[:]
    del complete.slicing_specs[:]
    complete.slicing_specs.add()
    complete.slicing_specs.add(feature_keys=["carrier"])
    result = tfma.analyze_raw_data(frame, complete)
    for key, of_outputs in result.slicing_metrics:
        name = ("carrier", key[0][1]) if key else ("all", "")
        for metric, value in of_outputs[""][""].items():
            if "doubleValue" in value:
                assert groups[name].metrics[metric] == pytest.approx(value["doubleValue"], abs=1e-6), (name, metric)
    primary = groups["all", ""]
    assert primary.lower < primary.metrics[primary.primary] < primary.upper
