"""Who trains together, and what is said where that is not known."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from pipeline.errors import NodeError
from pipeline.training.workers import VARIABLE, Workers, agreed


def described(number: int, index: int, kind: str = "worker") -> str:
    addresses = [f"worker-{position}:2222" for position in range(number)]
    return json.dumps({"cluster": {kind: addresses}, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize("text", ["", described(1, 0)])
def test_a_process_without_others_trains_alone(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert Workers.here() is None


@pytest.mark.parametrize("text", ["worker-0", "[]", "{}", described(2, 2), described(2, -1), described(2, 0, "chief")])
def test_a_variable_that_names_no_workers_is_shown_with_one_that_does(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(NodeError) as caught:
        Workers.here()
    assert caught.value.seen == text
    assert caught.value.where == f"the environment variable {VARIABLE}"
    assert f"unset {VARIABLE}" in caught.value.fix
    # What is shown as expected is right, and so is the remedy.
    alone = json.loads(caught.value.expected)
    alone["cluster"]["worker"] = alone["cluster"]["worker"][:1]
    monkeypatch.setenv(VARIABLE, json.dumps(alone))
    assert Workers.here() is None
    monkeypatch.delenv(VARIABLE)
    assert Workers.here() is None


def test_one_process_agrees_with_itself() -> None:
    assert agreed(tf.distribute.get_strategy(), 0.1) == 0.1
