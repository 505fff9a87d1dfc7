"""Values and gradients equal the reference's, for every Case, input, option set and reduction, in four dtypes."""

from collections.abc import Callable

import chex
import numpy as np
import pytest
from case import Case
from cases import CASES
from fixtures.make import REDUCED, fixture
from inputs import ELEMENTS, Inputs, pair
from parity import Asked, compare, expected
from references import Formula, Package
from variants import variants

import jaxloss

DTYPES = ("float64", "float32", "bfloat16", "float16")


def usual(asked: Asked) -> bool:
    """The usual tests try all options and reductions in float64, and elsewhere the first options, unreduced."""
    return asked == usual_row(asked.case, asked.which, asked.dtype)


def usual_row(case: Case, which: str, dtype: str) -> Asked | None:
    every, first = tuple(range(len(case.options))), (0,)
    if dtype == "float64":
        sets = every if which in ("batched", "edges") else first
        return Asked(case, which, dtype, sets, case.reductions if which == "batched" else ("none",))
    return Asked(case, which, dtype, first, ("none",)) if dtype == "float32" else None


def rows() -> list[Asked]:
    """The usual rows, and rows of everything that a fixture holds, where that is more.

    Other dtypes than float64 have unreduced losses only: the laws say how low precision is summed.
    """
    found: list[Asked] = []
    for case in CASES:
        for which in case.which():
            for dtype in DTYPES if which == "batched" else DTYPES[:1]:
                row = usual_row(case, which, dtype)
                reductions = case.reductions if which in REDUCED and dtype == "float64" else ("none",)
                every = Asked(case, which, dtype, tuple(range(len(case.options))), reductions)
                found += [each for each in dict.fromkeys((row, every)) if each is not None]
    return found


@pytest.mark.parametrize(
    "asked", variants(rows(), usual), ids=lambda asked: asked.id if usual(asked) else f"{asked.id}-all"
)
def test_value_and_gradient_equal_the_references(asked: Asked) -> None:
    compare(asked, expected(asked))


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
