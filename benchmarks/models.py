"""Compares the models of configurations that `init` wrote with scikit-learn's, on public tables and the same rows.

    .venv/bin/python -m benchmarks.models                        # every table and seed that has no result yet, then the page
    .venv/bin/python -m benchmarks.models --only iris --seeds 1  # this again
    .venv/bin/python -m benchmarks.models --page                 # the page alone, of the results that are there

Each seed divides a table anew: a fifth of the rows, drawn at random by class, is evaluated on; of a table in the order of time
the last fifth, whatever the seed. Both parts are written as spans, of which `conveyor init` makes a window. The models of
scikit-learn learn from the same rows and the columns that `init` did not leave out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
from sklearn.model_selection import train_test_split

import conveyor
from benchmarks.peers import LINEAR, TREES, TUNED, errors
from benchmarks.public_tables import TABLES, PublicTable
from benchmarks.tables import PAGE, command, put_between
from pipeline.config import PipelineConfig, Task
from pipeline.errors import NotBlessedError
from pipeline.util.checkout import ROOT

PLOT = ROOT / "docs" / "models.svg"
BEGIN = "<!-- models -->\n"
OURS = "Conveyor"
SHARE_TO_EVALUATE = 0.2
# In the order of time; of weather and jobs the spans and the months.
_ORDERED = ("seattle", "jobs", "weather")
# Made here, or too small to say anything.
_LEFT_OUT = ("houses", "kunden", "reviews", "sensors", "mtcars")
MOST_WORSE = 0.01
"""The relative error by which ours may be worse than the better of scikit-learn's."""

COMPARED = tuple(table for table in TABLES if table.name not in _LEFT_OUT)
_MAIN = {Task.BINARY: "1 - auc", Task.MULTICLASS: "1 - accuracy", Task.REGRESSION: "rmse"}


def main() -> int:
    """Compares what is asked for, writes the page, and returns on how many tables ours is worse than may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", choices=[table.name for table in COMPARED], help="this table again; repeatable"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=ROOT / ".conveyor" / "models", help="where tables and results are kept")
    parser.add_argument("--page", action="store_true", help="write the page only")
    parser.add_argument("--tuned", action="store_true", help="a random search over LightGBM's settings too: minutes a table")
    options = parser.parse_args()
    for seed in options.seeds:
        for table in COMPARED:
            folder = options.folder.absolute() / f"{table.name}-{seed}"
            result_path = folder / "result.json"
            wanted = table.name in options.only if options.only else not result_path.exists()
            if wanted and not options.page:
                result = compare(table, seed, folder, options.tuned)
                result_path.write_text(json.dumps(result, indent=2))
                print(f"{table.name:<11} seed {seed}  {in_words(result)}", flush=True)
    found = {
        table.name: [json.loads(path.read_text()) for path in sorted(options.folder.glob(f"{table.name}-?/result.json"))]
        for table in COMPARED
    }
    write_page({name: results for name, results in found.items() if results})
    return sum(relative(results) > MOST_WORSE for results in found.values() if results)


def compare(table: PublicTable, seed: int, folder: Path, tuned: bool) -> dict[str, Any]:
    """Trains on a table and returns how wrong each model is on the same rows."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    train, evaluation = divided(table, seed)
    for number, rows in enumerate((train, evaluation), start=1):
        rows.to_parquet(folder / "data" / f"rows-{number}.parquet", index=False)
    run_command(folder, "init", "data", "--label", table.label)
    run_command(folder, "run", "--to", "Evaluator", "--set", f"training.seed={seed}")
    with contextlib.chdir(folder):
        pipeline = conveyor.load()
        candidate = pipeline.find_run("latest").metrics["candidate"]
        metrics = {str(name): float(value) for name, value in candidate.items()}
        config = pipeline.config
    columns = [name for name in train if not is_left_out(config, str(name))]
    peers = errors(config.task, train[columns], evaluation[columns], table.label, seed, tuned)
    return {
        "task": config.task.value,
        "rows": len(train) + len(evaluation),
        "errors": {OURS: our_errors(config.task, metrics), **peers},
    }


def divided(table: PublicTable, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows to learn from, and those to evaluate on."""
    rows = table.read()
    rows = rows[rows[table.label].notna()]
    if table.span is not None:
        rows = rows.sort_values(table.span, kind="stable").drop(columns=table.span)
    if table.name in _ORDERED:
        first = round(len(rows) * (1 - SHARE_TO_EVALUATE))
        return rows.iloc[:first], rows.iloc[first:]
    counts = rows[table.label].value_counts()
    classes = rows[table.label] if len(counts) <= 20 and counts.min() > 1 else None
    train, evaluation = train_test_split(rows, test_size=SHARE_TO_EVALUATE, random_state=seed, stratify=classes)
    return train, evaluation


def run_command(folder: Path, *arguments: str) -> None:
    """Runs a command of the pipeline in a folder.

    Raises:
      RuntimeError: it ended with an error.
    """
    code, output = command(folder, *arguments)
    (folder / f"{arguments[0]}.txt").write_text(output)
    if code not in (0, NotBlessedError.exit_code):
        raise RuntimeError(f"conveyor {' '.join(arguments)} in {folder} ended with {code}:\n{output}")


def is_left_out(config: PipelineConfig, column: str) -> bool:
    """Whether the configuration says that a column is ignored."""
    return column in config.features and config.features[column].kind == "ignore"


def our_errors(task: Task, metrics: Mapping[str, float]) -> dict[str, float]:
    """The errors of the evaluation of a run, by the names of scikit-learn's."""
    if task is Task.REGRESSION:
        return {"rmse": metrics["rmse"]}
    name = "auc" if task is Task.BINARY else "accuracy"
    return {f"1 - {name}": 1 - metrics[name], "log loss": metrics["loss"]}


def means(results: Sequence[Mapping[str, Any]], metric: str) -> dict[str, float]:
    """The mean of an error over the seeds, by model."""
    return {
        model: mean(result["errors"][model][metric] for result in results)
        for model in (OURS, LINEAR, TREES, TUNED)
        if all(model in result["errors"] for result in results)
    }


def relative(results: Sequence[Mapping[str, Any]]) -> float:
    """How much larger the mean of our main error is than the better of the two first of scikit-learn's, as a share of it."""
    found = means(results, _MAIN[Task(results[0]["task"])])
    best = min(found[LINEAR], found[TREES])
    return found[OURS] / best - 1 if best else float(found[OURS] > 0)


def in_words(result: Mapping[str, Any]) -> str:
    """The errors of one comparison in a line."""
    metric = _MAIN[Task(result["task"])]
    return f"{metric}: " + ", ".join(f"{model} {found[metric]:.4g}" for model, found in result["errors"].items())


def write_page(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Puts the means between the marks in the page, and draws the plot beside it."""
    put_between(PAGE, BEGIN, rendered(results))
    PLOT.write_text(plot({name: relative(found) for name, found in results.items()}))


def rendered(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The means as a table in Markdown: the smallest error of a line in bold."""
    is_tuned = all(TUNED in each["errors"] for found in results.values() for each in found)
    models = [OURS, LINEAR, TREES, *([TUNED] if is_tuned else [])]
    lines: list[Sequence[str]] = [
        ("table", "rows", "seeds", "error", *models, "error vs. best of the two"),
        ("---",) * (5 + len(models)),
    ]
    for name, found in results.items():
        for metric in found[0]["errors"][OURS]:
            errors_by_model = means(found, metric)
            least = min(errors_by_model[model] for model in models)
            cells = [f"**{value:.4g}**" if (value := errors_by_model[model]) == least else f"{value:.4g}" for model in models]
            is_main = metric == _MAIN[Task(found[0]["task"])]
            worse = f"{relative(found):+.1%}" if is_main else ""
            lines.append((name, f"{found[0]['rows']:,}", str(len(found)), metric, *cells, worse))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def plot(worse: Mapping[str, float]) -> str:
    """An SVG with a bar for each table: how much smaller, to the left, or larger ours is than the better peer's error."""
    row, left, width, top, for_share = 20, 90, 630, 34, 44
    most = max(0.1, *(min(abs(share), 1.0) for share in worse.values()))
    middle = (left + width) / 2
    unit = (middle - left - for_share) / most
    height = top + row * len(worse) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{middle}" y="16" text-anchor="middle">error beside the better of linear and HistGradientBoosting</text>',
    ]
    for number, (name, share) in enumerate(sorted(worse.items(), key=lambda each: each[1])):
        y, length = top + row * number, min(abs(share), most) * unit
        start = middle - length if share < 0 else middle
        colour = "#2f7d4f" if share <= 0 else "#b7791f" if share <= MOST_WORSE else "#b83232"
        end = start - 4 if share < 0 else middle + length + 4
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{start:.1f}" y="{y + 3}" width="{max(length, 1):.1f}" height="{row - 6}" fill="{colour}"/>')
        anchor = "end" if share < 0 else "start"
        parts.append(f'<text x="{end:.1f}" y="{y + 13}" text-anchor="{anchor}" fill="#555">{share:+.0%}</text>')
    parts.append(f'<line x1="{middle}" x2="{middle}" y1="{top}" y2="{height - 10}" stroke="#555"/></svg>\n')
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
