"""Rows times a shared matrix, and a loss of each row of the product, in chunks of rows."""

import math
from functools import partial
from typing import Literal, TypeAlias

import jax
from jaxtyping import Array, Shaped

from jaxloss._core.types import Values
from jaxloss._ops.rows import reference, xla
from jaxloss._ops.rows.mesh import on_mesh, spread
from jaxloss._ops.rows.problem import Head, Stats, Tokens

Implementation: TypeAlias = Literal["xla", "reference"]


def solve(
    tokens: Tokens, head: Head, weights: Values | None, chunk_size: int | None, implementation: Implementation | None
) -> tuple[Values, Stats | None]:
    """The sum of the losses times their weights, or all losses if there are no weights."""
    return on_mesh(partial(_on_device, chunk_size, implementation), tokens, head, weights)


def _on_device(
    chunk_size: int | None, implementation: Implementation | None, tokens: Tokens, head: Head, weights: Values | None
) -> tuple[Values, Stats | None]:
    shape, batch = tokens.keep.shape, tokens.hidden.shape[:-1]

    def flat(array: Shaped[Array, "..."]) -> Shaped[Array, "tokens ..."]:
        return array.reshape(math.prod(batch), *array.shape[len(batch) :])

    tokens, weights = jax.tree.map(flat, (tokens, weights))
    tokens, head, weights = spread(tokens, head, weights)
    module = reference if implementation == "reference" else xla
    if weights is None:
        losses, stats = module.unreduced(tokens, head, chunk_size)
        losses = losses.reshape(shape)
    else:
        losses, stats = module.total((tokens, head, weights), chunk_size)
    return losses, None if stats is None else Stats(*(each.reshape(shape) for each in stats))
