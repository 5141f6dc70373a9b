"""The pages of decisions."""

from __future__ import annotations

import re

from pipeline.util.checkout import ROOT

FOLDER = ROOT / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))


def test_each_has_a_number_of_its_own_which_its_title_repeats():
    numbers = [page.name[:3] for page in PAGES]
    assert numbers == sorted(set(numbers))
    for page in PAGES:
        assert page.read_text().startswith(f"# {page.name[:3]}: "), page.name


def test_each_has_a_line_in_the_index():
    lines = re.findall(r"^- \[(\d+)\]\((.+?)\): .+\.$", (FOLDER / "README.md").read_text(), flags=re.MULTILINE)

    assert sorted(lines) == [(page.name[:3], page.name) for page in PAGES]
