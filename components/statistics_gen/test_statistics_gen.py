"""Statistics of difficult data, compared with those of TFX's own StatisticsGen."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tfx.components.statistics_gen import executor as stock
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.statistics_gen import batches
from components.statistics_gen.component import Executor

pytestmark = pytest.mark.integration

Row = dict[str, list[Any] | None]  # None: a feature without a kind, as CsvExampleGen writes an empty cell

_RANDOM = random.Random(7)
_TEXTS = ["", "", "é", "日本語", "🛫", "a\x00b", b"\xff\xfe", "x" * 5000, " ", "é"]
_INTEGERS = [2**63 - 1, -(2**63), 0, 2**53 + 1, -1, 0]
_NOT_FINITE = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-38, 3e38, math.nan]
CASES: dict[str, list[Row]] = {
    "nasty": [
        {
            "nulls": [[1], None, [], [2, 3]][row % 4],
            "text": [_TEXTS[row % len(_TEXTS)]],
            "integers": [_INTEGERS[row % len(_INTEGERS)]],
            "not finite": [_NOT_FINITE[row]] if row < len(_NOT_FINITE) else None,
            "all nan": [math.nan],
            "constant": ["only"],
            "empty": None,
            "lists": ["x", "y"] * (row % 3),
            "normal": [_RANDOM.gauss(10, 4)],
            **({"late column": [row]} if row > 1500 else {}),
        }
        for row in range(2000)
    ],
    "categories": [{"text": [f"value {_RANDOM.randrange(4_000)}"], "normal": [_RANDOM.gauss(10, 4)]} for _ in range(10_000)],
    "one-row": [{"i": [1], "f": [1.5], "s": ["one"]}],
    "no-row": [],
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> standard_artifacts.Examples:
    """An artifact with a split for each case."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path_factory.mktemp("examples"))
    artifact.split_names = artifact_utils.encode_split_names(list(CASES))
    artifact.span = 201301
    examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    for split, rows in CASES.items():
        folder = Path(artifact.uri, f"Split-{split}")
        folder.mkdir()
        with tf.io.TFRecordWriter(f"{folder}/data_tfrecord-00000-of-00001.gz", "GZIP") as writer:
            for row in rows:
                writer.write(_example(row))
    return artifact


@pytest.fixture(scope="module")
def stock_statistics(
    examples: standard_artifacts.Examples, tmp_path_factory: pytest.TempPathFactory
) -> standard_artifacts.ExampleStatistics:
    return _run(stock.Executor(), examples, tmp_path_factory.mktemp("stock"))


@pytest.fixture(scope="module", params=[1000, batches.BATCH_SIZE], ids=["small batches", "large batches"])
def arrow_statistics(
    request: pytest.FixtureRequest, examples: standard_artifacts.Examples, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[standard_artifacts.ExampleStatistics]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BATCH_SIZE", request.param)
        yield _run(Executor(), examples, tmp_path_factory.mktemp("arrow"))


@pytest.mark.parametrize("split", list(CASES))
def test_statistics_equal_stock_ones(
    stock_statistics: standard_artifacts.ExampleStatistics, arrow_statistics: standard_artifacts.ExampleStatistics, split: str
) -> None:
    _assert_equal(_by_feature(arrow_statistics, split), _by_feature(stock_statistics, split), split)


def test_the_artifact_has_the_stock_properties(
    stock_statistics: standard_artifacts.ExampleStatistics, arrow_statistics: standard_artifacts.ExampleStatistics
) -> None:
    assert arrow_statistics.mlmd_artifact.properties == stock_statistics.mlmd_artifact.properties
    assert arrow_statistics.mlmd_artifact.custom_properties == stock_statistics.mlmd_artifact.custom_properties


def test_splits_can_be_left_out(examples: standard_artifacts.Examples, tmp_path: Path) -> None:
    excluded = [split for split in CASES if split != "one-row"]
    statistics = _run(Executor(), examples, tmp_path, exclude_splits=str(excluded).replace("'", '"'))
    assert [path.name for path in tmp_path.iterdir()] == ["Split-one-row"]
    assert statistics.split_names == '["one-row"]'


def test_every_file_of_a_split_is_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_SIZE", 3)
    for number, name, compression in [(0, "a.gz", "GZIP"), (1, "b.gz", "GZIP"), (2, "c", "")]:
        with tf.io.TFRecordWriter(str(tmp_path / name), compression) as writer:
            for row in range(5):
                writer.write(_example({"n": [number * 5 + row]}))
    read = list(batches.read_batches(sorted(map(str, tmp_path.iterdir()))))
    assert [value for batch in read for (value,) in batch.column("n").to_pylist()] == list(range(15))
    assert max(batch.num_rows for batch in read) == 3


@pytest.mark.parametrize(
    ("properties", "arguments", "reason"),
    [
        ({"stats_options_json": "{}"}, [], "stats_options_json is set"),
        ({"sample_rate_by_split": '{"one-row": 0.5}'}, [], "sample_rate_by_split is set"),
        ({"sharded_stats_output": True}, [], "sharded_stats_output is set"),
        ({}, ["--runner=FlinkRunner"], "Beam runs on FlinkRunner"),
        ({}, ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"], None),
        ({"sample_rate_by_split": "null", "stats_options_json": None}, ["--runner=DirectRunner"], None),
    ],
)
def test_what_needs_beam_is_left_to_tfx(
    examples: standard_artifacts.Examples,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    properties: dict[str, Any],
    arguments: list[str],
    reason: str | None,
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("absl.logging.warning", lambda text, *values: warnings.append(text % values))
    left_to_tfx: list[object] = []
    monkeypatch.setattr(stock.Executor, "Do", lambda *_: left_to_tfx.append(True))
    # Given any argument but this one, TFX packs itself for remote workers, which takes seconds.
    executor = Executor(BaseBeamExecutor.Context(beam_pipeline_args=[*arguments, "--sdk_container_image=none"]))
    _run(executor, examples, tmp_path, exclude_splits=str(list(CASES)[:-2]).replace("'", '"'), **properties)
    assert bool(left_to_tfx) == (reason is not None)
    assert warnings == ([f"TFX's own StatisticsGen is used, which is slower: {reason}."] if reason else [])


def _example(row: Row) -> bytes:
    example = tf.train.Example()
    for name, values in row.items():
        feature = example.features.feature[name]
        if not values:
            feature.SetInParent()
        elif isinstance(values[0], int):
            feature.int64_list.value.extend(values)
        elif isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(value if isinstance(value, bytes) else value.encode() for value in values)
    return example.SerializeToString(deterministic=True)


def _run(
    executor: stock.Executor, examples: standard_artifacts.Examples, folder: Path, **properties: Any
) -> standard_artifacts.ExampleStatistics:
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(folder)
    executor.Do({"examples": [examples]}, {"statistics": [statistics]}, {"exclude_splits": "[]", **properties})
    return statistics


def _by_feature(artifact: standard_artifacts.ExampleStatistics, split: str) -> dict[str, Message | int]:
    content = Path(artifact.uri, f"Split-{split}", "FeatureStats.pb").read_bytes()
    (dataset,) = DatasetFeatureStatisticsList.FromString(content).datasets
    return {"": dataset.num_examples, **{str(feature.path): feature for feature in dataset.features}}


def _assert_equal(one: Any, other: Any, where: str) -> None:
    """Compares everything: messages field by field, numbers to 1e-4."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            _assert_equal(one[name], other[name], f"{where} {name}")
    elif isinstance(one, Message):
        fields = {field.name: value for field, value in one.ListFields()}
        _assert_equal(fields, {field.name: value for field, value in other.ListFields()}, where)
    elif isinstance(one, str | bytes | bool):
        assert one == other, where
    elif isinstance(one, int | float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-12, nan_ok=True), where
    else:
        assert len(one) == len(other), where
        for position, (value, counterpart) in enumerate(zip(one, other, strict=True)):
            _assert_equal(value, counterpart, f"{where}[{position}]")
