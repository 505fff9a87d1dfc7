"""The implementation that holds all logits in memory. The other implementations must equal it."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxloss._ops.rows.problem import Projection, Stats, Tokens, project, token_losses

Problem = tuple[Tokens, Projection, Float[Array, "tokens *projections"]]


def unreduced(
    tokens: Tokens, projection: Projection, chunk_size: int | None
) -> tuple[Float[Array, "tokens *projections"], Stats | None]:
    """The loss of each token. `chunk_size` is not used."""
    tokens = tokens.zero_masked()
    return token_losses(tokens, projection, project(tokens.hidden, projection.kernel))


def total(problem: Problem, chunk_size: int | None) -> tuple[Float[Array, ""], Stats | None]:
    """The sum of the losses times their weights."""
    tokens, projection, weights = problem
    each, stats = unreduced(tokens, projection, chunk_size)
    return jnp.sum(weights * each), stats
