"""The losses of one row of cosines, for `metric`: what a chunk of anchors makes of all other examples."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import clamp_min, softplus
from jaxloss._core.log_sum import masked_logsumexp
from jaxloss._core.types import Values
from jaxloss._losses.contrastive_rows import Anchors, Candidates, relations


class MultiSimilarity(NamedTuple):
    """The arrays that all anchors share."""

    candidates: Candidates
    alpha: Values
    beta: Values
    base: Values
    epsilon: Values | None


class Circle(NamedTuple):
    """The arrays that all anchors share."""

    candidates: Candidates
    margin: Values
    gamma: Values


def multi_similarity_losses(
    product: Values, data: Anchors, keep: Bool[Array, "anchors"], parameters: MultiSimilarity, axis: ClassAxis
) -> tuple[Values, Values]:
    """The loss of the mined pairs. Every anchor counts."""
    candidates, alpha, beta, base, epsilon = parameters
    cosines = candidates.logits(product, data.inverse_norm)
    others, positive = relations(product, data, keep, candidates, axis)
    negative = others & ~positive
    if epsilon is not None:
        base = nan_unless(~jnp.isnan(epsilon), base)  # the choice of pairs hides an epsilon that is NaN
        positive, negative = _informative(cosines, positive, negative, epsilon, axis)
    attraction = masked_logsumexp(alpha * (base - cosines), positive, axis)
    repulsion = masked_logsumexp(beta * (cosines - base), negative, axis)
    losses = attraction.of_1_plus / alpha + repulsion.of_1_plus / beta
    return losses, keep.astype(losses.dtype)


def circle_losses(
    product: Values, data: Anchors, keep: Bool[Array, "anchors"], parameters: Circle, axis: ClassAxis
) -> tuple[Values, Values]:
    """The loss of all pairs. An anchor counts that has a positive and a negative."""
    candidates, margin, gamma = parameters
    cosines = candidates.logits(product, data.inverse_norm)
    others, positive = relations(product, data, keep, candidates, axis)
    # The paper's factors of the logits grow with the distance of a cosine from its optimum, and are constants.
    pull = lax.stop_gradient(clamp_min(1 + margin - cosines))
    push = lax.stop_gradient(clamp_min(cosines + margin))
    attraction = masked_logsumexp(gamma * pull * (1 - margin - cosines), positive, axis)
    repulsion = masked_logsumexp(gamma * push * (cosines - margin), others & ~positive, axis)
    both = attraction.some & repulsion.some
    return jnp.where(both, softplus(attraction.value + repulsion.value), 0.0), both.astype(cosines.dtype)


def _informative(
    cosines: Values,
    positive: Bool[Array, "anchors candidates"],
    negative: Bool[Array, "anchors candidates"],
    epsilon: Values,
    axis: ClassAxis,
) -> tuple[Bool[Array, "anchors candidates"], Bool[Array, "anchors candidates"]]:
    """The positives that are not more similar than every negative, by epsilon, and the negatives in the same way."""
    lowest = -limits(cosines.dtype).max / 2
    constant = lax.stop_gradient(cosines)
    nearest = axis.largest(jnp.where(negative, constant, lowest), initial=lowest)
    farthest = -axis.largest(jnp.where(positive, -constant, lowest), initial=lowest)
    # A comparison with NaN is False. Negated ones take a NaN into the sums, which it makes NaN.
    return positive & ~(constant - epsilon >= nearest), negative & ~(constant + epsilon <= farthest)
