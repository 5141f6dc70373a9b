"""Artifacts with flipped bits, as the report reads them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConveyorError, StorageError
from pipeline.report.read.run_details import RunDetails, read_run_details

READ = ("statistics", "schema", "anomalies", "training", "saved_model", "evaluation", "importance", "wrong_rows", "tuning")


def test_whatever_bit_flips_is_read_or_an_error_with_a_name(workspace, config):
    workspace.run("first", "-1", version="1")
    files = sorted(path for path in config.artifacts_path.rglob("*") if path.is_file() and path.stat().st_size)

    @settings(max_examples=150, derandomize=True)
    @given(st.sampled_from(files), st.integers(min_value=0))
    def check(path: Path, bit: int) -> None:
        content = path.read_bytes()
        flipped = bytearray(content)
        position = bit % (8 * len(content))
        flipped[position // 8] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            read_all(read_run_details(config, "first"))
        finally:
            path.write_bytes(content)

    check()


def read_all(details: RunDetails) -> None:
    """Reads everything; only errors with a name may come of it."""
    for name in READ:
        with suppress(ConveyorError):
            getattr(details, name)


def test_a_damaged_artifact_is_named(workspace, config):
    workspace.run("first", "-1", version="1")
    details = read_run_details(config, "first")
    evaluation = details.run.output("Evaluator", "evaluation")
    assert evaluation is not None
    for path in evaluation.path.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\x00\xff" + path.read_bytes()[2:])
    with pytest.raises(StorageError) as caught:
        _ = details.evaluation
    assert caught.value.where == evaluation.uri
    assert "conveyor verify" in caught.value.fix
