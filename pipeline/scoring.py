"""The pipeline that scores a table with the newest pushed model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tfx.components.bulk_inferrer.component import BulkInferrer
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts
from tfx.types.channel_utils import external_pipeline_artifact_query

from components.example_gen.component import ArrowExampleGen
from components.example_gen.rules import ColumnRules
from components.example_gen.spans import SingleSplit, find_spans
from components.prediction_writer import PredictionWriter
from components.resolvers import LatestPushedModelStrategy
from pipeline import nodes
from pipeline.errors import UsageError
from pipeline.runs import database
from pipeline.runs.beam import beam_arguments

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact
    from tfx.types.channel import ExternalPipelineChannel

    from pipeline.config import PipelineConfig


def create_scoring_pipeline(
    config: PipelineConfig,
    input_pattern: str,
    destination: str,
    file_format: Literal["auto", "csv", "json", "parquet", "tfrecord"] = "auto",
    span: int | None = None,
) -> Pipeline:
    """Wires the components that take a table to its predictions.

    Args:
      config: the configuration of the pipeline that trained the model.
      input_pattern: the table: `*` and `?` as in a shell, {SPAN} and {VERSION} for numbers, of which the newest are read.
        It needs no label.
      destination: the Parquet file to write.
      file_format: the format of the table; `auto` decides by the file name.
      span: the span to read where the pattern has {SPAN}; the newest when None.

    Returns:
      A pipeline named `<name>-score` that any TFX runner accepts. Nothing in it is cached: what a file holds is scored anew
      each time.

    Raises:
      UsageError: `input_pattern` is an address that is not read, or there is no such span.
    """
    if span is not None:
        _require_span(input_pattern, span)
    resolver = Resolver(
        strategy_class=LatestPushedModelStrategy,
        model=_made_by(config, nodes.TRAINER.id, "model", standard_artifacts.Model),
        pushed_model=_made_by(config, nodes.PUSHER.id, "pushed_model", standard_artifacts.PushedModel),
        schema=_made_by(config, nodes.SCHEMA_GEN.id, "schema", standard_artifacts.Schema),
    ).with_id(nodes.RESOLVER.id)
    example_gen = ArrowExampleGen(
        input_pattern=input_pattern,
        file_format=file_format,
        csv=config.data.csv,
        columns=ColumnRules.of(config),
        split=SingleSplit(),
        newest_span=span,
        compression=config.data.compression,
        schema=resolver.outputs["schema"],
        unneeded=[
            config.label,
            *config.weights,
            *(name for name, feature in config.features.items() if feature.kind == "ignore"),
        ],
    ).with_id(nodes.EXAMPLE_GEN.id)
    bulk_inferrer = BulkInferrer(examples=example_gen.outputs["examples"], model=resolver.outputs["model"]).with_id(
        nodes.BULK_INFERRER.id
    )
    writer = PredictionWriter(
        inference_result=bulk_inferrer.outputs["inference_result"],
        examples=example_gen.outputs["examples"],
        model=resolver.outputs["model"],
        pushed_model=resolver.outputs["pushed_model"],
        data=config.data.model_copy(update={"input": input_pattern, "format": file_format, "newest_span": span}),
        destination=destination,
    ).with_id(nodes.PREDICTION_WRITER.id)
    name = config.scoring_name
    return Pipeline(
        pipeline_name=name,
        pipeline_root=str(config.artifacts_path.with_name(name)),
        components=[resolver, example_gen, bulk_inferrer, writer],
        enable_cache=False,
        metadata_connection_config=database.sqlite(config.metadata_path),
        beam_pipeline_args=beam_arguments(config),
    )


def _require_span(input_pattern: str, span: int) -> None:
    """ExampleGen takes the newest span up to a number: right for a window of spans, wrong for one that somebody named."""
    there = [found.number for found in find_spans(input_pattern)]
    if span not in there:
        raise UsageError(
            f"There is no span {span}.",
            where=input_pattern,
            expected=f"one of {', '.join(map(str, there))}",
            seen=str(span),
            fix="Name a span that exists.",
        )


def _made_by(config: PipelineConfig, node: str, key: str, kind: type[Artifact]) -> ExternalPipelineChannel:
    """All artifacts that a node of the training pipeline has made, in the metadata store that both share."""
    return external_pipeline_artifact_query(
        kind, owner=config.name, pipeline_name=config.name, producer_component_id=node, output_key=key
    )
