"""The statistics of each row of logits, in one read of the logits.

The usual way reads them twice: once for the largest, once for the sum of exp(logit - largest). A reduction of pairs
carries both. Each pair is (largest, sum) of some classes. To join two pairs, the sum of the pair with the smaller
largest logit is rescaled.
"""

from typing import NamedTuple, cast

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values


class Statistics(NamedTuple):
    """The statistics of some classes of each row."""

    largest: Values
    others: Values
    """The sum of exp(logit - largest) over all classes but one with the largest logit.

    Without the 1 of that class the sum keeps its digits where one class dominates: log1p(1e-9) is 1e-9 in float32, and
    log(1 + 1e-9) is 0. So the statistics of no class have the sum -1.
    """
    picked: Values | None = None
    """The label's logit, or 0 if the label is not among the classes; None if no one needs it."""
    mass: Values | None = None
    """The sum of the mass of the classes; None without mass."""
    cost: Values | None = None
    """The sum of mass * (largest - logit), where 0 * inf is 0; None without mass."""


def statistics(
    logits: Values, axis: ClassAxis, *, label: Labels | None = None, mass: Values | None = None
) -> Statistics:
    """The statistics of each row over all classes, with a class axis of size 1, in the dtype of the maths."""
    logits = logits.astype(accumulator(logits.dtype))
    # Not a constant: JAX differentiates a reduction of several operands only if each of them has a tangent.
    zeros = jnp.where(False, logits, 0.0)
    leaves = Statistics(logits, zeros)
    if label is not None:
        leaves = leaves._replace(picked=jnp.where(label.matches(logits, axis), logits, 0.0))
    if mass is not None:
        leaves = leaves._replace(mass=mass + zeros, cost=zeros)
    return _on_all_devices(_reduced(leaves, axis), axis)


def others_or_nan(rows: Statistics) -> Values:
    """The sums of the others, and NaN for a row without a softmax: all its logits are -inf, or one is inf or NaN."""
    return nan_unless(jnp.isfinite(rows.largest), rows.others)


def _reduced(leaves: Statistics, axis: ClassAxis) -> Statistics:
    """The statistics of each row, from the statistics of each class."""
    names = [name for name, leaf in leaves._asdict().items() if leaf is not None]
    dtype = leaves.largest.dtype
    operands: list[Values] = [getattr(leaves, name) for name in names]
    # Arrays of NumPy: `jax.debug_infs` stops a program that makes inf by an operation of its own.
    none = {"largest": -np.inf, "others": -1.0}
    identity = [np.asarray(none.get(name, 0.0), dtype) for name in names]

    def join(first: list[Values], second: list[Values]) -> list[Values]:
        joined = _join(*(Statistics(**dict(zip(names, each, strict=True))) for each in (first, second)))
        return [getattr(joined, name) for name in names]

    rows = cast(list[Values], lax.reduce(operands, identity, join, (axis.number,)))
    return Statistics(**{name: jnp.expand_dims(row, axis.number) for name, row in zip(names, rows, strict=True)})


def _join(first: Statistics, second: Statistics) -> Statistics:
    """The statistics of the classes of both."""
    # Selects and not a maximum, whose derivative at a tie is another one. A NaN that is not selected makes the sum NaN.
    first_larger = first.largest > second.largest
    largest, smaller_largest = _sorted(first_larger, first.largest, second.largest)
    # Without the select two logits of -inf would have the distance NaN.
    distance = jnp.where(jnp.isfinite(largest), largest - smaller_largest, 0.0)
    larger, smaller = _sorted(first_larger, first.others, second.others)
    # The 1 is the class that `smaller` leaves out. One exponential serves both orders: it is that of a number <= 0.
    joined = Statistics(largest, larger + (1 + smaller) * jnp.exp(-distance))
    if first.picked is not None and second.picked is not None:
        joined = joined._replace(picked=first.picked + second.picked)
    if first.mass is None or second.mass is None or first.cost is None or second.cost is None:
        return joined
    # Costs of the smaller part grow by the distance: a sum of numbers that are not negative, where no digits cancel.
    growth = _times_distance(_sorted(first_larger, first.mass, second.mass)[1], distance)
    return joined._replace(mass=first.mass + second.mass, cost=first.cost + second.cost + growth)


def _sorted(first_larger: Bool[Array, "..."], first: Values, second: Values) -> tuple[Values, Values]:
    """The value of the part with the larger logit, and that of the other part."""
    return jnp.where(first_larger, first, second), jnp.where(first_larger, second, first)


def _times_distance(mass: Values, distance: Values) -> Values:
    """mass * distance, where 0 * inf is 0: a class of mass 0 adds nothing, even if it is ruled out."""
    return jnp.where(mass == 0, 0.0, mass * distance)


def _on_all_devices(rows: Statistics, axis: ClassAxis) -> Statistics:
    """The statistics over all classes, from the statistics of each device's classes."""
    if axis.mesh is None:
        return rows
    largest = cast(Values, lax.pmax(rows.largest, axis.mesh))
    highest = rows.largest == largest
    distance = jnp.where(highest, 0.0, largest - rows.largest)
    # Devices with the largest logit are counted apart: in a sum with the 1 of each, small sums would lose their digits.
    ones, others = axis.all_reduce(highest.astype(largest.dtype)), (1 + rows.others) * jnp.exp(-distance)
    others = (ones - 1) + axis.all_reduce(jnp.where(highest, rows.others, others))
    joined = Statistics(largest, others)
    if rows.picked is not None:
        joined = joined._replace(picked=axis.all_reduce(rows.picked))
    if rows.mass is None or rows.cost is None:
        return joined
    cost = rows.cost + _times_distance(rows.mass, distance)
    return joined._replace(mass=axis.all_reduce(rows.mass), cost=axis.all_reduce(cost))
