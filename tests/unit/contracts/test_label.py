"""Which classes of a label may mean the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.label import TRUTHS, alike, are_truths, remark_on

SPELLINGS = st.tuples(
    st.sampled_from(["", " ", "\t"]), st.sampled_from([str, str.upper, str.title]), st.sampled_from(["", "  "])
)


@pytest.mark.parametrize(
    ("classes", "groups"),
    [
        (["yes", "no"], []),
        (["Yes", "yes", "no"], [["Yes", "yes"]]),
        (["yes", "true", "0", "No "], [["0", "No "], ["true", "yes"]]),
        (["y", "n", "maybe", "yes"], []),
        (["red", "Red ", "dark  red", "Dark red"], [["Dark red", "dark  red"], ["Red ", "red"]]),
        (["Straße", "STRASSE"], [["STRASSE", "Straße"]]),
        (["é", "e\N{COMBINING ACUTE ACCENT}"], [["e\N{COMBINING ACUTE ACCENT}", "é"]]),
        (["y", "yes"], []),
        ([], []),
    ],
)
def test_classes_that_differ_in_how_they_are_written(classes, groups):
    assert alike(classes) == groups
    assert bool(remark_on("bought", classes)) == bool(groups)


@given(st.lists(st.tuples(st.sampled_from(sorted(TRUTHS)), SPELLINGS), min_size=1, max_size=12))
def test_words_for_truths_fall_into_two_groups_at_most(words):
    written = {before + spell(word) + after for word, (before, spell, after) in words}
    meanings = {TRUTHS[word] for word, _ in words}

    assert are_truths(written) == (len(meanings) == 2)
    if len(meanings) == 2:
        assert len(alike(written)) == sum(
            len({each for each in written if TRUTHS[each.strip().lower()] is meaning}) > 1 for meaning in meanings
        )


def test_many_groups_are_counted():
    classes = [spelling for number in range(9) for spelling in (f"Class {number}", f"class {number}")]

    assert "'Class 4', 'class 4' and 4 more. Write them in one way" in remark_on("kind", classes)
