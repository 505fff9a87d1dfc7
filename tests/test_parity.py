"""Values and gradients equal PyTorch's, for every Case, input, option set and reduction, in four dtypes."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, Case
from inputs import cotangent
from variants import variants

FIXTURES = Path(__file__).parent / "fixtures"
# What a result may be off by, relative to itself and to the largest of its array: some units in the last place of the
# dtype that the results have; float64's is what is left of PyTorch's own rounding.
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "bfloat16": 1e-2, "float16": 2e-3}
LOW = ("batched", "large", "tiny")


ASKED = [
    (case, which, dtype)
    for case in CASES
    for which in case.which()
    for dtype in ("float64", "float32", *(("bfloat16", "float16") if which in LOW else ()))
]


def usual(case: Case, which: str, dtype: str) -> bool:
    """Inputs in LOW have one shape, so that those of one dtype share their programs."""
    return dtype == "float64" or (dtype == "float32" and which in LOW)


@pytest.mark.parametrize(
    ("case", "which", "dtype"), variants(ASKED, usual), ids=lambda value: value.id if isinstance(value, Case) else None
)
def test_value_and_gradient_equal_pytorchs(case: Case, which: str, dtype: str) -> None:
    with np.load(FIXTURES / f"{case.id}.npz") as stored:
        fixture = dict(stored)
    arrays = tuple(fixture[f"{which}/input/{i}"] for i in range(len(case.arrays(which))))
    chex.assert_trees_all_equal(arrays, case.arrays(which))
    option_sets = case.option_sets(arrays)
    inputs = tuple(jnp.asarray(a, dtype) if a.dtype == np.float64 else jnp.asarray(a) for a in arrays)
    for number, options in enumerate(option_sets):
        reductions = [r for r in case.reductions if f"{which}/{number}/{r}" in fixture]
        dependent = {name: value for name, value in options.items() if isinstance(value, np.ndarray)}
        found = program(case.id, number, tuple(reductions))(dependent, inputs)
        for reduction, (value, gradients) in found.items():
            key = f"{which}/{number}/{reduction}"
            own = dtype == "float64" or (reduction == "none" and not case.float32_losses)
            assert value.dtype == (dtype if own else "float32"), key
            agree(value, fixture[key], dtype, key, gradient=False)
            for i, gradient in zip(case.differentiable, gradients, strict=True):
                assert gradient.dtype == dtype
                agree(gradient, fixture[f"{key}/{i}"], dtype, f"{key}/{i}", gradient=True)


@cache
def program(case_id: str, number: int, reductions: tuple[str, ...]) -> Callable[..., Any]:
    """For each reduction, the value and the gradients of sum(value * cotangent): one program for inputs of one shape.

    It takes the options that depend on the inputs; the others are constants in it.
    """
    case = next(case for case in CASES if case.id == case_id)

    def run(dependent, inputs):
        return {reduction: one({**case.options[number], **dependent}, reduction, inputs) for reduction in reductions}

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

    return jax.jit(run)


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
