"""Which classes of a label may mean the same, and which is positive."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.label import TRUTHS, alike, are_truths, in_order, remark_on
from pipeline.errors import ConfigError

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


@pytest.mark.parametrize(
    ("counts", "positive", "order"),
    [
        ({0: 1, 1: 99}, None, (0, 1)),
        ({3: 99, 2: 1}, None, (2, 3)),
        ({"yes": 99, "no": 1}, None, ("no", "yes")),
        ({"YES": 99, "no": 1}, None, ("no", "YES")),
        ({"ja": 50, "nein": 50}, None, ("nein", "ja")),
        ({"Ja ": 90, "Nein": 10}, None, ("Nein", "Ja ")),
        ({"sí": 50, "no": 50}, None, ("no", "sí")),
        ({"да": 50, "нет": 50}, None, ("нет", "да")),
        ({"ja": 50, "non": 50}, None, ("ja", "non")),
        ({"churned": 50, "not churned": 50}, None, ("not churned", "churned")),
        ({"Diabetic": 90, "Non-diabetic": 10}, None, ("Non-diabetic", "Diabetic")),
        ({"smoker": 50, "nonsmoker": 50}, None, ("nonsmoker", "smoker")),
        ({"mad": 50, "nomad": 50}, None, ("mad", "nomad")),
        ({"not": 50, "a": 50}, None, ("a", "not")),
        ({"fraud": 1, "paid": 99}, None, ("paid", "fraud")),
        ({"a": 40, "b": 60}, None, ("b", "a")),
        ({"a": 41, "b": 59}, None, ("a", "b")),
        ({"a": 59, "b": 41}, None, ("a", "b")),
        ({0: 1, 1: 99}, 0, (1, 0)),
        ({0: 1, 1: 99}, "0", (1, 0)),
        ({0: 1, 1: 99}, False, (1, 0)),
        ({"1": 99, "2": 1}, 1, ("2", "1")),
        ({"yes": 99, "no": 1}, False, ("yes", "no")),
        ({"True": 99, "False": 1}, False, ("True", "False")),
        ({"fraud": 1, "paid": 99}, "paid", ("fraud", "paid")),
    ],
)
def test_which_of_two_classes_is_positive(
    counts: dict[str | int, int], positive: str | int | bool | None, order: tuple[str | int, str | int]
) -> None:
    decided = in_order("kind", counts, positive)
    assert (decided.negative, decided.positive) == order


def test_a_positive_class_that_is_none_is_refused_with_one_that_is() -> None:
    counts: dict[str | int, int] = {"it: fraud": 1, "paid": 2}
    for wrong, meant in (("fraud", "it: fraud"), ("payd", "paid"), ("nothing of the kind", "paid")):
        with pytest.raises(ConfigError, match=f"no class '{wrong}'") as refused:
            in_order("kind", counts, wrong)
        assert yaml.safe_load(refused.value.fix.removeprefix("Set ")) == {"positive_class": meant}
        assert in_order("kind", counts, meant).positive == meant
