"""Values and gradients equal the reference's, for every Case, input, option set and reduction, in four dtypes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from case import Case
from cases import CASES
from fixtures.make import REDUCED, fixture
from inputs import ELEMENTS, Inputs, cotangent, pair
from references import Formula, Package
from variants import variants

import jaxloss

FIXTURES = Path(__file__).parent / "fixtures"
# What a result may be off by, relative to itself and to the largest of its array: some units in the last place of the
# dtype that the results have; float64's is what is left of PyTorch's own rounding.
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "bfloat16": 1e-2, "float16": 2e-3}
LOW = ("batched", "large", "tiny")
DTYPES = ("float64", "float32", "bfloat16", "float16")


class Asked(NamedTuple):
    """One row of the tests: a program of its own, unless another row has its shapes and dtype."""

    case: Case
    which: str
    dtype: str
    sets: tuple[int, ...]
    """The numbers of the option sets."""
    reductions: tuple[str, ...]

    @property
    def group(self) -> str:
        return self.case.group

    @property
    def id(self) -> str:
        return f"{self.case.id}-{self.which}-{self.dtype}" + ("" if usual(self) else "-all")


def usual(asked: Asked) -> bool:
    """The usual tests try all options and reductions in float64, and elsewhere the first options, unreduced."""
    return asked == usual_row(asked.case, asked.which, asked.dtype)


def usual_row(case: Case, which: str, dtype: str) -> Asked | None:
    every, first = tuple(range(len(case.options))), (0,)
    if dtype == "float64":
        sets = every if which in ("batched", "edges") else first
        return Asked(case, which, dtype, sets, case.reductions if which == "batched" else ("none",))
    return Asked(case, which, dtype, first, ("none",)) if dtype == "float32" and which in ("large", "tiny") else None


def rows() -> list[Asked]:
    """The usual rows, and rows of everything that a fixture holds, where that is more."""
    found: list[Asked] = []
    for case in CASES:
        for which in case.which():
            reductions = case.reductions if which in REDUCED else ("none",)
            for dtype in DTYPES if which in LOW else DTYPES[:2]:
                row = usual_row(case, which, dtype)
                every = Asked(case, which, dtype, tuple(range(len(case.options))), reductions)
                found += [each for each in dict.fromkeys((row, every)) if each is not None]
    return found


@pytest.mark.parametrize("asked", variants(rows(), usual), ids=lambda asked: asked.id)
def test_value_and_gradient_equal_the_references(asked: Asked) -> None:
    compare(asked, expected(asked))


def compare(asked: Asked, wanted: Mapping[str, np.ndarray]) -> None:
    """`wanted` has values and gradients as a fixture has them; a formula has no gradients."""
    case, which, dtype = asked.case, asked.which, asked.dtype
    arrays = case.arrays(which)
    inputs = tuple(a.astype(jnp.dtype(dtype)) if a.dtype == np.float64 else a for a in arrays)
    dependent = [
        {name: value for name, value in options.items() if isinstance(value, np.ndarray)}
        for options in case.option_sets(arrays)
    ]
    found = jax.device_get(program(case, asked.sets, asked.reductions)(dependent, inputs))
    for (number, reduction), (value, gradients) in found.items():
        key = f"{which}/{number}/{reduction}"
        low = dtype != "float64" and (reduction != "none" or case.float32_losses)
        assert value.dtype == ("float32" if low else dtype), key
        agree(value, wanted[key], dtype, key, gradient=False)
        for i, gradient in zip(case.differentiable, gradients, strict=True):
            assert gradient.dtype == dtype
            if f"{key}/{i}" in wanted:
                agree(gradient, wanted[f"{key}/{i}"], dtype, f"{key}/{i}", gradient=True)


def expected(asked: Asked) -> Mapping[str, np.ndarray]:
    case, which = asked.case, asked.which
    arrays = case.arrays(which)
    if isinstance(case.reference, Formula):
        return {
            f"{which}/{number}/{reduction}": case.reference.value(arrays, options, reduction)
            for number, options in enumerate(case.option_sets(arrays))
            for reduction in asked.reductions
        }
    with np.load(FIXTURES / f"{case.id}.npz") as stored:
        fixture = {key: stored[key] for key in stored if key.startswith(f"{which}/")}
    chex.assert_trees_all_equal(tuple(fixture[f"{which}/input/{i}"] for i in range(len(arrays))), arrays)
    return fixture


PROGRAMS: dict[tuple[str, tuple[int, ...], tuple[str, ...]], Callable[..., Any]] = {}


def program(case: Case, sets: tuple[int, ...], reductions: tuple[str, ...]) -> Callable[..., Any]:
    """The value and the gradients of sum(value * cotangent), for each option set and reduction, as one program.

    It takes the options that depend on the inputs; the others are constants in it.
    """

    def run(dependent, inputs):
        return {
            (number, reduction): one({**case.options[number], **dependent[number]}, reduction, inputs)
            for number in sets
            for reduction in reductions
        }

    def one(options, reduction, inputs):
        def weighted(*differentiable):
            given = list(inputs)
            for i, array in zip(case.differentiable, differentiable, strict=True):
                given[i] = array
            value = case.loss(**options, reduction=reduction)(*given)
            return jnp.sum(value * jnp.asarray(cotangent(value.shape), value.dtype)), value

        chosen = [inputs[i] for i in case.differentiable]
        gradients, value = jax.grad(weighted, tuple(range(len(chosen))), has_aux=True)(*chosen)
        return value, gradients

    return PROGRAMS.setdefault((case.id, sets, reductions), jax.jit(run))


def agree(ours, theirs, dtype: str, key: str, *, gradient: bool) -> None:
    ours = np.asarray(ours, np.float64)
    # What overflows the dtype is not compared. Where PyTorch's gradient is NaN or infinite, a documented deviation,
    # ours is finite.
    comparable = np.isfinite(theirs) & (np.abs(theirs) < float(jnp.finfo(dtype).max))
    assert not np.isnan(ours).any(), key
    tolerance = TOLERANCE[dtype]
    size = np.max(np.abs(theirs), where=comparable, initial=1.0)
    chex.assert_trees_all_close(
        np.where(comparable, ours, 0),
        np.where(comparable, theirs, 0),
        rtol=tolerance,
        atol=tolerance * min(size, 100),
    )
    if gradient:
        assert np.isfinite(ours[~np.isfinite(theirs)]).all(), key
    else:
        chex.assert_trees_all_equal(ours[np.isinf(theirs)], theirs[np.isinf(theirs)])


# References of other kinds ------------------------------------------------------------------------------------------


def huber(predictions: np.ndarray, targets: np.ndarray, delta: float = 1.0) -> np.ndarray:
    error = np.abs(predictions - targets)
    return np.where(error < delta, error**2 / 2, delta * (error - delta / 2))


def by_formula(formula: Callable[..., np.ndarray]) -> Asked:
    options = ({}, {"delta": 0.25})
    case = Case(jaxloss.HuberLoss, pair, options=options, inputs=ELEMENTS, variant="try", reference=Formula(formula))
    return Asked(case, "batched", "float64", (0, 1), case.reductions)


def test_a_formula_is_a_reference() -> None:
    right = by_formula(huber)
    compare(right, expected(right))
    wrong = by_formula(lambda *arrays, delta=1.0: huber(*arrays, delta=2 * delta))
    with pytest.raises(AssertionError):
        compare(wrong, expected(wrong))


def test_a_formula_may_count() -> None:
    reference = Formula(lambda losses: losses, count=lambda losses: losses > 1)
    assert [reference.value((np.array([1.0, 2.0, 6.0]),), {}, r) for r in ("mean", "sum")] == [4.5, 9.0]


def test_another_package_is_a_reference_that_only_the_fixtures_ask() -> None:
    package = Package(lambda arrays, reduction, options: (arrays[0].sum(), [np.ones_like(arrays[0])]))
    case = Case(jaxloss.MSELoss, pair, inputs={"batched": Inputs((2,))}, reductions=("sum",), reference=package)
    found = fixture(case)
    assert found["batched/0/sum"] == case.arrays()[0].sum()
    chex.assert_trees_all_equal(found["batched/0/sum/0"], np.ones(2))
