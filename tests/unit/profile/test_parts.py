"""Columns that make up the label together."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.profile.parts import parts_of
from tests.unit.profile.tables import profile

RANDOM = np.random.default_rng(0)
ROWS = 400
CASUAL, REGISTERED = RANDOM.poisson(20, ROWS), RANDOM.poisson(80, ROWS)
PRICE, QUANTITY = RANDOM.lognormal(2, 1, ROWS).round(2), RANDOM.integers(1, 50, ROWS)
OTHERS = {"temp": RANDOM.normal(20, 5, ROWS), "hour": np.arange(ROWS) % 24, "kind": ["a", "b"] * (ROWS // 2)}
ASKED = ["temp", "hour", "kind"]


@pytest.mark.parametrize(
    ("label", "parts", "how"),
    [
        (CASUAL + REGISTERED, {"casual": CASUAL, "registered": REGISTERED}, "a weighted sum of them"),
        ((PRICE * QUANTITY).round(2), {"price": PRICE, "quantity": QUANTITY}, "a product or quotient of them"),
        (PRICE / QUANTITY, {"price": PRICE, "quantity": QUANTITY}, "a product or quotient of them"),
        (PRICE - 0.19 * QUANTITY + 7, {"price": PRICE, "quantity": QUANTITY}, "a weighted sum of them"),
    ],
)
def test_columns_that_make_up_the_label_are_named_and_no_others(label, parts, how):
    found = parts_of(profile({"y": label, **parts, **OTHERS}), "y", [*parts, *ASKED])

    assert found is not None
    assert list(found.names) == list(parts)
    assert how in found.warning


def test_a_sum_is_seen_where_some_rows_lack_a_part_and_where_columns_say_the_same():
    gaps = [None if row % 10 == 0 else count for row, count in enumerate(CASUAL.tolist())]
    columns = {"casual": gaps, "registered": REGISTERED, "twice": 2 * REGISTERED, "always": [1] * ROWS}

    found = parts_of(profile({"y": CASUAL + REGISTERED, **columns}), "y", list(columns))

    assert found is not None
    assert len(found.names) == 2
    assert "casual" in found.names


@pytest.mark.parametrize(
    "label",
    [CASUAL + REGISTERED + RANDOM.normal(size=ROWS), RANDOM.normal(size=ROWS), CASUAL + 0.0, np.zeros(ROWS)],
    ids=["with noise", "unrelated", "one column alone", "the same everywhere"],
)
def test_a_label_with_something_of_its_own_has_no_parts(label):
    columns = {"casual": CASUAL, "registered": REGISTERED, **OTHERS}

    assert parts_of(profile({"y": label, **columns}), "y", list(columns)) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [1, 3, 120])
def test_few_rows_of_many_columns_prove_nothing(rows):
    columns = {f"x{number}": RANDOM.normal(size=rows) for number in range(60)}

    assert parts_of(profile({"y": RANDOM.normal(size=rows), **columns}), "y", list(columns)) is None
