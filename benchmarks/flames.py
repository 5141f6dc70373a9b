"""Charts of sampled stacks: flame graphs, and bars that compare where the time goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment

import pipeline.report.html
from benchmarks.stacks import BEAM, FIGURES, GRAPHS, IMPORTS, OTHER, ROWS, RUNNING, Stack, seconds_by_category, total

STYLE = Path(pipeline.report.html.__file__).with_name("templates") / "report.css"
# The palette of Okabe and Ito, which colour-blind readers can tell apart.
COLOURS = {
    IMPORTS: "#999999",
    BEAM: "#d55e00",
    ROWS: "#e69f00",
    FIGURES: "#009e73",
    GRAPHS: "#0072b2",
    RUNNING: "#56b4e9",
    OTHER: "#cc79a7",
}
WIDTH, FRAME_HEIGHT, LETTER_WIDTH = 1200, 16, 6.2
NARROWEST = 0.5

FLAME_GRAPH = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{{ width }}" height="{{ height }}" font-family="sans-serif" font-size="11">
<style>rect { height: {{ frame_height }}px; fill-opacity: 0.7; stroke: #ffffff; stroke-width: 0.5 }</style>
{% for box in boxes -%}
<g><title>{{ box.name }}: {{ "%.2f" | format(box.seconds) }} s</title>
<rect x="{{ "%.1f" | format(box.x) }}" y="{{ box.y }}" width="{{ "%.1f" | format(box.width) }}" fill="{{ box.fill }}"/>
{%- if box.label %}<text x="{{ "%.1f" | format(box.x + 3) }}" y="{{ box.y + 12 }}">{{ box.label }}</text>{% endif %}</g>
{% endfor -%}
</svg>
"""

# The longest bar leaves room for the figure beside it.
BARS = """\
<!doctype html><meta charset=utf-8><title>Where the time goes</title>
<style>{{ style | safe }}
body { width: 860px; padding: 20px; background: var(--card); }
.bars { display: grid; grid-template-columns: max-content max-content 1fr; gap: 3px 10px; align-items: center; }
.bars b { font-weight: 600; }
.bars .first:not(:nth-child(-n+3)) { margin-top: 9px; }
.bars .row { display: flex; height: 15px; align-items: center; }
.bars .row i { height: 100%; flex: none; }
.bars .row span { padding-left: 6px; white-space: nowrap; font-variant-numeric: tabular-nums; }
.key { height: 10px; width: 10px; }
.legend { margin-bottom: 12px; }
</style>
<div class="legend">
{% for category, colour in colours.items() %}<span><i class="key" style="background: {{ colour }}"></i>{{ category }}</span>
{% endfor %}</div>
<div class="bars">
{% for name, sides in rows.items() %}{% for side, seconds in sides.items() %}{% set first = "first" if loop.first %}
<b class="{{ first }}">{{ name if loop.first }}</b><span class="{{ first }}">{{ side }}</span>
<div class="row {{ first }}">
{%- for category, value in seconds.items() -%}
<i title="{{ category }}: {{ "%.1f" | format(value) }} s" style="width: {{ 92 * value / longest }}%; \
background: {{ colours[category] }}"></i>
{%- endfor %}<span>{{ "%.1f" | format(seconds.values() | sum) }} s</span></div>
{% endfor %}{% endfor %}</div>
"""


@dataclass
class _Frame:
    seconds: float = 0.0
    by_category: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COLOURS, 0.0))
    inner: dict[str, _Frame] = field(default_factory=dict)


@dataclass(frozen=True)
class _Box:
    name: str
    seconds: float
    x: float
    y: int
    width: float
    fill: str

    @property
    def label(self) -> str:
        letters = int((self.width - 4) / LETTER_WIDTH)
        return self.name[:letters] if letters > 2 else ""


def flame_graph(title: str, stacks: Sequence[Stack]) -> str:
    """An SVG with the outermost frame at the top, each frame as wide as its time and in the colour of its main category.

    Frames too narrow to see are left out. Hovering over a frame shows its name and seconds.
    """
    root = _Frame()
    for stack in stacks:
        frame, category = root, stack.category
        for name in (title, *stack.frames):
            frame = frame.inner.setdefault(name, _Frame())
            frame.seconds += stack.seconds
            frame.by_category[category] += stack.seconds
    boxes = list(_boxes(root, 0.0, 0, WIDTH / total(stacks)))
    height = max(box.y for box in boxes) + FRAME_HEIGHT
    picture = Environment(autoescape=True).from_string(FLAME_GRAPH)
    return picture.render(boxes=boxes, width=WIDTH, height=height, frame_height=FRAME_HEIGHT)


def _boxes(parent: _Frame, x: float, y: int, per_second: float) -> Iterator[_Box]:
    for name, frame in sorted(parent.inner.items()):
        width = frame.seconds * per_second
        if width >= NARROWEST:
            fill = COLOURS[max(frame.by_category, key=frame.by_category.__getitem__)]
            yield _Box(name, frame.seconds, x, y, width, fill)
            yield from _boxes(frame, x, y + FRAME_HEIGHT, per_second)
        x += width


def bars(rows: Mapping[str, Mapping[str, Iterable[Stack]]]) -> str:
    """An HTML page with a bar of seconds for each side of each row, divided by category.

    Args:
      rows: the stacks of each side, by the row's name.
    """
    divided = {name: {side: seconds_by_category(stacks) for side, stacks in sides.items()} for name, sides in rows.items()}
    longest = max(sum(seconds.values()) for sides in divided.values() for seconds in sides.values())
    page = Environment(autoescape=True).from_string(BARS)
    return page.render(rows=divided, longest=longest, colours=COLOURS, style=STYLE.read_text())
