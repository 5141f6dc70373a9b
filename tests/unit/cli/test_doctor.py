"""`conveyor doctor`, as text and as JSON."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from pipeline.cli.main import app


def test_text_names_versions_and_every_capability():
    result = CliRunner().invoke(app, ["doctor"])

    assert result.exit_code == 0
    for word in ("python", "glibc", "tfx", "local", "container", "cluster", "serving"):
        assert word in result.stdout


def test_json_holds_the_same():
    result = CliRunner().invoke(app, ["doctor", "--json"])

    diagnosis = json.loads(result.stdout)
    assert diagnosis["ready"] is True
    assert diagnosis["versions"]["tfx"] == "1.21.0"
    assert {"local", "container", "cluster", "serving"} <= set(diagnosis["capabilities"])
