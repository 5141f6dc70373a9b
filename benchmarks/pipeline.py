"""Compares stock TFX with Conveyor, node by node, on the same table, model, steps and metrics.

    .venv/bin/python benchmarks/pipeline.py                  # stock, ours, and ours twice more; the last run is fully cached
    .venv/bin/python benchmarks/pipeline.py --only ours --times 10

Both run in a fresh folder, one after the other, in separate processes. Exits with 1 if their results differ.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from unittest import mock

# When this file runs as a script, Python would take it for the package `pipeline`.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from ml_metadata import MetadataStore  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.example import CONFIG  # noqa: E402
from benchmarks.measuring import Cost, Measured, measure  # noqa: E402
from pipeline.config.loading import load_config  # noqa: E402
from pipeline.datasets import flights  # noqa: E402
from pipeline.runs import database  # noqa: E402
from pipeline.runs.status import RunOutcome  # noqa: E402
from pipeline.util.checkout import ROOT  # noqa: E402

# One CSV file, split as CsvExampleGen does by default, and one epoch. TFX's templates have no InfraValidator.
OVERRIDES = {
    "data.input": "{folder}/data/flights.csv",
    "data.split": "{{method: hash, eval_fraction: {fraction}}}",
    "training.epochs": "1",
    "tuner.reuse": "false",
    "infra_validator.enabled": "false",
    "execution.workers": "{workers}",
    "workspace": "{folder}/ours",
}
EVAL_FRACTION = 1 / 3
TOLERANCE = 1e-6
# Twice the largest difference seen between scores of the same row in batches of different sizes.
LAST_BITS = 2.0**-22
RANKINGS = ("auc", "auc_precision_recall")
STATISTICS_TOLERANCE = 1e-4
OUR_NAMES = {"CsvExampleGen": "ExampleGen", "ImportSchemaGen": "SchemaGen"}
TABLE_WIDTH = 140
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONPATH": str(ROOT)}

Costs = dict[str, Cost]
WHOLE = "whole run"


def main() -> int:
    """Runs the pipelines, prints the table, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["stock", "ours"], help="run only one of the two, once, and compare nothing")
    parser.add_argument("--times", type=int, default=1, help="repeat the 336,776 flights this many times, with jitter")
    parser.add_argument("--workers", type=int, default=2, help="how many nodes Conveyor runs at a time")
    parser.add_argument("--folder", type=Path, help="work here and keep the files (default: a temporary folder)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args()
    console = Console(highlight=False)
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="conveyor-benchmark-"))).absolute()
    try:
        rows = write_data(folder / "data" / "flights.csv", options.times)
        console.print(f"{rows:,} flights in {folder}, {os.cpu_count()} cores")
        config = write_config(folder, options.workers)
        measured: dict[str, Costs] = {}
        if options.only != "ours":
            measured["stock"] = run_stock(console, folder, config)
        if options.only != "stock":
            measured["ours"] = run_ours(console, folder, config, "ours")
        if not options.only:
            # The first rerun evaluates again, because a baseline exists now.
            measured["ours again"] = run_ours(console, folder, config, "ours again")
            measured["from the cache"] = run_ours(console, folder, config, "from the cache")
        show(console, measured)
        if options.json:
            figures = {run: {node: dataclasses.asdict(cost) for node, cost in costs.items()} for run, costs in measured.items()}
            options.json.write_text(json.dumps({"rows": rows, "cores": os.cpu_count(), "runs": figures}, indent=2))
        return 0 if options.only or agree(console, folder, config) else 1
    finally:
        if not options.folder:
            shutil.rmtree(folder)


def write_data(path: Path, times: int) -> int:
    """Writes the flights as one CSV file, unless it exists, and returns the number of rows."""
    table = flights.read_flights().drop(columns="span")
    table["scheduled_departure"] = table["scheduled_departure"].astype("datetime64[s]").astype("int64")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        random = np.random.default_rng(0)
        for copy in range(times):
            jittered(table, random, copy).to_csv(partial, mode="a", header=copy == 0, index=False)
        partial.rename(path)
    return len(table) * times


def jittered(table: pd.DataFrame, random: np.random.Generator, copy: int) -> pd.DataFrame:
    """A copy with slightly different measured values, so that no two rows are the same; copy 0 is the original."""
    if copy == 0:
        return table
    changed = table.copy()
    for name in ("temp", "dewp", "humid", "pressure", "wind_speed"):
        noise = (changed[name] * random.normal(1, 0.01, len(table))).round(3)
        # The schema allows only this range.
        changed[name] = noise.clip(table[name].min(), table[name].max())
    return changed


def write_config(folder: Path, workers: int, **overrides: str) -> Path:
    """Writes the example's configuration, with this benchmark's overrides and further ones by section, for both pipelines."""
    import yaml

    values = {"folder": folder, "fraction": EVAL_FRACTION, "workers": workers}
    changed = [f"{field}={value.format(**values)}" for field, value in OVERRIDES.items()]
    changed += [f"{section}={value}" for section, value in overrides.items()]
    settings = load_config(CONFIG, tuple(changed))
    document = settings.effective()
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def stock_command(config: Path, home: Path) -> list[str]:
    """The command that runs the stock pipeline; artifacts, metadata and models go to `home`."""
    return [sys.executable, "-m", "benchmarks.stock", str(config), str(home)]


def our_command(config: Path) -> list[str]:
    """The command that runs Conveyor."""
    return [str(Path(sys.executable).with_name("conveyor")), "run", str(config)]


def run_stock(console: Console, folder: Path, config: Path) -> Costs:
    """Runs the stock pipeline and returns its costs by node."""
    home = folder / "stock"
    measured = observed(console, "stock TFX", stock_command(config, home), home)
    costs = {WHOLE: measured.whole()}
    store = MetadataStore(database.sqlite(home / "metadata.sqlite"))
    for execution in store.get_executions():
        (node,) = (context.name for context in store.get_contexts_by_execution(execution.id) if context.type == "node")
        start, end = execution.create_time_since_epoch / 1e3, execution.last_update_time_since_epoch / 1e3
        costs[node.rpartition(".")[2]] = measured.between(start, end)
    return costs


def run_ours(console: Console, folder: Path, config: Path, title: str) -> Costs:
    """Runs Conveyor and returns its costs by node."""
    measured = observed(console, title, our_command(config), folder / "ours")
    newest = max((folder / "ours" / "runs").glob("*/*/run.json"), key=lambda path: path.stat().st_mtime)
    outcome = RunOutcome.load(newest.parent)
    costs = {WHOLE: measured.whole()}
    for name, node in outcome.nodes.items():
        if node.started and node.ended:
            costs[name] = measured.of_log(f"{name}.log", node.started, node.ended)
    return costs


def observed(console: Console, title: str, command: list[str], home: Path) -> Measured:
    """Runs a command while the terminal shows the elapsed time."""
    home.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with console.status(title) as status:
        measured = measure(
            command,
            home / f"{title.replace(' ', '-')}.log",
            environment=ENVIRONMENT,
            watch=lambda: status.update(f"{title}: {time.monotonic() - started:.0f} s"),
        )
    console.print(f"{title}: {measured.whole().wall:.1f} s")
    return measured


def show(console: Console, measured: dict[str, Costs]) -> None:
    """Prints wall seconds by node and run, CPU time and memory of the fresh runs, and the speedup over stock TFX."""
    fresh = [run for run in measured if run in ("stock", "ours")]
    headers = [f"{run}: s" for run in measured] + [f"{run}: CPU s, GiB" for run in fresh]
    table = Table("node", *headers, *(["times faster"] if len(fresh) == 2 else []), box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column.header == "node" else "right"
    named = {run: {OUR_NAMES.get(node, node): cost for node, cost in costs.items()} for run, costs in measured.items()}
    for node in dict.fromkeys([*named[fresh[-1]], WHOLE]):
        costs = {run: of_run.get(node) for run, of_run in named.items()}
        cells = [f"{cost.wall:.1f}" if cost else "" for cost in costs.values()]
        cells += [f"{cost.cpu:.1f}  {cost.memory / 2**30:.2f}" if (cost := costs[run]) else "" for run in fresh]
        if len(fresh) == 2:
            stock, ours = (costs[run] for run in fresh)
            cells.append(f"{stock.wall / ours.wall:.1f}" if stock and ours else "")
        table.add_row(node, *cells)
    Console(highlight=False, width=max(console.width, TABLE_WIDTH)).print(table)


def agree(console: Console, folder: Path, config: Path) -> bool:
    """Prints whether rows, statistics and evaluation agree, and returns whether all do."""
    stock, ours = Artifacts(folder / "stock" / "metadata.sqlite"), Artifacts(folder / "ours" / "metadata.sqlite")
    unread = load_config(config).unread
    different_metrics = list(_different_metrics(stock, config, folder / "evaluation"))
    checks = {
        "rows of ExampleGen": _rows(stock.examples, unread) == _rows(ours.examples, unread),
        "statistics of the same rows": _statistics_agree(stock),
        "metrics and blessing of the same model": not different_metrics,
    }
    for name, equal in checks.items():
        console.print(f"{'equal' if equal else 'DIFFERENT':>9}  {name}", style="" if equal else "red")
    for difference in different_metrics:
        console.print(f"{'':9}  {difference}")
    return all(checks.values())


class Artifacts:
    """The folders with the outputs of a pipeline's first run.

    Args:
      path: ML Metadata's SQLite database.
    """

    def __init__(self, path: Path) -> None:
        store = MetadataStore(database.sqlite(path))

        def oldest(kind: str) -> Path:
            return Path(min(store.get_artifacts_by_type(kind), key=lambda artifact: artifact.id).uri)

        # The oldest Examples are ExampleGen's; Transform writes later ones.
        self.examples, self.statistics = oldest("Examples"), oldest("ExampleStatistics")
        self.model, self.evaluation, self.blessing = oldest("Model"), oldest("ModelEvaluation"), oldest("ModelBlessing")


def _rows(examples: Path, unread: Collection[str]) -> collections.Counter[bytes]:
    """How often each row occurs in all splits, without the columns that only stock reads.

    An absent feature and a feature without a value count as the same.
    """
    from components.statistics_gen.batches import read_batches

    counts: collections.Counter[bytes] = collections.Counter()
    for split in ("train", "eval"):
        for batch in read_batches(_files(examples, split)):
            names = sorted(set(batch.schema.names).difference(unread))
            columns = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in names]
            for values in zip(*columns, strict=True):
                present = [(name, value) for name, value in zip(names, values, strict=True) if value]
                counts[hashlib.blake2b(repr(present).encode(), digest_size=12).digest()] += 1
    return counts


def _files(examples: Path, split: str) -> list[str]:
    return sorted(map(str, (examples / f"Split-{split}").iterdir()))


def _statistics_agree(stock: Artifacts) -> bool:
    """Whether our statistics of TFX's examples equal TFX's."""
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

    from components.statistics_gen.batches import read_batches
    from components.statistics_gen.statistics import compute_statistics

    for split in ("train", "eval"):
        content = (stock.statistics / f"Split-{split}" / "FeatureStats.pb").read_bytes()
        theirs = dict(_numbers(DatasetFeatureStatisticsList.FromString(content)))
        ours = dict(_numbers(compute_statistics(read_batches(_files(stock.examples, split)))))
        if theirs.keys() != ours.keys():
            return False
        pairs = np.array([(value, ours[name]) for name, value in theirs.items()])
        if not np.allclose(pairs[:, 0], pairs[:, 1], rtol=STATISTICS_TOLERANCE, atol=1e-12, equal_nan=True):
            return False
    return True


def _numbers(statistics: object) -> Iterator[tuple[str, float]]:
    """The figures that TFDV's page shows for each feature."""
    for feature in statistics.datasets[0].features:  # type: ignore[attr-defined]
        name = ".".join(feature.path.step)
        kind = feature.num_stats if feature.HasField("num_stats") else feature.string_stats
        yield f"{name}: present", kind.common_stats.num_non_missing
        yield f"{name}: missing", kind.common_stats.num_missing
        if feature.HasField("num_stats"):
            for figure in ("mean", "std_dev", "num_zeros", "min", "median", "max"):
                yield f"{name}: {figure}", getattr(kind, figure)
        else:
            yield f"{name}: unique", kind.unique
            yield f"{name}: avg_length", kind.avg_length
            for value in kind.top_values:
                yield f"{name}: {value.value}", value.frequency


def _different_metrics(stock: Artifacts, config: Path, folder: Path) -> Iterator[str]:
    """How our evaluation of TFX's model on TFX's examples differs from TFX's, in metrics by slice and in the verdict.

    TFX's own metrics differ from one evaluation of a model to the next if a score lies at the edge of one of the AUC's ten
    thousand thresholds, because the last bits of a score vary, for example with the size of the row's batch. TFX's metrics
    may therefore lie between ours for scores that are slightly lower and slightly higher.
    """
    import tensorflow_model_analysis as tfma

    from components.evaluator import eval_config
    from components.evaluator.evaluation import evaluate
    from components.evaluator.rows import Models

    settings = tfma.utils.update_eval_config_with_defaults(
        eval_config(load_config(config, ())), has_baseline=False, rubber_stamp=True
    )
    files = sorted(map(str, (stock.examples / "Split-eval").iterdir()))

    def evaluated(moved: float) -> tuple[dict[tuple[str, str], float], bool]:
        predict = Models.predict

        def moved_predict(models: Models, examples: object) -> object:
            return {key: values + np.float32(moved) for key, values in predict(models, examples).items()}

        with mock.patch.object(Models, "predict", moved_predict):
            validation = evaluate(settings, {"": str(stock.model / "Format-Serving")}, files, str(folder))
        return _metrics(folder), validation.validation_ok

    theirs = _metrics(stock.evaluation)
    (lower, _), (higher, _), (ours, is_blessed) = evaluated(-LAST_BITS), evaluated(LAST_BITS), evaluated(0)
    for key in sorted(theirs.keys() | ours.keys()):
        reference, mine = theirs.get(key, np.nan), ours.get(key, np.nan)
        around = [metrics.get(key, np.nan) for metrics in (lower, ours, higher)]
        if key[1] in RANKINGS and theirs[key[0], "mean_label"] in (0, 1):
            # Ours is undefined; TFMA integrates over an empty curve.
            continue
        margin = TOLERANCE * max(1, abs(reference))
        is_equal = min(around) - margin <= reference <= max(around) + margin or np.isnan([reference, mine]).all()
        if not is_equal:
            yield f"{key[1]} of {key[0]}: stock {reference}, ours {mine}"
    if (stock.blessing / "BLESSED").exists() != is_blessed:
        yield f"ours is{'' if is_blessed else ' not'} blessed"


def _metrics(evaluation: Path) -> dict[tuple[str, str], float]:
    import tensorflow_model_analysis as tfma

    result = tfma.load_eval_result(str(evaluation))
    return {
        (repr(slice_key), name): float(value["doubleValue"])
        for slice_key, outputs in result.slicing_metrics
        for name, value in outputs[""][""].items()
        if "doubleValue" in value
    }


if __name__ == "__main__":
    sys.exit(main())
