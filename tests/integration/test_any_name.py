"""A column may have any name: through Transform, Trainer, export, the model server, the Evaluator and the report."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import model_pb2
from tensorflow_transform.tf_metadata import schema_utils
from tfx.components.trainer.fn_args_utils import FnArgs

import conveyor
from components.evaluator.config import eval_config, gate_of
from components.evaluator.evaluation import evaluate
from components.shared.examples.encoder import encode
from components.shared.examples.kinds import Kind
from components.shared.examples.splits import SplitPart
from components.shared.examples.writer import SplitWriter
from components.transform.analysis import analyze
from components.transform.materialization import Materializer
from pipeline.config import PipelineConfig
from pipeline.contracts.importance import FILE_NAME as IMPORTANCE_FILE
from pipeline.contracts.importance import Importance
from pipeline.report.read.evaluation import read_evaluation
from pipeline.report.read.transformation import read_transformation
from pipeline.training import settings as training_settings
from pipeline.training.preprocessing import preprocessing_fn
from pipeline.training.trainer import run_fn
from serving.modelserver.flags import Flags
from serving.modelserver.inference.predict import run
from serving.modelserver.inference.servable import Servable, SessionOptions
from serving.modelserver.models.warmup import warm_up
from tests.fakes.names import HARD_NAMES, names
from tests.integration.conftest import CONVEYOR, ENVIRONMENT

ROWS = 64
KINDS = {"int": Kind.INTEGER, "float": Kind.FLOAT, "string": Kind.TEXT}
ARROW_TYPES = {"int": pa.int64(), "float": pa.float32(), "string": pa.string()}
DTYPES = {"int": tf.int64, "float": tf.float32, "string": tf.string}
VALUES = {"int": range(ROWS), "float": [number / 7 for number in range(ROWS)], "string": [f"v{n % 3}" for n in range(ROWS)]}


def check(columns: Sequence[str], label: str, folder: Path) -> None:
    """Trains on a table whose columns have these names, asks the model by them, and evaluates it by slices of them."""
    types = {name: sorted(KINDS)[position % 3] for position, name in enumerate(columns)}
    table = {name: pa.array(VALUES[type_], ARROW_TYPES[type_]) for name, type_ in types.items()}
    table[label] = pa.array(["ja" if number % 3 else "nö" for number in range(ROWS)])
    files = _write(table, {**{name: KINDS[type_] for name, type_ in types.items()}, label: Kind.TEXT}, folder / "examples")
    sliced = [name for name, type_ in types.items() if type_ == "string"][:5]
    config = PipelineConfig.model_validate(
        {
            "name": "names",
            "task": "binary_classification",
            "label": label,
            "data": {"input": "names.parquet"},
            "training": {"epochs": 1, "batch_size": ROWS},
            "model": {"kind": "network", "hidden_units": [4], "numeric_bins": 0},
            "evaluation": {"slices": [[name] for name in sliced]},
        }
    )
    graph = str(folder / "graph")
    specs = {name: tf.io.VarLenFeature(DTYPES[type_]) for name, type_ in types.items()}
    schema = schema_utils.schema_from_feature_spec({**specs, label: tf.io.VarLenFeature(tf.string)})
    custom = training_settings.for_transform(config).to_custom_config()
    used = analyze(
        functools.partial(preprocessing_fn, custom_config=custom),
        "",
        schema,
        [SplitPart(tuple(files))],
        graph,
        str(folder / "temporary"),
    )
    assert set(used) == {*columns, label}
    with ThreadPoolExecutor() as pool:
        assert Materializer(graph, used).write(files, str(folder / "transformed"), pool) == ROWS
    vocabularies = {each.column: each.values for each in read_transformation(Path(graph)).vocabularies}
    assert vocabularies == {name: ("v0", "v2", "v1") for name, type_ in types.items() if type_ == "string"}

    model = str(folder / "model")
    run_fn(
        FnArgs(
            train_files=files,
            transform_graph_path=graph,
            transform_output=graph,
            serving_model_dir=model,
            model_run_dir=str(folder / "model_run"),
            custom_config=training_settings.for_trainer(config).to_custom_config(),
        )
    )
    _check_served(Path(model), table, label, files)

    evaluate(eval_config(config), {"": model}, files, str(folder / "evaluation"), gate_of(config))
    importance = Importance.from_json((folder / "evaluation" / IMPORTANCE_FILE).read_text())
    assert {each.column for each in importance.columns} == set(columns)
    slices = {each.key: each.rows for each in read_evaluation(folder / "evaluation").slices}
    assert slices == {(): ROWS, **{((name, f"v{n}"),): len(range(n, ROWS, 3)) for name in sliced for n in range(3)}}


def _write(table: dict[str, pa.Array], kinds: dict[str, Kind], folder: Path) -> list[str]:
    with ThreadPoolExecutor() as pool:
        writer = SplitWriter(str(folder), "gzip", pool)
        writer.write(encode(pa.record_batch(list(table.values()), names=list(table)), kinds))
        writer.close()
    return [str(path) for path in sorted(folder.iterdir())]


def _check_served(model: Path, table: dict[str, pa.Array], label: str, files: Sequence[str]) -> None:
    servable = Servable("names", 1, model, SessionOptions.from_flags(Flags()))
    try:
        assert warm_up(servable, model) == 4
        inputs = {
            name: np.array(values.to_pylist(), values.type.to_pandas_dtype()) for name, values in table.items() if name != label
        }
        assert set(servable.signatures["predict_raw"].inputs) == set(inputs)
        raw = run(servable, model_pb2.ModelSpec(signature_name="predict_raw"), inputs)
        rows = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
        examples = run(servable, model_pb2.ModelSpec(), {"examples": tf.constant(rows).numpy()})
        assert raw["score"].tolist() == examples["score"].tolist()
        assert len(set(raw["score"][:, 0].tolist())) > ROWS / 2
        assert {value.decode() for value in raw["labels"][:, 0]} <= {"ja", "nö"}
    finally:
        servable.close()


def test_a_run_of_a_table_with_hard_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the file to a scored table, a column without any value included."""
    columns = HARD_NAMES[::3]
    types = {name: sorted(KINDS)[position % 3] for position, name in enumerate(columns)}
    table = {name: pa.array(list(VALUES[type_]) * 4, ARROW_TYPES[type_]) for name, type_ in types.items()}
    table["nothing"] = pa.nulls(4 * ROWS)
    table["prediction"] = pa.array(["ja" if number % 3 else "nö" for number in range(4 * ROWS)])
    pq.write_table(pa.table(table), tmp_path / "hard.parquet")
    config = {
        "name": "hard",
        "label": "prediction",
        "data": {"input": "hard.parquet"},
        "model": {"kind": "network", "hidden_units": [4]},
        "training": {"epochs": 1},
        "evaluation": {"thresholds": {"auc": {"min": 0.0}}, "slices": [[columns[2]]]},
        "infra_validator": {"runner": "process", "requests": 5},
    }
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    for command in (["run"], ["score", "--output", "scored.parquet"]):
        done = subprocess.run(
            [str(CONVEYOR), *command], cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr

    scored = pq.read_table(tmp_path / "scored.parquet")
    assert scored.select(list(table)).equals(pa.table(table))
    answer = ["predicted_prediction", "predicted_probability", "score", "probabilities", "predicted_model_version"]
    assert scored.column_names[len(table) :] == answer
    frame = pa.table(table).drop_columns("nothing").to_pandas()
    monkeypatch.chdir(tmp_path)
    answers = conveyor.load("pipeline.yaml").model().predict(frame)
    assert answers["score"].tolist() == pytest.approx(scored["score"].to_pylist(), abs=1e-5)
    assert answers["prediction"].tolist() == scored["predicted_prediction"].to_pylist()
    (page,) = tmp_path.rglob("report.html")
    assert "<b>x</b>" not in page.read_text()


def test_a_label_may_have_the_name_of_a_feature_that_the_model_sees(tmp_path: Path) -> None:
    check(["self", "class", "prénom/", "labels"], "numeric", tmp_path)


@settings(max_examples=2, phases=[Phase.explicit, Phase.reuse, Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(names, min_size=4, max_size=8, unique=True))
def test_any_names(tmp_path_factory: pytest.TempPathFactory, chosen: list[str]) -> None:
    check(chosen[1:], chosen[0], tmp_path_factory.mktemp("names"))
