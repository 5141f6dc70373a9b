"""`python -m serving.rollout`, with which containers start."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.util.checkout import ROOT
from serving.rollout.__main__ import main

FLIGHTS = str(ROOT / "examples" / "flights" / "pipeline.yaml")


def test_what_is_wrong_is_told_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "serving").write_text("not a folder")

    assert main([FLIGHTS, str(tmp_path)]) == 1
    assert main([str(tmp_path / "missing.yaml"), str(tmp_path)]) == 2

    first, _, second = capsys.readouterr().err.partition("Configuration error: ")
    assert str(tmp_path / "serving" / "flights") in first
    assert "missing.yaml" in second
