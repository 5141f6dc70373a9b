from __future__ import annotations

import pytest

from pipeline.util import progress
from pipeline.util.progress import RowProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that it is, in a list of one."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rows_are_told_once_a_second(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    batches = []
    for batch in RowProgress("counting", total=4_000).through([[0] * 1_000] * 4):
        batches.append(batch)
        clock[0] += 0.6

    assert len(batches) == 4
    assert capsys.readouterr().out.splitlines() == [
        "progress: counting, 2,000 of 4,000 rows",
        "progress: counting, 4,000 of 4,000 rows",
    ]


def test_a_total_that_is_not_known_is_not_told(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    rows = RowProgress("reading")
    clock[0] = 1.5
    rows.add(12_345)

    assert capsys.readouterr().out == "progress: reading, 12,345 rows\n"


def test_work_that_takes_no_second_says_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(RowProgress("reading").through(["ab", "c"])) == ["ab", "c"]
    assert capsys.readouterr().out == ""
