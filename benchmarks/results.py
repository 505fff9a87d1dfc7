"""The figures as a table on the screen and as JSON, one file for a suite and a platform."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.measure import QUIET, Row

COLUMNS = {"": 22, "ms": 11, "ours/theirs": 13, "temporaries MiB": 17, "peak MiB": 10, "error": 8}


def heading() -> str:
    return "".join(f"{text:>{width}}" for text, width in COLUMNS.items())


def line(row: Row) -> str:
    """One row of the table on the screen."""
    if "failed" in row:
        return f"  {row['name']:20}  {row['failed']}"
    cells = (
        f"  {row['name']:20}",
        f"{row['ms']:.3f}",
        f"{row['ratio']:.2f}",
        _known(row.get("temporaries_mib")),
        _known(row.get("peak_mib")),
        f"{max(row['error'], row.get('gradient_error', 0.0)):.0e}" if "error" in row else "",
    )
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, COLUMNS.values(), strict=True))


def _known(number: float | None) -> str:
    return "" if number is None else f"{number:.1f}"


def group(row: Row) -> tuple[str, ...]:
    """What is measured together: rows that may be compared."""
    return row["loss"], row["size"], row["dtype"], row["mode"]


def merged(old: dict[str, Any], machine: dict[str, object], new: Iterable[Row]) -> dict[str, Any]:
    """The old figures with the new ones in their place. Those of another machine, or other versions, are dropped."""
    new = list(new)
    fresh = {group(row) for row in new}
    kept = [row for row in old.get("rows", []) if group(row) not in fresh] if old.get("machine") == machine else []
    order = {key: i for i, key in enumerate(dict.fromkeys(map(group, [*old.get("rows", []), *new])))}
    return {"machine": machine, "rows": sorted(kept + new, key=lambda row: order[group(row)])}


def quiet(figures: dict[str, Any], machine: dict[str, object]) -> set[tuple[str, ...]]:
    """What has been measured on this machine while others left it alone."""
    rows = figures.get("rows", []) if figures.get("machine") == machine else []
    return set(map(group, rows)) - {group(row) for row in rows if "ms" in row and row.get("others", 1.0) > QUIET}


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, results: dict[str, Any]) -> None:
    """One row a line, so that a change of a figure is a change of a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join("  " + json.dumps(row) for row in results["rows"])
    path.write_text(f'{{\n "machine": {json.dumps(results["machine"])},\n "rows": [\n{rows}\n ]\n}}\n')
