"""docs/compiled.md, from the figures under benchmarks/results/compiled.

The page's prose is written by hand. The text between two marks is replaced by the table of the device they name.
"""

import re
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.grouping import results_of
from benchmarks.page import MARKED, table

NAMES = ("jaxloss", "jax.numpy", "optax")
FLOOR = 1.3  # units, up to which a program is near its inputs and outputs
MODES = {"value": "value", "gradient": "value and gradient"}


def build(figures: Path, docs: Path) -> None:
    page = docs / "compiled.md"
    page.write_text(filled(page.read_text(), read(figures)))


def read(figures: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: results.read(path) for path in sorted((figures / "compiled").glob("*.json"))}


def filled(text: str, found: dict[str, dict[str, Any]]) -> str:
    """The page with the tables of the figures between its marks."""

    def figures(mark: re.Match[str]) -> str:
        return mark[1] + (summary(found) if mark["name"] == "summary" else section(found[mark["name"]])) + mark[3]

    return MARKED.sub(figures, text)


def summary(found: dict[str, dict[str, Any]]) -> str:
    """The conclusion of each device."""
    return "".join(f"- {each['machine']['device']}: {conclusion(results_of(each['rows']))}" for each in found.values())


def section(figures: dict[str, Any]) -> str:
    """The table of one device."""
    versions = ", ".join(f"{name} {version}" for name, version in figures["machine"]["versions"].items())
    cases = results_of(figures["rows"])
    head = ["loss", "size", "what", "units", *(f"units, {name}" for name in NAMES[1:]), "temporaries, MiB"]
    head += [f"temporaries, MiB, {name}" for name in NAMES[1:]] + ["kernels", "waits", "roofline, ms"]
    lines = [
        [f"`{loss}`", size, f"{dtype}, {MODES[mode]}", *_cells(each)]
        for (loss, size, dtype, mode), each in cases.items()
    ]
    return f"{figures['machine']['device']}; {versions}.\n\n" + table(head, lines)


def conclusion(cases: dict[tuple[str, ...], dict[str, dict[str, Any]]]) -> str:
    """How many programs of ours are near the floor, and how many move no more than the best peer."""
    ours = {key: each["jaxloss"] for key, each in cases.items()}
    near = sum(row["units"] <= FLOOR for row in ours.values())
    best = {
        key: min(row["units"] for name, row in each.items() if name != "jaxloss" and "units" in row)
        for key, each in cases.items()
        if any(name != "jaxloss" and "units" in row for name, row in each.items())
    }
    level = sum(ours[key]["units"] <= 1.05 * units for key, units in best.items())
    waiting = sorted({f"`{key[0]}`" for key, row in ours.items() if row["unknown_loops"] + row["conditionals"]})
    waits = f"Programs of {', '.join(waiting)} have conditionals or loops of unknown length." if waiting else (
        "No program has a conditional or a loop of unknown length."
    )  # fmt: skip
    return (
        f"{near} of {len(ours)} programs of jaxloss move at most {FLOOR} times their inputs and outputs. "
        f"{level} of {len(best)} move at most 1.05 times the bytes of the best peer. {waits}\n"
    )


def _cells(each: dict[str, dict[str, Any]]) -> list[str]:
    ours = each["jaxloss"]
    waits = ours["unknown_loops"] + ours["conditionals"]
    rows = [each.get(name) for name in NAMES]
    return [
        *(_cell(row, "units") for row in rows),
        *(_cell(row, "temporaries_mib") for row in rows),
        str(ours["kernels"]),
        str(waits) if waits else "",
        f"{ours['roofline_ms']:.3g}",
    ]


def _cell(row: dict[str, Any] | None, key: str) -> str:
    if row is None:
        return ""
    return "fails" if "failed" in row else f"{row[key]:.2f}" if row[key] < 100 else f"{row[key]:.0f}"
