"""Losses of rows that are reduced where they are computed: the sum of them never needs the losses themselves."""

from collections.abc import Sequence
from functools import reduce as folded
from operator import add

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxloss._core.arguments import mask
from jaxloss._core.dtypes import accumulator
from jaxloss._core.reduction import check_reduction, element_weights, reduce, reduce_total
from jaxloss._core.types import Mask, Reduction, Values, Weight
from jaxloss._ops.rows import solve
from jaxloss._ops.rows.problem import Problem, RowLoss, Rows, Shared


def reduce_rows(
    terms: Sequence[tuple[Rows, Shared]],
    loss: RowLoss[Values | None],
    chunk_size: int | None,
    reduction: Reduction,
    keep: Bool[Array, "*rows"],
    sample_weight: Weight | None,
) -> Values:
    """Reduce the mean over the terms of the losses of each row.

    All terms have the same number of rows. The second result of the loss is the count of each row in the mean, or None
    for 1. It is taken from the first term.
    """
    check_reduction(reduction)
    shape, dtype = keep.shape, accumulator(terms[0][1].kernel.dtype)
    # "mean" and "sum" need the weighted sum only. Its gradient is computed with it, chunk by chunk.
    weights = None
    if reduction != "none":
        weights = reduce(jnp.ones(shape, dtype), "none", keep, sample_weight) / len(terms)
    found = [solve(Problem(rows, shared, weights), loss, chunk_size, None) for rows, shared in terms]
    total: Values = folded(add, (value for value, _ in found))
    if weights is None:
        return reduce(total / len(terms), "none", keep, sample_weight)
    weight = element_weights(shape, dtype, keep, sample_weight)
    return reduce_total(total, shape, reduction, keep, weight, count=found[0][1])


def kept(where: Mask | None, shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """The mask of the rows, checked; all True if there is none."""
    keep = mask(where, shape)
    return jnp.ones(shape, bool) if keep is None else jnp.broadcast_to(keep, shape)
