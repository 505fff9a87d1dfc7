"""The grid lattice in logarithms: the form that is easiest to read, and that JAX differentiates as often as asked."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxloss._ops.grid.problem import LOG_ZERO, PerSequence, Problem


def value(problem: Problem) -> PerSequence:
    """Minus the logarithm of the total over all paths; inf if there is no path."""
    down, right, ends = problem

    def step(alphas: Float[Array, "sequences columns"], arcs: tuple[Array, Array]) -> tuple[Array, None]:
        # An arc of -inf would make -inf - -inf in the derivative.
        from_above, from_left = (alphas + jnp.maximum(arc, LOG_ZERO) for arc in arcs)
        from_left = jnp.pad(from_left[:, :-1], ((0, 0), (1, 0)), constant_values=LOG_ZERO)
        # Two impossible arcs stay near LOG_ZERO. A sum over the diagonals would overflow without the floor.
        return jnp.maximum(jnp.logaddexp(from_above, from_left), LOG_ZERO), None

    # The zeros of the arcs' shape make the start vary over the devices of a mesh as the arcs do.
    first = jnp.arange(down.shape[2])[None] == 0
    start = jnp.where(first, 0.0, LOG_ZERO).astype(down.dtype) + jnp.zeros_like(down[0])
    last, _ = lax.scan(step, start, (down, right))
    total = jnp.take_along_axis(last, ends[:, None], 1, mode="clip")[:, 0]
    # The infinity is the logarithm of 0 and not a constant, so that `jax.debug_infs` accepts sequences with a path.
    return -(total + jnp.log(jnp.where(total < LOG_ZERO / 2, jnp.zeros((), total.dtype), 1.0)))
