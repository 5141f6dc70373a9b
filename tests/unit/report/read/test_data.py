"""Spans and files that ExampleGen read."""

from __future__ import annotations

import json

import pytest

from pipeline.report.formats import DASH
from pipeline.report.read.data import data_of
from pipeline.runs.metadata import Execution
from pipeline.runs.status import NodeState


def example_gen(pattern: str, **files: list[str]) -> Execution:
    properties = {"input_pattern": pattern, "input_files": json.dumps(files)}
    return Execution(1, "ExampleGen", ("run",), NodeState.COMPLETE, 0.0, 1.0, properties=properties)


@pytest.mark.parametrize(
    ("pattern", "paths", "spans"),
    [
        ("/d/span-{SPAN}/v{VERSION}/*.csv", ["/d/span-01/v2/a.csv", "/d/span-02/v1/b.csv"], (1, 2)),
        ("/d/{SPAN}/{SPAN}.csv", ["/d/7/7.csv"], (7,)),
        ("/d/a+b(1)/{SPAN}?.csv", ["/d/a+b(1)/3x.csv"], (3,)),
        ("/d/*.csv", ["/d/1.csv"], ()),
    ],
)
def test_spans_are_read_from_the_paths(pattern, paths, spans):
    assert data_of(example_gen(pattern, train=paths)).sources["train"].spans == spans


def test_a_window_names_the_spans_of_each_split():
    read = data_of(example_gen("/d/{SPAN}.csv", train=["/d/1.csv", "/d/2.csv"], eval=["/d/3.csv"]))
    assert read.summary == f"train spans 1{DASH}2, eval span 3"
    assert read.sources["train"].files_text == "2 files, 1.csv to 2.csv"


def test_files_are_named_from_where_they_differ():
    read = data_of(example_gen("/d/span-{SPAN}/f.csv", train=["/d/span-1/f.csv", "/d/span-2/f.csv"]))
    assert read.sources["train"].files_text == "2 files, span-1/f.csv to span-2/f.csv"


def test_a_hashed_split_reads_the_same_for_both():
    assert data_of(example_gen("/d/*.csv", train=["/d/a.csv"], eval=["/d/a.csv"])).summary == "a.csv"


def test_an_example_gen_that_does_not_say_has_no_sources():
    assert data_of(None).summary == DASH
    assert data_of(Execution(1, "ExampleGen", (), NodeState.COMPLETE, 0.0, 1.0)).sources == {}
