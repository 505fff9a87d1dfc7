"""A program for another platform holds none of the CPU's tricks, whatever the host that it is made on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, Case

# A module of one platform holds that platform's branch alone of each choice: a trick in its text is in its program.
BARRIER = "stablehlo.optimization_barrier"
# Ops that still choose while they are traced.
WITHOUT_A_CHOICE: set[str] = set()


def exported(platform: str, function: Any, *arrays: Any) -> str:
    return str(jax.export.export(jax.jit(function), platforms=[platform])(*arrays).mlir_module())


def value_and_gradient(case: Case, options: Any, arrays: Any) -> Any:
    """The value and gradient of a Case's loss, and the arrays that they are taken at, in float32."""
    arrays = [jnp.asarray(array, "float32") if array.dtype == np.float64 else jnp.asarray(array) for array in arrays]
    differentiable = [arrays[position] for position in case.differentiable]

    def value(*given: Any) -> Any:
        replaced = dict(zip(case.differentiable, given, strict=True))
        return case.loss.fn(*(replaced.get(position, array) for position, array in enumerate(arrays)), **options)

    return jax.value_and_grad(value, tuple(range(len(differentiable)))), differentiable


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_no_barrier_of_the_cpu_in_float32(case: Case, platform: str) -> None:
    if case.id in WITHOUT_A_CHOICE:
        pytest.skip("its op still chooses the platform while it is traced")
    arrays = case.arrays("batched")
    for options in case.option_sets(arrays):
        function, given = value_and_gradient(case, options, arrays)
        assert BARRIER not in exported(platform, function, *given)
