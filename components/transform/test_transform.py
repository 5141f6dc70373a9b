from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from components.shared.examples.splits import SplitPart
from components.shared.fast_executor import UnsupportedError
from components.transform import FastTransform
from components.transform.executor import Executor
from components.transform.passes import Accumulator, Batch, Deferred, Pass
from components.transform.reader import Reader
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


class Numbers:
    """A reading of two parts."""

    parts = (SplitPart(("a",), "digest of a"), SplitPart(("b",), None))

    def __init__(self, kept: dict[str, Any]) -> None:
        self.read: list[str | None] = []
        self._kept = kept

    def batches(self, part: SplitPart) -> Iterator[Batch]:
        self.read.append(part.digest)
        yield {"x": np.array([1, 2]), "y": np.array([10])}
        yield {"x": np.array([3]), "y": np.array([20])}

    def states(self, part: SplitPart, accumulators: Collection[str], read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return self._kept if part.digest and self._kept else read()


def total_of(column: str) -> Accumulator:
    return Accumulator(f"total of {column}", lambda: 0, lambda state, batch: state + int(batch[column].sum()), sum)


def test_one_pass_feeds_all_accumulators() -> None:
    reading = Numbers(kept={})
    data = Pass(lambda: reading)
    first, second, again = (data.accumulate(total_of(column)) for column in ("x", "y", "x"))

    assert reading.read == []
    assert (first.get(), second.get(), again.get()) == (12, 60, 12)
    assert reading.read == ["digest of a", None]


def test_a_part_whose_states_are_kept_is_not_read() -> None:
    reading = Numbers(kept={"total of x 0": 100, "total of x 1": 1000})
    data = Pass(lambda: reading)
    first, second = data.accumulate(total_of("x")), data.accumulate(total_of("x"))

    assert (first.get(), second.get()) == (106, 1006)
    assert reading.read == [None]


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
