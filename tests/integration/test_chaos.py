"""A run that is disturbed is taken up, or says what is wrong: a little of what `python -m tests.integration.chaos` does."""

from __future__ import annotations

import random

import pytest

from tests.integration.chaos import Chaos

SEED = 20261129


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    chaos = Chaos(tmp_path_factory.mktemp("chaos"), ("--to", "StatisticsGen"))
    chaos.prepare(runs=2)
    return chaos


def test_a_run_that_is_killed_is_taken_up(chaos: Chaos) -> None:
    chaos.kill(random.Random(SEED))


def test_a_flipped_bit_changes_nothing(chaos: Chaos) -> None:
    chaos.flip(random.Random(SEED))


def test_a_full_disk_is_named(chaos: Chaos) -> None:
    chaos.fill_disk(random.Random(SEED))
