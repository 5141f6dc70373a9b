"""`conveyor monitor`: the rows of now beside those that the served version was trained on."""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import ConfigArgument, Json, Overrides, as_path, read_config
from pipeline.cli.output import new_table, print_json, print_table
from pipeline.cli.serving_target import DEFAULT_SERVER, Target, TargetOption, has_volume, open_target
from pipeline.errors import ConveyorError, DriftError, UsageError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.monitoring.comparison import ColumnComparison
    from pipeline.monitoring.look import Look, Watch
    from pipeline.monitoring.sources import Source

_DEFAULT_SINCE = "7d"
_SHOWN_COLUMNS, _SHOWN_ANOMALIES = 20, 8


def monitor(
    config: ConfigArgument = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT", help="Look at what was logged since: 7d (the default), 12h, or a date.", show_default=False
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(metavar="ROWS", help="Look at these instead: span:N, log:FROM..TO, or version:N for its training rows."),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="ROWS", help="What they should be like: version, the rows that the version was trained on, or as --rows."
        ),
    ] = "version",
    version: Annotated[
        int | None, typer.Option(metavar="N", help="The version; the stable one when not given, or the newest.")
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Look again and again, such as 10m, until Ctrl-C.", show_default=False),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Where the page goes; into the workspace by default.", parser=as_path),
    ] = None,
    textfile: Annotated[
        Path | None, typer.Option(metavar="FILE.prom", help="Write metrics for Prometheus, too.", parser=as_path)
    ] = None,
    target: TargetOption = Target.LOCAL,
    as_json: Json = False,
    overrides: Overrides = None,
) -> None:
    """Compare what is served with what the model was trained on: features, predictions, missing and unseen values, schema.

    Each figure stands beside what chance alone would make of it. The exit code is 5 where there is drift.

    In the cluster, a CronJob looks once a day, which conveyor compile --loop writes.

    Example: conveyor monitor --since 24h
    """
    from pipeline.monitoring.announcement import announce_drift
    from pipeline.monitoring.moments import UTC, parse_duration
    from pipeline.monitoring.sources import parse_source

    settings = read_config(config, overrides)
    if target is Target.CLUSTER:
        _require_volume(settings)
    now = datetime.datetime.now(UTC)
    seconds = None if every is None else parse_duration(every, "--every")
    current = _current(since, rows, now)
    reference = parse_source(against, now, "--against")
    watch = _watch(settings, _served(settings, version, target), reference)
    destination = page or settings.workspace_path / "monitoring" / settings.name / "monitor.html"
    told: frozenset[str] = frozenset()
    while True:
        started = time.monotonic()
        try:
            # Another one may have been promoted or pushed since.
            if seconds is not None and (served := _served(settings, version, target)) != watch.served.version:
                watch = _watch(settings, served, reference)
            look = _look(watch, current, now)
            _write(look, destination, textfile)
            _print(look, destination, as_json=as_json)
            told = announce_drift(settings, look, told)
            if seconds is None:
                _raise_drift(look)
                return
        except ConveyorError as error:
            # The next look may find rows, or a database that answers.
            if seconds is None:
                raise
            print(f"{now:%Y-%m-%d %H:%M:%S} {error.what} {error.seen}", file=sys.stderr)
        time.sleep(max(0.0, seconds - (time.monotonic() - started)))
        now = datetime.datetime.now(UTC)
        current = _current(since, rows, now)


def _current(since: str | None, rows: str | None, now: datetime.datetime) -> Source:
    from pipeline.monitoring.moments import Period, parse_moment
    from pipeline.monitoring.sources import LOG, Source, parse_source

    if since is not None and rows is not None:
        raise UsageError(
            "It is not clear which rows to look at.",
            where="--since and --rows",
            expected="one of them",
            seen=f"--since {since}, --rows {rows}",
            fix=f"Write --rows log:{since}.. or leave --rows out.",
        )
    if rows is not None:
        return parse_source(rows, now, "--rows")
    return Source(LOG, period=Period(parse_moment(since or _DEFAULT_SINCE, now, "--since")))


def _require_volume(config: PipelineConfig) -> None:
    if has_volume(config):
        return
    raise UsageError(
        "The log of the cluster is on its volume, where a pod looks at it.",
        where="--target cluster",
        expected=f"a workspace that is the volume, {config.kubeflow.mount_path}",
        seen=str(config.workspace_path),
        fix="Run: conveyor compile --loop loop.yaml, then: kubectl apply --server-side -f loop.yaml, and for a look now: "
        f"kubectl -n {config.kubeflow.namespace} create job look --from=cronjob/conveyor-monitor",
    )


def _served(config: PipelineConfig, version: int | None, target: Target) -> str | None:
    """The version to watch: the one that is named, the stable one, or the newest; None where nothing has been pushed."""
    from pipeline.util.imports import quietly

    named = version or open_target(config, target, DEFAULT_SERVER, None, None).read().stable
    if named is not None:
        return str(named)
    with quietly():
        from pipeline.runs import database
        from pipeline.runs.metadata import open_store

        with open_store(database.connection(config), config.name) as store:
            return next(reversed(store.pushed_versions()), None)


def _watch(config: PipelineConfig, version: str | None, reference: Source) -> Watch:
    from pipeline.util.imports import quietly

    with quietly():
        # Each look needs it.
        import pipeline.monitoring.statistics  # noqa: F401
        from pipeline.monitoring.look import Watch

        return Watch(config, version, reference)


def _look(watch: Watch, current: Source, now: datetime.datetime) -> Look:
    from pipeline.util.imports import silently

    with silently():
        return watch.look(current, now)


def _write(look: Look, page: Path, textfile: Path | None) -> None:
    from pipeline.monitoring.textfile import render
    from pipeline.report.html.monitoring_page import render_look
    from pipeline.util.files import READABLE, write

    write(page, render_look(look))
    if textfile is not None:
        write(textfile, render(look), READABLE)


def _print(look: Look, page: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(look.document())
        return
    from rich.console import Console

    from pipeline.report import formats

    console = Console(highlight=False, markup=False)
    console.print(f"Version {look.version} of {look.name}: {_verdict(look)}", style="bold")
    console.print(
        f"{formats.number(look.current.rows)} rows, {look.current.title}, beside {formats.number(look.reference.rows)}, ",
        end="",
    )
    console.print(look.reference.title)
    for text in _ages(look):
        console.print(text, style="dim", soft_wrap=True)
    _print_columns((*look.columns, *look.predictions))
    if look.estimate:
        figures = f"{formats.metric(look.estimate.reference)} → {formats.metric(look.estimate.current)}"
        judged = look.estimate.judged
        really = f"; really {formats.metric(judged)} on the rows it was judged on" if judged is not None else ""
        console.print(f"Estimated {look.estimate.metric}, until labels come: {figures}{really}", soft_wrap=True)
    if look.traffic and len(look.traffic) > 1:
        answered = ", ".join(f"version {each.version}: {formats.number(each.rows)}" for each in look.traffic)
        console.print(f"Answered by {answered}")
    for name, text in look.anomalies[:_SHOWN_ANOMALIES]:
        console.print(f"{'breaks' if look.is_curated else 'differs from'} the schema: {name}: {text}")
    if (more := len(look.anomalies) - _SHOWN_ANOMALIES) > 0:
        console.print(f"… and {more} more anomalies: see the page")
    if look.not_compared:
        console.print(f"Not compared, as these rows do not have them: {', '.join(look.not_compared)}")
    for path, reason in look.unreadable.items():
        console.print(f"Left out, as it cannot be read: {path}: {reason}", style="yellow")
    console.print(f"Page: {page}", soft_wrap=True)


def _print_columns(columns: tuple[ColumnComparison, ...]) -> None:
    from pipeline.monitoring.comparison import DISTRIBUTION, UNSEEN
    from pipeline.report import formats

    right = ("importance", "distance", "by chance", "missing", "unseen")
    table = new_table("", "column", "importance", "distance", "by chance", "missing", "unseen", "change", right=right)
    ordered = sorted(columns, key=lambda each: not each.has_drifted)
    for each in ordered[:_SHOWN_COLUMNS]:
        distance, unseen = each.check(DISTRIBUTION), each.check(UNSEEN)
        table.add_row(
            "drift" if each.has_drifted else "",
            each.name,
            "" if each.importance is None else formats.metric(each.importance),
            "" if distance is None else formats.metric(distance.value),
            "" if distance is None else f"≤ {formats.metric(distance.floor)}",
            f"{formats.percent(each.missing[0])} → {formats.percent(each.missing[1])}" if any(each.missing) else "",
            "" if unseen is None or not unseen.value else formats.percent(unseen.value),
            each.change,
        )
    print_table(table)
    if len(ordered) > _SHOWN_COLUMNS:
        print(f"… and {len(ordered) - _SHOWN_COLUMNS} more columns: see the page")


def _verdict(look: Look) -> str:
    total = len(look.columns) + len(look.predictions)
    if look.drifted:
        return f"{len(look.drifted)} of {total} columns have drifted"
    return "the rows break the schema" if look.breaks_schema else f"none of {total} columns has drifted"


def _ages(look: Look) -> list[str]:
    from pipeline.report import formats

    texts = []
    if look.pushed is not None:
        texts.append(f"pushed {formats.age(look.moment - look.pushed)} ago")
    if look.data_read is not None:
        span = f", up to span {look.newest_span}" if look.newest_span is not None else ""
        texts.append(f"its data read {formats.age(look.moment - look.data_read)} ago{span}")
    return [f"The version was {'; '.join(texts)}."] if texts else []


def _raise_drift(look: Look) -> None:
    if not look.drifted and not look.breaks_schema:
        return
    names = [each.name for each in look.drifted]
    broken = f"{len(look.anomalies)} anomalies by the schema" if look.breaks_schema else ""
    raise DriftError(
        f"What is served is not what version {look.version} was trained on."
        if names
        else f"The rows that version {look.version} is asked about break the schema.",
        where=look.current.title,
        expected=f"rows like {look.reference.title}",
        seen=", ".join(filter(None, (*names[:_SHOWN_COLUMNS], broken))),
        fix="If the rows are right, train on newer ones: conveyor run",
    )
