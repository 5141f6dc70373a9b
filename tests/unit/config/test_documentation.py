"""docs/configuration.md shows what the command prints."""

from __future__ import annotations

import re

from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.util import checkout

PAGE = checkout.ROOT / "docs" / "configuration.md"


def test_every_example_is_valid_and_every_field_is_up_to_date(tmp_path):
    required, example, every_field = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    for text in (required, example):
        (tmp_path / "pipeline.yaml").write_text(text)
        shown = CliRunner().invoke(
            app, ["config", "show", "--comments", str(tmp_path / "pipeline.yaml")], catch_exceptions=False
        )

    # When this fails: paste what `conveyor config show --comments` prints for the example into the page.
    assert shown.stdout == every_field
