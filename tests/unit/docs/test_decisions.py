"""The pages of decisions."""

from __future__ import annotations

from pipeline.util.checkout import ROOT


def test_each_has_a_number_of_its_own_which_its_title_repeats():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    numbers = [page.name[:3] for page in pages]
    assert numbers == sorted(set(numbers))
    for page in pages:
        assert page.read_text().startswith(f"# {page.name[:3]}: "), page.name
