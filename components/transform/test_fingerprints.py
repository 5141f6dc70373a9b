from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import graph_tools, impl_helper

from components.transform.fingerprints import analyzers_fingerprint, quick_fingerprints

TYPE_SPECS = {
    "number": tf.SparseTensorSpec([None, None], tf.float32),
    "count": tf.SparseTensorSpec([None, None], tf.int64),
    "text": tf.SparseTensorSpec([None, None], tf.string),
    "dense": tf.TensorSpec([None], tf.float32),
    "ragged": tf.RaggedTensorSpec([None, None], tf.int64),
    "label": tf.TensorSpec([None], tf.int64),
}


def _in_phases(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The second analyzer depends on the first, the third on a constant, the fourth on two columns."""
    scaled = tft.scale_to_0_1(inputs["dense"])
    both = tf.cast(inputs["label"], tf.float32) + inputs["dense"]
    return {
        "scaled": tft.scale_to_z_score(tf.square(scaled)),
        "constant": tf.fill(tf.shape(scaled), tft.max(tf.constant([1.0, 2.0]))),
        "both": tft.bucketize(both, 3),
        "ragged": tft.compute_and_apply_vocabulary(inputs["ragged"]),
    }


def _together(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Analyzers of several columns, lists and text among them."""
    numbers = tf.concat([inputs["number"].values, tf.cast(inputs["count"].values, tf.float32)], axis=0)
    return {
        "mean": tf.fill(tf.shape(inputs["dense"]), tft.mean(numbers) + tft.var(numbers)),
        "count": tft.compute_and_apply_vocabulary(inputs["count"]),
        "text": tft.compute_and_apply_vocabulary(inputs["text"], top_k=3),
    }


@pytest.mark.parametrize("function", [_in_phases, _together])
def test_fingerprints_are_those_of_tft(tmp_path: Path, function: Any) -> None:
    graph, inputs, _ = impl_helper.trace_preprocessing_function(
        function, TYPE_SPECS, use_tf_compat_v1=False, base_temp_dir=str(tmp_path)
    )
    expected = graph_tools.get_analyzers_fingerprint(graph, inputs)
    assert any(analyzer.source_keys for analyzer in expected.values())
    assert analyzers_fingerprint(graph, inputs) == expected


def test_tft_checks_the_order_of_analyzers_by_them(tmp_path: Path) -> None:
    traces = []

    def changing(inputs: Mapping[str, Any]) -> dict[str, Any]:
        traces.append(inputs)
        column = inputs["dense"] if len(traces) == 1 else tf.cast(inputs["label"], tf.float32)
        return {"largest": tf.fill(tf.shape(column), tft.max(column))}

    graph, inputs, _ = impl_helper.trace_preprocessing_function(
        changing, TYPE_SPECS, use_tf_compat_v1=False, base_temp_dir=str(tmp_path)
    )
    write = functools.partial(impl_helper.trace_and_write_v2_saved_model, str(tmp_path / "graph"), changing, TYPE_SPECS)
    original = graph_tools.get_analyzers_fingerprint
    with quick_fingerprints(), pytest.raises(RuntimeError, match="non-deterministic"):
        write(str(tmp_path), analyzers_fingerprint(graph, inputs), None, {}, None)
    assert graph_tools.get_analyzers_fingerprint is original
