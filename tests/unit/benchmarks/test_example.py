"""The newest model and the files of the spans that benchmarks use."""

from __future__ import annotations

import pytest

from benchmarks.example import CONFIG, newest_version, span_files
from pipeline.config.loading import load_config
from pipeline.errors import UsageError


@pytest.fixture
def config(tmp_path):
    return load_config(CONFIG, (f"workspace={tmp_path}", f"data.input={tmp_path}/data/{{SPAN}}/flights.parquet"))


def test_the_newest_version_is_the_one_with_the_highest_number(config):
    for name in ("9", "10", ".11", "notes"):
        (config.serving_path / name).mkdir(parents=True)

    assert newest_version(config) == config.serving_path / "10"


def test_without_a_pushed_model_the_error_says_how_to_get_one(config):
    with pytest.raises(UsageError, match="No model has been pushed") as caught:
        newest_version(config)

    assert "make run" in caught.value.fix


def test_span_files_come_in_the_order_of_their_spans(config, tmp_path):
    files = [tmp_path / "data" / span / "flights.parquet" for span in ("201302", "201301")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.touch()

    assert span_files(config) == sorted(files)
