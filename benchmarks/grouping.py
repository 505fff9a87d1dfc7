"""Measured rows, grouped for the page's tables and for its pictures."""

from collections.abc import Iterable

import numpy as np

from benchmarks import results
from benchmarks.measure import Row

PICTURED = ("cross_entropy-cpu", "linear_cross_entropy-cpu", "ctc-cpu")  # the files in the picture of ratios


def results_of(rows: Iterable[Row]) -> dict[tuple[str, ...], dict[str, Row]]:
    """By case, then by implementation."""
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(results.group(row), {})[row["name"]] = row
    return found


def curves(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """The points of each curve: by loss, by what grows, by implementation."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if not row["name"].startswith("limit") and "failed" not in row:
            found.setdefault((row["loss"], row["grows"][0], row["name"]), []).append(row)
    return found


def slope(points: list[tuple[float, float]]) -> float | None:
    """The exponent of the power law nearest to the points in logarithms; None where some are not positive."""
    if len(points) < 2 or min(y for _, y in points) <= 0:
        return None
    x, y = np.log(points).T
    return float(np.polyfit(x, y, 1)[0])
