"""The stock pipeline: TFX's own components and LocalDagRunner, with the defaults of TFX's templates.

Model, preprocessing, metrics and thresholds come from a Conveyor configuration, so both pipelines do the same work.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.evaluator.component import Evaluator
from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.pusher.component import Pusher
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.trainer.component import Trainer
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.transform.component import Transform
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from components.evaluator import eval_config
from components.schema_importer.schema_file import read_curated_schema
from pipeline.config import PipelineConfig
from pipeline.config.loading import load_config
from pipeline.contracts.schema import Schema
from pipeline.training import raw, settings
from pipeline.training.data import TrainingData
from pipeline.training.examples import Rows
from pipeline.training.network import make_deterministic
from pipeline.training.trainer import train

READ_BATCH_SIZE = 16_384


def create_pipeline(config: PipelineConfig, folder: Path) -> Pipeline:
    """Creates a pipeline of TFX's components for the configuration's table.

    Args:
      config: the configuration of the pipeline to compare with.
      folder: the folder for artifacts, metadata and models.
    """
    schema_path = Path(config.resolve(config.schema_source.path or ""))
    curated = Schema.of(read_curated_schema(schema_path))
    example_gen = CsvExampleGen(input_base=str(Path(config.resolve(config.data.input)).parent))
    statistics_gen = StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = ImportSchemaGen(schema_file=str(schema_path))
    schema = schema_gen.outputs["schema"]
    validator = ExampleValidator(statistics=statistics_gen.outputs["statistics"], schema=schema)
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema,
        preprocessing_fn=settings.PREPROCESSING_FN,
        custom_config=settings.for_transform(config, curated).to_custom_config(),
    )
    trainer = Trainer(
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        run_fn="benchmarks.stock.run_fn",
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=settings.for_trainer(config, curated).to_custom_config(),
    )
    resolver = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("Resolver")
    evaluator = Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=resolver.outputs["model"],
        eval_config=eval_config(config),
    )
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(folder / "models"))
        ),
    )
    nodes = [example_gen, statistics_gen, schema_gen, validator, transform, trainer, resolver, evaluator, pusher]
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(folder / "artifacts"),
        components=nodes,
        enable_cache=True,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(folder / "metadata.sqlite")),
    )


def run_fn(fn_args: FnArgs) -> None:
    """The Trainer's run_fn: trains Conveyor's model on the rows that TFX's Transform wrote."""
    values = settings.TrainerSettings.model_validate(fn_args.custom_config)
    make_deterministic(values.training.seed)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    spec = transform_output.transformed_feature_spec()
    files = sorted(path for pattern in fn_args.train_files for path in tf.io.gfile.glob(pattern))
    records = tf.data.TFRecordDataset(files, "GZIP").batch(READ_BATCH_SIZE)
    batches = list(records.map(lambda batch: tf.io.parse_example(batch, spec), tf.data.AUTOTUNE, deterministic=True))
    labels = tf.concat([raw.to_dense(batch.pop(values.label)) for batch in batches], axis=0)
    features = {name: tf.Variable(tf.concat([batch[name] for batch in batches], axis=0)) for name in batches[0]}
    train(fn_args, values, transform_output, TrainingData(Rows(features, labels.numpy()), values))


if __name__ == "__main__":
    LocalDagRunner().run(create_pipeline(load_config(Path(sys.argv[1]), ()), Path(sys.argv[2])))
