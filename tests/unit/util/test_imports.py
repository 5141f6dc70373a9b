from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pipeline.cli import monitor
from pipeline.util.imports import heavy_imports


@pytest.fixture(autouse=True)
def _unfreeze() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_nothing_is_collected_meanwhile_and_what_was_made_is_left_alone_after() -> None:
    before = gc.get_freeze_count()
    with heavy_imports():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


def test_a_failed_import_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), heavy_imports():
        import no_such_package  # noqa: F401
    assert gc.isenabled()


class _Garbage:
    def __init__(self) -> None:
        self.itself = self


def test_what_one_look_of_the_monitor_leaves_is_collected() -> None:
    class Watch:
        def look(self, current: object, now: object) -> weakref.ref[_Garbage]:
            return weakref.ref(_Garbage())

    left = monitor._look(Watch(), None, None)  # type: ignore[arg-type]
    gc.collect()

    assert left() is None  # type: ignore[operator]
