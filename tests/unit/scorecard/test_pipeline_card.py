"""`conveyor score-card`: what a pipeline's own workspace proves."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml

from pipeline.cli import main as command_line
from pipeline.errors import ConfigError
from pipeline.runs.provenance import Provenance
from pipeline.runs.status import NodeOutcome, NodeState, RunOutcome, RunState
from pipeline.scorecard import named_proofs, own_tests
from pipeline.scorecard.rubric import rubric
from serving.rollout.files import state_path
from serving.rollout.state import Placement, RolloutChange, RolloutState

NODES = ("ExampleGen", "StatisticsGen", "ExampleValidator", "Transform", "Trainer", "Evaluator", "InfraValidator", "Pusher")


@pytest.fixture
def card(config, tmp_path: Path, capsys):
    """Computes the card with further settings; returns the points and what is shown, by the tests' ids, and the score."""
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config.effective()))

    def _card(*options: str) -> dict[str, tuple[float, str]]:
        with pytest.raises(SystemExit) as ended:
            command_line.main(["score-card", str(path), "--json", *options])
        printed = capsys.readouterr()
        assert not ended.value.code, printed.err
        document = json.loads(printed.out)
        assert document["score"] == min(document["sections"].values())
        return {test["id"]: (test["points"], test["shown"]) for test in document["tests"]}

    return _card


@pytest.fixture
def run(workspace, config):
    """A run that pushed version 1."""
    workspace.run("20260101-120000", "", version="1")
    outcome = RunOutcome(
        run_id="20260101-120000",
        pipeline="flights",
        state=RunState.COMPLETE,
        started=time.time(),
        config=config.effective(),
        nodes={node: NodeOutcome(state=NodeState.COMPLETE) for node in NODES},
        provenance=Provenance(commit="0123456789abcdef", changed=[]),
    )
    outcome.save(config.runs_path / outcome.run_id)
    return outcome


def test_a_pipeline_that_never_ran_has_no_point(card):
    assert {test: points for test, (points, _) in card().items() if points} == {}


@pytest.mark.usefixtures("run")
def test_what_a_run_shows_counts(card):
    shown = card()

    whole = {"new_features", "input_code", "reproducible", "model_code", "integration", "validated", "skew", "numerics"}
    assert {test for test, (points, _) in shown.items() if points == 1} == whole
    assert {test for test, (points, _) in shown.items() if points == 0.5} == {"reviewed", "simpler", "debugging"}
    assert "0123456789ab" in shown["reviewed"][1]


def test_uncommitted_changes_are_not_submitted(card, run, config):
    run.provenance.changed = ["pipeline.yaml"]
    run.save(config.runs_path / run.run_id)
    assert card()["reviewed"][0] == 0


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("test", "settings", "points"),
    [
        ("schema", ("schema.path=/schema.pbtxt",), 1),
        ("schema", ("schema.path=/schema.pbtxt", "schema.on_anomaly=warn"), 0.5),
        ("slices", ("evaluation.slices=[[carrier]]",), 0.5),
        ("slices", ("evaluation.slice_thresholds={carrier: {auc: {min: 0.6}}}",), 1),
        ("inclusion", ("evaluation.max_gaps={sex: {recall: 0.1}}",), 1),
        ("input_code", ("preprocessing.preprocessing_fn=own.py:preprocessing_fn",), 0),
        ("model_code", ("model.build_model=own.py:build_model",), 0),
        ("reproducible", ("model.build_model=own.py:build_model",), 0),
    ],
)
def test_settings_count(card, test: str, settings: tuple[str, ...], points: float):
    assert card(*(f"--set={setting}" for setting in settings))[test][0] == points


def changes(*actions: str) -> tuple[RolloutChange, ...]:
    now = datetime.now(timezone.utc)
    there = Placement(stable=1)
    return tuple(
        RolloutChange(at=now, who="jo@desk", action=action, reason="", versions=(1,), before=there, after=there)
        for action in actions
    )


@pytest.mark.parametrize(
    ("state", "points"),
    [
        (RolloutState(stable=2, previous=(1,), changes=changes("start", "promote")), (0.5, 0.5, 0.5)),
        (RolloutState(stable=1, changes=changes("start", "promote", "rollback")), (0.5, 1, 0.5)),
        (RolloutState(stable=1), (0, 0, 0)),
    ],
)
def test_the_history_of_rollouts_counts(card, config, state: RolloutState, points: tuple[float, ...]):
    path = state_path(config)
    path.parent.mkdir(parents=True)
    path.write_text(state.model_dump_json())
    shown = card()
    assert tuple(shown[test][0] for test in ("canary", "rollback", "speed")) == points


def write_journal(config, seconds_ago: float) -> None:
    folder = config.workspace_path / "loop" / "flights"
    folder.mkdir(parents=True)
    entry = {"number": 1, "action": "start", "key": "2", "reason": "", "state": "ended", "at": time.time() - seconds_ago}
    (folder / "decisions.jsonl").write_text(json.dumps(entry) + "\n")


def test_a_loop_that_is_at_work_counts(card, config):
    write_journal(config, 3600)
    folder = config.workspace_path / "labels" / "flights"
    folder.mkdir(parents=True)
    (folder / "date=2026-01-01.parquet").touch()

    shown = card("--set=schema.path=/schema.pbtxt", "--set=loop.quality={min: 0.6}")
    assert {test: shown[test][0] for test in ("canary", "stale", "invariants", "online", "quality")} == dict.fromkeys(
        ("canary", "stale", "invariants", "online", "quality"), 1
    )
    assert card()["quality"][0] == 0.5


def test_a_loop_that_has_ended_retrains_nothing(card, config):
    write_journal(config, 30 * 86_400)
    assert card()["stale"][0] == 0


def test_pages_made_by_hand_are_worth_half(card, config):
    for name in ("backtests/flights/backtest.json", "monitoring/flights/monitor.html"):
        path = config.workspace_path / name
        path.parent.mkdir(parents=True)
        path.touch()
    shown = card()
    assert (shown["staleness"][0], shown["invariants"][0]) == (0.5, 0.5)


def test_a_service_that_watches_dependencies_counts(card, tmp_path: Path):
    (tmp_path / "renovate.json").write_text("{}")
    assert card()["dependencies"] == (1, str(tmp_path / "renovate.json"))


@pytest.mark.parametrize(("ecosystems", "points"), [(("github-actions",), 0.5), (("github-actions", '"pip"'), 1)])
def test_actions_of_workflows_are_not_all_that_a_model_depends_on(card, tmp_path: Path, ecosystems, points):
    (tmp_path / ".github").mkdir()
    watched = "".join(f"  - package-ecosystem: {name}\n    directory: /\n" for name in ecosystems)
    (tmp_path / ".github" / "dependabot.yml").write_text(f"version: 2\nupdates:\n{watched}")
    assert card()["dependencies"][0] == points


def test_proofs_of_ones_own(card, tmp_path: Path):
    (tmp_path / "costs.md").write_text("Each feature costs nothing.")
    (tmp_path / "score-card.yaml").write_text(
        "cost: {document: costs.md}\n"
        "privacy: {document: gone.md}\n"
        "requirements: {command: test -f costs.md}\n"
        'slices: {command: "echo no >&2; false"}\n'
    )
    shown = card()
    assert (shown["cost"][0], shown["privacy"][0], shown["requirements"][0]) == (0.5, 0, 0)
    assert shown["privacy"][1] == f"{tmp_path / 'gone.md'} is gone"
    assert shown["requirements"][1] == "not run, which --run does: test -f costs.md"

    ran = named_proofs.evidence(named_proofs.read(tmp_path / "score-card.yaml", shown), tmp_path, run=True)
    assert ran["requirements"].points == 1
    assert (ran["slices"].points, ran["slices"].shown) == (0, "exit code 1: echo no >&2; false (no)")

    (tmp_path / "costs.md").unlink()
    assert card()["cost"][0] == 0


def test_of_conveyors_tests_those_are_run_that_prove_something_of_a_pipeline(card, monkeypatch):
    asked: set[str] = set()
    monkeypatch.setattr(own_tests, "run", lambda proofs, root: asked.update(proofs) or dict.fromkeys(proofs, True))
    card("--run")
    proofs = {test.id: set(test.proofs) for test in rubric()}
    assert proofs["skew"] | proofs["integration"] <= asked
    assert not proofs["tuned"] & asked


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("costs: {document: a.md}", "Did you mean 'cost'?"),
        ("cost: {document: a.md, command: ls}", "either a document or a command"),
        ("cost: a.md", "valid dictionary"),
        ("- cost", "list"),
        ("a: [", "expected"),
    ],
)
def test_a_file_of_proofs_that_cannot_be_read(tmp_path: Path, text: str, told: str):
    proofs = tmp_path / "proofs.yaml"
    proofs.write_text(text)
    with pytest.raises(ConfigError) as caught:
        named_proofs.read(proofs, ["cost", "slices"])
    assert told in str(caught.value)
    assert caught.value.where == str(proofs)


def test_the_table_ends_with_the_score(config, tmp_path: Path, capsys):
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config.effective()))
    with pytest.raises(SystemExit):
        command_line.main(["score-card", str(path)])
    printed = capsys.readouterr().out
    assert "ML Test Score of flights: 0, the least of 0 data, 0 model, 0 infrastructure, 0 monitoring" in printed
    assert "Next: Bound differences between groups in `evaluation.max_gaps`" in printed
