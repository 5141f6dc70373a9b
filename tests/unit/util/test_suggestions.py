from __future__ import annotations

from pipeline.util.suggestions import did_you_mean


def test_it_asks_for_the_closest_name() -> None:
    assert did_you_mean("Trainr", ["Trainer", "Tuner", "Transform"]) == "Did you mean 'Trainer'?"


def test_it_is_silent_where_nothing_comes_close() -> None:
    assert did_you_mean("price", ["Trainer"]) == ""
    assert did_you_mean("price", []) == ""
