"""Results by span: computed once, found by later runs, and computed again where they are damaged."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from components.shared.span_results import FOLDER, SpanResults


class Work:
    """Counts how often it is done."""

    def __init__(self, result: Any) -> None:
        self.done = 0
        self._result = result

    def __call__(self) -> Any:
        self.done += 1
        return self._result


class Bomb:
    """An object whose pickle runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was read",)


def test_a_later_run_finds_what_an_earlier_one_has_made(tmp_path: Path) -> None:
    work = Work({"a": 1})
    assert SpanResults(str(tmp_path / "1"), "code").get("part", work) == {"a": 1}
    assert SpanResults(str(tmp_path / "2"), "code").get("part", work) == {"a": 1}
    assert work.done == 1

    (kept,) = (tmp_path / "1" / FOLDER).iterdir()
    kept.unlink()
    assert SpanResults(str(tmp_path / "3"), "code").get("part", work) == {"a": 1}
    assert work.done == 1


def test_other_code_or_another_part_is_made_anew(tmp_path: Path) -> None:
    work = Work(1)
    SpanResults(str(tmp_path / "1"), "code").get("part", work)
    SpanResults(str(tmp_path / "2"), "other code").get("part", work)
    SpanResults(str(tmp_path / "3"), "code").get("other part", work)
    assert work.done == 3


@pytest.mark.parametrize("damage", ["truncated", "flipped", "a pickle", "a folder"])
def test_what_is_damaged_is_made_anew(tmp_path: Path, damage: str) -> None:
    work = Work(list(range(100)))
    SpanResults(str(tmp_path / "1"), "code").get("part", work)
    (kept,) = (tmp_path / "1" / FOLDER).iterdir()
    if damage == "truncated":
        os.truncate(kept, 20)
    elif damage == "flipped":
        content = kept.read_bytes()
        kept.write_bytes(content[:-1] + bytes([content[-1] ^ 4]))
    elif damage == "a pickle":
        kept.write_bytes(pickle.dumps(Bomb()))
    else:
        kept.unlink()
        kept.mkdir()
    assert SpanResults(str(tmp_path / "2"), "code").get("part", work) == list(range(100))
    assert work.done == 2


def test_what_is_not_data_is_not_kept(tmp_path: Path) -> None:
    lock = threading.Lock()
    assert SpanResults(str(tmp_path / "1"), "code").get("part", Work(lock)) is lock
    assert not (tmp_path / "1").exists()
