"""The loss of pairs of rewards. It belongs to the family of preference.py."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxloss._core.arguments import Number, aligned, filled, fitted, is_off, mask, real
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.preference_formulas import smoothed


@program("margin", center=Number(at_least=0, off=0), label_smoothing=Number(at_least=0, at_most=1))
def bradley_terry_loss(
    chosen_rewards: Float[ArrayLike, "*shape"],
    rejected_rewards: Float[ArrayLike, "*shape"],
    *,
    margin: Scalar = 0.0,
    center: Scalar = 0.0,
    label_smoothing: Scalar = 0.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood that the chosen one of two is preferred, given a reward for each, in nats.

    $$ \ell = (1 - \epsilon) \log(1 + e^{-(a - b - m)}) + \epsilon \log(1 + e^{a - b - m}) + \lambda (a + b)^2 $$

    Args:
        chosen_rewards: Rewards $a$ of the chosen completions, any shape.
        rejected_rewards: Rewards $b$ of the rejected completions, in the same shape.
        margin: The lead $m$ that the chosen reward should have: one number, or one for each pair.
        center: The factor $\lambda$ of the squared sum of the two rewards, at least 0. It keeps rewards near 0.
        label_smoothing: The share $\epsilon$ of pairs whose labels are taken to be exchanged, in [0, 1].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape.

    Raises:
        ValueError: The shapes differ, or an option is out of its range.
        TypeError: The rewards are not real and floating.

    Examples:
        >>> chosen, rejected = jnp.array([1.0, 0.5]), jnp.array([0.0, 2.0])
        >>> print(f"{jaxloss.bradley_terry_loss(chosen, rejected):.4f}")
        1.0073

    Source: Bradley and Terry, "Rank Analysis of Incomplete Block Designs", 1952; the margin: Touvron et al., "Llama 2",
    2023; the centre: Eisenstein et al., "Helping or Herding?", 2024.
    """
    (chosen, rejected), dtype = aligned(where, chosen_rewards=chosen_rewards, rejected_rewards=rejected_rewards)
    lead = real("margin", margin).astype(chosen.dtype)
    if lead.ndim > 0:
        lead = filled(fitted("margin", lead, chosen.shape), mask(where, chosen.shape), 0.0)
    losses = smoothed(chosen - rejected - lead, jnp.asarray(label_smoothing, chosen.dtype))
    if not is_off(center):
        losses = losses + jnp.asarray(center, chosen.dtype) * jnp.square(chosen + rejected)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class BradleyTerryLoss(Loss, fn=bradley_terry_loss):
    """Option object of [`bradley_terry_loss`][jaxloss.bradley_terry_loss]."""

    margin: Scalar = 0.0
    center: Scalar = 0.0
    label_smoothing: Scalar = 0.0
    reduction: Reduction = static("mean")
