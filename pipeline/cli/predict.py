"""`conveyor predict`: the served model's predictions for some rows."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.explained import print_explained
from pipeline.cli.options import ConfigArgument, Overrides, as_path, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.cli.serving_target import Target
from pipeline.cli.table_rows import read_table
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from serving.client import ModelFeature, ModelSchema, Prediction

_SHOWN_ROWS = 50


class Output(str, Enum):
    """The format of printed predictions."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def predict(
    config: ConfigArgument = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="The rows: a file that `conveyor score` takes, or several by * and ?.",
            parser=as_path,
        ),
    ] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="ROWS", help="The rows: an object, or a list of them.")] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of the model: grpc://HOST:PORT/MODEL or http://HOST:PORT/v1/models/MODEL."),
    ] = None,
    rest: Annotated[bool, typer.Option("--rest", help="Ask over REST instead of gRPC.")] = False,
    target: Annotated[Target, typer.Option(help="The model server on this machine, or the cluster's.")] = Target.LOCAL,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print the predictions.")] = Output.TABLE,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say how much each feature adds to each prediction; costs hundreds of predictions a row."
        ),
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="How long 1,024 rows may take.")] = 10.0,
    overrides: Overrides = None,
) -> None:
    """Ask the served model about some rows: from a file, --json, or standard input, as JSON or CSV.

    Columns that the model was not made to see, the label and what the configuration ignores, are left out.

    Example: conveyor predict --file rows.csv
    """
    from serving.client import MAX_ROWS, MAX_ROWS_ASKED, Client
    from serving.errors import FeatureError

    settings = read_config(config, overrides)
    _check_source(file, json)
    if explain and output is Output.CSV:
        raise UsageError(
            "A table of predictions has no place for explanations.",
            where="--explain",
            seen="--output csv",
            fix="Ask for --output json instead.",
        )
    with _address(settings, address, target, rest=rest) as found, Client(found, timeout=timeout) as client:
        schema = client.schema()
        unneeded = _unneeded(settings, schema)
        rows, source = _read_rows(settings, file, json, schema.features, unneeded)
        chosen = [{name: value for name, value in row.items() if name not in unneeded} for row in rows]
        try:
            num_rows = len(chosen) * (MAX_ROWS_ASKED if explain else 1)
            predictions = client.predict(chosen, timeout=timeout * math.ceil(num_rows / MAX_ROWS), explain=explain)
        except FeatureError as error:
            error.where = f"{source}, {error.where}"
            raise
    if explain and output is Output.TABLE:
        print_explained(predictions, chosen)
    _PRINTERS[output](predictions, found)


def _check_source(file: Path | None, json: str | None) -> None:
    if file is not None and json is not None:
        seen = "--file and --json"
    elif file is None and json is None and sys.stdin.isatty():
        seen = "none"
    else:
        return
    raise UsageError(
        "It is not clear which rows to ask about.",
        expected="one of --file, --json and standard input",
        seen=seen,
        fix="Give them in one way, such as: conveyor predict --file rows.csv",
    )


def _read_rows(
    config: PipelineConfig, file: Path | None, json: str | None, features: Mapping[str, ModelFeature], unneeded: set[str]
) -> tuple[list[dict[str, Any]], str]:
    """The rows, and the name of their source."""
    from serving.client.rows import parse_json, parse_text, read_json

    if file is not None and file.suffix.lower() in (".json", ".jsonl") and file.is_file():
        return read_json(file), str(file)
    if file is not None:
        return read_table(config, file, features, unneeded), str(file)
    if json is not None:
        return parse_json(json, "--json"), "--json"
    return parse_text(sys.stdin.buffer.read(), features, "standard input"), "standard input"


def _unneeded(config: PipelineConfig, schema: ModelSchema) -> set[str]:
    """Columns of the pipeline's data that are not features of the model."""
    ignored = {name for name, feature in config.features.items() if feature.kind == "ignore"}
    return {config.label, *ignored} - set(schema.features)


@contextmanager
def _address(config: PipelineConfig, named: str | None, target: Target, *, rest: bool) -> Iterator[str]:
    """The address of the model, until the block is left."""
    from serving import GRPC_PORT, REST_PORT

    if named is not None:
        if rest or target is Target.CLUSTER:
            raise UsageError(
                "An address says by itself where and over which protocol the model is asked.",
                where="--address",
                seen=f"--address {named}, and {'--rest' if rest else '--target cluster'}",
                fix="Leave one of them out.",
            )
        yield named
        return
    port = REST_PORT if rest else GRPC_PORT
    form = "http://{}/v1/models/{}" if rest else "grpc://{}/{}"
    if target is Target.LOCAL:
        yield form.format(f"localhost:{port}", config.name) + _role(config)
        return
    from rich.console import Console

    from pipeline.cluster.install import SERVING_NAMESPACE
    from pipeline.util.kubectl import Kubectl

    kubectl = Kubectl(config.kubeflow.context, SERVING_NAMESPACE, Console(stderr=True))
    with kubectl.forward("service/serving", port) as server:
        yield form.format(server, config.name)


def _role(config: PipelineConfig) -> str:
    """The label of the stable version where there is a rollout; without it, a server of both answers with the newer one."""
    from serving.rollout import STABLE
    from serving.rollout.files import read_state

    return "" if read_state(config).stable is None else f"/labels/{STABLE}"


def _print_table(predictions: Sequence[Prediction], address: str) -> None:
    from pipeline.report import formats

    is_regression = predictions[0].value is not None
    columns = ["row", "prediction", *([] if is_regression else ["probability"]), "version", "latency"]
    table = new_table(*columns, right=("row", "probability", "version", "latency"))
    for number, one in enumerate(predictions[:_SHOWN_ROWS], start=1):
        middle = [formats.number(one.value)] if is_regression else [str(one.label), f"{one.probability:.4f}"]
        table.add_row(str(number), *middle, str(one.version), f"{one.latency * 1000:.1f} ms")
    print_table(table)
    if len(predictions) > _SHOWN_ROWS:
        print(f"… and {len(predictions) - _SHOWN_ROWS:,} more; --output csv prints them all")
    rows = "1 row" if len(predictions) == 1 else f"{len(predictions):,} rows"
    versions = ", ".join(str(version) for version in sorted({one.version for one in predictions}))
    print(f"{rows}, answered by version {versions} at {address}")


def _print_json(predictions: Sequence[Prediction], address: str) -> None:
    print_json([_document(number, one) for number, one in enumerate(predictions, start=1)])


def _print_csv(predictions: Sequence[Prediction], address: str) -> None:
    import csv

    documents = [_document(number, one) for number, one in enumerate(predictions, start=1)]
    fields = [name for name in documents[0] if name != "probabilities"]
    writer = csv.DictWriter(sys.stdout, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(documents)


def _document(number: int, one: Prediction) -> dict[str, Any]:
    """A prediction by the names of its columns."""
    document: dict[str, Any] = {"row": number, "prediction": one.label if one.value is None else one.value}
    if one.probabilities:
        document.update(probability=one.probability, probabilities=list(one.probabilities))
    if one.score is not None:
        document["score"] = one.score
    document.update(model=one.model, model_version=one.version, latency_ms=round(one.latency * 1000, 3))
    return {**document, "explanation": asdict(one.explanation)} if one.explanation else document


_PRINTERS = {Output.TABLE: _print_table, Output.JSON: _print_json, Output.CSV: _print_csv}
