from __future__ import annotations

import collections
import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from ml_metadata.proto import metadata_store_pb2
from tensorflow.core.example import example_pb2
from tfx.components.example_gen.csv_example_gen.executor import Executor as StockExecutor
from tfx.dsl.components.base import base_beam_executor
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.portable import data_types
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.example_gen import properties
from components.example_gen.component import ArrowExampleGen
from components.example_gen.driver import Driver
from components.example_gen.executor import Executor
from components.example_gen.inputs import digests_of_files, fingerprint_of_span, fingerprint_of_splits, resolve
from components.example_gen.spans import SingleSplit
from components.shared.examples import tfrecord
from pipeline.config import Split
from pipeline.errors import DataError

_NASTY = [
    ["id", "text", "number", "mixed", "constant", "nothing"],
    ["1", "", "1.5", "10025", "7", ""],
    ["", "ünï→🛫", "", "N/A", "7", ""],
    ["9223372036854775807", 'a "quoted", field', "-0.0", "", "7", ""],
    ["-9223372036854775808", "line 1\nline 2", "inf", "0", "7", ""],
    ["0", " spaces ", "-inf", "-1", "7", ""],
    ["-5", "0", "1e300", "x", "7", ""],
    ["-5", "0", "1e300", "x", "7", ""],
    ["", "", "", "", "", ""],
]


_EVERYTHING = SingleSplit(spans=None)


def _ingest(
    pattern: Path | str, out: Path, split: Split | SingleSplit = _EVERYTHING, **arguments: Any
) -> standard_artifacts.Examples:
    component = ArrowExampleGen(str(pattern), split=split, **arguments)
    settings = {name: value for name, value in component.exec_properties.items() if value is not None}
    artifact = standard_artifacts.Examples()
    artifact.uri = str(out)
    Executor().Do({}, {properties.EXAMPLES: [artifact]}, {**settings, **resolve(settings)})
    return artifact


def _records(folder: Path) -> list[bytes]:
    records = []
    for path in sorted(folder.iterdir()):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            records += tfrecord.read(file)
    return records


def _multiset(records: list[bytes]) -> collections.Counter[str]:
    """Rows by their values; a feature without values and no feature are both a null."""
    rows = []
    for record in records:
        features = example_pb2.Example.FromString(record).features.feature
        row = {}
        for name, feature in features.items():
            kind = feature.WhichOneof("kind")
            if kind and getattr(feature, kind).value:
                row[name] = (kind, list(getattr(feature, kind).value))
        rows.append(repr(sorted(row.items())))
    return collections.Counter(rows)


def _write_table(path: Path, rows: int, start: int = 0) -> None:
    ids = range(start, start + rows)
    table = pa.table({"id": ids, "name": [f"n{i % 7}" if i % 5 else None for i in ids], "x": [i / 8 for i in ids]})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=100)
    else:
        pyarrow.csv.write_csv(table, path)


@pytest.mark.integration
def test_rows_are_those_of_stock_csv_example_gen(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "nasty.csv").open("w", newline="") as file:
        csv.writer(file).writerows(_NASTY)

    stock = standard_artifacts.Examples()
    stock.uri = str(tmp_path / "stock")
    context = base_beam_executor.BaseBeamExecutor.Context(beam_pipeline_args=["--runner=DirectRunner"])
    StockExecutor(context).Do(
        {},
        {"examples": [stock]},
        {
            "input_base": str(tmp_path / "in"),
            "input_config": proto_utils.proto_to_json(
                example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="all", pattern="*")])
            ),
            "output_config": proto_utils.proto_to_json(example_gen_pb2.Output()),
            "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
            "output_file_format": example_gen_pb2.FORMAT_TFRECORDS_GZIP,
        },
    )
    ours = _ingest(tmp_path / "in" / "*.csv", tmp_path / "ours")
    expected = _multiset(_records(tmp_path / "stock" / "Split-all"))
    assert expected.total() == len(_NASTY) - 1
    assert _multiset(_records(tmp_path / "ours" / "Split-all")) == expected
    assert ours.split_names == stock.split_names
    for name in ("payload_format", "file_format"):
        assert ours.get_string_custom_property(name) == stock.get_string_custom_property(name)


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_tensorflow_reads_the_files(tmp_path: Path, compression: str) -> None:
    import tensorflow as tf

    _write_table(tmp_path / "a.csv", 50)
    _ingest(tmp_path / "a.csv", tmp_path / "out", compression=compression)
    paths = [str(path) for path in (tmp_path / "out" / "Split-all").iterdir()]
    suffix = ".gz" if compression == "gzip" else ""
    assert [os.path.basename(path) for path in paths] == ["data_tfrecord-00000-of-00001" + suffix]
    dataset = tf.data.TFRecordDataset(paths, "GZIP" if compression == "gzip" else "")
    assert [record.numpy() for record in dataset] == _records(tmp_path / "out" / "Split-all")


def test_the_same_rows_share_a_split_whatever_their_format_and_order(tmp_path: Path) -> None:
    split = Split(eval_fraction=0.3)
    _write_table(tmp_path / "a.parquet", 500)
    _write_table(tmp_path / "1.csv", 200, start=300)
    _write_table(tmp_path / "2.csv", 300)
    _ingest(tmp_path / "a.parquet", tmp_path / "parquet", split)
    _ingest(tmp_path / "?.csv", tmp_path / "csv", split)
    _ingest(tmp_path / "parquet/*/*.gz", tmp_path / "tfrecord", split, file_format="tfrecord")
    for name in ("Split-train", "Split-eval"):
        rows = sorted(_records(tmp_path / "parquet" / name))
        assert sorted(_records(tmp_path / "csv" / name)) == rows
        assert sorted(_records(tmp_path / "tfrecord" / name)) == rows
    assert 100 < len(_records(tmp_path / "parquet" / "Split-eval")) < 200


def test_the_artifact_tells_the_rows_of_each_split(tmp_path: Path) -> None:
    _write_table(tmp_path / "a.parquet", 500)
    artifact = _ingest(tmp_path / "a.parquet", tmp_path / "out", Split(eval_fraction=0.3))
    rows = {name: len(_records(tmp_path / "out" / f"Split-{name}")) for name in ("train", "eval")}
    assert json.loads(artifact.get_string_custom_property("rows")) == rows
    assert sum(rows.values()) == 500


def test_the_same_input_makes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.shared.examples.writer.SHARD_BYTES", 4_000)
    for name in ("1", "2"):
        _write_table(tmp_path / f"{name}.parquet", 300, start=int(name) * 300)
    for run in ("a", "b"):
        _ingest(tmp_path / "*.parquet", tmp_path / run, Split())
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.gz"))
    assert len(files) > 4
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)
    ids = [
        example_pb2.Example.FromString(record).features.feature["id"].int64_list.value[0]
        for record in _records(tmp_path / "a" / "Split-train")
    ]
    assert ids == sorted(ids)


def test_the_fingerprint_is_the_contents(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def fingerprint(split: str) -> str:
        return fingerprint_of_splits({split: [fingerprint_of_span([str(path)], digests_of_files([str(path)]))]})

    path.write_text("x\n1\n")
    first = fingerprint("all")
    os.utime(path, (0, 0))
    assert fingerprint("all") == first
    assert fingerprint("train") != first
    path.write_text("x\n2\n")
    assert fingerprint("all") != first


def test_what_is_read_must_be_what_the_fingerprint_is_of(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("x\n1\n")
    given = {name: value for name, value in ArrowExampleGen(str(path), split=_EVERYTHING).exec_properties.items() if value}
    found = resolve(given)
    path.write_text("x\n2\n")
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path / "out")
    with pytest.raises(DataError, match="has changed while it was read") as caught:
        Executor().Do({}, {properties.EXAMPLES: [artifact]}, {**given, **found})
    assert caught.value.where == str(path)


def test_a_pipeline_reads_again_only_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for span in (1, 2):
        _write_table(tmp_path / "in" / f"span-{span}-v0.parquet", 20, start=span * 20)
    store = metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))

    def run() -> tuple[str, metadata_store_pb2.Artifact]:
        """The state of the run's execution, and its artifact."""
        node = ArrowExampleGen(
            str(tmp_path / "in" / "span-{SPAN}-v{VERSION}.parquet"),
            split=Split(method="window", train_spans=2),
            label="x",
        )
        LocalDagRunner().run(
            pipeline.Pipeline(
                "test", str(tmp_path / "root"), components=[node], metadata_connection_config=store, enable_cache=True
            )
        )
        with metadata.Metadata(store) as handle:
            execution = max(handle.store.get_executions(), key=lambda execution: execution.id)
            [event] = handle.store.get_events_by_execution_ids([execution.id])
            [artifact] = handle.store.get_artifacts_by_id([event.artifact_id])
        return metadata_store_pb2.Execution.State.Name(execution.last_known_state), artifact

    state, first = run()
    assert state == "COMPLETE"
    assert first.custom_properties["span"].int_value == 2
    assert first.custom_properties["version"].int_value == 0
    assert first.custom_properties["division"].string_value == "by span, the newest to evaluate on"
    assert first.custom_properties["input_fingerprint"].string_value.startswith("sha256:")
    assert json.loads(first.properties["split_names"].string_value) == ["train", "eval"]
    assert len(_records(Path(first.uri) / "Split-train")) == len(_records(Path(first.uri) / "Split-eval")) == 20

    os.utime(tmp_path / "in" / "span-1-v0.parquet")
    assert run() == ("CACHED", first)

    _write_table(tmp_path / "in" / "span-3-v1.parquet", 30, start=60)
    state, second = run()
    assert state == "COMPLETE"
    assert (second.custom_properties["span"].int_value, second.custom_properties["version"].int_value) == (3, 1)
    assert len(_records(Path(second.uri) / "Split-train")) == 40
    assert len(_records(Path(second.uri) / "Split-eval")) == 30


def _drive(pattern: Path, demanded: str | None = None) -> dict[str, Any]:
    """The execution properties with which the cache is asked."""
    component = ArrowExampleGen(str(pattern), split=_EVERYTHING, demanded_fingerprint=demanded)
    given = {name: value for name, value in component.exec_properties.items() if value is not None}
    info = data_types.ExecutionInfo(exec_properties=given, output_dict={properties.EXAMPLES: [standard_artifacts.Examples()]})
    output = Driver(None).run(info)
    found = {name: value.string_value or value.int_value for name, value in output.exec_properties.items()}
    return {**given, **found}


def test_data_that_is_demanded_is_read_and_any_other_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,a\n")
    free = _drive(tmp_path / "*.csv")
    assert not free[properties.DEMANDED]
    demanded = free[properties.FINGERPRINT]
    # A demand that holds does not change what the cache is asked.
    assert {**_drive(tmp_path / "*.csv", demanded), properties.DEMANDED: free[properties.DEMANDED]} == free

    (tmp_path / "a.csv").write_text("x,y\n2,a\n")
    with pytest.raises(DataError) as caught:
        _drive(tmp_path / "*.csv", demanded)
    assert caught.value.where == "data.fingerprint"
    assert caught.value.expected == demanded
