"""The loss of completions that are good or bad by themselves. It belongs to the family of preference.py."""

from typing import Literal, TypeAlias, get_args

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, aligned, one_of
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.domains import Domain, within
from jaxloss._core.elementwise import clamp_min, sigmoid, softplus
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight

ZERO_OR_ONE = Domain("0 or 1, or a boolean", lambda x: (x == 0) | (x == 1))

UnpairedType: TypeAlias = Literal["kto", "apo_zero_unpaired", "bco"]
"""The losses of one completion."""


@program(
    reference_point=Number(),
    beta=Number(above=0),
    desirable_weight=Number(at_least=0),
    undesirable_weight=Number(at_least=0),
)
def kto_loss(
    log_probs: Float[ArrayLike, "*shape"],
    ref_log_probs: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reference_point: Scalar = 0.0,
    beta: Scalar = 0.1,
    desirable_weight: Scalar = 1.0,
    undesirable_weight: Scalar = 1.0,
    loss_type: UnpairedType = "kto",
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Kahneman-Tversky optimisation: how far a good completion's gain falls short, and how far a bad one's exceeds.

    With the log-ratio $r = p - p_\text{ref}$, the sigmoid $\sigma$, and $s = 1$ for a desirable completion and
    $s = -1$ for an undesirable one,

    $$ \ell = w_s \, \sigma(-s \beta (r - z)), \qquad z = \max(\text{reference point}, 0) $$

    The mean divides by the number of completions, not by the sum of their weights $w_s$.

    Args:
        log_probs: Log-probabilities $p$ of the completions under the policy, any shape.
        ref_log_probs: Log-probabilities under the reference model, in the same shape. They are constants.
        targets: True or 1 for a desirable completion, False or 0 for an undesirable one, in the same shape.
        reference_point: The gain that counts as none, a constant: an estimate of the policy's divergence from the
            reference model, in nats. It is the mean log-ratio of completions of other prompts. On several devices, take
            the mean over all of them.
        beta: The factor of the log-ratio, above 0.
        desirable_weight: The factor of the losses of desirable completions, at least 0.
        undesirable_weight: The factor of the losses of undesirable completions, at least 0.
        loss_type: `"kto"`, as above; `"apo_zero_unpaired"`, the same with $z = 0$; `"bco"`,
            $w_s \log(1 + e^{-s \beta (r - \text{reference point})})$, where the reference point is the mean log-ratio
            of earlier batches.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the completions that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each completion. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A target other than 0 and 1 makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ, or an option is out of its range.
        TypeError: The log-probabilities are not real and floating.

    Examples:
        >>> log_probs, reference = jnp.array([-8.0, -5.0]), jnp.array([-9.0, -6.0])
        >>> print(f"{jaxloss.kto_loss(log_probs, reference, jnp.array([True, False])):.4f}")
        0.5000

    Source: Ethayarajh et al., "KTO", 2024; APO: D'Oosterlinck et al., 2024; BCO: Jung et al., 2024.
    """
    one_of("loss_type", loss_type, get_args(UnpairedType))
    arrays, dtype = aligned(where, log_probs=log_probs, ref_log_probs=ref_log_probs, targets=targets)
    log_probs, ref_log_probs, targets = arrays
    gain = nan_unless(within(ZERO_OR_ONE, targets=targets), log_probs - lax.stop_gradient(ref_log_probs))
    beta, desirable, undesirable, point = (
        jnp.asarray(number, gain.dtype) for number in (beta, desirable_weight, undesirable_weight, reference_point)
    )
    point = lax.stop_gradient(point)
    sign, weight = jnp.where(targets == 1, 1.0, -1.0), jnp.where(targets == 1, desirable, undesirable)
    match loss_type:
        case "kto":
            losses = sigmoid(-sign * beta * (gain - clamp_min(point)))
        case "apo_zero_unpaired":
            losses = sigmoid(-sign * beta * gain)
        case "bco":
            losses = softplus(-sign * beta * (gain - point))
    return reduce(weight * losses, reduction, where, sample_weight, dtype=dtype)


class KTOLoss(Loss, fn=kto_loss):
    """Option object of [`kto_loss`][jaxloss.kto_loss]."""

    reference_point: Scalar = 0.0
    beta: Scalar = 0.1
    desirable_weight: Scalar = 1.0
    undesirable_weight: Scalar = 1.0
    loss_type: UnpairedType = static("kto")
    reduction: Reduction = static("mean")
