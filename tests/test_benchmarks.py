"""The benchmarks: what disagrees is not timed, figures of two machines do not mix, the page is that of the figures."""

import ast
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
frameworks, grouping, measure, page, compiled_page, results, case = (  # a source distribution has none of them
    pytest.importorskip(f"benchmarks.{name}")
    for name in ("frameworks", "grouping", "measure", "page", "compiled_page", "results", "case")
)

ONE_ROUND = measure.Effort(rounds=1, seconds=0.0, tries=1)


def squares(ours, plain) -> case.Case:
    return case.Case(
        loss="squares",
        size="4, 3",
        arrays=lambda rng: (rng.standard_normal((4, 3), np.float32),),
        ours=ours,
        peers={"jax.numpy": plain},
        reference=lambda x: jnp.sum(x**2),
    )


def rows(of, dtype: str, mode: str) -> list[dict[str, object]]:
    return measure.measured(measure.prepared(of, dtype, mode, ONE_ROUND), ONE_ROUND)


@pytest.mark.parametrize("mode", ["value", "gradient"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_agreement_is_seen_before_the_clock_starts(dtype: str, mode: str) -> None:
    def right(x):
        return jnp.sum(x.astype(jnp.float32) ** 2)

    def wrong(x):
        return jnp.mean(x.astype(jnp.float32) ** 2)

    ours, theirs, limit = rows(squares(right, wrong), dtype, mode)
    assert ours["error"] < 1e-2
    assert ours["ratio"] == 1
    assert "is off by" in theirs["failed"]
    assert "ms" not in theirs
    assert limit["ms"] > 0
    with pytest.raises(RuntimeError, match="squares; 4, 3; .*: jaxloss is off by"):
        rows(squares(wrong, right), dtype, mode)


def test_a_wrong_gradient_of_a_right_value_is_seen() -> None:
    def half(x):
        return jnp.sum(x**2) / 2 + jnp.sum(np.asarray(VALUE) ** 2) / 2

    VALUE = np.random.default_rng(0).standard_normal((4, 3), np.float32)
    _, theirs, _ = rows(squares(lambda x: jnp.sum(x**2), half), "float32", "gradient")
    assert theirs["error"] < 1e-6
    assert theirs["failed"] == "is off by 5.0e-01"


def test_every_round_calls_each_once_or_twice() -> None:
    calls = []
    taken = measure.timed(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, measure.Effort(3, 0.0, tries=1)
    ).taken
    assert [len(each) for each in taken.values()] == [3, 3]
    # From the second round on a short call is made twice, and the second counts.
    assert sorted(calls[:2]) == ["a", "b"]
    assert calls[2] == calls[3]
    assert len(calls) == 2 + 2 * 4


def row(size: str, name: str, ms: float, **rest: object) -> dict[str, object]:
    found = {"loss": "l1", "size": size, "dtype": "float32", "mode": "value", "name": name, "ms": ms, "error": 0.0}
    return found | {"ratio": rest.pop("ratio", 1.0)} | rest


def test_figures_take_the_place_of_the_old_ones_of_their_case() -> None:
    old = {"machine": {"cores": 2}, "rows": [row("1", "jaxloss", 1), row("1", "optax", 2), row("2", "jaxloss", 3)]}
    merged = results.merged(old, {"cores": 2}, [row("1", "jaxloss", 5)])
    assert [(each["size"], each["ms"]) for each in merged["rows"]] == [("1", 5), ("2", 3)]


def test_figures_of_another_machine_are_dropped() -> None:
    old = {"machine": {"cores": 4}, "rows": [row("1", "jaxloss", 1), row("2", "jaxloss", 3)]}
    merged = results.merged(old, {"cores": 2}, [row("1", "jaxloss", 5)])
    assert [(each["size"], each["ms"]) for each in merged["rows"]] == [("1", 5)]


def test_figures_of_a_busy_machine_are_missing() -> None:
    rows = [row("1", "jaxloss", 1, others=0.0), row("1", "torch", 1, others=0.9), row("2", "jaxloss", 1, others=0.01)]
    figures = {"machine": {"cores": 2}, "rows": rows}
    assert {key[1] for key in results.quiet(figures, {"cores": 2})} == {"2"}
    assert not results.quiet(figures, {"cores": 4})


def test_figures_survive_the_file(tmp_path: Path) -> None:
    figures = {"machine": {"cores": 2}, "rows": [row("1", "jaxloss", 1), row("2", "jaxloss", 3)]}
    results.write(tmp_path / "new" / "l1-cpu.json", figures)
    assert results.read(tmp_path / "new" / "l1-cpu.json") == figures


def test_bytes_that_devices_exchange() -> None:
    program = """
      %all-reduce.1 = f32[8,3]{1,0} all-reduce(%x), channel_id=1
      %ag = (bf16[5]{0}, s32[]) all-gather-start(%y)
      %add = f32[100]{0} add(%x, %y)
    """
    assert frameworks.exchanged(program) == 8 * 3 * 4 + 5 * 2 + 4


def test_slope_is_the_exponent() -> None:
    assert grouping.slope([(n, 3 * n**1.5) for n in (1.0, 4.0, 16.0)]) == pytest.approx(1.5)
    assert grouping.slope([(1.0, 0.0), (2.0, 1.0)]) is None


def test_page_marks_what_is_slower_and_what_fails() -> None:
    rows = [
        row("1", "jaxloss", 2.0),
        row("1", "optax", 1.0, ratio=2.0),
        row("1", "keras", 4.0, ratio=0.5),
        {
            "loss": "l1",
            "size": "1",
            "dtype": "float32",
            "mode": "value",
            "name": "torch",
            "failed": "is off by 1.0e+00",
        },
        row("1", "limit: read", 0.5, ratio=4.0),
    ]
    assert page.times(rows).splitlines()[-1] == "| `l1` | 1 | 2 | **2.00** | 0.50 | fails | 4.00 |"
    listed = page.slower({"l1-cpu": {"rows": rows}})
    assert listed.startswith("1 of 2 comparisons have a ratio of 1.05 or less")
    assert listed.splitlines()[-1] == "| `l1` | 1 | float32, value alone | optax | 2.00 | 0e+00 | 0e+00 |  |"


def test_page_is_that_of_the_figures() -> None:
    found = {path.stem: results.read(path) for path in sorted((ROOT / "benchmarks/results").glob("*.json"))}
    text = (ROOT / "docs/benchmarks.md").read_text()
    assert found
    assert page.filled(text, found) == text, "run `python -m benchmarks --page`"


def test_modules_import_each_other_in_no_circle() -> None:
    """An import inside a function counts too: it hides a circle, and does not break it."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "benchmarks").rglob("*.py")
    }
    imports: dict[str, set[str]] = {}
    for module, path in files.items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        submodules = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
        imports[module] = (submodules | {node.module for node in nodes}) & files.keys() - {"benchmarks", module}
    assert imports["benchmarks.page"], "no import was found"
    while free := [module for module, others in imports.items() if not others & imports.keys()]:
        for module in free:
            del imports[module]
    assert not imports, f"these import each other in a circle: {sorted(imports)}"


def of_compiled(name: str, units: float, **rest: object) -> dict[str, object]:
    case = {"loss": "l1", "size": "1", "dtype": "float32", "mode": "value", "name": name}
    facts = {"temporaries_mib": 0.0, "kernels": 2, "unknown_loops": 0, "conditionals": 0, "roofline_ms": 0.5}
    return case | facts | {"units": units} | rest


def test_page_of_compiled_programs_opens_with_its_conclusion() -> None:
    rows = [of_compiled("jaxloss", 1.5, conditionals=1), of_compiled("optax", 1.4)]
    text = compiled_page.conclusion(grouping.results_of(rows))
    assert text.startswith("0 of 1 programs of jaxloss move at most 1.3 times their inputs and outputs. 0 of 1 move")
    assert "Programs of `l1` have conditionals" in text
    near = compiled_page.conclusion(grouping.results_of([of_compiled("jaxloss", 1.3), of_compiled("optax", 1.3)]))
    assert near.startswith("1 of 1")
    assert "No program has a conditional" in near


def test_page_of_compiled_programs_is_that_of_the_figures() -> None:
    text = (ROOT / "docs/compiled.md").read_text()
    found = compiled_page.read(ROOT / "benchmarks/results")
    assert found
    assert compiled_page.filled(text, found) == text, "run `python -m benchmarks --page`"
