"""Losses of a policy's tokens, with advantages or a reference policy, for reinforcement learning.

Arrays have the shape (N..., T): sequences of tokens. All losses end in `reduce_tokens`, so that they have the same
choices of a mean.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxloss._core.aggregation import Aggregation, reduce_tokens
from jaxloss._core.arguments import Number, aligned, one_of
from jaxloss._core.elementwise import clamp_max, clamp_min, times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.policy_formulas import ESTIMATORS, Estimator, as_number, clipped_surrogate, divergence, per_token
from jaxloss._losses.policy_grpo import GRPOLoss, grpo_loss

__all__ = [
    "GRPOLoss",
    "KLEstimate",
    "PPOLoss",
    "PPOValueLoss",
    "PolicyGradientLoss",
    "grpo_loss",
    "kl_estimate",
    "policy_gradient_loss",
    "ppo_loss",
    "ppo_value_loss",
]

LENGTH = Number(above=0)


@program(length=LENGTH)
def policy_gradient_loss(
    log_probs: Float[ArrayLike, "*sequences tokens"],
    advantages: Float[ArrayLike, "..."],
    *,
    aggregation: Aggregation = "token",
    length: Scalar | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Policy gradient (REINFORCE): minus the log-probability of a token, times its advantage.

    $$ \ell = -A p $$

    Args:
        log_probs: Log-probabilities $p$ of the sampled tokens, shape (N..., T).
        advantages: Advantages $A$ of the tokens, shape (N..., T), or of the sequences, shape (N...). They are
            constants.
        aggregation: The mean: `"token"` over all tokens, `"sequence"` over the sequences' means, or `"fixed"` over the
            sequences' sums divided by `length`. A sequence without an unmasked token does not count.
        length: The number of tokens that `aggregation="fixed"` divides a sequence's sum by, above 0. 1 gives the mean
            of sums.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the tokens that take part, shape (N..., T). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each token, shape (N..., T). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the tokens, shape (N..., T).

    Raises:
        ValueError: The shapes differ, or `length` does not fit the aggregation.
        TypeError: The arrays are not real and floating.

    Examples:
        >>> log_probs = jnp.log(jnp.array([[0.5, 0.25], [0.5, 0.125]]))
        >>> print(f"{jaxloss.policy_gradient_loss(log_probs, jnp.array([1.0, -1.0])):.4f}")
        -0.1733

    Source: Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", 1992.
    """
    advantages = per_token(advantages, log_probs)
    (log_probs, advantages), dtype = aligned(where, log_probs=log_probs, advantages=advantages)
    losses = -times(lax.stop_gradient(advantages), log_probs)
    return reduce_tokens(losses, reduction, where, sample_weight, aggregation, length, dtype=dtype)


class PolicyGradientLoss(Loss, fn=policy_gradient_loss):
    """Option object of [`policy_gradient_loss`][jaxloss.policy_gradient_loss]."""

    aggregation: Aggregation = static("token")
    length: Scalar | None = None
    reduction: Reduction = static("mean")


@program(epsilon=Number(at_least=0, at_most=1), epsilon_high=Number(at_least=0), delta=Number(above=1), length=LENGTH)
def ppo_loss(
    log_probs: Float[ArrayLike, "*sequences tokens"],
    old_log_probs: Float[ArrayLike, "*sequences tokens"],
    advantages: Float[ArrayLike, "..."],
    *,
    epsilon: Scalar = 0.2,
    epsilon_high: Scalar | None = None,
    delta: Scalar | None = None,
    aggregation: Aggregation = "token",
    length: Scalar | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Proximal policy optimisation: minus the advantage times the ratio of probabilities, which is clipped.

    With the ratio $\rho = e^{p - p_\text{old}}$,

    $$ \ell = -\min(\rho A, \mathrm{clip}(\rho, 1 - \epsilon, 1 + \epsilon_\text{high}) A) $$

    Args:
        log_probs: Log-probabilities $p$ of the sampled tokens, shape (N..., T).
        old_log_probs: Log-probabilities under the policy that sampled the tokens, in the same shape, constants.
        advantages: Advantages $A$ of the tokens, shape (N..., T), or of the sequences, shape (N...). They are
            constants.
        epsilon: How far below 1 the ratio has a gradient where the advantage is negative, in [0, 1].
        epsilon_high: How far above 1 the ratio has a gradient where the advantage is positive, at least 0. The default
            is `epsilon`.
        delta: The largest ratio where the advantage is negative, above 1: dual-clip PPO. The default is no bound.
        aggregation: The mean: `"token"` over all tokens, `"sequence"` over the sequences' means, or `"fixed"` over the
            sequences' sums divided by `length`. A sequence without an unmasked token does not count.
        length: The number of tokens that `aggregation="fixed"` divides a sequence's sum by, above 0. 1 gives the mean
            of sums.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the tokens that take part, shape (N..., T). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each token, shape (N..., T). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the tokens, shape (N..., T). The ratio is clipped as a logarithm: a clipped ratio has
        the gradient 0, also where the ratio overflows. The loss is 0 where the advantage is 0.

    Raises:
        ValueError: The shapes differ, an option is out of its range, or `length` does not fit the aggregation.
        TypeError: The arrays are not real and floating.

    Examples:
        >>> log_probs, old = jnp.array([[-0.5, -2.0]]), jnp.array([[-1.0, -2.0]])
        >>> print(f"{jaxloss.ppo_loss(log_probs, old, jnp.array([1.0])):.4f}")
        -1.1000

    Source: Schulman et al., "Proximal Policy Optimization Algorithms", 2017; dual-clip: Ye et al., "Mastering Complex
    Control in MOBA Games", 2020; `epsilon_high`: Yu et al., "DAPO", 2025.
    """
    advantages = per_token(advantages, log_probs)
    arrays, dtype = aligned(where, log_probs=log_probs, old_log_probs=old_log_probs, advantages=advantages)
    old, advantages = map(lax.stop_gradient, arrays[1:])
    losses = clipped_surrogate(arrays[0] - old, advantages, epsilon, epsilon_high, delta)
    return reduce_tokens(losses, reduction, where, sample_weight, aggregation, length, dtype=dtype)


class PPOLoss(Loss, fn=ppo_loss):
    """Option object of [`ppo_loss`][jaxloss.ppo_loss]."""

    epsilon: Scalar = 0.2
    epsilon_high: Scalar | None = None
    delta: Scalar | None = None
    aggregation: Aggregation = static("token")
    length: Scalar | None = None
    reduction: Reduction = static("mean")


@program(epsilon=Number(at_least=0), length=LENGTH)
def ppo_value_loss(
    values: Float[ArrayLike, "*sequences tokens"],
    old_values: Float[ArrayLike, "*sequences tokens"],
    returns: Float[ArrayLike, "*sequences tokens"],
    *,
    epsilon: Scalar = 0.2,
    aggregation: Aggregation = "token",
    length: Scalar | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Half the squared error of a value function, which may not gain by leaving its old values' neighbourhood.

    $$ \ell = \frac12 \max\bigl((v - R)^2, (\mathrm{clip}(v, v_\text{old} \pm \epsilon) - R)^2\bigr) $$

    Args:
        values: Predicted values $v$ of the tokens, shape (N..., T).
        old_values: The values predicted when the tokens were sampled, in the same shape and units. They are constants.
        returns: Returns $R$ of the tokens, in the same shape and units. They are constants.
        epsilon: How far from the old value a value has a gradient that improves it, at least 0, in the values' units.
        aggregation: The mean: `"token"` over all tokens, `"sequence"` over the sequences' means, or `"fixed"` over the
            sequences' sums divided by `length`. A sequence without an unmasked token does not count.
        length: The number of tokens that `aggregation="fixed"` divides a sequence's sum by, above 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the tokens that take part, shape (N..., T). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each token, shape (N..., T). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the tokens, shape (N..., T), in the square of the values' units.

    Raises:
        ValueError: The shapes differ, `epsilon` is negative, or `length` does not fit the aggregation.
        TypeError: The arrays are not real and floating.

    Examples:
        >>> values, old, returns = jnp.array([[1.0, 0.5]]), jnp.array([[0.5, 0.5]]), jnp.array([[1.0, 1.0]])
        >>> print(f"{jaxloss.ppo_value_loss(values, old, returns):.4f}")
        0.0850

    Source: Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation", 2016, and the
    code of Dhariwal et al., "OpenAI Baselines", 2017.
    """
    arrays, dtype = aligned(where, values=values, old_values=old_values, returns=returns)
    old, returns = map(lax.stop_gradient, arrays[1:])
    radius = as_number(epsilon, old)
    error = arrays[0] - returns
    clipped = clamp_max(clamp_min(arrays[0], old - radius), old + radius) - returns
    # A NaN in either makes the comparison False. Then the clipped error is NaN too.
    larger = jnp.where(jnp.abs(error) >= jnp.abs(clipped), error, clipped)
    return reduce_tokens(jnp.square(larger) / 2, reduction, where, sample_weight, aggregation, length, dtype=dtype)


class PPOValueLoss(Loss, fn=ppo_value_loss):
    """Option object of [`ppo_value_loss`][jaxloss.ppo_value_loss]."""

    epsilon: Scalar = 0.2
    aggregation: Aggregation = static("token")
    length: Scalar | None = None
    reduction: Reduction = static("mean")


@program(length=LENGTH)
def kl_estimate(
    log_probs: Float[ArrayLike, "*sequences tokens"],
    ref_log_probs: Float[ArrayLike, "*sequences tokens"],
    *,
    estimator: Estimator = "k3",
    aggregation: Aggregation = "token",
    length: Scalar | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Estimate of the KL divergence of a policy from a reference policy, by the sampled tokens, in nats.

    With $d = p - p_\text{ref}$: `"k1"` is $d$, `"k2"` is $\frac12 d^2$, and `"k3"` is $e^{-d} - 1 + d$.

    Args:
        log_probs: Log-probabilities $p$ of the tokens, which the policy sampled, shape (N..., T).
        ref_log_probs: Log-probabilities under the reference policy, in the same shape. They are constants.
        estimator: `"k1"`, `"k2"` or `"k3"`. As a value, k1 and k3 have the expectation KL, and k2 is near it. As a
            loss, k2 has the gradient of the KL, the gradient of k1 has the mean 0, and k3 has the gradient of the
            forward KL.
        aggregation: The mean: `"token"` over all tokens, `"sequence"` over the sequences' means, or `"fixed"` over the
            sequences' sums divided by `length`. A sequence without an unmasked token does not count.
        length: The number of tokens that `aggregation="fixed"` divides a sequence's sum by, above 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the tokens that take part, shape (N..., T). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each token, shape (N..., T). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the estimates of the tokens, shape (N..., T). k3 has all its digits where the policies are close.

    Raises:
        ValueError: The shapes differ, the estimator is unknown, or `length` does not fit the aggregation.
        TypeError: The log-probabilities are not real and floating.

    Examples:
        >>> print(f"{jaxloss.kl_estimate(jnp.array([[-1.0, -2.0]]), jnp.array([[-1.5, -1.0]])):.4f}")
        0.4124

    Source: Schulman, "Approximating KL Divergence", 2020.
    """
    one_of("estimator", estimator, ESTIMATORS)
    (log_probs, reference), dtype = aligned(where, log_probs=log_probs, ref_log_probs=ref_log_probs)
    losses = divergence(estimator, log_probs - lax.stop_gradient(reference))
    return reduce_tokens(losses, reduction, where, sample_weight, aggregation, length, dtype=dtype)


class KLEstimate(Loss, fn=kl_estimate):
    """Option object of [`kl_estimate`][jaxloss.kl_estimate]."""

    estimator: Estimator = static("k3")
    aggregation: Aggregation = static("token")
    length: Scalar | None = None
    reduction: Reduction = static("mean")
