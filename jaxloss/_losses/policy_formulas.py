"""The formulas of the policy losses, of one token each."""

import math
from typing import Literal, TypeAlias, get_args

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import clamp_max, clamp_min, exp_excess, sigmoid, times
from jaxloss._core.types import ArrayLike, Scalar, Values

Estimator: TypeAlias = Literal["k1", "k2", "k3"]
"""The estimators of a KL divergence from one sampled token."""

ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)


def per_token(advantages: Float[ArrayLike, "..."], log_probs: Float[ArrayLike, "..."]) -> Shaped[Array, "..."]:
    """Advantages of tokens. Those of sequences, which lack the last axis, are repeated."""
    advantages, shape = jnp.asarray(advantages), jnp.asarray(log_probs).shape
    if shape and advantages.shape == shape[:-1]:
        return jnp.broadcast_to(advantages[..., None], shape)
    return advantages


def clipped_surrogate(
    log_ratio: Values, advantages: Values, epsilon: Scalar, epsilon_high: Scalar | None, delta: Scalar | None
) -> Values:
    """Minus the advantage times the ratio, which is clipped where moving on would only gain."""
    low, high = -as_number(epsilon, log_ratio), as_number(epsilon if epsilon_high is None else epsilon_high, log_ratio)
    # The ratio is clipped as a logarithm. It may overflow, and a clip of inf has the gradient 0 * inf, which is NaN.
    capped = log_ratio if delta is None else clamp_max(log_ratio, jnp.log(as_number(delta, log_ratio)))
    falling = clamp_min(capped, jnp.log1p(low))
    rising = clamp_max(log_ratio, jnp.log1p(high))  # finite, so that an advantage of 0 has the loss 0
    return -advantages * jnp.exp(jnp.where(advantages >= 0, rising, falling))


def cispo_surrogate(log_probs: Values, log_ratio: Values, advantages: Values, epsilon_high: Scalar) -> Values:
    """Minus the advantage times the log-probability, with the clipped ratio as a constant factor."""
    ratio = jnp.exp(clamp_max(log_ratio, jnp.log1p(as_number(epsilon_high, log_ratio))))
    return -times(lax.stop_gradient(ratio) * advantages, log_probs)


def sapo_surrogate(log_ratio: Values, advantages: Values, positive: Scalar, negative: Scalar) -> Values:
    """Minus the advantage times a sigmoid of the ratio, which is soft where PPO clips."""
    temperature = jnp.where(advantages > 0, as_number(positive, log_ratio), as_number(negative, log_ratio))
    # The slope of a saturated sigmoid is 0, and 0 times an infinite ratio would be NaN.
    ratio = jnp.exp(clamp_max(log_ratio, math.log(limits(log_ratio.dtype).max) / 2))
    return -(4 / temperature) * sigmoid(temperature * (ratio - 1)) * advantages


def divergence(estimator: Estimator, difference: Values) -> Values:
    """An estimate of the KL divergence from the difference of the two log-probabilities of a sampled token."""
    match estimator:
        case "k1":
            return difference
        case "k2":
            return jnp.square(difference) / 2
        case "k3":
            return exp_excess(-difference)


def as_number(option: Scalar, like: Values) -> Values:
    """An option in the dtype of the maths."""
    return jnp.asarray(option, like.dtype)
