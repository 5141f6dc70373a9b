"""The rubric and the card that is made by it."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.scorecard import own_tests
from pipeline.scorecard.card import Card, Evidence
from pipeline.scorecard.rubric import Section, meaning, rubric
from pipeline.util import checkout

TESTS = rubric()


def test_the_rubric_has_four_sections_of_seven():
    assert Counter(test.section for test in TESTS) == dict.fromkeys(Section, 7)
    assert len({test.id for test in TESTS}) == 28


@pytest.mark.parametrize("proof", sorted({proof for test in TESTS for proof in test.proofs}))
def test_each_proof_is_there(proof: str):
    assert own_tests.exists(proof, checkout.ROOT)


def test_the_worst_section_counts():
    shown = {test.id: Evidence(1.0, "shown") for test in TESTS}
    assert Card.of("all", TESTS, shown).score == 7

    shown["tuned"] = Evidence(0.5, "by hand")
    del shown["slices"]
    card = Card.of("less", TESTS, shown)
    assert card.sums == {Section.DATA: 7, Section.MODEL: 5.5, Section.INFRASTRUCTURE: 7, Section.MONITORING: 7}
    assert card.score == 5.5


def test_without_proof_there_is_no_point():
    card = Card.of("nothing", TESTS, {})
    assert card.score == 0
    assert all(line["next"] for line in card.document()["tests"])


@pytest.mark.parametrize(
    ("score", "word"),
    [(0, "research"), (0.5, "holes"), (1, "holes"), (2, "first pass"), (3, "reasonably"), (5, "strong"), (5.5, "exceptional")],
)
def test_a_score_has_the_meaning_of_the_paper(score: float, word: str):
    assert word in meaning(score)


def test_the_page_shows_the_card_of_conveyor():
    card = Card.of("Conveyor", TESTS, own_tests.evidence(TESTS, checkout.ROOT))
    page = (checkout.ROOT / "docs" / "score-card.md").read_text()

    assert [line.test.id for line in card.lines if f"\n| {line.evidence.points:g} | {line.test.test} |" not in page] == []
    assert f"The score is {card.score:g}," in page
