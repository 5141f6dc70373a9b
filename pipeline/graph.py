"""The TFX pipeline: the one place where components are wired."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import text_format
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.trainer.component import Trainer
from tfx.components.tuner.component import Tuner
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from components.evaluator import FastEvaluator, eval_config, gate_of
from components.example_gen.component import ArrowExampleGen
from components.example_gen.rules import ColumnRules
from components.example_validator.component import STOP, STOP_IF_UNWORKABLE, SchemaValidator
from components.infra_validator.component import infra_validator_for
from components.pusher.component import AtomicPusher
from components.resolvers import LatestHyperparametersStrategy
from components.schema_importer.component import SchemaImporter
from components.schema_importer.schema_file import read_curated_schema
from components.statistics_gen import ArrowStatisticsGen
from components.transform import FastTransform
from pipeline import nodes
from pipeline.config import Split
from pipeline.contracts.schema import Schema
from pipeline.runs import database
from pipeline.runs.beam import beam_arguments
from pipeline.training import settings

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx.dsl.components.base.base_node import BaseNode
    from tfx.types.channel import BaseChannel

    from pipeline.config import PipelineConfig


def create_pipeline(config: PipelineConfig) -> Pipeline:
    """Wires the components that take a table to a pushed model.

    Args:
      config: the pipeline's configuration.

    Returns:
      A pipeline that any TFX runner accepts.

    Raises:
      ConfigError: the curated schema or the user's own code that the configuration names cannot be read.
    """
    curated_schema = _curated_schema(config)
    curated_features = None if curated_schema is None else Schema.of(curated_schema)
    example_gen = ArrowExampleGen(
        input_pattern=config.resolve(config.data.input),
        file_format=config.data.format,
        csv=config.data.csv,
        columns=ColumnRules.of(config, curated_features),
        split=_split(config),
        label=config.label,
        unlabelled=config.data.unlabelled,
        newest_span=config.data.newest_span,
        compression=config.data.compression,
        demanded_fingerprint=config.data.fingerprint,
    ).with_id(nodes.EXAMPLE_GEN.id)
    examples = example_gen.outputs["examples"]
    statistics_gen = ArrowStatisticsGen(examples=examples).with_id(nodes.STATISTICS_GEN.id)
    schema_gen = _schema_node(curated_schema, statistics_gen.outputs["statistics"])
    schema = schema_gen.outputs["schema"]
    validator = SchemaValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema,
        label=config.label,
        on_anomaly=config.schema_source.on_anomaly or (STOP_IF_UNWORKABLE if curated_schema is None else STOP),
    ).with_id(nodes.EXAMPLE_VALIDATOR.id)
    transform = FastTransform(
        examples=examples,
        schema=schema,
        preprocessing_fn=settings.PREPROCESSING_FN,
        # The Trainer and the Tuner apply the transform graph as they read, in less time than transformed rows take to write.
        materialize=False,
        custom_config=settings.for_transform(config, curated_features).to_custom_config(),
    ).with_id(nodes.TRANSFORM.id)
    transform.add_upstream_node(validator)
    hyperparameters = _hyperparameters_node(config, curated_features, examples, transform.outputs["transform_graph"])
    trainer = Trainer(
        examples=examples,
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        hyperparameters=_only_output(hyperparameters),
        run_fn=settings.RUN_FN,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=settings.for_trainer(config, curated_features).to_custom_config(),
    ).with_id(nodes.TRAINER.id)
    model = trainer.outputs["model"]
    resolver = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id(nodes.RESOLVER.id)
    evaluator = FastEvaluator(
        examples=examples,
        model=model,
        baseline_model=resolver.outputs["model"],
        schema=schema,
        eval_config=eval_config(config),
        gate=gate_of(config),
        example_splits=["eval"],
    ).with_id(nodes.EVALUATOR.id)
    components = [example_gen, statistics_gen, schema_gen, validator, transform, hyperparameters, trainer, resolver, evaluator]
    infra_blessing = None
    if config.infra_validator.enabled:
        infra_validator = infra_validator_for(config.infra_validator, model=model, examples=examples).with_id(
            nodes.INFRA_VALIDATOR.id
        )
        infra_blessing = infra_validator.outputs["blessing"]
        components.append(infra_validator)
    components.append(
        AtomicPusher(
            model=model,
            model_blessing=evaluator.outputs["blessing"],
            infra_blessing=infra_blessing,
            destination=str(config.serving_path),
            name=config.name,
            signing_key_variable=config.push.signing_key_variable,
        ).with_id(nodes.PUSHER.id)
    )
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.artifacts_path),
        components=[component for component in components if component is not None],
        enable_cache=config.execution.cache,
        metadata_connection_config=database.sqlite(config.metadata_path),
        beam_pipeline_args=beam_arguments(config),
    )


def _split(config: PipelineConfig) -> Split:
    """How rows are divided: by a hash, by the classes of the label only where it has any."""
    split = config.data.split
    has_no_classes = split.method == "hash" and config.task == "regression"
    return split.model_copy(update={"stratify": False}) if has_no_classes else split


def _curated_schema(config: PipelineConfig) -> schema_pb2.Schema | None:
    """The curated schema, if there is one, of the columns that are read."""
    if config.schema_source.path is None:
        return None
    schema = read_curated_schema(Path(config.resolve(config.schema_source.path)))
    for position in reversed(range(len(schema.feature))):
        if schema.feature[position].name in config.unread:
            del schema.feature[position]
    return schema


def _schema_node(curated: schema_pb2.Schema | None, statistics: BaseChannel) -> BaseNode:
    """The curated schema where there is one, otherwise the schema inferred from the training data."""
    if curated is None:
        return SchemaGen(statistics=statistics, infer_feature_shape=False, exclude_splits=["eval"]).with_id(nodes.SCHEMA_GEN.id)
    return SchemaImporter(schema_text=text_format.MessageToString(curated)).with_id(nodes.SCHEMA_GEN.id)


def _hyperparameters_node(
    config: PipelineConfig, curated_features: Schema | None, examples: BaseChannel, transform_graph: BaseChannel
) -> BaseNode | None:
    """Where the Trainer's hyperparameters come from: a search in this run, the last search, or (None) the configuration."""
    if config.tuner.enabled:
        return Tuner(
            examples=examples,
            transform_graph=transform_graph,
            tuner_fn=settings.TUNER_FN,
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
            custom_config=settings.for_tuner(config, curated_features).to_custom_config(),
        ).with_id(nodes.TUNER.id)
    if config.tuner.reuse:
        return Resolver(
            strategy_class=LatestHyperparametersStrategy,
            best_hyperparameters=Channel(type=standard_artifacts.HyperParameters),
        ).with_id(nodes.LATEST_HYPERPARAMETERS.id)
    return None


def _only_output(node: BaseNode | None) -> BaseChannel | None:
    return None if node is None else node.outputs["best_hyperparameters"]
