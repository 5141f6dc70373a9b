"""docs/README.md leads to every page."""

from __future__ import annotations

import re

from pipeline.util.checkout import ROOT

FOLDER = ROOT / "docs"


def test_every_page_is_in_the_index():
    linked = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", (FOLDER / "README.md").read_text())}

    assert not {page.name for page in FOLDER.glob("*.md")} - {"README.md"} - linked
