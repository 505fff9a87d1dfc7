"""How the gallery's pictures look: one style for all of them, as small SVG files in a light and a dark version.

They are written without a drawing library, so that their bytes depend on the numbers drawn and on nothing else.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

import contourpy
import numpy as np

THEMES = {
    "light": {"ink": "#4a4d5c", "grid": "#dfe1ea", "lines": ("#3949ab", "#d4580a", "#00796b")},
    "dark": {"ink": "#c3c7d6", "grid": "#474c5f", "lines": ("#9fa8da", "#ffab66", "#4fc3b4")},
}
STYLE = """text{{font:12px system-ui,sans-serif;fill:{ink}}}
.end{{text-anchor:end}}.middle{{text-anchor:middle}}
.grid{{stroke:{grid};fill:none}}.zero{{stroke:{ink};stroke-opacity:.55}}
.line{{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}}
.l0{{stroke:{lines[0]}}}.l1{{stroke:{lines[1]};stroke-dasharray:7 4}}.l2{{stroke:{lines[2]};stroke-dasharray:1.5 4}}
.d0{{fill:{lines[0]}}}.d1{{fill:{lines[1]}}}.d2{{fill:{lines[2]}}}
.arrow{{stroke:{lines[1]};stroke-width:1.3;fill:none;stroke-linecap:round;stroke-linejoin:round}}"""
WIDTH, LEFT, RIGHT = 400, 44, 12
ROW = 19  # the height of a row of the legend
JUMP = 8  # a step of more pixels than this, from one sample to the next, is a jump: the line is broken there


class Box(NamedTuple):
    """A rectangle of the picture that shows a rectangle of the plane."""

    top: float
    height: float
    across: tuple[float, float]
    up: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.across
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.up
        return self.top + (high - value) / (high - low) * self.height

    def frame(self, most: int) -> str:
        """The grid, at most so many numbers up the side, and the axes where they are inside."""
        right, bottom = WIDTH - RIGHT, self.top + self.height
        lines = [f'<rect class="grid" x="{LEFT}" y="{self.top}" width="{right - LEFT}" height="{self.height}"/>']
        for value in ticks(*self.up, most):
            kind, y = ("zero" if value == 0 else "grid"), self.y(value)
            lines.append(f'<path class="{kind}" d="M{LEFT} {y:.1f}H{right}"/>')
            lines.append(f'<text class="end" x="{LEFT - 6}" y="{y + 4:.1f}">{number(value)}</text>')
        for value in ticks(*self.across, 8):
            kind, x = ("zero" if value == 0 else "grid"), self.x(value)
            lines.append(f'<path class="{kind}" d="M{x:.1f} {self.top}V{bottom}"/>')
        return "".join(lines)

    def numbers_below(self, label: str) -> str:
        """The horizontal axis: its numbers and what they are."""
        y, middle = self.top + self.height + 16, (LEFT + WIDTH - RIGHT) / 2
        numbers = [(self.x(value), number(value)) for value in ticks(*self.across, 8)]
        texts = [f'<text class="middle" x="{x:.1f}" y="{y}">{shown}</text>' for x, shown in numbers]
        return "".join(texts) + f'<text class="middle" x="{middle}" y="{y + 18}">{escape(label)}</text>'


def ticks(low: float, high: float, most: int) -> list[float]:
    """The round numbers between two, at most so many steps of them."""
    steps = (digit * 10**power for power in range(-2, 4) for digit in (1, 2, 5))
    step = next(step for step in steps if (high - low) / step <= most)
    return [round(step * k, 3) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def path(points: Iterable[tuple[float, float]], closed: bool = False) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + ("Z" if closed else "")


def line(box: Box, kind: int, across: Sequence[float], up: Sequence[float], clip: str, jumps: bool = False) -> str:
    """A curve, broken where it jumps in the box if it may; what is left alone between two jumps is a dot."""
    least, most = box.top - box.height, box.top + 2 * box.height  # far points would cost the line its dashes
    points = [(box.x(x), min(max(box.y(y), least), most)) for x, y in zip(across, up, strict=True)]
    inside = [box.top <= y <= box.top + box.height for _, y in points]
    jumped = [jumps and abs(points[i][1] - points[i - 1][1]) > JUMP for i in range(1, len(points))]
    breaks = [i for i, jump in enumerate(jumped, start=1) if jump and inside[i - 1] and inside[i]]
    runs = [points[i:j] for i, j in zip([0, *breaks], [*breaks, len(points)], strict=True)]
    drawn = "".join(path(run) for run in runs if len(run) > 1)
    alone = [run[0] for run in runs if len(run) == 1]
    dots = "".join(f'<circle class="d{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in alone)
    return f'<g clip-path="url(#{clip})"><path class="line l{kind}" d="{drawn}"/>{dots}</g>'


def legend(names: Sequence[str]) -> tuple[str, float]:
    """A row of names beside their lines, or several if they are long; and where it ends."""
    x, y, drawn = LEFT, 14, ""
    for kind, name in enumerate(names):
        width = 32 + 7.2 * len(name) + 12
        if x + width > WIDTH and x > LEFT:
            x, y = LEFT, y + ROW
        drawn += f'<path class="line l{kind}" d="M{x} {y - 4}h25"/><text x="{x + 32}" y="{y}">{escape(name)}</text>'
        x += width
    return drawn, y + 4


def curves(
    label: str,
    span: tuple[float, float],
    across: Sequence[float],
    lines: dict[str, tuple[Sequence[float], Sequence[float]]],
    values: tuple[float, float],
    slopes: tuple[float, float],
) -> tuple[str, float]:
    """Losses of one number above, their derivatives below; with the height of the picture."""
    drawn, top = legend(list(lines)) if len(lines) > 1 else ("", 0)
    above = Box(top + 22, 132, span, values)
    below = Box(above.top + above.height + 26, 78, span, slopes)
    for name, box, most in (("loss", above, 5), ("gradient", below, 4)):
        drawn += f'<text x="{LEFT}" y="{box.top - 7}">{name}</text>{box.frame(most)}'
        shown = f"M{LEFT} {box.top - 1}H{WIDTH - RIGHT}v{box.height + 2}H{LEFT}Z"
        drawn += f'<clipPath id="{name}"><path d="{shown}"/></clipPath>'
    for kind, (up, slope) in reversed(list(enumerate(lines.values()))):
        drawn += line(above, kind, across, up, "loss") + line(below, kind, across, slope, "gradient", jumps=True)
    return drawn + below.numbers_below(label), below.top + below.height + 40


def plane(
    labels: tuple[str, str],
    across: Sequence[float],
    up: Sequence[float],
    losses: np.ndarray,
    levels: Sequence[float],
    arrows: Iterable[tuple[float, float, float, float]],
    points: Mapping[str, tuple[float, float]],
) -> tuple[str, float]:
    """A loss of two numbers as bands between levels, and arrows (x, y, dx, dy) against its gradient."""
    drawn, top = levels_legend(levels)
    box = Box(top + 28, 230, (min(across), max(across)), (min(up), max(up)))
    contours = contourpy.contour_generator(across, up, losses, fill_type="OuterOffset")
    for band, (low, high) in enumerate(zip(levels, [*levels[1:], math.inf], strict=True)):
        shapes = zip(*contours.filled(low, high), strict=True)
        rings = [shape[i:j] for shape, at in shapes for i, j in zip(at[:-1], at[1:], strict=True)]
        edges = "".join(path([(box.x(x), box.y(y)) for x, y in ring[:-1]], closed=True) for ring in rings)
        drawn += f'<path class="d0" fill-rule="evenodd" fill-opacity="{shade(band, levels)}" d="{edges}"/>'
    y, right = box.top - 8, WIDTH - RIGHT
    drawn += box.frame(5) + f'<text x="{LEFT}" y="{y}">{escape(labels[1])}</text>'
    drawn += f'<text class="end" x="{right}" y="{y}">minus gradient</text>' + arrow(right - 100, y - 4, 22, 0)
    for x, y, dx, dy in arrows:
        drawn += arrow(box.x(x) + dx / 2, box.y(y) - dy / 2, dx, -dy)
    for name, (x, y) in points.items():
        drawn += f'<circle class="d2" cx="{box.x(x):.1f}" cy="{box.y(y):.1f}" r="4.5"/>'
        drawn += f'<text class="middle" x="{box.x(x):.1f}" y="{box.y(y) - 9:.1f}">{escape(name)}</text>'
    return drawn + box.numbers_below(labels[0]), box.top + box.height + 40


def cells(label: str, rows: Sequence[str], values: np.ndarray, title: str) -> tuple[str, float]:
    """An array (rows, columns), each of its values in [0, 1] as the depth of a cell, the first row on top."""
    top, side, wide = 24, 26, (WIDTH - LEFT - RIGHT) / values.shape[1]
    box = Box(top, side * len(rows), (0.5, values.shape[1] + 0.5), (0, len(rows)))
    drawn = f'<text x="{LEFT}" y="15">{escape(title)}</text>'
    for row, name in enumerate(rows):
        drawn += f'<text class="end" x="{LEFT - 6}" y="{top + row * side + 17}">{escape(name)}</text>'
        for column, value in enumerate(values[row]):
            place = f'x="{LEFT + column * wide:.1f}" y="{top + row * side}" width="{wide:.1f}" height="{side}"'
            drawn += f'<rect class="d0 grid" fill-opacity="{value:.3f}" {place}/>'
    return drawn + box.numbers_below(label), top + side * len(rows) + 40


def shade(band: int, levels: Sequence[float]) -> str:
    return f"{0.62 * (band + 1) / len(levels):.2f}"


def levels_legend(levels: Sequence[float]) -> tuple[str, float]:
    """The bands side by side with the loss at their borders."""
    drawn, width = f'<text x="{LEFT}" y="15">loss</text>', 34
    for band, level in enumerate(levels):
        x = LEFT + 38 + band * width
        drawn += f'<rect class="d0" fill-opacity="{shade(band, levels)}" x="{x}" y="4" width="{width}" height="13"/>'
        drawn += f'<text class="middle" x="{x}" y="31">{number(round(level, 2))}</text>'
    return drawn, 31


def arrow(x: float, y: float, dx: float, dy: float) -> str:
    """An arrow that ends at (x, y); a dot where it has no length to speak of."""
    length = math.hypot(dx, dy)
    if length < 1.5:
        return f'<circle class="d1" cx="{x:.1f}" cy="{y:.1f}" r="1.3"/>'
    head = min(5.0, 0.5 * length)
    angle = math.atan2(dy, dx)
    sides = [(x - head * math.cos(angle + turn), y - head * math.sin(angle + turn)) for turn in (0.45, -0.45)]
    return f'<path class="arrow" d="{path([(x - dx, y - dy), (x, y)])}{path([sides[0], (x, y), sides[1]])}"/>'


def document(title: str, drawn: str, height: float, theme: str) -> str:
    style = STYLE.format(**THEMES[theme])
    size = f'width="{WIDTH}" height="{height:g}" viewBox="0 0 {WIDTH} {height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{escape(title)}</title>'
    return f"{head}\n<style>{style}</style>\n" + drawn.replace("><", ">\n<") + "\n</svg>\n"
