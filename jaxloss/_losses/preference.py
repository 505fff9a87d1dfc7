"""Losses of preferences: a chosen completion against a rejected one, or one completion that is good or bad.

They take log-probabilities of whole completions: sums of their tokens' log-probabilities, or averages.
"""

from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxloss._core.arguments import Number, aligned, one_of
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.domains import Domain, within
from jaxloss._core.elementwise import times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.preference_formulas import (
    DIVERGENCES,
    MARGIN_TYPES,
    PAIR_TYPES,
    SMOOTHED_TYPES,
    Divergence,
    PairType,
    log_odds_ratio_loss,
    pair_loss,
    score,
    smoothed,
)
from jaxloss._losses.preference_rewards import BradleyTerryLoss, bradley_terry_loss
from jaxloss._losses.preference_unpaired import KTOLoss, kto_loss

__all__ = [
    "BradleyTerryLoss",
    "CPOLoss",
    "DPOLoss",
    "KTOLoss",
    "ORPOLoss",
    "SimPOLoss",
    "bradley_terry_loss",
    "cpo_loss",
    "dpo_loss",
    "kto_loss",
    "orpo_loss",
    "simpo_loss",
]

LOG_PROBABILITY = Domain("a log-probability, at most 0", lambda x: x <= 0)


def smoothing_range(arguments: Mapping[str, object]) -> Number:
    """The range of `label_smoothing`, which depends on the loss type."""
    condition = f" if `loss_type` is {arguments['loss_type']!r}"
    match arguments["loss_type"]:
        case "sigmoid":
            return Number(at_least=0, at_most=1, condition=condition)
        case "robust":
            return Number(at_least=0, below=0.5, condition=condition)
        case "exo_pair":
            return Number(above=0, below=1, condition=condition)
        case _:
            return Number(at_least=0, at_most=0, condition=condition)


@program(beta=Number(above=0), label_smoothing=smoothing_range, alpha=Number())
def dpo_loss(
    chosen_log_probs: Float[ArrayLike, "*shape"],
    rejected_log_probs: Float[ArrayLike, "*shape"],
    ref_chosen_log_probs: Float[ArrayLike, "*shape"],
    ref_rejected_log_probs: Float[ArrayLike, "*shape"],
    *,
    beta: Scalar = 0.1,
    loss_type: PairType = "sigmoid",
    label_smoothing: Scalar = 0.0,
    divergence: Divergence = "reverse_kl",
    alpha: Scalar = 0.5,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Direct preference optimisation: how far the policy's preference falls short of the chosen completion.

    With the log-ratios $r_c = c - c_\text{ref}$ and $r_r = r - r_\text{ref}$, the margin $m = r_c - r_r$,
    $\sigma$ the sigmoid and $\epsilon$ the label smoothing, the loss of a pair is

    | `loss_type` | loss |
    |---|---|
    | `"sigmoid"` | $-(1 - \epsilon) \log \sigma(\beta m) - \epsilon \log \sigma(-\beta m)$ |
    | `"robust"` | $(-(1 - \epsilon) \log \sigma(\beta m) + \epsilon \log \sigma(-\beta m)) / (1 - 2 \epsilon)$ |
    | `"hinge"` | $\max(0, 1 - \beta m)$ |
    | `"ipo"` | $(m - \frac{1}{2 \beta})^2$ |
    | `"exo_pair"` | $\mathrm{KL}\big((\sigma(\beta m), \sigma(-\beta m)) \,\Vert\, (1 - \epsilon, \epsilon)\big)$ |
    | `"apo_zero"` | $\sigma(-\beta r_c) + \sigma(\beta r_r)$ |
    | `"apo_down"` | $\sigma(\beta r_c) + \sigma(-\beta m)$ |
    | `"sppo_hard"` | $(r_c - \frac{1}{2 \beta})^2 + (r_r + \frac{1}{2 \beta})^2$ |
    | `"nca_pair"` | $-\log \sigma(\beta r_c) - \frac12 \log \sigma(-\beta r_c) - \frac12 \log \sigma(-\beta r_r)$ |
    | `"bco_pair"` | $-\log \sigma(\beta r_c) - \log \sigma(-\beta r_r)$ |

    Another divergence than the reverse KL makes $m = f(r_c) - f(r_r)$ in the first five of them.

    Args:
        chosen_log_probs: Log-probabilities $c$ of the chosen completions under the policy, any shape.
        rejected_log_probs: Log-probabilities $r$ of the rejected completions, in the same shape.
        ref_chosen_log_probs: Log-probabilities of the chosen completions under the reference model, constants.
        ref_rejected_log_probs: Log-probabilities of the rejected completions under the reference model, constants.
        beta: The weight of the divergence from the reference model, above 0.
        loss_type: The loss of a pair, as in the table.
        label_smoothing: The share $\epsilon$ of pairs whose labels are taken to be exchanged: in [0, 1] for
            `"sigmoid"`, in [0, 1/2) for `"robust"`, in (0, 1) for `"exo_pair"`, and 0 for the others.
        divergence: `"reverse_kl"`, $f(x) = x$; `"forward_kl"`, $-e^{-x}$; `"js"`, $\log \sigma(x)$; `"alpha"`,
            $(e^{(\alpha - 1) x} - 1) / (\alpha - 1)$.
        alpha: The number $\alpha$ of the alpha-divergence. At 1 it is the reverse KL.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The loss `"robust"` may be negative. The hinge has the gradient 0
        at its kink. Log-probabilities are sums over the tokens; the paper of IPO and the length-normalised DPO take
        averages.

    Raises:
        ValueError: The shapes differ, an option is out of its range, or the loss type takes no other divergence.
        TypeError: The log-probabilities are not real and floating.

    Examples:
        >>> chosen, rejected = jnp.array([-8.0, -5.0]), jnp.array([-9.0, -4.0])
        >>> reference = jnp.array([-9.0, -6.0]), jnp.array([-9.0, -6.0])
        >>> print(f"{jaxloss.dpo_loss(chosen, rejected, *reference):.4f}")
        0.6944

    Source: Rafailov et al., "Direct Preference Optimization", 2023; smoothing: Mitchell, "A note on DPO with noisy
    preferences", 2023; robust: Chowdhury et al., 2024; hinge: Zhao et al., "SLiC-HF", 2023; IPO: Azar et al., 2023;
    EXO: Ji et al., 2024; APO: D'Oosterlinck et al., 2024; SPPO: Wu et al., 2024; NCA: Chen et al., 2024; BCO: Jung et
    al., 2024; divergences: Wang et al., "Beyond Reverse KL", 2023.
    """
    one_of("loss_type", loss_type, PAIR_TYPES)
    one_of("divergence", divergence, DIVERGENCES)
    arrays, dtype = aligned(
        where,
        chosen_log_probs=chosen_log_probs,
        rejected_log_probs=rejected_log_probs,
        ref_chosen_log_probs=ref_chosen_log_probs,
        ref_rejected_log_probs=ref_rejected_log_probs,
    )
    chosen, rejected = (policy - lax.stop_gradient(ref) for policy, ref in zip(arrays[:2], arrays[2:], strict=True))
    beta, smoothing, alpha = (jnp.asarray(number, chosen.dtype) for number in (beta, label_smoothing, alpha))
    beta = beta if loss_type in SMOOTHED_TYPES else nan_unless(smoothing == 0, beta)
    if divergence != "reverse_kl" and loss_type not in MARGIN_TYPES:
        raise ValueError(f"`loss_type` is {loss_type!r}, which takes no other `divergence` than 'reverse_kl'.")
    margin = score(divergence, chosen, alpha) - score(divergence, rejected, alpha)
    losses = pair_loss(loss_type, chosen, rejected, margin, beta, smoothing)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class DPOLoss(Loss, fn=dpo_loss):
    """Option object of [`dpo_loss`][jaxloss.dpo_loss]."""

    beta: Scalar = 0.1
    loss_type: PairType = static("sigmoid")
    label_smoothing: Scalar = 0.0
    divergence: Divergence = static("reverse_kl")
    alpha: Scalar = 0.5
    reduction: Reduction = static("mean")


@program(beta=Number(above=0), label_smoothing=smoothing_range)
def cpo_loss(
    chosen_log_probs: Float[ArrayLike, "*shape"],
    rejected_log_probs: Float[ArrayLike, "*shape"],
    *,
    beta: Scalar = 0.1,
    loss_type: Literal["sigmoid", "hinge", "ipo"] = "sigmoid",
    label_smoothing: Scalar = 0.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Contrastive preference optimisation: the loss of `dpo_loss` without a reference model.

    $$ \ell = -(1 - \epsilon) \log \sigma(\beta (c - r)) - \epsilon \log \sigma(-\beta (c - r)) $$

    The paper adds the negative log-likelihood of the chosen completions: add a `cross_entropy` of your own.

    Args:
        chosen_log_probs: Log-probabilities $c$ of the chosen completions, any shape.
        rejected_log_probs: Log-probabilities $r$ of the rejected completions, in the same shape.
        beta: The factor of the difference, above 0.
        loss_type: `"sigmoid"`, as above; `"hinge"`, $\max(0, 1 - \beta (c - r))$; `"ipo"`,
            $(c - r - \frac{1}{2 \beta})^2$.
        label_smoothing: The share $\epsilon$ of pairs whose labels are taken to be exchanged, in [0, 1]; 0 unless the
            loss type is `"sigmoid"`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape.

    Raises:
        ValueError: The shapes differ, or an option is out of its range.
        TypeError: The log-probabilities are not real and floating.

    Examples:
        >>> print(f"{jaxloss.cpo_loss(jnp.array([-8.0, -5.0]), jnp.array([-9.0, -4.0])):.4f}")
        0.6944

    Source: Xu et al., "Contrastive Preference Optimization", 2024.
    """
    one_of("loss_type", loss_type, ("sigmoid", "hinge", "ipo"))
    arrays, dtype = aligned(where, chosen_log_probs=chosen_log_probs, rejected_log_probs=rejected_log_probs)
    chosen, rejected = arrays
    beta, smoothing = (jnp.asarray(number, chosen.dtype) for number in (beta, label_smoothing))
    beta = beta if loss_type in SMOOTHED_TYPES else nan_unless(smoothing == 0, beta)
    losses = pair_loss(loss_type, chosen, rejected, chosen - rejected, beta, smoothing)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class CPOLoss(Loss, fn=cpo_loss):
    """Option object of [`cpo_loss`][jaxloss.cpo_loss]."""

    beta: Scalar = 0.1
    loss_type: Literal["sigmoid", "hinge", "ipo"] = static("sigmoid")
    label_smoothing: Scalar = 0.0
    reduction: Reduction = static("mean")


@program(beta=Number(above=0), gamma=Number(), label_smoothing=Number(at_least=0, at_most=1))
def simpo_loss(
    chosen_log_probs: Float[ArrayLike, "*shape"],
    rejected_log_probs: Float[ArrayLike, "*shape"],
    *,
    beta: Scalar = 2.0,
    gamma: Scalar = 0.5,
    label_smoothing: Scalar = 0.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Simple preference optimisation: by how much the chosen completion's likelihood per token falls short of a lead.

    $$ \ell = -(1 - \epsilon) \log \sigma(x) - \epsilon \log \sigma(-x), \qquad x = \beta (c - r) - \gamma $$

    Args:
        chosen_log_probs: Log-probabilities $c$ of the chosen completions, averaged over their tokens, any shape.
        rejected_log_probs: Averages $r$ for the rejected completions, in the same shape.
        beta: The factor of the difference, above 0.
        gamma: The lead $\gamma$ that the scaled difference should have.
        label_smoothing: The share $\epsilon$ of pairs whose labels are taken to be exchanged, in [0, 1].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape.

    Raises:
        ValueError: The shapes differ, or an option is out of its range.
        TypeError: The log-probabilities are not real and floating.

    Examples:
        >>> print(f"{jaxloss.simpo_loss(jnp.array([-0.8, -0.5]), jnp.array([-0.9, -0.4])):.4f}")
        0.9788

    Source: Meng et al., "SimPO", 2024.
    """
    arrays, dtype = aligned(where, chosen_log_probs=chosen_log_probs, rejected_log_probs=rejected_log_probs)
    chosen, rejected = arrays
    beta, gamma, smoothing = (jnp.asarray(number, chosen.dtype) for number in (beta, gamma, label_smoothing))
    losses = smoothed(beta * (chosen - rejected) - gamma, smoothing)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class SimPOLoss(Loss, fn=simpo_loss):
    """Option object of [`simpo_loss`][jaxloss.simpo_loss]."""

    beta: Scalar = 2.0
    gamma: Scalar = 0.5
    label_smoothing: Scalar = 0.0
    reduction: Reduction = static("mean")


@program(beta=Number(at_least=0), sft_weight=Number(at_least=0))
def orpo_loss(
    chosen_log_probs: Float[ArrayLike, "*shape"],
    rejected_log_probs: Float[ArrayLike, "*shape"],
    *,
    beta: Scalar = 0.1,
    sft_weight: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Odds-ratio preference optimisation: likelihood of the chosen completion, and its odds over the rejected one's.

    $$ \ell = -w c - \beta \log \sigma\Bigl(\log \frac{e^c}{1 - e^c} - \log \frac{e^r}{1 - e^r}\Bigr) $$

    Args:
        chosen_log_probs: Log-probabilities $c$ of the chosen completions, averaged over their tokens, at most 0, any
            shape.
        rejected_log_probs: Averages $r$ for the rejected completions, in the same shape.
        beta: The weight of the odds ratio, at least 0.
        sft_weight: The weight $w$ of the chosen completion's likelihood, at least 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. They are exact near probability 1. A chosen probability of 1 has
        the odds term 0, and a rejected one has inf. A log-probability above 0 makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ, or an option is out of its range.
        TypeError: The log-probabilities are not real and floating.

    Examples:
        >>> print(f"{jaxloss.orpo_loss(jnp.array([-0.8, -0.5]), jnp.array([-0.9, -0.4])):.4f}")
        0.7225

    Source: Hong et al., "ORPO", 2024, equation (6).
    """
    # Masked log-probabilities are filled with -1, whose odds are finite.
    arrays, dtype = aligned(where, -1.0, chosen_log_probs=chosen_log_probs, rejected_log_probs=rejected_log_probs)
    chosen = nan_unless(within(LOG_PROBABILITY, chosen_log_probs=arrays[0]), arrays[0])
    rejected = nan_unless(within(LOG_PROBABILITY, rejected_log_probs=arrays[1]), arrays[1])
    beta, sft_weight = (jnp.asarray(number, chosen.dtype) for number in (beta, sft_weight))
    losses = times(beta, log_odds_ratio_loss(chosen, rejected)) - times(sft_weight, chosen)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class ORPOLoss(Loss, fn=orpo_loss):
    """Option object of [`orpo_loss`][jaxloss.orpo_loss]."""

    beta: Scalar = 0.1
    sft_weight: Scalar = 1.0
    reduction: Reduction = static("mean")
