"""Group-relative policy optimisation and its variants. It belongs to the family of policy.py."""

from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxloss._core.aggregation import Aggregation, reduce_tokens, unmasked_tokens
from jaxloss._core.arguments import Number, aligned, is_off, one_of
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.elementwise import times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.policy_formulas import (
    ESTIMATORS,
    Estimator,
    as_number,
    cispo_surrogate,
    clipped_surrogate,
    divergence,
    per_token,
    sapo_surrogate,
)


def beta_range(arguments: Mapping[str, object]) -> Number:
    """The range of `beta`, which is 0 if there is no reference policy."""
    if arguments["ref_log_probs"] is None:
        return Number(at_least=0, at_most=0, off=0, condition=" without `ref_log_probs`")
    return Number(at_least=0, off=0)


@program(
    epsilon=Number(at_least=0, at_most=1),
    epsilon_high=Number(at_least=0),
    delta=Number(above=1),
    sapo_temperature_pos=Number(above=0),
    sapo_temperature_neg=Number(above=0),
    beta=beta_range,
    length=Number(above=0),
)
def grpo_loss(
    log_probs: Float[ArrayLike, "*sequences tokens"],
    old_log_probs: Float[ArrayLike, "*sequences tokens"],
    advantages: Float[ArrayLike, "..."],
    ref_log_probs: Float[ArrayLike, "*sequences tokens"] | None = None,
    *,
    epsilon: Scalar = 0.2,
    epsilon_high: Scalar | None = None,
    delta: Scalar | None = None,
    surrogate: Literal["clip", "cispo", "sapo"] = "clip",
    ratio: Literal["token", "sequence"] = "token",
    sapo_temperature_pos: Scalar = 1.0,
    sapo_temperature_neg: Scalar = 1.05,
    beta: Scalar = 0.0,
    kl_estimator: Estimator = "k3",
    aggregation: Aggregation = "token",
    length: Scalar | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Group-relative policy optimisation: a surrogate of the policy's advantage, plus a KL divergence.

    With the ratio $\rho = e^{p - p_\text{old}}$, the loss of a token is the surrogate plus `beta` times `kl_estimate`:

    | `surrogate` | loss |
    |---|---|
    | `"clip"` | $-\min(\rho A, \mathrm{clip}(\rho, 1 - \epsilon, 1 + \epsilon_\text{high}) A)$, as `ppo_loss` |
    | `"cispo"` | $-\min(\rho, 1 + \epsilon_\text{high}) \, A \, p$, where the minimum is a constant |
    | `"sapo"` | $-\frac4\tau \sigma(\tau (\rho - 1)) A$, where $\tau$ depends on the sign of $A$ |

    The caller makes the advantages of a group: a completion's reward minus the mean reward of its prompt, for example.

    Args:
        log_probs: Log-probabilities $p$ of the sampled tokens, shape (N..., T).
        old_log_probs: Log-probabilities under the policy that sampled the tokens, in the same shape, constants.
        advantages: Advantages $A$ of the sequences, shape (N...), or of the tokens, shape (N..., T). They are
            constants.
        ref_log_probs: Log-probabilities under the reference policy, in the same shape. They are constants, and `beta`
            needs them.
        epsilon: How far below 1 the ratio has a gradient where the advantage is negative, in [0, 1].
        epsilon_high: How far above 1 the ratio has a gradient where the advantage is positive, at least 0. The default
            is `epsilon`. The bound of CISPO is 1 plus this number.
        delta: The largest ratio where the advantage is negative, above 1. The default is no bound.
        surrogate: `"clip"`, `"cispo"` or `"sapo"`, as in the table.
        ratio: `"token"`, or `"sequence"` for the geometric mean of the ratios of a sequence's unmasked tokens (GSPO),
            with the surrogate `"clip"` only.
        sapo_temperature_pos: The number $\tau$ of positive advantages, above 0.
        sapo_temperature_neg: The number $\tau$ of other advantages, above 0.
        beta: The weight of the KL divergence from the reference policy, at least 0.
        kl_estimator: `"k1"`, `"k2"` or `"k3"`. See [`kl_estimate`][jaxloss.kl_estimate].
        aggregation: The mean: `"token"` over all tokens (DAPO), `"sequence"` over the sequences' means (GRPO), or
            `"fixed"` over the sequences' sums divided by `length` (Dr. GRPO). A sequence without an unmasked token does
            not count. Gradients of `"token"` and `"sequence"` may differ tenfold in size.
        length: The number of tokens that `aggregation="fixed"` divides a sequence's sum by, above 0. 1 gives the mean
            of sums.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the tokens that take part, shape (N..., T). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each token, shape (N..., T). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the tokens, shape (N..., T). A clipped ratio has the gradient 0, also where the ratio
        overflows.

    Raises:
        ValueError: The shapes differ, an option is out of its range, or the options do not fit each other.
        TypeError: The arrays are not real and floating.

    Examples:
        >>> log_probs, old = jnp.array([[-0.5, -2.0]]), jnp.array([[-1.0, -2.0]])
        >>> print(f"{jaxloss.grpo_loss(log_probs, old, jnp.array([1.0]), epsilon_high=0.28):.4f}")
        -1.1400

    Source: Shao et al., "DeepSeekMath", 2024; DAPO: Yu et al., 2025; Dr. GRPO: Liu et al., 2025; GSPO: Zheng et al.,
    2025; CISPO: MiniMax, "MiniMax-M1", 2025; SAPO: Gao et al., 2025; `delta`: Prime Intellect, "INTELLECT-2", 2025.
    """
    one_of("surrogate", surrogate, ("clip", "cispo", "sapo"))
    one_of("ratio", ratio, ("token", "sequence"))
    one_of("kl_estimator", kl_estimator, ESTIMATORS)
    if ratio == "sequence" and surrogate != "clip":
        raise ValueError(f"`ratio='sequence'` goes with `surrogate='clip'` only, not with {surrogate!r}.")
    reference = {} if ref_log_probs is None else {"ref_log_probs": ref_log_probs}
    advantages = per_token(advantages, log_probs)
    arrays, dtype = aligned(where, log_probs=log_probs, old_log_probs=old_log_probs, advantages=advantages, **reference)
    log_probs, old_log_probs, advantages, *reference = arrays[0], *map(lax.stop_gradient, arrays[1:])
    log_ratio = log_probs - old_log_probs
    if ratio == "sequence":
        mean = jnp.sum(log_ratio, -1, keepdims=True) / unmasked_tokens(where, log_ratio)
        log_ratio = jnp.broadcast_to(mean, log_ratio.shape)
    if surrogate == "clip":
        losses = clipped_surrogate(log_ratio, advantages, epsilon, epsilon_high, delta)
    elif surrogate == "cispo":
        losses = cispo_surrogate(log_probs, log_ratio, advantages, epsilon if epsilon_high is None else epsilon_high)
    else:
        losses = sapo_surrogate(log_ratio, advantages, sapo_temperature_pos, sapo_temperature_neg)
    if not is_off(beta):
        beta = as_number(beta, losses)
        if reference:
            losses = losses + times(beta, divergence(kl_estimator, log_probs - reference[0]))
        else:  # a traced number may be 0
            losses = nan_unless(beta == 0, losses)
    return reduce_tokens(losses, reduction, where, sample_weight, aggregation, length, dtype=dtype)


class GRPOLoss(Loss, fn=grpo_loss):
    """Option object of [`grpo_loss`][jaxloss.grpo_loss]."""

    epsilon: Scalar = 0.2
    epsilon_high: Scalar | None = None
    delta: Scalar | None = None
    surrogate: Literal["clip", "cispo", "sapo"] = static("clip")
    ratio: Literal["token", "sequence"] = static("token")
    sapo_temperature_pos: Scalar = 1.0
    sapo_temperature_neg: Scalar = 1.05
    beta: Scalar = 0.0
    kl_estimator: Estimator = static("k3")
    aggregation: Aggregation = static("token")
    length: Scalar | None = None
    reduction: Reduction = static("mean")
