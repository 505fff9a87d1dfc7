"""Losses of lists of labels, which differ in length from example to example."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Integer

from jaxloss._core.elementwise import hinge, overflow_safe_mean
from jaxloss._core.types import Values


@jax.custom_jvp
def pairwise_hinge(scores: Values, numbers: Integer[Array, "..."], listed: Bool[Array, "..."]) -> tuple[Values, Values]:
    """The sum over listed j and unlisted c of max(0, 1 - x_j + x_c), divided by C; and C times its slope.

    Each step of the loop takes one label of every example, so that no array of all pairs is stored. The loop ends with
    the longest list.
    """
    iota = lax.broadcasted_iota(numbers.dtype, scores.shape, scores.ndim - 1)
    longest = jnp.max(jnp.sum(listed, -1), initial=0)

    def one_hot_of(step: Integer[Array, ""]) -> Bool[Array, "..."]:
        return (iota == numbers[..., step, None]) & listed[..., step, None]

    def mark(state: tuple[Integer[Array, ""], Bool[Array, "..."]]) -> tuple[Integer[Array, ""], Bool[Array, "..."]]:
        step, marked = state
        return step + 1, marked | one_hot_of(step)

    def add(state: tuple[Integer[Array, ""], Values, Values]) -> tuple[Integer[Array, ""], Values, Values]:
        step, losses, slope = state
        one_hot = one_hot_of(step)
        score = jnp.sum(jnp.where(one_hot, scores, 0.0), -1, keepdims=True)
        compared = ~is_label & jnp.any(one_hot, -1, keepdims=True)  # nothing after the end of a list
        hinges = jnp.where(compared, hinge(1 + (scores - score)), 0.0)
        slopes = jnp.where(hinges > 0, 1.0, hinges)  # a slope of NaN must stay NaN
        slope = slope + slopes - jnp.where(one_hot, jnp.sum(slopes, -1, keepdims=True), 0.0)
        return step + 1, losses + overflow_safe_mean(hinges, -1)[..., 0], slope

    def unfinished(state: tuple[Array, ...]) -> Bool[Array, ""]:
        return state[0] < longest

    first = jnp.zeros_like(longest)
    _, is_label = lax.while_loop(unfinished, mark, (first, jnp.zeros_like(scores, dtype=bool)))
    _, losses, slope = lax.while_loop(unfinished, add, (first, jnp.zeros_like(scores[..., 0]), jnp.zeros_like(scores)))
    return losses, slope


@pairwise_hinge.defjvp
def _pairwise_hinge_jvp(
    primals: tuple[Values, Integer[Array, "..."], Bool[Array, "..."]], tangents: tuple[Values, object, object]
) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    losses, slope = pairwise_hinge(*primals)
    # JAX cannot differentiate a loop of unknown length backward, so that the loop itself sums up the slope. The sum is
    # piecewise linear in the scores, so that the slope has the derivative 0.
    return (losses, slope), (overflow_safe_mean(slope * tangents[0], -1)[..., 0], jnp.zeros_like(slope))
