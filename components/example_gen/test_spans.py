from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.example_gen.spans import SingleSplit, Span, at_or_below, find_spans, select
from pipeline.config import Split
from pipeline.errors import UsageError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _spans(count: int) -> list[Span]:
    return [Span(number, None, (f"{number}.csv",)) for number in range(1, count + 1)]


def test_a_pattern_without_spans_is_span_0(tmp_path: Path) -> None:
    _touch(tmp_path, "b.csv", "a.csv", "a.txt")
    (tmp_path / "folder.csv").mkdir()
    assert find_spans(f"{tmp_path}/*.csv") == [Span(0, None, (f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"))]


def test_spans_are_numbers_whatever_their_width(tmp_path: Path) -> None:
    _touch(tmp_path, "span-9/x.csv", "span-010/x.csv", "span-2/x.csv", "span-2/y.csv", "span-old/x.csv")
    spans = find_spans(f"{tmp_path}/span-{{SPAN}}/*.csv")
    assert [span.number for span in spans] == [2, 9, 10]
    assert len(spans[0].files) == 2


def test_each_span_is_read_in_its_newest_version(tmp_path: Path) -> None:
    _touch(tmp_path, "1/v9/a.csv", "1/v10/a.csv", "1/v10/b.csv", "2/v1/a.csv")
    spans = find_spans(f"{tmp_path}/{{SPAN}}/v{{VERSION}}/*.csv")
    assert [(span.number, span.version, len(span.files)) for span in spans] == [(1, 10, 2), (2, 1, 1)]


def test_a_span_named_twice_is_the_same_span(tmp_path: Path) -> None:
    _touch(tmp_path, "1/day-1.csv", "2/day-3.csv")
    assert [span.number for span in find_spans(f"{tmp_path}/{{SPAN}}/day-{{SPAN}}.csv")] == [1]


def test_brackets_in_a_path_are_letters_like_others(tmp_path: Path) -> None:
    _touch(tmp_path / "[x]", "1.csv")
    assert find_spans(f"{tmp_path}/[x]/{{SPAN}}.csv")[0].number == 1
    assert find_spans(f"{tmp_path}/[x]/*.csv")[0].number == 0


def test_no_match_says_what_is_there(tmp_path: Path) -> None:
    _touch(tmp_path, "flights/01.parquet")
    with pytest.raises(UsageError) as caught:
        find_spans(f"{tmp_path}/flights/{{SPAN}}.csv")
    assert "01.parquet" in caught.value.seen
    with pytest.raises(UsageError) as caught:
        find_spans(f"{tmp_path}/fligths/{{SPAN}}.csv")
    assert "flights/" in caught.value.seen


def test_unknown_placeholder() -> None:
    with pytest.raises(UsageError, match="placeholder") as caught:
        find_spans("/data/{Span}.csv")
    assert caught.value.seen == "{Span}"


def test_newest_span_caps_what_is_read() -> None:
    spans = _spans(5)
    assert [span.number for span in at_or_below(spans, 3)] == [1, 2, 3]
    assert [span.number for span in at_or_below(spans, 99)] == [1, 2, 3, 4, 5]
    with pytest.raises(UsageError, match="no span 0") as caught:
        at_or_below(spans, 0)
    assert "1, 2, 3, 4, 5" in caught.value.seen


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 5))
def test_a_window_trains_on_what_precedes_the_evaluation(count: int, train_spans: int, eval_spans: int) -> None:
    split = Split(method="window", train_spans=train_spans, eval_spans=eval_spans)
    if count <= eval_spans:
        with pytest.raises(UsageError, match="too few spans"):
            select(_spans(count), split)
        return
    chosen = select(_spans(count), split)
    numbers = [span.number for span in chosen["train"] + chosen["eval"]]
    assert len(chosen["eval"]) == eval_spans
    assert 1 <= len(chosen["train"]) <= train_spans
    assert numbers == list(range(numbers[0], count + 1))
    assert len(chosen["train"]) == train_spans or numbers[0] == 1


def test_a_hashed_split_reads_the_newest_spans_into_both() -> None:
    chosen = select(_spans(4), Split(method="hash", spans=2))
    assert chosen["train"] == chosen["eval"] == _spans(4)[2:]
    assert select(_spans(4), Split(method="hash"))["train"] == _spans(4)


def test_a_single_split_reads_the_newest_span() -> None:
    assert select(_spans(4), SingleSplit("unlabelled")) == {"unlabelled": _spans(4)[3:]}
    assert select(_spans(4), SingleSplit(spans=None)) == {"all": _spans(4)}
