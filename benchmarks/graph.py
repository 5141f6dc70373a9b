"""Counts the operations that a served model executes for one row, and how long they take.

    .venv/bin/python benchmarks/graph.py .conveyor/models/flights/1

The model is restored into a session of TensorFlow 1, as TensorFlow Serving does, and runs one row through `predict_raw`, and
batches of rows. The operations are those in the full trace of a run (`RunMetadata`), after Grappler; constants and arguments
are counted too. Runs are timed as the embedded server makes them, without the Python of Session.run, which would take longer
than the graph: some 20 µs for each column, to find out what it is fed with.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# When this file runs as a script, Python would take it for the package `pipeline`.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from rich.console import Console  # noqa: E402
from tensorflow.core.protobuf import config_pb2  # noqa: E402

from pipeline.contracts.model import COLUMNS_SIGNATURE  # noqa: E402

WARM_UP_SECONDS = 0.5
BATCHES = (64, 1024, 8192)
SHOWN = 12
VALUES: Mapping[tf.DType, object] = {tf.float32: 1.5, tf.int64: 7, tf.string: b"AA"}


def main() -> None:
    """Prints what one row takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the folder of a SavedModel")
    parser.add_argument("--runs", type=int, default=2000, help="how many runs are timed")
    options = parser.parse_args()
    console = Console(highlight=False)
    started = time.perf_counter()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], options.model)
        console.print(f"loaded in {time.perf_counter() - started:.2f} s, {in_library(graph)} operations in the functions")
        signature = graph.signature_def[COLUMNS_SIGNATURE]
        row = {info.name: one_row(info) for info in signature.inputs.values()}
        fetches = [info.name for info in signature.outputs.values()]
        started = time.perf_counter()
        session.run(fetches, row)
        console.print(f"first row in {time.perf_counter() - started:.2f} s")
        kinds = executed(session, fetches, row)
        most = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(SHOWN))
        console.print(f"{kinds.total()} operations for {len(row)} columns: {most}, …")
        micros = timed(session, fetches, row, options.runs)
        least, median, most_of = (np.quantile(micros, share) for share in (0.01, 0.5, 0.9))
        console.print(
            f"one row: {median:.0f} µs in the median, {least:.0f} µs in the fastest percent, {most_of:.0f} µs at 90 %"
        )
        for rows in BATCHES:
            batch = {name: np.repeat(value, rows, axis=0) for name, value in row.items()}
            micros = timed(session, fetches, batch, max(3, options.runs // rows))
            console.print(f"{rows:,} rows: {np.median(micros) / rows:.1f} µs a row in the median")


def in_library(graph: Any) -> int:
    """The operations in the functions of a MetaGraph."""
    return sum(len(function.node_def) for function in graph.graph_def.library.function)


def one_row(info: Any) -> np.ndarray:
    """A row for an input of a signature: one value, or two where it takes lists of any length."""
    dtype = tf.dtypes.as_dtype(info.dtype)
    shape = [1, *(dimension.size if dimension.size > 0 else 2 for dimension in info.tensor_shape.dim[1:])]
    return np.full(shape, VALUES[dtype], dtype.as_numpy_dtype)


def executed(session: tf.compat.v1.Session, fetches: list[str], row: Mapping[str, np.ndarray]) -> Counter[str]:
    """The kinds of the operations of one run, with how many there were."""
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    trace = tf.compat.v1.RunMetadata()
    session.run(fetches, row, options=options, run_metadata=trace)
    # A label is `name = Kind(inputs)`.
    labels = [node.timeline_label for device in trace.step_stats.dev_stats for node in device.node_stats]
    return Counter(label.partition(" = ")[2].partition("(")[0] or label for label in labels)


def timed(session: tf.compat.v1.Session, fetches: list[str], row: Mapping[str, np.ndarray], runs: int) -> np.ndarray:
    """The microseconds of each run."""
    call = session._make_callable_from_options(config_pb2.CallableOptions(feed=list(row), fetch=fetches))
    values = list(row.values())
    warm = time.perf_counter() + WARM_UP_SECONDS
    while time.perf_counter() < warm:
        call(*values)
    micros = np.empty(runs)
    for run in range(runs):
        started = time.perf_counter()
        call(*values)
        micros[run] = 1e6 * (time.perf_counter() - started)
    return micros


if __name__ == "__main__":
    main()
