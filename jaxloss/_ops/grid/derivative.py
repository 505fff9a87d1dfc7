"""The derivatives of the grid lattice.

The derivative of the value by the log-probability of an arc is minus the arc's posterior. The derivative of the
posteriors is that of the formula in logarithms.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxloss._core.autodiff import nan_unless
from jaxloss._ops.grid import formula, xla
from jaxloss._ops.grid.problem import Arcs, PerSequence, Problem


def negative_log_total(problem: Problem, valid: Bool[Array, "sequences"]) -> PerSequence:
    """Minus the logarithm of the total over all paths; NaN, derivatives included, where a sequence is not valid."""
    return nan_unless(valid, _value(problem))


@jax.custom_jvp
def _value(problem: Problem) -> PerSequence:
    return xla.value(problem)


@_value.defjvp
def _value_jvp(primals: tuple[Problem], tangents: tuple[Problem]) -> tuple[PerSequence, PerSequence]:
    # The value comes from the same lattice as the posteriors. So the forward recursion runs once.
    value, posteriors = _value_and_posteriors(*primals)
    return value, -_along(posteriors, tangents[0])


@jax.custom_jvp
def _value_and_posteriors(problem: Problem) -> tuple[PerSequence, tuple[Arcs, Arcs]]:
    return xla.value_and_posteriors(problem)


@_value_and_posteriors.defjvp
def _value_and_posteriors_jvp(
    primals: tuple[Problem], tangents: tuple[Problem]
) -> tuple[tuple[PerSequence, tuple[Arcs, Arcs]], tuple[PerSequence, tuple[Arcs, Arcs]]]:
    # JAX could differentiate the lattice, but it would store the arcs of all diagonals once for every diagonal. Inside
    # a scan JAX 0.10 differentiates the lattice nevertheless, so that the lattice's derivative must be correct as well.
    (problem,), (tangent,) = primals, tangents

    def total(down: Arcs, right: Arcs) -> Float[Array, ""]:
        return jnp.sum(-formula.value(problem._replace(down=down, right=right)))

    value, found = _value_and_posteriors(problem)
    arcs, arcs_tangent = (problem.down, problem.right), (tangent.down, tangent.right)
    found_tangent = jax.jvp(jax.grad(total, (0, 1)), arcs, arcs_tangent)[1]
    return (value, found), (-_along(found, tangent), found_tangent)


def _along(posteriors: tuple[Arcs, Arcs], tangent: Problem) -> PerSequence:
    down, right = posteriors
    return jnp.sum(down * tangent.down + right * tangent.right, (0, 2))
