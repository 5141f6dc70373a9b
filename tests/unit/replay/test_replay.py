"""A candidate that is asked what was asked before: what passes, what fails, and what cannot be replayed."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any

import grpc
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.config import PipelineConfig, Task
from pipeline.errors import UsageError
from pipeline.monitoring.labels import LabelStore
from pipeline.monitoring.moments import Period
from pipeline.monitoring.prediction_files import LoggedRows
from pipeline.monitoring.sources import log_of
from pipeline.replay.comparison import Answered, Comparison
from pipeline.replay.replay import Labels, Replayed, replay
from serving.client import Prediction
from serving.errors import ServerAwayError
from serving.rollout.verdict import Outcome
from tests.fakes.model_server import ModelServer, RefusalError
from tests.unit.replay.conftest import CANDIDATE, STABLE, Write, describe, play, play_classes, score

Label = Callable[..., None]


def replayed(config: PipelineConfig, server: ModelServer, min_rows: int = 200) -> Replayed:
    address = f"127.0.0.1:{server.grpc_port}"
    return replay(config, address, (STABLE, CANDIDATE), log_of(config), Period(), min_rows=min_rows)


def outcomes(found: Replayed) -> dict[str, str]:
    return {check.name: check.outcome.value for check in found.verdict.checks}


def failed(found: Replayed) -> list[str]:
    """What failed, but for the latency, which is the test machine's."""
    return [name for name, outcome in outcomes(found).items() if outcome == "fail" and "latency" not in name]


def test_a_candidate_that_answers_alike_passes(config: PipelineConfig, server: ModelServer, write: Write) -> None:
    write(600)
    found = replayed(config, server)
    names = ["rows", "errors", "latency p95", "latency p99", "classes", "scores", "agreement"]
    assert list(outcomes(found)) == names
    assert all(outcome == "pass" for name, outcome in outcomes(found).items() if "latency" not in name)
    assert (found.rows, found.labelled, found.flips, found.failures) == (600, 0, (), {})


def test_a_candidate_that_answers_other_rows_so_fails_though_its_answers_are_spread_alike(
    config: PipelineConfig, server: ModelServer, write: Write
) -> None:
    write(600)
    play(server, lambda row: (int(row["departure"]) * 7919 % 1000) / 1000)
    found = replayed(config, server)
    assert failed(found) == ["agreement"]
    assert found.verdict.outcome is Outcome.FAIL


def test_flips_are_told_by_slice_with_the_rows_that_differ_most(
    config: PipelineConfig, server: ModelServer, write: Write
) -> None:
    rows = write(600)
    play(server, lambda row: 1 - score(row) if row["carrier"] == "UA" else score(row))
    found = replayed(config, server)
    by_name = {each.value: each for each in found.slices}
    number = {carrier: sum(row["carrier"] == carrier for row in rows) for carrier in ("AA", "UA")}
    assert {value: (each.rows, each.flips) for value, each in by_name.items()} == {
        "": (600, number["UA"]),
        "AA": (number["AA"], 0),
        "UA": (number["UA"], number["UA"]),
    }
    assert [each.value for each in found.slices] == ["", "UA", "AA"]
    assert len(found.flips) == 5
    differences = [abs(flip.candidate_score - flip.stable_score) for flip in found.flips]
    assert differences == sorted(differences, reverse=True)
    assert differences[0] == pytest.approx(max(abs(1 - 2 * score(row)) for row in rows if row["carrier"] == "UA"), abs=1e-4)
    assert found.flips[0].features["carrier"] == "UA"


def test_rows_of_the_same_name_that_differ_alike(config: PipelineConfig) -> None:
    """As those of requests with one id of the caller's, or of logs of earlier releases, which number no rows."""
    comparison = Comparison(config, ([], []))
    answers = [Prediction("flights", version, 0.0, label=version, score=0.25 * version) for version in (1, 2)]
    comparison.add([Answered("order-1/1", {"departure": number}, *answers, None) for number in range(3)])
    assert [flip.features for flip in comparison.flips()] == [{"departure": number} for number in (2, 1, 0)]


def test_a_slice_whose_column_is_called_all(config: PipelineConfig) -> None:
    config = PipelineConfig.model_validate({**config.model_dump(exclude_unset=True), "evaluation": {"slices": ["all"]}})
    comparison = Comparison(config, ([], []))
    answers = [Prediction("flights", version, 0.0, label=version, score=0.25 * version) for version in (1, 2)]
    comparison.add([Answered(f"order-{row}/1", {"all": value}, *answers, None) for row, value in enumerate(["", "", "x"])])
    assert [(each.by, each.value, each.rows) for each in comparison.slices()] == [
        ("all", "", 3),
        ("all", "", 2),
        ("all", "x", 1),
    ]


class TestLabels:
    def test_the_gain_is_that_of_the_labelled_rows(
        self, config: PipelineConfig, server: ModelServer, write: Write, label: Label
    ) -> None:
        rows = write(600)
        label(rows[:400], lambda row: int(score(row) > 0.5))
        found = replayed(config, server)
        total = found.slices[0]
        assert (found.labelled, total.labelled, total.metric) == (400, 400, "auc")
        assert (total.stable, total.candidate, total.gain) == (1.0, 1.0, 0.0)
        assert outcomes(found)["auc"] == "pass"

    def test_one_that_is_worse_fails_by_its_quality_though_it_agrees(
        self, config: PipelineConfig, server: ModelServer, write: Write, label: Label
    ) -> None:
        rows = write(600)
        label(rows, lambda row: int(score(row) > 0.5))
        # It is right about two of three rows.
        play(server, lambda row: score(row) if int(row["departure"]) % 3 else 1 - score(row))
        found = replayed(config, server)
        assert failed(found) == ["auc"]
        assert found.slices[0].upper < 0

    def test_one_that_is_better_passes_by_its_quality(
        self, config: PipelineConfig, server: ModelServer, write: Write, label: Label
    ) -> None:
        rows = write(600)
        label(rows, lambda row: int(score(row) > 0.5) if row["departure"] % 5 else int(score(row) <= 0.5))
        play(server, lambda row: score(row) if int(row["departure"]) % 5 else 1 - score(row))
        found = replayed(config, server)
        assert outcomes(found)["auc"] == "pass"
        assert found.slices[0].lower > 0

    def test_those_of_a_day_are_read_with_its_rows(self, config: PipelineConfig) -> None:
        days = [datetime.date(2026, 1, day) for day in (30, 31)]
        read: list[datetime.date] = []

        class Store(LabelStore):
            def read(self, day: datetime.date) -> pd.DataFrame:
                read.append(day)
                return super().read(day)

        store = Store(config.workspace_path / "labels")
        for day in days:
            imported = datetime.datetime(2026, 2, 1, tzinfo=datetime.timezone.utc)
            columns = {"prediction_request_id": "order", "prediction_row": 1, "label": str(day.day), "imported": imported}
            store.write(day, pd.DataFrame([columns]))
        labels = Labels(store)
        for day in (days[0], days[0], days[1]):
            time = datetime.datetime.combine(day, datetime.time(23, 59), datetime.timezone.utc)
            answer = {"prediction_time": [time] * 2, "prediction_request_id": ["order", "other"], "prediction_row": [1, 1]}
            rows = LoggedRows(pa.RecordBatch.from_pydict({"x": [1, 2]}), pa.RecordBatch.from_pydict(answer))
            assert labels.of(rows) == [str(day.day), None]
        assert read == days

    def test_classes_are_those_of_each_version(
        self, config: PipelineConfig, server: ModelServer, write: Write, label: Label
    ) -> None:
        """The candidate has them in another order, and knows 5 in place of 2."""
        config = config.model_copy(update={"task": Task.MULTICLASS})
        describe(config, STABLE, [1, 2, 0])
        describe(config, CANDIDATE, [0, 1, 5])
        server.outputs = {"labels": ("DT_INT64", 1), "probabilities": ("DT_FLOAT", 3)}
        label(write(600), lambda row: row["departure"] % 3)

        def answers(version: int, row: Any) -> list[float]:
            truth = int(row["departure"]) % 3
            return [float(each == truth) for each in ((1, 2, 0) if version == STABLE else (0, 1, 5))]

        play_classes(server, answers)
        total = replayed(config, server).slices[0]
        assert (total.labelled, total.stable, total.candidate) == (600, 1.0, pytest.approx(2 / 3))

    def test_labels_that_are_none_of_the_models_are_counted(
        self, config: PipelineConfig, server: ModelServer, write: Write, label: Label
    ) -> None:
        label(write(600), lambda row: 2)
        found = replayed(config, server)
        assert (found.labelled, found.unusable) == (0, 600)
        assert "auc" not in outcomes(found)


class TestFailures:
    @pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL])
    def test_rows_that_the_candidate_refuses_count_and_do_not_spoil_the_others(
        self, config: PipelineConfig, server: ModelServer, write: Write, code: grpc.StatusCode
    ) -> None:
        write(800)

        def refuses(row: Any) -> float:
            if row["departure"] >= 700:
                raise RefusalError(code, "no such departure")
            return score(row)

        play(server, refuses)
        found = replayed(config, server)
        assert outcomes(found)["errors"] == "fail"
        assert sum(found.failures.values()) == 100
        assert found.slices[0].rows == 700

    def test_one_that_fails_from_the_first_row_on_is_judged(
        self, config: PipelineConfig, server: ModelServer, write: Write
    ) -> None:
        write(20)

        def fails(row: Any) -> float:
            raise RefusalError(grpc.StatusCode.INTERNAL, "no such kernel")

        play(server, fails)
        found = replayed(config, server, min_rows=10)
        assert (outcomes(found)["errors"], sum(found.failures.values())) == ("fail", 20)

    def test_what_is_no_finite_number_is_no_answer(
        self, config: PipelineConfig, server: ModelServer, write: Write, label: Label
    ) -> None:
        rows = write(600)
        label(rows, lambda row: int(score(row) > 0.5))
        play(server, lambda row: math.nan if row["departure"] % 30 == 0 else score(row))
        found = replayed(config, server)
        assert outcomes(found)["errors"] == "fail"
        assert found.failures == {"The model answered with a value that is not a finite number.": 20}
        assert (found.slices[0].rows, outcomes(found)["auc"]) == (580, "pass")

    def test_a_server_that_is_away_says_nothing_of_the_candidate(
        self, config: PipelineConfig, server: ModelServer, write: Write
    ) -> None:
        write(10)
        server.stop()
        with pytest.raises(ServerAwayError):
            replayed(config, server)

    def test_a_server_that_goes_meanwhile(self, config: PipelineConfig, server: ModelServer, write: Write) -> None:
        write(10)

        def goes(row: Any) -> float:
            raise RefusalError(grpc.StatusCode.UNAVAILABLE, "gone")

        play(server, goes)
        with pytest.raises(ServerAwayError):
            replayed(config, server)

    def test_nothing_was_asked(self, config: PipelineConfig, server: ModelServer, write: Write) -> None:
        with pytest.raises(UsageError, match="No prediction of flights has been logged"):
            replayed(config, server)
        write(0)
        log_of_nothing = config.workspace_path / "predictions" / "flights"
        log_of_nothing.mkdir(parents=True)
        with pytest.raises(UsageError, match="Nothing was asked of flights"):
            replayed(config, server)

    def test_a_log_without_a_feature_is_replayed_without_it_and_says_so(
        self, config: PipelineConfig, server: ModelServer, write: Write
    ) -> None:
        server.features = {**server.features, "wind": "DT_FLOAT"}
        write(300)
        found = replayed(config, server)
        assert (found.rows, found.lacking) == (300, ("wind",))

    def test_a_log_of_another_model_is_refused(self, config: PipelineConfig, server: ModelServer, write: Write) -> None:
        write(10, features={"area": "DT_STRING", "rooms": "DT_STRING"})
        with pytest.raises(UsageError, match="none that flights can be asked about") as error:
            replayed(config, server)
        assert error.value.seen == "area, rooms"
