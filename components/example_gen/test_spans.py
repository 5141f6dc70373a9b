from __future__ import annotations

from fnmatch import fnmatchcase
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


def test_a_star_takes_no_digit_of_a_span(tmp_path: Path) -> None:
    _touch(tmp_path, "file9.csv", "file12.csv", "file103.csv")
    for pattern in ("*{SPAN}.csv", "?ile{SPAN}.csv", "*{SPAN}*", "fil?{SPAN}.csv"):
        assert [span.number for span in find_spans(f"{tmp_path}/{pattern}")] == [9, 12, 103]


def test_digits_of_the_pattern_itself_are_not_the_spans(tmp_path: Path) -> None:
    _touch(tmp_path, "201301.csv", "201302.csv")
    assert [span.number for span in find_spans(f"{tmp_path}/2013{{SPAN}}.csv")] == [1, 2]


def test_a_path_that_can_be_read_in_two_ways_is_refused_until_the_pattern_tells(tmp_path: Path) -> None:
    _touch(tmp_path, "a-7-of-9.csv", "a-8-of-9.csv")
    with pytest.raises(UsageError, match="two ways") as caught:
        find_spans(f"{tmp_path}/*{{SPAN}}*.csv")
    assert caught.value.where == f"{tmp_path}/a-7-of-9.csv"
    assert "7 or 9" in caught.value.seen
    assert [span.number for span in find_spans(f"{tmp_path}/a-{{SPAN}}*.csv".replace("*", "-of-*"))] == [7, 8]


def test_a_part_of_a_date_is_not_a_span(tmp_path: Path) -> None:
    _touch(tmp_path, "sales-2024-01-31.csv", "sales-2024-02-31.csv")
    with pytest.raises(UsageError, match="part of a longer one") as caught:
        find_spans(f"{tmp_path}/*{{SPAN}}.csv")
    assert caught.value.seen == "2024-01-31"
    with pytest.raises(UsageError, match="a date with dashes") as caught:
        find_spans(f"{tmp_path}/sales-{{SPAN}}.csv")
    assert caught.value.seen == f"{tmp_path}/sales-2024-01-31.csv"
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f"sales-{path.stem.removeprefix('sales-').replace('-', '')}.csv")
    assert [span.number for span in find_spans(f"{tmp_path}/*{{SPAN}}.csv")] == [20240131, 20240231]


def test_the_pattern_may_say_that_a_part_is_the_span(tmp_path: Path) -> None:
    _touch(tmp_path, "run-4-1.csv", "run-4-2.csv")
    with pytest.raises(UsageError) as caught:
        find_spans(f"{tmp_path}/*{{SPAN}}.csv")
    proposed = caught.value.fix.rpartition(" ")[2]
    assert proposed == f"{tmp_path}/*-{{SPAN}}.csv"
    assert [span.number for span in find_spans(proposed)] == [1, 2]


@pytest.mark.parametrize(
    ("names", "pattern", "what"),
    [
        (("span-01/a.csv", "span-1/a.csv"), "span-{SPAN}/*.csv", "span 1 is"),
        (("span-01-v1.csv", "span-1-v2.csv"), "span-{SPAN}-v{VERSION}.csv", "span 1 is"),
        (("span-1-v2.csv", "span-1-v002.csv"), "span-{SPAN}-v{VERSION}.csv", "version 2 of span 1 is"),
    ],
)
def test_a_number_written_in_two_ways_is_refused_naming_both(
    tmp_path: Path, names: tuple[str, str], pattern: str, what: str
) -> None:
    _touch(tmp_path, *names)
    with pytest.raises(UsageError, match=what) as caught:
        find_spans(f"{tmp_path}/{pattern}")
    assert all(name in caught.value.seen for name in names)
    (tmp_path / names[1]).unlink()
    assert len(find_spans(f"{tmp_path}/{pattern}")) == 1


def test_numbers_of_any_length_are_compared_as_numbers_up_to_64_bits(tmp_path: Path) -> None:
    _touch(tmp_path, "9223372036854775807.csv", "99.csv")
    assert [span.number for span in find_spans(f"{tmp_path}/{{SPAN}}.csv")] == [99, 2**63 - 1]
    _touch(tmp_path, "9223372036854775808.csv")
    with pytest.raises(UsageError, match="too large") as caught:
        find_spans(f"{tmp_path}/{{SPAN}}.csv")
    assert caught.value.where.endswith("/9223372036854775808.csv")


def test_digits_of_other_scripts_are_letters(tmp_path: Path) -> None:
    _touch(tmp_path, "٣.csv", "4.csv")
    assert [span.number for span in find_spans(f"{tmp_path}/{{SPAN}}.csv")] == [4]


_NAMES = st.text("ab-_.1203", min_size=1, max_size=7)
_PATTERNS = st.lists(st.sampled_from(["*", "?", "a", "b", "-", "1", "2", "."]), max_size=3).map("".join)


@given(st.lists(_NAMES, min_size=1, max_size=5, unique=True), _PATTERNS, _PATTERNS)
def test_what_is_read_is_the_only_reading(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], before: str, after: str
) -> None:
    folder = tmp_path_factory.mktemp("spans")
    names = [f"x{name}" for name in names]
    _touch(folder, *names)
    pattern = f"x{before}{{SPAN}}{after}"
    try:
        spans = find_spans(f"{folder}/{pattern}")
    except UsageError:
        return
    for span in spans:
        for path in span.files:
            name = Path(path).name
            # Every way to cut the name, as the shell reads the parts around the number.
            cuts = {
                int(name[start:end])
                for start in range(len(name))
                for end in range(start + 1, len(name) + 1)
                if name[start:end].isdecimal()
                and (not before.endswith(("*", "?")) or not name[start - 1].isdecimal())
                and (not after.startswith(("*", "?")) or not name[end : end + 1].isdecimal())
                and fnmatchcase(name[:start], f"x{before}")
                and fnmatchcase(name[end:], after)
            }
            assert cuts == {span.number}
