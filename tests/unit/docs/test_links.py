"""Links and file names in the documentation lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.util import checkout

ROOT = checkout.ROOT
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md"))
)
FOLDERS = "pipeline|components|serving|manifests|tests|docs|benchmarks|bootstrap|examples"
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"```.*?```", re.DOTALL)
NAMED_PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w")
# A label that Kubeflow Pipelines puts on pods.
NOT_PATHS = {"pipeline/runid"}
NAMED_PAGE = re.compile(r"docs/[\w./-]+\.md")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page):
    broken = []
    for link in LINK.findall((ROOT / page).read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert not broken


@pytest.mark.parametrize("page", PAGES)
def test_every_file_named_in_a_page_is_there(page):
    named = set(NAMED_PATH.findall((ROOT / page).read_text())) - NOT_PATHS

    assert not sorted(path for path in named if not (ROOT / path).exists())


def test_every_page_named_in_the_code_is_there():
    sources = [source for folder in FOLDERS.split("|") for source in (ROOT / folder).rglob("*.py")]
    named = {page for source in sources for page in NAMED_PAGE.findall(source.read_text())}

    assert named
    assert not sorted(page for page in named if not (ROOT / page).exists())
