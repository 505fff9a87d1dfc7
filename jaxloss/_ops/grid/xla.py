"""The forward and backward recursions over the anti-diagonals of a grid, in numbers of extended range.

Every step normalises its front, which holds one number for each column: it is small beside the logits of its cells.
"""

from typing import TypeAlias, cast

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxloss._core import extended_range as extended
from jaxloss._core.extended_range import Extended
from jaxloss._ops.grid.problem import Arcs, PerSequence, Problem

Row: TypeAlias = tuple[Float[Array, "sequences columns"], Float[Array, "sequences columns"]]
"""The log-probabilities of the arcs down and right that leave one diagonal."""


def value(problem: Problem) -> PerSequence:
    """Minus the logarithm of the total over all paths; inf if there is no path. It stores one diagonal only."""

    def forward(alphas: Extended, arcs: Row) -> tuple[Extended, None]:
        return _step_forward(alphas, arcs), None

    start = _one_at(problem.down, jnp.zeros_like(problem.ends))
    last, _ = lax.scan(forward, start, (problem.down, problem.right))
    return -extended.to_log(_at_ends(last, problem.ends))


def value_and_posteriors(problem: Problem) -> tuple[PerSequence, tuple[Arcs, Arcs]]:
    """The value, and the posterior probability of every arc down and right."""

    def forward(alphas: Extended, arcs: Row) -> tuple[Extended, Extended]:
        return _step_forward(alphas, arcs), alphas

    start = _one_at(problem.down, jnp.zeros_like(problem.ends))
    last, saved = lax.scan(forward, start, (problem.down, problem.right))
    total = _at_ends(last, problem.ends)
    # Without a path the posteriors are 0 and not 0 / 0, so that the gradient of an infinite loss is 0.
    inverse = jnp.where(extended.is_zero(total), 0.0, 1 / total.mantissa)[:, None]

    def backward(betas: Extended, row: tuple[Row, Extended]) -> tuple[Extended, Row]:
        arcs, alphas = row
        down, right = _arcs_backward(betas, arcs)
        posteriors = tuple(_share(extended.multiply(alphas, arc), total, inverse) for arc in (down, right))
        return extended.normalize(extended.add(down, right)), cast(Row, posteriors)

    ends = _one_at(problem.down, problem.ends)
    _, posteriors = lax.scan(backward, ends, ((problem.down, problem.right), saved), reverse=True)
    return -extended.to_log(total), posteriors


def _step_forward(alphas: Extended, arcs: Row) -> Extended:
    """The sums over all partial paths to the cells of the next diagonal."""
    from_above, from_left = (extended.multiply(alphas, extended.from_log(arc)) for arc in arcs)
    return extended.normalize(extended.add(from_above, _shifted(from_left, (1, 0))))


def _arcs_backward(betas: Extended, arcs: Row) -> tuple[Extended, Extended]:
    """The sums over all partial paths from a cell to the end that begin with its arc down, and with its arc right."""
    down, right = (extended.from_log(arc) for arc in arcs)
    return extended.multiply(betas, down), extended.multiply(_shifted(betas, (0, 1)), right)


def _share(product: Extended, total: Extended, inverse: Float[Array, "sequences 1"]) -> Float[Array, "..."]:
    """product / total, which is at most 1."""
    # The bound on the shift holds in a sequence without a path, where the exponents are arbitrary.
    shift = jnp.maximum(total.exponent[:, None], product.exponent - 40)
    return extended.mantissa_at(product, shift) * inverse


def _shifted(x: Extended, sides: tuple[int, int]) -> Extended:
    """Add a zero before or after the columns, and drop the column at the other end."""
    zero = extended.layout(x.mantissa.dtype).zero_exponent
    kept = slice(None, -1) if sides[0] else slice(1, None)
    widths = ((0, 0), sides)
    return Extended(
        jnp.pad(x.mantissa[:, kept], widths, constant_values=1.0),
        jnp.pad(x.exponent[:, kept], widths, constant_values=zero),
    )


def _one_at(arcs: Arcs, column: Int[Array, "sequences"]) -> Extended:
    """Numbers that are 1 in one column and 0 in the others.

    They are made from the arcs because a loop under `shard_map` requires that its carry varies over the devices like
    the results of its body.
    """
    bits, ones = extended.layout(arcs.dtype), jnp.ones_like(arcs[0])
    is_one = jnp.arange(ones.shape[1], dtype=column.dtype)[None] == column[:, None]
    exponent = jnp.where(is_one, 0, jnp.full_like(ones, bits.zero_exponent, bits.integer))
    return Extended(ones, exponent)


def _at_ends(x: Extended, ends: Int[Array, "sequences"]) -> Extended:
    mantissa, exponent = (jnp.take_along_axis(array, ends[:, None], 1, mode="clip")[:, 0] for array in x)
    return Extended(mantissa, exponent)
