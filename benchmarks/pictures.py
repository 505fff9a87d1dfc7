"""The page's pictures: ratios of time, memory against sizes, and how cost grows."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

from benchmarks.grouping import PICTURED, curves, results_of, slope
from benchmarks.measure import OURS, Row
from benchmarks.peers import PEERS

COLOURS = {OURS: "#1a1a1a"} | {name: f"C{i}" for i, name in enumerate(PEERS)}
STYLE = {
    "svg.hashsalt": "jaxloss",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(found: dict[str, dict[str, Any]], folder: Path) -> None:
    """All of them; the same figures give the same bytes."""
    with plt.rc_context(STYLE):
        shown = [name for name in PICTURED if name in found]
        if shown:
            ratios([row for name in shown for row in found[name]["rows"]], folder / "benchmarks-ratios.svg")
        if "growth-cpu" in found:
            rows = found["growth-cpu"]["rows"]
            growth(rows, "gradient", "ms", "time, ms", folder / "benchmarks-time.svg")
            growth(rows, "gradient", "peak_mib", "memory of a call, MiB", folder / "benchmarks-memory.svg")
            growth(rows, "compile", "ms", "trace and compile, ms", folder / "benchmarks-compile.svg")


def ratios(rows: list[Row], path: Path) -> None:
    """A bar for each peer and case: the ratio of our time to theirs, in float32, value and gradient."""
    cases = results_of(row for row in rows if (row["dtype"], row["mode"]) == ("float32", "gradient") and "ratio" in row)
    names = [name for name in PEERS if any(name in each for each in cases.values())]
    height, place, ticks = 0.8, 0.0, {}
    figure, axes = plt.subplots(figsize=(8, 0.17 * sum(len(each) for each in cases.values()) + 1), layout="constrained")
    for (loss, size, *_), each in cases.items():
        peers = [name for name in names if name in each]
        ticks[f"{loss}\n{size}"] = place + (len(peers) - 1) / 2
        for name in peers:
            ratio = each[name]["ratio"]
            axes.barh(place, ratio - 1, height, left=1, color=COLOURS[name])
            axes.text(ratio, place, f" {ratio:.2f} ", va="center", ha="left" if ratio > 1 else "right", fontsize=6)
            place += 1
        place += 0.8
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    axes.set_xlim(0.05, 3)
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(list(ticks.values()), list(ticks), fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("our time over theirs: to the left of 1, ours is faster")
    axes.legend(handles=[plt.Rectangle((0, 0), 1, 1, color=COLOURS[name], label=name) for name in names], fontsize=7)
    _save(figure, path)


def growth(rows: list[Row], mode: str, key: str, label: str, path: Path) -> None:
    """A panel for each loss and size that grows; the legend has the exponents."""
    found = curves(row for row in rows if row["mode"] == mode)
    panels = list(dict.fromkeys((loss, axis) for loss, axis, _ in found))
    across = 3
    down = -(-len(panels) // across)
    figure, grid = plt.subplots(down, across, figsize=(9, 2.6 * down), layout="constrained", squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, panel in zip(grid.flat, panels, strict=False):
        for (loss, axis, name), points in found.items():
            if (loss, axis) != panel:
                continue
            line = sorted((row["grows"][1], row[key]) for row in points if row[key] > 0)
            exponent = slope(line)
            text = name if exponent is None else f"{name}: {axis}$^{{{exponent:.2f}}}$"
            axes.plot(
                *zip(*line, strict=True) if line else ([], []),
                marker="o",
                markersize=3,
                color=COLOURS[name],
                label=text,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_title(panel[0], fontsize=9)
        axes.set_xlabel(panel[1])
        axes.legend(fontsize=7)
    for axes in grid[:, 0]:
        axes.set_ylabel(label)
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None, "Creator": None}, facecolor="white")
    plt.close(figure)
