"""`conveyor monitor`: one look at what is served, from the log and the version's own rows to a verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.cli.main import main
from pipeline.config import PipelineConfig
from tests.fakes.event_receiver import event_receiver
from tests.fakes.serving_cluster import FakeCluster
from tests.fakes.workspace import Workspace
from tests.unit.monitoring.conftest import rows

LOG = "--since=2026-01-01"


@pytest.fixture
def monitor(version: PipelineConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command; returns its exit code, output and errors."""
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(version.model_dump(mode="json", by_alias=True, exclude_unset=True)))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["monitor", str(path), *arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_where_a_key_is_trusted_a_version_without_its_signature_is_not_loaded(
    monitor: Callable[..., Any], log: Callable[..., None], tmp_path: Path
) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "public.pem").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    log(1, rows(400, 11))
    code, _, err = monitor(LOG, f"--set=push.public_key={tmp_path / 'public.pem'}")
    assert code == 1
    assert "Untrusted model" in err


def test_rows_like_those_of_training_have_not_drifted(
    monitor: Callable[..., Any], log: Callable[..., None], version: PipelineConfig, tmp_path: Path
) -> None:
    for day in range(3):
        log(day, rows(400, 10 + day))
    code, out, err = monitor(LOG, f"--textfile={tmp_path / 'monitor.prom'}")
    assert (code, err) == (0, "")
    assert "Version 7 of flights: none of 4 columns has drifted" in out
    assert re.search(r"Estimated auc, until labels come: 0\.7\d+ → 0\.7\d+; really 0\.7000 on", out)
    assert "1,200 rows, log, since 2026-01-01 00:00, beside 2,000, the rows it was trained on" in out
    page = (version.workspace_path / "monitoring" / "flights" / "monitor.html").read_text()
    assert "No drift" in page
    assert "&lt;b&gt;EWR&lt;/b&gt;" in page
    assert "<b>EWR" not in page
    metrics = (tmp_path / "monitor.prom").read_text()
    assert 'conveyor_monitor_drifted_columns{model="flights",version="7"} 0.0' in metrics
    assert 'conveyor_monitor_importance{column="distance",model="flights",version="7"} 0.2' in metrics
    assert 'conveyor_monitor_answered_rows{answered_by="7",model="flights",version="7"} 1200.0' in metrics


def test_drift_ends_with_code_5_and_names_what_has_drifted(
    monitor: Callable[..., Any], log: Callable[..., None], version: PipelineConfig
) -> None:
    log(0, rows(400, 10))
    log(1, rows(400, 11, far=300.0))
    code, out, err = monitor(LOG)
    assert code == 5
    assert "3 of 4 columns have drifted" in out
    assert re.search(r"drift +distance +0.2000", out)
    assert "seen      distance, " in err
    assert "fix       If the rows are right, train on newer ones: conveyor run" in err
    page = (version.workspace_path / "monitoring" / "flights" / "monitor.html").read_text()
    assert "drift: values" in page
    assert "Day by day" in page


def test_other_programs_are_told_of_drift_and_of_nothing_else(monitor: Callable[..., Any], log: Callable[..., None]) -> None:
    log(0, rows(400, 10))
    log(1, rows(400, 11, far=300.0))
    with event_receiver() as receiver:
        receives = ("--set", f"events.url={receiver.url}")
        assert monitor("--rows=log:2026-01-01..2026-01-02", *receives)[0] == 0
        assert monitor(LOG, *receives)[0] == 5
        (event,) = receiver.wait_for(1)
    assert (event["type"], event["subject"]) == ("conveyor.drift.found", "7")
    assert event["data"]["columns"]["distance"] == 0.2
    assert (event["data"]["rows"], event["data"]["version"]) == (800, "7")


def test_the_look_as_json(monitor: Callable[..., Any], log: Callable[..., None]) -> None:
    log(0, rows(400, 10))
    log(1, rows(400, 11, far=300.0), answered_by=8)
    code, out, _ = monitor(LOG, "--json")
    look = json.loads(out)
    assert code == 5
    # The other version's predictions are not this one's.
    assert look["drifted"] == ["distance"]
    assert {each["version"]: each["rows"] for each in look["traffic"]} == {7: 400, 8: 400}
    (distance,) = [each for each in look["columns"] if each["name"] == "distance"]
    check = distance["checks"][0]
    assert check["value"] > check["floor"] > 0
    assert [day["rows"] for day in look["days"]] == [400, 400]
    assert look["days"][1]["distances"]["distance"] > 0.3 > look["days"][0]["distances"]["distance"]


def test_any_two_are_compared(monitor: Callable[..., Any], log: Callable[..., None]) -> None:
    log(0, rows(400, 10, far=300.0))
    log(1, rows(400, 11, far=300.0))
    code, out, _ = monitor("--rows=log:2026-01-02..", "--against=log:2026-01-01..2026-01-02")
    assert code == 0, out
    assert "none of 4 columns has drifted" in out


def test_a_span_is_compared_with_the_rows_of_training(monitor: Callable[..., Any], tmp_path: Path) -> None:
    for span, far in ((1, 0.0), (2, 300.0)):
        pq.write_table(pa.table(rows(500, span, far=far)), tmp_path / f"flights-{span}.parquet")
    data = ("--set", f"data.input={tmp_path}/flights-{{SPAN}}.parquet")
    assert monitor(*data, "--rows=span:1")[0] == 0
    code, out, _ = monitor(*data, "--rows=span:2")
    assert code == 5
    assert "500 rows, span 2, beside" in out
    code, _, err = monitor(*data, "--rows=span:3")
    assert code == 2
    assert "expected  one of 1, 2" in err


def test_the_schema_is_told_and_counts_where_people_keep_it(
    monitor: Callable[..., Any], log: Callable[..., None], version: PipelineConfig, tmp_path: Path
) -> None:
    odd = rows(400, 10)
    odd["distance"][0] = -5.0
    log(0, odd)
    code, out, _ = monitor(LOG)
    assert code == 0
    assert re.search("differs from the schema: distance: .*-5", out)
    (tmp_path / "schema.pbtxt").write_text('feature { name: "late" type: INT }')
    code, out, err = monitor(LOG, "--set", f"schema.path={tmp_path / 'schema.pbtxt'}")
    assert code == 5
    assert "The rows that version 7 is asked about break the schema." in err


def test_columns_that_are_not_logged_are_named(
    monitor: Callable[..., Any], version: PipelineConfig, log: Callable[..., None]
) -> None:
    log(0, rows(400, 10))
    folder = Path(version.resolve(str(version.gateway.log.folder)))
    for path in folder.rglob("*.parquet"):
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["origin"]), path)
    code, out, _ = monitor(LOG)
    assert code == 0
    assert "Not compared, as these rows do not have them: origin" in out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--since=7d", "--rows=log"], "It is not clear which rows to look at."),
        (["--rows=log"], "There are no rows to compare."),
        (["--version=9", LOG], "flights has not pushed a version 9."),
        (["--against=span:9", LOG], "No file matches the input pattern."),
    ],
)
def test_what_cannot_be_compared_is_told(
    monitor: Callable[..., Any], version: PipelineConfig, arguments: list[str], what: str
) -> None:
    Path(version.resolve(str(version.gateway.log.folder))).mkdir(parents=True)
    code, _, err = monitor(*arguments)
    assert code == 2
    assert what in err
    assert "fix" in err or "expected" in err


def test_again_and_again_the_version_that_serves_now_is_watched(
    monitor: Callable[..., Any],
    workspace: Workspace,
    log: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log(0, rows(400, 10))
    pauses = iter([lambda: workspace.run("run-2", "-2", version="8"), lambda: None])

    def sleep(seconds: float) -> None:
        pause = next(pauses, None)
        if pause is None:
            raise KeyboardInterrupt
        pause()

    monkeypatch.setattr("pipeline.cli.monitor.time.sleep", sleep)
    _, out, _ = monitor(LOG, "--against=log:2026-01-01..", "--every=10m")
    assert re.findall(r"^Version (\d)", out, re.MULTILINE) == ["7", "8", "8"]


def test_in_the_cluster_the_stable_version_of_its_rollout_is_watched(
    monitor: Callable[..., Any],
    version: PipelineConfig,
    workspace: Workspace,
    log: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster(tmp_path / "cluster", version.serving_path.parent, monkeypatch)
    state = {"metadata": {"name": "serving-rollout", "resourceVersion": "1"}, "data": {"rollout.json": '{"stable": 7}'}}
    cluster.write("configmap-serving-rollout", state)
    workspace.run("run-2", "-2", version="8")
    log(0, rows(400, 10))
    mounted = ("--set", f"kubeflow.mount_path={version.workspace_path}")
    code, out, err = monitor(LOG, "--target", "cluster", *mounted)
    assert code == 0, err
    assert "Version 7 of flights" in out


def test_the_log_of_the_cluster_is_not_that_of_a_laptop(monitor: Callable[..., Any], log: Callable[..., None]) -> None:
    log(0, rows(400, 10))
    code, out, err = monitor(LOG, "--target", "cluster")
    assert (code, out) == (2, "")
    assert "The log of the cluster is on its volume" in err
    assert "create job look --from=cronjob/conveyor-monitor" in err


def test_without_the_rows_of_training_there_is_a_remedy(
    monitor: Callable[..., Any], version: PipelineConfig, log: Callable[..., None]
) -> None:
    log(0, rows(400, 10))
    for path in version.artifacts_path.rglob("Split-train/data.gz"):
        path.unlink()
    code, _, err = monitor(LOG)
    assert code == 2
    assert "conveyor monitor --against span:N, or --against log:FROM..TO" in err
    assert monitor(LOG, "--against=log:2026-01-01..")[0] == 0
