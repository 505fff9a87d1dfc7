"""Rows times a shared matrix and a loss of each row of the product, in chunks of rows."""

import math
from functools import partial
from typing import Literal, TypeAlias

import jax
from jaxtyping import Array, Shaped

from jaxloss._core.types import Values
from jaxloss._ops.rows import reference, xla
from jaxloss._ops.rows.mesh import device_varying, on_mesh
from jaxloss._ops.rows.problem import Projection, Stats, Tokens

Implementation: TypeAlias = Literal["xla", "reference"]


def solve(
    tokens: Tokens,
    projection: Projection,
    weights: Values | None,
    chunk_size: int | None,
    implementation: Implementation | None,
) -> tuple[Values, Stats | None]:
    """The sum of the losses times their weights; the losses themselves if `weights` is None."""
    return on_mesh(partial(_on_device, chunk_size, implementation), tokens, projection, weights)


def _on_device(
    chunk_size: int | None,
    implementation: Implementation | None,
    tokens: Tokens,
    projection: Projection,
    weights: Values | None,
) -> tuple[Values, Stats | None]:
    """`solve` for the arrays of one device, with all token axes flattened into one."""
    shape, batch = tokens.keep.shape, tokens.hidden.shape[:-1]

    def flat(array: Shaped[Array, "..."]) -> Shaped[Array, "tokens ..."]:
        return array.reshape(math.prod(batch), *array.shape[len(batch) :])

    tokens, weights = jax.tree.map(flat, (tokens, weights))
    tokens, projection, weights = device_varying(tokens, projection, weights)
    module = reference if implementation == "reference" else xla
    if weights is None:
        losses, stats = module.unreduced(tokens, projection, chunk_size)
        losses = losses.reshape(shape)
    else:
        losses, stats = module.total((tokens, projection, weights), chunk_size)
    return losses, None if stats is None else Stats(*(each.reshape(shape) for each in stats))
