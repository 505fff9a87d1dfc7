"""The soft minimum of the costs of all alignments: paths through a grid that may also step along the diagonal.

The recursion stays in units of the cost, and does not use the numbers of extended range of `xla.py`. The logarithm of a
path's probability is -cost / gamma, which leaves every range as gamma goes to 0. In units of the cost only differences
between neighbouring cells are divided by gamma. So the minimum itself is the limit. The derivatives are the paper's
posteriors by the chain rule: each soft minimum of three cells has the weights of its three arcs as its derivative.
"""

import functools
from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxloss._core.autodiff import Tangent, along, nan_unless
from jaxloss._core.domains import Domain, within
from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import clamp_max
from jaxloss._core.sequences import length_mask
from jaxloss._core.types import Values
from jaxloss._ops.grid.problem import Arcs, Grid, PerSequence, skewed

NEGLIGIBLE = 1000.0
"""exp(-1000) is 0 in every dtype."""

Lengths: TypeAlias = Int[Array, "sequences"]


PerFront: TypeAlias = Float[Array, "diagonals sequences"]


def soft_minimum(costs: Grid, gamma: Values, input_lengths: Lengths, target_lengths: Lengths) -> PerSequence:
    """-gamma log(sum(exp(-cost / gamma))) over all paths from the first cell of each grid to its last cell.

    A path steps down, right, or both, and costs the sum over its cells. The result is NaN, derivatives included, where
    a length is out of range, and inf where every path has a cell of infinite cost.
    """
    _, rows, columns = costs.shape
    valid = _in_range("input_lengths", input_lengths, rows) & _in_range("target_lengths", target_lengths, columns)
    # With no cell in use, the NaN of a bad length would reach the loss but not the gradient.
    input_lengths = jnp.where(valid, input_lengths, rows)
    target_lengths = jnp.where(valid, target_lengths, columns)
    wall = limits(costs.dtype).max / 4
    inside = length_mask(input_lengths, rows)[:, :, None] & length_mask(target_lengths, columns)[:, None]
    grid = jnp.where(inside, clamp_max(costs, wall), wall)
    grid = jnp.pad(grid, ((0, 0), (0, columns), (0, 0)), constant_values=wall)  # rows to spare for the skew
    last, lowest = _fronts(skewed(grid), gamma, target_lengths - 1, wall)

    # The number of each grid's last anti-diagonal. Fronts after it do not count.
    end = input_lengths + target_lengths - 2
    passed = jnp.arange(last.shape[0], dtype=end.dtype)[:, None] <= end[None]
    beyond = jnp.take_along_axis(last, end[None], 0, mode="clip")[0]
    reached = ~(beyond >= wall / 2)  # NaN too
    total = jnp.sum(jnp.where(passed, lowest, 0.0), 0) + jnp.where(reached, beyond, 0.0)
    # The infinity is the logarithm of 0 and not a constant, so that `jax.debug_infs` accepts grids with a path.
    return nan_unless(valid, total - jnp.log(jnp.where(reached, 1.0, jnp.zeros((), total.dtype))))


def _fronts(costs: Arcs, gamma: Values, ends: Lengths, wall: float) -> tuple[PerFront, PerFront]:
    """The cost of the paths to column `ends`, beyond the lowest of their anti-diagonal, and that lowest cost.

    The lowest cost is relative to that of the anti-diagonal before. A front holds the costs of the paths to the cells
    of one anti-diagonal beyond the lowest of them. So the cells that matter have small numbers, and keep their digits
    over long series.
    """

    def rebased(front: Values) -> tuple[Values, Values]:
        lowest = lax.stop_gradient(jnp.min(front, 1, keepdims=True))
        lowest = jnp.where(lowest < wall / 2, lowest, 0.0)
        return front - lowest, lowest

    def outputs(front: Values, lowest: Values) -> tuple[Values, Values]:
        return jnp.take_along_axis(front, ends[:, None], 1, mode="clip")[:, 0], lowest[:, 0]

    def step(fronts: tuple[Values, Values], costs: Values) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
        before, last = fronts
        cheapest = _soft_minimum_of_three(last, _shifted(last, wall), _shifted(before, wall), gamma)
        front, lowest = rebased(clamp_max(costs + cheapest, wall))
        return (last - lowest, front), outputs(front, lowest)

    first, lowest = rebased(costs[0])
    _, (last, lows) = lax.scan(step, (jnp.full_like(first, wall), first), costs[1:])
    beyond, low = outputs(first, lowest)
    return jnp.concatenate([beyond[None], last]), jnp.concatenate([low[None], lows])


def _shifted(front: Values, wall: float) -> Values:
    """Each cell's neighbour on the left."""
    return jnp.pad(front[:, :-1], ((0, 0), (1, 0)), constant_values=wall)


@jax.custom_jvp
def _soft_minimum_of_three(a: Values, b: Values, c: Values, gamma: Values) -> Values:
    least, _, total = _weights((a, b, c), gamma)
    return least - gamma * jnp.log(total)


def _soft_minimum_of_three_jvp(
    primals: tuple[Values, Values, Values, Values], tangents: tuple[Tangent, Tangent, Tangent, Tangent]
) -> tuple[Values, Values]:
    *cells, gamma = primals
    _, weights, total = _weights(cells, gamma)

    def minus_entropy() -> Values:
        gaps = _gaps(cells, gamma)[1]
        return -jnp.log(total) - sum(weight * (gap / gamma) for weight, gap in zip(weights, gaps, strict=True))

    slopes = [lambda weight=weight: weight for weight in weights]
    return _soft_minimum_of_three(*primals), along(tangents, *slopes, minus_entropy)


_soft_minimum_of_three.defjvp(_soft_minimum_of_three_jvp, symbolic_zeros=True)


def _weights(cells: Sequence[Values], gamma: Values) -> tuple[Values, list[Values], Values]:
    """The least of the cells, the share of each in the soft minimum, and the sum that normalises the shares."""
    least, gaps = _gaps(cells, gamma)
    shares = [jnp.exp(-gap / gamma) for gap in gaps]
    total = sum(shares[1:], start=shares[0])
    return least, [share / total for share in shares], total


def _gaps(cells: Sequence[Values], gamma: Values) -> tuple[Values, list[Values]]:
    """The least of the cells, and how far each lies above it, at most as far as it matters."""
    least = lax.stop_gradient(functools.reduce(jnp.minimum, cells))
    # A gap of the wall's size divided by a small gamma would be inf, and 0 * inf in the derivatives.
    return least, [clamp_max(cell - least, NEGLIGIBLE * gamma) for cell in cells]


def _in_range(name: str, lengths: Lengths, most: int) -> Bool[Array, "sequences"]:
    return within(Domain(f"from 1 to the {most} frames", lambda n: (n >= 1) & (n <= most)), **{name: lengths})
