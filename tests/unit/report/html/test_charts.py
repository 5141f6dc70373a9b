"""Charts are well-formed SVG for whatever numbers and names come."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report import formats
from pipeline.report.formats import DASH
from pipeline.report.html import charts
from pipeline.report.html.charts import Box, Series
from tests.fakes.artifacts import EVIL

numbers = st.floats(allow_nan=True, allow_infinity=True)


def boxes_of(svg: str) -> dict[str, tuple[float, float]]:
    """Where each box stands, by its title."""
    groups = [group for group in ElementTree.fromstring(svg) if group.tag == "g"]
    return {str(group.findtext("text")): (float(group[0].attrib["x"]), float(group[0].attrib["y"])) for group in groups}


@given(st.lists(st.tuples(numbers, numbers)), st.text())
def test_a_line_chart_is_well_formed_and_finite(points, name):
    svg = charts.line_chart([Series(name, points, dots=True)], label=name, x_label=name, y_label=name)
    assert "nan" not in str(svg.replace(str(charts.escape(name)), "")).lower()


def test_names_from_data_are_escaped():
    svg = charts.line_chart([Series(EVIL, [(0, 0), (1, 1)], dots=True)], label=EVIL, x_label=EVIL, y_label=EVIL)
    assert "<script" not in svg
    assert ElementTree.fromstring(svg).attrib["aria-label"] == EVIL
    assert "<script" not in charts.legend([Series(EVIL, [(0, 0)])])


def test_a_graph_runs_from_left_to_right_without_shortcuts():
    svg = charts.graph([Box("a", "A"), Box("b", "B", upstream=("a",)), Box("c", "C", upstream=("a", "b"))], "graph")
    corners = boxes_of(svg)
    assert corners["A"][0] < corners["B"][0] < corners["C"][0]
    assert len({y for _, y in corners.values()}) == 1
    assert svg.count('class="edge"') == 2


def test_a_box_that_joins_late_stands_above_what_it_leads_to():
    order = [Box("a", "A"), Box("late", "L"), Box("b", "B", upstream=("a",)), Box("c", "C", upstream=("b", "late"))]
    corners = boxes_of(charts.graph(order, "graph"))
    assert corners["L"][0] == corners["B"][0]
    assert corners["L"][1] < corners["B"][1]


@given(st.lists(st.sets(st.integers(0, 11)), max_size=12))
def test_no_two_boxes_of_a_graph_overlap(upstream):
    order = [Box(str(i), str(i), upstream=tuple(map(str, above))) for i, above in enumerate(upstream)]
    corners = boxes_of(charts.graph(order, "graph"))
    assert len(corners) == len(order) == len(set(corners.values()))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, DASH),
        (math.nan, DASH),
        (math.inf, "∞"),
        (0.0, "0"),
        (1234567.0, "1,234,567"),
        (1234.5, "1,234"),
        (0.123456, "0.1235"),
        (0.00001, "1.0e-05"),
    ],
)
def test_numbers_are_read_with_four_digits(value, read):
    assert formats.number(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [(None, DASH), (0.05, "+0.0500"), (-0.05, "\N{MINUS SIGN}0.0500"), (0.0, "±0.0000"), (0.00001, "±0.0000")],
)
def test_differences_have_a_sign(value, read):
    assert formats.difference(value) == read


@pytest.mark.parametrize(("value", "read"), [(0, "0 %"), (1, "100 %"), (0.0004, "<0.1 %"), (0.256, "25.6 %"), (None, DASH)])
def test_shares_are_read_as_percent(value, read):
    assert formats.percent(value) == read


@pytest.mark.parametrize(
    ("value", "read"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 01 s"), (3700, "1 h 01 min"), (None, DASH)]
)
def test_durations_are_read_in_their_unit(value, read):
    assert formats.seconds(value) == read


@pytest.mark.parametrize(("value", "read"), [(999, "999 B"), (1500, "1.5 kB"), (549_000, "549 kB"), (2_500_000_000, "2.5 GB")])
def test_sizes_are_read_in_their_unit(value, read):
    assert formats.size(value) == read


def test_neighbouring_spans_are_joined():
    assert formats.ranges([3, 1, 2, 7]) == f"1{DASH}3, 7"


@pytest.mark.parametrize(
    ("value", "read"), [(1_380_585_600.0, "2013-10-01"), (-86400.0, "1969-12-31"), (1e30, formats.number(1e30))]
)
def test_times_in_data_are_read_as_days(value, read):
    assert formats.date(value) == read
