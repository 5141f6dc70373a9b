from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from components.transform import FastTransform
from components.transform.executor import Executor
from components.transform.operations import Deferred, Pass
from components.transform.reader import Reader
from components.transform.unsupported import UnsupportedError
from pipeline.errors import NodeError


def test_outputs_are_those_of_tfx_without_statistics() -> None:
    transform = _component()

    assert set(transform.outputs) == {"transform_graph", "transformed_examples"}
    assert transform.exec_properties["preprocessing_fn"] == "some.module.function"
    assert transform.exec_properties["custom_config"] == '{"label": "late"}'


def test_force_is_part_of_the_cache_key() -> None:
    assert _component().exec_properties["force"] == "auto"
    assert _component(force="stock").exec_properties["force"] == "stock"


def test_a_distributed_runner_is_left_to_tfx(tmp_path: Path) -> None:
    context = BaseBeamExecutor.Context(beam_pipeline_args=["--runner=DataflowRunner"], tmp_dir=str(tmp_path), unique_id="1")

    with pytest.raises(NodeError) as error:
        Executor(context).Do({"examples": []}, {}, {"force": "fast"})

    assert "DataflowRunner" in error.value.seen
    assert "stock" in error.value.fix


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ('feature { name: "x" type: STRUCT struct_domain { feature { name: "inner" type: INT } } }', "nested"),
        (
            """
            feature { name: "index" type: INT }
            feature { name: "value" type: FLOAT }
            sparse_feature {
              name: "sparse" index_feature { name: "index" } value_feature { name: "value" }
            }
            """,
            "SparseFeature",
        ),
    ],
)
def test_columns_other_than_values_and_lists_are_left_to_tfx(schema: str, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        Reader(text_format.Parse(schema, schema_pb2.Schema()))


def test_one_pass_feeds_all_accumulators() -> None:
    readings = []

    def batches() -> list[dict[str, Any]]:
        readings.append(1)
        return [{"x": np.array([1, 2])}, {"x": np.array([3])}]

    seen: dict[str, list[int]] = {"first": [], "second": []}
    data = Pass(batches)
    first, second = (
        data.accumulate(lambda batch, name=name: seen[name].extend(batch["x"].tolist()), lambda name=name: sum(seen[name]))
        for name in seen
    )

    assert readings == []
    assert (first.get(), second.get()) == (6, 6)
    assert readings == [1]


def test_a_deferred_value_is_computed_once() -> None:
    calls: list[int] = []
    value = Deferred(lambda: calls.append(1))

    assert (value.get(), value.get()) == (None, None)
    assert calls == [1]


def _component(**arguments: Any) -> FastTransform:
    return FastTransform(
        examples=Channel(type=standard_artifacts.Examples),
        schema=Channel(type=standard_artifacts.Schema),
        preprocessing_fn="some.module.function",
        custom_config={"label": "late"},
        **arguments,
    )
