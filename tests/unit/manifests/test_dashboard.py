"""What Prometheus and Grafana are told: right, and about metrics that gateway and model server really have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from pipeline.loop import textfile as loop_textfile
from pipeline.loop.journal import Action, Entry, State
from pipeline.monitoring import textfile
from pipeline.monitoring.look import Look, Side
from serving.gateway.metrics import GatewayMetrics
from serving.modelserver import metrics as modelserver_metrics
from tests.unit.manifests.conftest import MANIFESTS, Objects, find

PROMETHEUS = MANIFESTS / "monitoring/prometheus"
GRAFANA = MANIFESTS / "monitoring/grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
PANELS = [panel for board in BOARDS.values() for panel in board["panels"] if panel["type"] != "row"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}
RECORDED = {rule["record"]: rule for group in RULES["groups"] for rule in group["rules"] if "record" in rule}

# Prometheus gives it to whatever it asks.
OF_PROMETHEUS = {"up"}


def exported() -> set[str]:
    """The series that gateway, model server and the commands with --textfile have for Prometheus, and those of the rules."""
    names = set()
    for page in (GatewayMetrics().text(), modelserver_metrics.page()):
        for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", page.decode(), flags=re.MULTILINE):
            names |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"} if kind == "histogram" else {name}
    return names | set(textfile_labels()) | set(RECORDED)


def textfile_labels() -> dict[str, set[str]]:
    """The labels of each series that the commands with --textfile have, by its name."""
    check = SimpleNamespace(kind="distribution", value=0.0, floor=0.0, is_drift=False)
    column: Any = SimpleNamespace(name="distance", importance=0.0, checks=[check], has_drifted=False)
    traffic: Any = SimpleNamespace(version=7, rows=1)
    sides = Side("", 1), Side("", 1)
    look = Look("flights", "7", 0.0, *sides, (column,), (), traffic=(traffic,), pushed=0.0, data_read=0.0)
    # The class itself takes seconds to import.
    fields = {"by": "version", "value": "7", "rows": 1, "metrics": {"auc": 0.7}, "primary": "auc", "lower": 0.6, "upper": 0.8}
    found: Any = SimpleNamespace(groups=[SimpleNamespace(**fields, is_worse_than=lambda judged: False)])
    entry = Entry(number=1, at=0.0, action=Action.RUN, key="", reason="", state=State.ENDED)
    pages = (
        textfile.render(look),
        textfile.render_quality("flights", found, {"7": 0.7}, 0.0),
        loop_textfile.render("flights", [entry], 0.0, paused=False),
    )
    series = (each for page in pages for each in re.findall(r"^(conveyor_\w+)\{([^}]*)\}", page, flags=re.MULTILINE))
    return {name: set(re.findall(r"(\w+)=\"", labels)) for name, labels in series}


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, as Prometheus gets it, with the place where it stands."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for board in BOARDS.values():
        for annotation in board["annotations"]["list"]:
            yield annotation["name"], annotation["expr"]
    for name, rule in (ALERTS | RECORDED).items():
        yield name, rule["expr"]


def names(expression: str) -> set[str]:
    """The series that an expression asks for."""
    series = r"(?<![\w:])(?:gateway_\w+|conveyor_\w+|conveyor:[\w:]+|:tensorflow:[\w:]+|up)\b(?!\s*\()"
    return set(re.findall(series, expression)) - {"gateway"}


@pytest.fixture
def promtool(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Prometheus' own checker."""
    if not shutil.which("promtool"):
        pytest.skip("promtool is not on the path: install prometheus to check what Prometheus is told")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = ["promtool", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_all_series_are_exported() -> None:
    known = exported() | OF_PROMETHEUS
    asked = {(place, name) for place, expression in expressions() for name in names(expression)}
    assert len(asked) > 20
    assert {pair for pair in asked if pair[1] not in known} == set()


def test_each_count_of_the_gateway_is_shown() -> None:
    shown = {name for _, expression in expressions() for name in names(expression)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported() if name.startswith("gateway_")}
    assert families - {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} == set()


def test_labels_are_those_of_the_series() -> None:
    metrics = GatewayMetrics()
    by_series = {
        f"{collector._name}{suffix}": {*collector._labelnames, *(("le",) if suffix == "_bucket" else ())}
        for collector in (*vars(metrics).values(), *vars(metrics.shadow).values())
        if hasattr(collector, "_labelnames")
        for suffix in ("", "_total", "_bucket")
    }
    for place, expression in expressions():
        for series, matchers in re.findall(r"(gateway_\w+)\{([^}]*)\}", expression):
            asked = set(re.findall(r"(\w+)\s*[=!]~?\s*\"", matchers))
            assert asked <= by_series[series], place


def test_labels_of_the_model_s_life_are_those_of_its_series() -> None:
    known = textfile_labels()
    legends = [(panel["title"], each["expr"], each.get("legendFormat", "")) for panel in PANELS for each in panel["targets"]]
    rules = [(name, rule["expr"], "") for name, rule in (ALERTS | RECORDED).items()]
    asked = 0
    for place, expression, legend in [*legends, *rules]:
        series = names(expression) & known.keys()
        if not series:
            continue
        for name, matchers in re.findall(r"(conveyor_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)\s*[=!]~?\s*\"", matchers)) <= known[name], place
        grouped = [set(re.findall(r"\w+", by)) for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)]
        there = set.union(*(known[name] for name in series))
        assert set.union(set(), *grouped) <= there, place
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= (set.union(*grouped) if grouped else there), place
        asked += 1
    assert asked > 20


def test_prometheus_understands_every_expression(
    tmp_path: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    rules = [
        {"record": f"expression_{number}", "expr": expression.replace("$__rate_interval", "1m").replace("$model", ".*")}
        for number, (_, expression) in enumerate(expressions())
    ]
    (tmp_path / "expressions.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    done = promtool("check", "rules", "expressions.yml")
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_prometheus_understands_the_rules(promtool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = promtool("check", "rules", PROMETHEUS / "rules.yml")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", ["monitoring/prometheus/prometheus.yml", "compose/prometheus.yml"])
def test_prometheus_understands_its_configuration(
    path: str, tmp_path: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    config = yaml.safe_load((MANIFESTS / path).read_text())
    for job in config["scrape_configs"]:
        # Debian's Prometheus is built without Kubernetes.
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = [{"targets": ["pod:8088"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(PROMETHEUS / "rules.yml", tmp_path)
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stderr


# What gateways count in each quarter of a minute, and the alert that fires a while later.
REQUESTS, PREDICTIONS = 'gateway_requests_total{route="/v1/predict",status="%s"}', "gateway_predictions_total"
SLOW = 'gateway_request_duration_seconds_bucket{route="/v1/predict",le="%s"}'
MONITOR, LABELS = 'conveyor_monitor_%s{model="flights",version="7"}', 'conveyor_labels_%s{model="flights",version="7"}'
LOOP = 'conveyor_loop_%s{model="flights"}'
SERIES = {
    "GatewayAway": {'up{job="gateway"}': "0x240"},
    "ModelServerAway": {'up{job="serving"}': "0x240"},
    "ErrorBudgetFast": {REQUESTS % 200: "0+98x240", REQUESTS % 503: "0+2x240"},
    "ErrorBudgetSlow": {REQUESTS % 200: "0+998x240", REQUESTS % 503: "0+2x240"},
    "LatencyBudgetFast": {SLOW % "0.5": "0+80x240", SLOW % "1": "0+100x240", SLOW % "+Inf": "0+100x240"},
    "LatencyBudgetSlow": {SLOW % "0.5": "0+98x240", SLOW % "1": "0+100x240", SLOW % "+Inf": "0+100x240"},
    "VersionErrors": {
        f'{PREDICTIONS}{{model="flights",version="7",outcome="ok"}}': "0+98x240",
        f'{PREDICTIONS}{{model="flights",version="7",outcome="error"}}': "0+2x240",
    },
    "CanaryForgotten": {"gateway_canary_traffic_percent": "10x400"},
    "PredictionLogDropsRows": {"gateway_log_dropped_total": "0+3x240"},
    "Drift": {MONITOR % "drifted_columns": "2x240"},
    # Promtool's time begins in 1970.
    "ModelStale": {MONITOR % "model_pushed_seconds": f"{-91 * 86400}x240"},
    "DataStale": {MONITOR % "data_read_seconds": f"{-91 * 86400}x240"},
    "MonitoringStopped": {MONITOR % "time_seconds": f"{-3 * 86400}x240"},
    "Decay": {LABELS % "decayed": "1x240"},
    "LoopFails": {LOOP % "failures": "3x240"},
    "LoopStopped": {LOOP % "decided_seconds": f"{-2 * 3600}x240", LOOP % "action_began_seconds": "0x240"},
    "LoopStuck": {LOOP % "action_began_seconds": "1x240"},
    "LoopWaitsForApproval": {LOOP % "needs_approval": "1x400"},
    "LoopPaused": {LOOP % "paused": "1x1200"},
}
LATE = {
    "CanaryForgotten": "24h30m",
    "ErrorBudgetSlow": "4h",
    "LatencyBudgetSlow": "4h",
    "LoopStuck": "12h30m",
    "LoopWaitsForApproval": "24h30m",
    "LoopPaused": "73h",
}
"""When an alert has to fire, where that is later than after 20 minutes."""
QUIET = {
    'up{job="gateway"}': "1x400",
    'up{job="serving"}': "1x400",
    REQUESTS % 200: "0+2000x400",
    REQUESTS % 503: "0+1x400",
    SLOW % "0.5": "0+1000x400",
    SLOW % "+Inf": "0+1001x400",
    f'{PREDICTIONS}{{model="flights",version="7",outcome="ok"}}': "0+1000x400",
    "gateway_canary_traffic_percent": "0x400",
    "gateway_log_dropped_total": "7x400",
    MONITOR % "drifted_columns": "0x400",
    MONITOR % "model_pushed_seconds": f"{-80 * 86400}x400",
    MONITOR % "data_read_seconds": f"{-80 * 86400}x400",
    MONITOR % "time_seconds": "0x400",
    LABELS % "decayed": "0x400",
    LOOP % "failures": "2x400",
    LOOP % "decided_seconds": "0+240x1200",
    LOOP % "action_began_seconds": "0x400",
    LOOP % "needs_approval": "0x400",
    LOOP % "paused": "0x400",
}


@pytest.fixture
def fires(tmp_path: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., bool]:
    """Whether an alert fires, with these series, after a time."""

    def fires(alert: str, series: dict[str, str], after: str) -> bool:
        # The rules of one group need no others. A day of every quarter of a minute would take a while.
        group = next(each for each in RULES["groups"] if alert in {rule.get("alert") for rule in each["rules"]})
        interval = "4m" if alert in LATE else "15s"
        (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
        test = {
            "interval": interval,
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [{"eval_time": after, "alertname": alert}],
        }
        tests = {"rule_files": ["rules.yml"], "evaluation_interval": interval, "tests": [test]}
        (tmp_path / "test.yml").write_text(yaml.safe_dump(tests))
        done = promtool("test", "rules", "test.yml")
        told = done.stdout + done.stderr
        assert done.returncode == 0 or f'alertname="{alert}"' in told, told
        return bool(done.returncode)

    return fires


def test_every_alert_is_tried() -> None:
    assert SERIES.keys() == ALERTS.keys()


@pytest.mark.parametrize("alert", list(SERIES))
def test_an_alert_fires_when_it_should_and_not_before(alert: str, fires: Callable[..., bool]) -> None:
    late = LATE.get(alert, "20m")
    assert fires(alert, SERIES[alert], late)
    assert not fires(alert, SERIES[alert], "1m")
    assert not fires(alert, QUIET, late)


@pytest.mark.parametrize(
    ("alert", "series"),
    [
        ("ErrorBudgetFast", {REQUESTS % 200: "0+98x240", REQUESTS % 503: "0+2x80 162x160"}),
        ("LatencyBudgetFast", {SLOW % "0.5": "0+80x80 6500+100x160", SLOW % "+Inf": "0+100x240"}),
    ],
)
def test_a_page_ends_soon_after_what_it_is_about(alert: str, series: dict[str, str], fires: Callable[..., bool]) -> None:
    assert fires(alert, series, "18m")
    # The hour is as bad as before, but not the last minutes of it.
    assert not fires(alert, series, "55m")


def test_a_loop_at_work_has_not_stopped(fires: Callable[..., bool]) -> None:
    at_work = {LOOP % "decided_seconds": f"{-2 * 3600}x240", LOOP % "action_began_seconds": "1x240"}
    assert not fires("LoopStopped", at_work, "20m")


def test_alerts_say_how_urgent_they_are_and_name_their_run_books() -> None:
    assert {rule["labels"]["severity"] for rule in ALERTS.values()} == {"page", "ticket"}
    page = (MANIFESTS.parent / "docs/operations.md").read_text()
    books = {}
    for title in re.findall(r"^## (.+)$", page, flags=re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        books |= dict.fromkeys(title.split(", "), f"docs/operations.md#{anchor}")
    assert {name: rule["annotations"]["runbook"] for name, rule in ALERTS.items()} == {name: books.get(name) for name in ALERTS}


class TestDashboard:
    @pytest.mark.parametrize("board", BOARDS)
    def test_panels_do_not_overlap(self, board: str) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in BOARDS[board]["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert max(x for x, _ in cells) < 24, panel["title"]
            assert not taken & cells, panel["title"]
            taken |= cells

    @pytest.mark.parametrize("board", BOARDS)
    def test_panels_and_queries_are_told_apart(self, board: str) -> None:
        identifiers = [panel["id"] for panel in BOARDS[board]["panels"]]
        assert len(set(identifiers)) == len(identifiers)
        for panel in PANELS:
            references = [target["refId"] for target in panel["targets"]]
            assert len(set(references)) == len(references), panel["title"]

    def test_every_query_asks_the_source_that_a_person_chose(self) -> None:
        for panel in PANELS:
            for part in (panel, *panel["targets"]):
                assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for board in BOARDS.values():
            assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "model"]

    def test_grafana_finds_all_of_them(self, render: Callable[[Path], Objects]) -> None:
        pod = find(render(MANIFESTS / "monitoring"), "Deployment", "monitoring")["spec"]["template"]["spec"]
        _, container = pod["containers"]
        mounted = {mount.get("subPath"): mount["mountPath"] for mount in container["volumeMounts"]}
        (provider,) = yaml.safe_load((MANIFESTS / "monitoring/grafana/dashboards.yml").read_text())["providers"]
        home = {variable["name"]: variable["value"] for variable in container["env"]}[
            "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
        ]
        assert mounted["serving.json"] == home
        folder = provider["options"]["path"]
        assert {name: mounted[f"{name}.json"] for name in BOARDS} == {name: f"{folder}/{name}.json" for name in BOARDS}
        assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)


class TestCluster:
    @pytest.fixture
    def objects(self, render: Callable[[Path], Objects]) -> Objects:
        return render(MANIFESTS / "monitoring")

    def test_prometheus_may_look_for_pods_where_they_are_and_nothing_else(self, objects: Objects) -> None:
        role, binding = find(objects, "Role", "prometheus"), find(objects, "RoleBinding", "prometheus")
        (job,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
        (discovery,) = job["kubernetes_sd_configs"]
        assert discovery["namespaces"]["names"] == [role["metadata"]["namespace"]] == [binding["metadata"]["namespace"]]
        assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
        (subject,) = binding["subjects"]
        assert find(objects, "ServiceAccount", subject["name"])["metadata"]["namespace"] == subject["namespace"]

    def test_the_model_servers_let_it_in(self, objects: Objects, render: Callable[[Path], Objects]) -> None:
        policy = find(render(MANIFESTS / "serving/base"), "NetworkPolicy", "serving")["spec"]
        allowed = policy["ingress"][1]["from"][0]["namespaceSelector"]["matchLabels"]
        assert allowed == {"kubernetes.io/metadata.name": find(objects, "Deployment", "monitoring")["metadata"]["namespace"]}

    def test_grafana_asks_it_and_nobody_else_can_ask_either(self, objects: Objects) -> None:
        pod = find(objects, "Deployment", "monitoring")["spec"]["template"]["spec"]
        prometheus, grafana = pod["containers"]
        (source,) = yaml.safe_load((MANIFESTS / "monitoring/grafana/datasource.yml").read_text())["datasources"]
        (alias,) = pod["hostAliases"]
        assert source["url"] == f"http://{alias['hostnames'][0]}:9090"
        assert f"--web.listen-address={alias['ip']}:9090" in prometheus["args"]
        assert {"name": "GF_SERVER_HTTP_ADDR", "value": alias["ip"]} in grafana["env"]
        assert alias["ip"] == "127.0.0.1"
        assert not [each for each in objects if each["kind"] in ("Service", "Ingress")]
        for policy in (each for each in objects if each["kind"] == "NetworkPolicy"):
            assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
            assert "ingress" not in policy["spec"]
        # The kubelet comes from another address: it has to ask within the pod.
        for container in pod["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert container[probe]["exec"]["command"][-1].startswith(f"http://{alias['ip']}:")
