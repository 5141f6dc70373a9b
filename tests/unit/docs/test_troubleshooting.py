"""docs/troubleshooting.md quotes errors as the code words them."""

from __future__ import annotations

import re

import pytest

from pipeline.util import checkout

PAGE = (checkout.ROOT / "docs" / "troubleshooting.md").read_text()
HEADLINES = re.findall(r"^\| \*\*(.+?)\*\* \|", PAGE, flags=re.MULTILINE)
EXPRESSION = re.compile(r"\{[^{}]*\}")


@pytest.fixture(scope="module")
def sources() -> list[str]:
    """The code, with `…` for every expression in a text."""
    folders = ("pipeline", "components", "serving")
    files = [path for folder in folders for path in (checkout.ROOT / folder).rglob("*.py") if not path.name.startswith("test_")]
    return [EXPRESSION.sub("…", path.read_text()) for path in files]


def test_every_error_has_a_row_of_its_own():
    assert len(HEADLINES) > 40
    assert len(set(HEADLINES)) == len(HEADLINES)


def test_every_headline_is_in_the_code(sources):
    unknown = [headline for headline in HEADLINES if not any(f'"{headline.removesuffix("…")}' in source for source in sources)]

    assert not unknown
