"""Shows whether training waits for its input: milliseconds per batch for the input alone, and with a training step.

    .venv/bin/python benchmarks/pipeline.py --only ours --times 10 --folder FOLDER
    .venv/bin/python -m benchmarks.training FOLDER

FOLDER is any folder that the first command has kept.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tensorflow as tf
import tensorflow_transform as tft

from benchmarks.example import newest_artifact
from components.schema_importer.schema_file import read_curated_schema
from pipeline.config.loading import load_config
from pipeline.contracts.schema import Schema
from pipeline.training import settings
from pipeline.training.data import TrainingData
from pipeline.training.network import compiled_model, make_deterministic
from pipeline.training.recipe import Recipe

_Result = TypeVar("_Result")


def main() -> None:
    """Reads the rows of the newest run in a folder of benchmarks/pipeline.py and times two passes over them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder that benchmarks/pipeline.py --folder has kept")
    folder: Path = parser.parse_args().folder
    config = load_config(folder / "pipeline.yaml", ())
    schema = Schema.of(read_curated_schema(Path(config.resolve(config.schema_source.path or ""))))
    values = settings.for_trainer(config, schema)
    artifacts = folder / "ours" / "artifacts" / "flights"
    graph, rows = (newest_artifact(artifacts / output) for output in ("Transform/transform_graph", "ExampleGen/examples"))
    make_deterministic(values.training.seed)
    transform_output = tft.TFTransformOutput(str(graph))
    data, seconds = timed(lambda: TrainingData.read([f"{rows}/Split-train/*"], values, transform_output))
    count = len(data.train) + len(data.validation)
    print(f"reading and transforming {count:,} rows: {seconds:.1f} s, {seconds / count * 1e6:.1f} µs a row")
    recipe = Recipe.of(values.model, values.training, len(data.train))
    batches, _ = data.batches(recipe.batch_size, values.training.seed)
    steps = recipe.steps_per_epoch
    model = compiled_model(values, transform_output, data, recipe)
    model.fit(batches, epochs=1, steps_per_epoch=model.steps_per_execution, verbose=0)  # traces the training step
    _, alone = timed(lambda: sum(1 for _ in batches.take(steps)))
    _, training = timed(lambda: model.fit(batches, epochs=1, steps_per_epoch=steps, verbose=0))
    print(f"{steps:,} batches of {recipe.batch_size:,}: {alone / steps * 1e3:.1f} ms each alone")
    print(f"with a training step on each: {training / steps * 1e3:.1f} ms")


def timed(work: Callable[[], _Result]) -> tuple[_Result, float]:
    """The result of a call, and the seconds that it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    tf.get_logger().setLevel("ERROR")
    main()
