"""Linear cross-entropy with all logits in memory: what the other implementations must equal."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxloss._ops.rows.problem import Head, Stats, Tokens, losses, project

Problem = tuple[Tokens, Head, Float[Array, "tokens *heads"]]


def unreduced(tokens: Tokens, head: Head, chunk_size: int | None) -> tuple[Float[Array, "tokens *heads"], Stats | None]:
    """The losses, one by one; the size of the chunks does not matter."""
    tokens = tokens.cleared()
    return losses(tokens, head, project(tokens.hidden, head.kernel))


def total(problem: Problem, chunk_size: int | None) -> tuple[Float[Array, ""], Stats | None]:
    """The sum of the losses times their weights."""
    tokens, head, weights = problem
    each, stats = unreduced(tokens, head, chunk_size)
    return jnp.sum(weights * each), stats
