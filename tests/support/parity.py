"""A Case against its reference: values, and gradients in its differentiable inputs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from case import Case
from compiled import jit
from inputs import cotangent
from references import Formula

FIXTURES = Path(__file__).parent.parent / "fixtures"
# What a result may be off by, relative to itself and to the largest of its array: some units in the last place of the
# dtype that the results have; float64's covers PyTorch's rounding.
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "bfloat16": 1e-2, "float16": 2e-3}


class Asked(NamedTuple):
    """One row of the tests: one program, which rows of the same shapes and dtype share."""

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
        return f"{self.case.id}-{self.which}-{self.dtype}"


def compare(asked: Asked, wanted: Mapping[str, np.ndarray]) -> None:
    """`wanted` has values and gradients as a fixture has them; a formula has no gradients."""
    case, which, dtype = asked.case, asked.which, asked.dtype
    arrays = case.arrays(which)
    inputs = tuple(a.astype(jnp.dtype(dtype)) if a.dtype == np.float64 else a for a in arrays)
    dependent = [
        {name: value for name, value in options.items() if isinstance(value, np.ndarray)}
        for options in case.option_sets(arrays)
    ]
    found = jax.device_get(program(case, asked.sets, asked.reductions, dtype)(dependent, inputs))
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


PROGRAMS: dict[tuple[str, tuple[int, ...], tuple[str, ...], str], Callable[..., Any]] = {}


def program(case: Case, sets: tuple[int, ...], reductions: tuple[str, ...], dtype: str) -> Callable[..., Any]:
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

    if PROGRAMS and next(iter(PROGRAMS))[0] != case.id:
        PROGRAMS.clear()  # those of the case before, which have done their work
    # Programs in float32 are compiled as users have them, and the others quickly.
    compiled = jit(run) if dtype == "float32" else jax.jit(run)
    return PROGRAMS.setdefault((case.id, sets, reductions, dtype), compiled)


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
