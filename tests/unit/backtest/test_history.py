"""The spans that a backtest goes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.backtest.history import read_history
from pipeline.config import PipelineConfig
from pipeline.errors import UsageError


@pytest.fixture
def spans(config: PipelineConfig, tmp_path: Path) -> PipelineConfig:
    for number in (1, 2, 3, 5):
        (tmp_path / f"{number}.csv").write_text(f"a,late\n{number},0\n")
    return with_input(config, f"{tmp_path}/{{SPAN}}.csv")


def with_input(config: PipelineConfig, pattern: str, newest_span: int | None = None) -> PipelineConfig:
    data = config.data.model_copy(update={"input": pattern, "newest_span": newest_span})
    return config.model_copy(update={"data": data})


def test_all_spans_but_the_first_are_played(spans: PipelineConfig):
    history = read_history(spans, None, None)
    assert history.spans == (1, 2, 3, 5)
    assert history.played == (2, 3, 5)
    assert len(set(history.contents.values())) == 4


def test_the_first_and_the_last_need_not_exist_themselves(spans: PipelineConfig):
    assert read_history(spans, 3, 4).played == (3,)


def test_what_comes_after_the_newest_span_of_the_configuration_does_not_exist(spans: PipelineConfig):
    limited = with_input(spans, spans.data.input, newest_span=3)
    assert read_history(limited, None, None).spans == (1, 2, 3)


@pytest.mark.parametrize(
    ("first", "last", "what"),
    [
        (1, None, "No span comes before span 1"),
        (6, None, "nothing to play"),
        (3, 2, "nothing to play"),
        (None, 1, "nothing to play"),
    ],
)
def test_spans_that_cannot_be_played_are_refused_and_others_named(spans: PipelineConfig, first, last, what):
    with pytest.raises(UsageError, match=what) as raised:
        read_history(spans, first, last)
    _, _, named = raised.value.fix.partition("--from ")
    assert read_history(spans, *map(int, named.split(" --to "))).played


def test_a_single_span_is_not_enough(config: PipelineConfig, tmp_path: Path):
    (tmp_path / "7.csv").write_text("a,late\n1,0\n")
    with pytest.raises(UsageError, match="No span comes before span 7"):
        read_history(with_input(config, f"{tmp_path}/{{SPAN}}.csv"), None, None)


def test_data_without_spans_is_refused(config: PipelineConfig):
    with pytest.raises(UsageError, match="no spans"):
        read_history(with_input(config, "/data/flights.csv"), None, None)
