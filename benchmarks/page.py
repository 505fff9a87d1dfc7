"""docs/benchmarks.md and its pictures, from the figures under benchmarks/results.

The page's prose is written by hand. What stands between two marks is replaced by the tables of the file they name.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.grouping import PICTURED, curves, results_of, slope
from benchmarks.measure import OURS, QUIET, Row
from benchmarks.peers import PEERS

MARKED = re.compile(r"(<!-- figures: (?P<name>[\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
RATIOS = "![Ratios of our time to that of others](pictures/benchmarks-ratios.svg)\n"
GROWTH = """![Time against sizes](pictures/benchmarks-time.svg)
![Memory of a call against sizes](pictures/benchmarks-memory.svg)
![Time to trace and compile against sizes](pictures/benchmarks-compile.svg)
"""
LEVEL = 1.05  # up to here ours is level
MODES = {"value": "value alone", "gradient": "value and gradient", "compile": "trace and compile"}


def build(figures: Path, docs: Path) -> None:
    """Fill in the page and draw its pictures."""
    from benchmarks import pictures  # matplotlib is needed for the pictures alone

    found = {path.stem: results.read(path) for path in sorted(figures.glob("*.json"))}
    page = docs / "benchmarks.md"
    page.write_text(filled(page.read_text(), found))
    pictures.draw(found, docs / "pictures")


def filled(text: str, found: dict[str, dict[str, Any]]) -> str:
    """The page with the tables of the figures between its marks."""

    def tables(mark: re.Match[str]) -> str:
        name = mark["name"]
        if name in SUMMARIES:
            return mark[1] + SUMMARIES[name](found) + mark[3]
        return mark[1] + (section(found[name]) if name in found else "Not measured yet.\n") + mark[3]

    return MARKED.sub(tables, text)


def section(figures: dict[str, Any]) -> str:
    """Everything one suite found."""
    rows = figures["rows"]
    parts = [_machine(figures["machine"]), _busy(rows), _sources(rows)]
    if any("grows" in row for row in rows):
        return "\n".join([*parts, GROWTH, exponents(rows)])
    for dtype, mode in dict.fromkeys((row["dtype"], row["mode"]) for row in rows):
        chosen = [row for row in rows if (row["dtype"], row["mode"]) == (dtype, mode)]
        parts += [f"#### {dtype}, {MODES[mode]}\n", times(chosen), _failures(chosen)]
        several = len(results_of(chosen)) > 1 and len({row["loss"] for row in chosen}) < 5  # not for every small loss
        if mode == "gradient" and several:
            parts += [details(chosen)]
    return "\n".join(filter(None, parts))


def times(rows: list[Row]) -> str:
    """Our time, and its ratio to that of each of the others."""
    limits = [name for name in dict.fromkeys(row["name"] for row in rows) if name.startswith("limit")]
    names = [name for name in PEERS if any(row["name"] == name for row in rows)] + limits
    cases = results_of(rows)
    head = [*_named(cases), "ours, ms", *(name.removeprefix("limit: ") for name in names)]
    lines = [
        [*_case(key, cases), f"{each[OURS]['ms']:.3g}", *(_ratio(each.get(name)) for name in names)]
        for key, each in cases.items()
    ]
    return table(head, lines)


def details(rows: list[Row]) -> str:
    """Memory and error of each implementation."""
    names = [name for name in (OURS, *PEERS) if any(row["name"] == name for row in rows)]
    cases = results_of(rows)
    columns = {
        "Temporaries by the compiler, MiB": lambda row: _number(row.get("temporaries_mib")),
        "Memory of a call, its result included, MiB": lambda row: _number(row.get("peak_mib")),
        "Sent between devices, MiB for each": lambda row: _number(row.get("exchanged_mib")),
        "Error of the gradient against float64": lambda row: f"{row['gradient_error']:.0e}",
    }
    parts = []
    for title, cell in columns.items():
        lines = [[*_case(key, cases), *(_cell(each.get(name), cell) for name in names)] for key, each in cases.items()]
        shown = [i for i in range(len(names)) if any(line[i - len(names)] not in ("", "fails") for line in lines)]
        if shown:
            kept = [line[: -len(names)] + [line[i - len(names)] for i in shown] for line in lines]
            parts.append(f"{title}:\n\n" + table([*_named(cases), *(names[i] for i in shown)], kept))
    return "\n".join(parts)


def exponents(rows: list[Row]) -> str:
    """The slopes of straight lines through the logarithms, for each curve and implementation."""
    lines = []
    for (loss, axis, name), of in curves(rows).items():
        sizes = sorted({row["grows"][1] for row in of})
        slopes = [
            slope([(row["grows"][1], row.get(key) or 0.0) for row in of if row["mode"] == mode])
            for mode, key in (("gradient", "ms"), ("gradient", "temporaries_mib"), ("compile", "ms"))
        ]
        cells = ["" if each is None else f"{each:.2f}" for each in slopes]
        lines.append([f"`{loss}`", f"{axis} from {sizes[0]} to {sizes[-1]}", name, *cells])
    return table(["loss", "what grows", "implementation", "time", "temporaries", "trace and compile"], lines)


def slower(found: dict[str, dict[str, Any]]) -> str:
    """Every comparison in which ours is neither ahead nor level."""
    lines, count = [], 0
    for figures in found.values():
        for each in results_of(figures["rows"]).values():
            for name, row in each.items():
                if name in PEERS and "ratio" in row:
                    count += 1
                    if row["ratio"] > LEVEL:
                        lines.append((row["ratio"], row, each[OURS]))
    text = (
        f"{count - len(lines)} of {count} comparisons have a ratio of {LEVEL} or less; these {len(lines)} do not:\n\n"
    )
    cells = [
        [f"`{row['loss']}`", row["size"], f"{row['dtype']}, {MODES[row['mode']]}", row["name"], f"{ratio:.2f}",
         _error(ours), _error(row), f"{row['others']:.1f}" if row.get("others", 0.0) > QUIET else ""]
        for ratio, row, ours in sorted(lines, key=lambda line: -line[0])
    ]  # fmt: skip
    return text + table(["loss", "size", "what", "against", "ratio", "our error", "theirs", "others busy"], cells)


def ratios(found: dict[str, dict[str, Any]]) -> str:
    """The picture of all ratios, where there are any."""
    return RATIOS if any(name in found for name in PICTURED) else ""


SUMMARIES: dict[str, Callable[[dict[str, dict[str, Any]]], str]] = {"slower": slower, "ratios": ratios}


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    devices = f" as {machine['devices']} devices" if machine["devices"] > 1 else ""
    return f"{machine['device']}, {machine['cores']} cores{devices}; Python {machine['python']}, {versions}.\n"


def _busy(rows: list[Row]) -> str:
    """A warning where other programs were at work while the clock ran."""
    busy = results_of(row for row in rows if row.get("others", 0.0) > QUIET)
    if not busy:
        return ""
    most = max(row["others"] for each in busy.values() for row in each.values())
    return (
        f"Other programs kept up to {most:.1f} of the cores busy during {len(busy)} of {len(results_of(rows))} "
        "measurements. Their times are too long, and their ratios uncertain, those to PyTorch most.\n"
    )


def _sources(rows: list[Row]) -> str:
    sources = {row["size"]: row["source"] for row in rows if "source" in row and "grows" not in row}
    return "".join(f"- {size}: {source}\n" for size, source in sources.items())


def _failures(rows: list[Row]) -> str:
    failures = dict.fromkeys(
        f"- {row['name']}, {row['loss']} {row['size']}: {row['failed']}\n" for row in rows if "failed" in row
    )
    return "".join(failures)


def _named(cases: Iterable[tuple[str, ...]]) -> list[str]:
    """The headings that tell one case from another."""
    several = [len({key[i] for key in cases}) > 1 for i in range(2)]
    return [name for name, shown in zip(("loss", "size"), several, strict=True) if shown or not any(several)]


def _case(key: tuple[str, ...], cases: Iterable[tuple[str, ...]]) -> list[str]:
    shown = _named(cases)
    return [text for name, text in (("loss", f"`{key[0]}`"), ("size", key[1])) if name in shown]


def _ratio(row: Row | None) -> str:
    if row is None or "failed" in row:
        return "fails" if row else ""
    text = f"{row['ratio']:.2f}"
    return f"**{text}**" if row["ratio"] > LEVEL and row["name"] in PEERS else text


def _cell(row: Row | None, cell: Callable[[Row], str]) -> str:
    return "" if row is None else "fails" if "failed" in row else cell(row)


def _error(row: Row) -> str:
    return f"{max(row['error'], row.get('gradient_error', 0.0)):.0e}" if "error" in row else ""


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}" if number < 100 else f"{number:.0f}"


def table(head: list[str], lines: list[list[str]]) -> str:
    rule = [
        "---" if name in ("loss", "size", "what", "what grows", "against", "implementation") else "---:"
        for name in head
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in [head, rule, *lines])
