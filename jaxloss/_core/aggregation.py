"""The mean of token losses: over all tokens, over sequences, or over sequences of one nominal length."""

from typing import Literal, TypeAlias, get_args

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxloss._core.arguments import has_axis, mask, one_of
from jaxloss._core.reduction import reduce
from jaxloss._core.types import Mask, Reduction, Scalar, Values, Weight

Aggregation: TypeAlias = Literal["token", "sequence", "fixed"]
"""How the losses of tokens become a mean. The last axis is that of the tokens of a sequence."""


def reduce_tokens(
    losses: Values,
    reduction: Reduction,
    where: Mask | None,
    sample_weight: Weight | None,
    aggregation: Aggregation,
    length: Scalar | None,
    *,
    dtype: DTypeLike,
) -> Float[Array, "..."]:
    """Reduce the losses of tokens. The aggregation changes the mean alone.

    A token of a sequence with n unmasked tokens counts 1 / n, so that each sequence counts 1 and an empty one 0.
    """
    one_of("aggregation", aggregation, get_args(Aggregation))
    if aggregation == "fixed" and length is None:
        raise ValueError("`aggregation='fixed'` needs a `length`: the number of tokens to divide by.")
    if aggregation != "fixed" and length is not None:
        raise ValueError(f"`length` goes with `aggregation='fixed'`, not with {aggregation!r}.")
    if aggregation == "token" or reduction != "mean":
        return reduce(losses, reduction, where, sample_weight, dtype=dtype)
    share = 1 / unmasked_tokens(where, losses)
    scale = share if length is None else 1 / jnp.asarray(length, losses.dtype)
    count = jnp.broadcast_to(share, losses.shape)
    return reduce(losses * scale, reduction, where, sample_weight, count=count, dtype=dtype)


def unmasked_tokens(where: Mask | None, tokens: Values) -> Float[Array, "... 1"]:
    """The number of unmasked tokens of each sequence; 1 for an empty sequence, so that it may divide."""
    has_axis("log_probs", tokens)
    keep = mask(where, tokens.shape)
    if keep is None:
        return jnp.full((*tokens.shape[:-1], 1), tokens.shape[-1], tokens.dtype)
    kept = jnp.broadcast_to(keep, tokens.shape)
    return jnp.maximum(jnp.sum(kept, -1, keepdims=True), 1).astype(tokens.dtype)
