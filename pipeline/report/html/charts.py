"""Charts as inline SVG. Colours come from the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipeline.report.formats import number
from pipeline.report.read.statistics import FeatureStatistics

Point = tuple[float, float]

_LARGEST = 1e100


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
      name: the name in the legend.
      points: pairs of x and y.
      style: `first` to `fourth`, or `guide`: the style sheet's colour.
      dots: draw the points too, with an area by weight where `weights` are given.
      weights: one for each point, or none.
    """

    name: str
    points: Sequence[Point]
    style: str = "first"
    dots: bool = False
    weights: Sequence[float] = ()


@dataclass(frozen=True)
class Box:
    """A box of a graph: `upstream` has the ids of the boxes whose arrows end here, `style` is a class of the style sheet."""

    id: str
    title: str
    subtitle: str = ""
    style: str = ""
    upstream: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Axis:
    """Maps values from `low` to `high` to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, wanted: int = 4) -> list[float]:
        """Round numbers, about as many as wanted."""
        step = _round_step((self.high - self.low) / wanted)
        first = math.ceil(self.low / step - 1e-9)
        return [round(index * step, 10) for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def line_chart(
    series: Sequence[Series],
    *,
    label: str,
    x_label: str,
    y_label: str,
    x_range: Point | None = None,
    y_range: Point | None = None,
    whole_x: bool = False,
    x_names: Sequence[str] = (),
) -> Markup:
    """A chart of lines over one another.

    Args:
      series: the lines; those without points are left out.
      label: what the chart shows, for those who cannot see it.
      x_label: below the horizontal axis.
      y_label: above the vertical axis.
      x_range: lower and upper end of the axis; where the data end when not given.
      y_range: the same for the vertical axis.
      whole_x: only whole numbers on the horizontal axis.
      x_names: what stands for 0, 1, 2 … on the horizontal axis, such as the numbers of spans.
    """
    width, height, left, right, top, bottom = 300, 232, 36, 8, 24, 38
    shown = [each for each in series if each.points]
    points = [point for each in shown for point in each.points if _can_be_drawn(point)] or [(0.0, 0.0)]
    x = _Axis(*(x_range or _range([point[0] for point in points], margin=0)), left, width - right)
    y = _Axis(*(y_range or _range([point[1] for point in points])), height - bottom, top)
    parts = []
    for tick in y.ticks():
        parts.append(_tag("line", x1=left, x2=width - right, y1=y.at(tick), y2=y.at(tick), class_="grid"))
        parts.append(_tag("text", number(tick), x=left - 6, y=y.at(tick) + 4, class_="tick end"))
    for tick, name in _named_ticks(x, x_names) if x_names else ((tick, number(tick)) for tick in x.ticks()):
        if not whole_x or tick == int(tick):
            parts.append(_tag("text", name, x=x.at(tick), y=height - bottom + 16, class_="tick middle"))
    parts.append(_tag("line", x1=left, x2=width - right, y1=height - bottom, y2=height - bottom, class_="axis"))
    parts.append(_tag("text", x_label, x=(left + width - right) / 2, y=height - 4, class_="label middle"))
    parts.append(_tag("text", y_label, x=0, y=12, class_="label"))
    # The first is drawn last, over the others.
    parts += [_series(each, x, y) for each in reversed(shown)]
    return _svg(width, height, label, parts)


def _named_ticks(axis: _Axis, names: Sequence[str]) -> list[tuple[float, str]]:
    """As many names as there is room for, the last one among them."""
    room = max(1, int((axis.end - axis.start) / (8 * max(map(len, names)))))
    step = -(-len(names) // room)
    return [(float(place), names[place]) for place in range(len(names) - 1, -1, -step)]


def legend(series: Iterable[Series]) -> Markup:
    """The names and colours of what a chart shows."""
    entries = [_tag("span", _tag("i", class_=f"key {each.style}") + escape(each.name)) for each in series if each.points]
    return _tag("div", Markup("").join(entries), class_="legend")


def histogram(feature: FeatureStatistics) -> Markup:
    """A numeric feature in its first two splits, one over the other: the first filled, the second as a line.

    Each split is as high as the chart, so that form and place compare whatever the number of rows and the width of the bins.
    """
    splits = [split.numeric.histogram for split in feature.splits.values() if split.numeric and split.numeric.histogram][:2]
    return overlaid(splits, f"Distribution of {feature.name}")


def overlaid(distributions: Sequence[Sequence[tuple[float, float, float]]], label: str) -> Markup:
    """One or two distributions, one over the other: the first filled, the second as a line, each as high as the chart.

    Args:
      distributions: the lower and upper end of each bin, and its rows or their share.
      label: what the chart shows, for those who cannot see it.
    """
    width, height, bottom = 240, 56, 1
    if not distributions:
        return Markup("")
    low, high = min(bins[0][0] for bins in distributions), max(bins[-1][1] for bins in distributions)
    x = _Axis(low, high, 1, width - 1)
    parts = []
    for style, bins in zip(("first area", "second"), distributions, strict=False):
        y = _Axis(0, max(count for _, _, count in bins), height - bottom, 3)
        corners = [corner for start, end, count in bins for corner in ((x.at(start), y.at(count)), (x.at(end), y.at(count)))]
        outline = [(corners[0][0], y.at(0)), *corners, (corners[-1][0], y.at(0))]
        parts.append(_tag("path", d=_path(outline), class_=f"line {style}"))
    return _svg(width, height, label, parts, class_="spark")


def graph(boxes: Sequence[Box], label: str) -> Markup:
    """Boxes and arrows from left to right; arrows that follow from others are left out.

    Args:
      boxes: causes before effects.
      label: what the graph shows, for those who cannot see it.
    """
    upstream: dict[str, list[str]] = {}
    for box in boxes:
        upstream[box.id] = [each for each in box.upstream if each in upstream]
    upstream = _without_shortcuts(upstream)
    columns: dict[str, int] = {}
    for box in boxes:
        columns[box.id] = max((columns[each] + 1 for each in upstream[box.id]), default=0)
    _pull_right(columns, upstream)
    rows = _rows(columns, upstream)
    box_width, box_height, column_gap, row_gap = 138, 44, 24, 16
    width = (max(columns.values(), default=0) + 1) * (box_width + column_gap) - column_gap + 2
    height = (max(rows.values(), default=0) + 1) * (box_height + row_gap) - row_gap + 2
    corner = {
        each: (1 + columns[each] * (box_width + column_gap), round(1 + rows[each] * (box_height + row_gap), 1))
        for each in columns
    }
    parts = []
    for box in boxes:
        x2, y2 = corner[box.id][0], corner[box.id][1] + box_height / 2
        for each in upstream[box.id]:
            x1, y1 = corner[each][0] + box_width, corner[each][1] + box_height / 2
            bend = x2 - column_gap / 2
            d = f"M{x1},{y1} H{bend - 9} C{bend},{y1} {bend - 6},{y2} {x2 - 4},{y2}" if y1 != y2 else f"M{x1},{y1} H{x2 - 4}"
            parts.append(_tag("path", d=d, class_="edge"))
            parts.append(_tag("path", d=f"M{x2 - 6},{y2 - 4} L{x2},{y2} L{x2 - 6},{y2 + 4} Z", class_="arrow"))
    for box in boxes:
        x1, y1 = corner[box.id]
        text_y = 19 if box.subtitle else 27
        content = [
            _tag("rect", x=x1, y=y1, width=box_width, height=box_height, rx=7),
            _tag("text", _shorten(box.title, 16), x=x1 + 10, y=y1 + text_y, class_="title"),
            _tag("text", _shorten(box.subtitle, 22), x=x1 + 10, y=y1 + 35, class_="subtitle") if box.subtitle else Markup(""),
            _tag("title", f"{box.title}: {box.subtitle}" if box.subtitle else box.title),
        ]
        parts.append(_tag("g", Markup("").join(content), class_=f"box {box.style}"))
    return _svg(width, height, label, parts, class_="graph", style=f"min-width:{round(width * 0.75)}px;max-width:{width}px")


def _series(series: Series, x: _Axis, y: _Axis) -> Markup:
    weights = series.weights or [1.0] * len(series.points)
    drawn = [(point, weight) for point, weight in zip(series.points, weights, strict=True) if _can_be_drawn(point)]
    parts = [_tag("path", d=_path([(x.at(px), y.at(py)) for (px, py), _ in drawn]), class_=f"line {series.style}")]
    heaviest = max(series.weights, default=0) or 1
    for (px, py), weight in drawn if series.dots else ():
        hover = _tag("title", f"{series.name}: {number(px)}, {number(py)}")
        radius = round(2 + 4 * math.sqrt(weight / heaviest), 1) if series.weights else 3
        parts.append(_tag("circle", hover, cx=x.at(px), cy=y.at(py), r=radius, class_=f"dot {series.style}"))
    return Markup("").join(parts)


def _without_shortcuts(upstream: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Leaves out an arrow where a longer way leads to the same box."""
    ancestors: dict[str, set[str]] = {}
    for each, direct in upstream.items():
        ancestors[each] = {*direct, *(further for parent in direct for further in ancestors.get(parent, ()))}
    return {
        each: [parent for parent in direct if not any(parent in ancestors.get(other, ()) for other in direct)]
        for each, direct in upstream.items()
    }


def _pull_right(columns: dict[str, int], upstream: Mapping[str, Sequence[str]]) -> None:
    """Moves boxes that nothing leads to next to what they lead to."""
    for each in columns:
        followers = [columns[other] for other, direct in upstream.items() if each in direct]
        if not upstream[each] and followers:
            columns[each] = min(followers) - 1


def _rows(columns: Mapping[str, int], upstream: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """A row for each box: its first parent's where that is free, so that the main way is a straight line.

    Boxes that join late, with nothing leading to them, stand above it.
    """
    late = {each for each in columns if not upstream[each] and columns[each] > 0}
    rows: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    for each in sorted(columns, key=lambda name: columns[name]):
        main_row = 1 if late and each not in late else 0
        row = min((rows[parent] for parent in upstream[each] if parent not in late), default=main_row)
        # An arrow that passes over columns keeps their row free.
        first = min((columns[parent] + 1 for parent in upstream[each]), default=columns[each])
        while any((column, row) in taken for column in range(first, columns[each] + 1)):
            row += 1
        rows[each] = row
        taken |= {(column, row) for column in range(first, columns[each] + 1)}
    return rows


def _can_be_drawn(point: Point) -> bool:
    """Neither infinite nor not a number, and far enough from the largest number to reckon with."""
    return all(abs(value) < _LARGEST for value in point)


def _range(values: Sequence[float], margin: float = 0.06) -> Point:
    low, high = min(values), max(values)
    padding = (high - low) * margin or (abs(high) * margin or 1) * (margin > 0 or low == high)
    return low - padding, high + padding


def _round_step(step: float) -> float:
    if step < 1 / _LARGEST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def _path(points: Sequence[Point]) -> str:
    return "M" + " L".join(f"{x},{y}" for x, y in points) if points else ""


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _svg(width: float, height: float, label: str, parts: Iterable[Markup], class_: str = "chart", style: str = "") -> Markup:
    attributes = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": label, "style": style}
    return _tag("svg", Markup("").join(parts), class_=class_, **{name: value for name, value in attributes.items() if value})


def _tag(name: str, content: str | Markup = "", **attributes: object) -> Markup:
    written = Markup("").join(Markup(' {}="{}"').format(key.rstrip("_"), value) for key, value in attributes.items())
    return Markup("<{name}{written}>{content}</{name}>").format(name=name, written=written, content=content)
