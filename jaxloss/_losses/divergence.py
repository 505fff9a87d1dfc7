"""Losses of a distribution against the distribution it should have been."""

import math
from typing import Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Shaped

from jaxloss._core.arguments import paired
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.domains import expect, log_probabilities, some_probability
from jaxloss._core.dtypes import limits
from jaxloss._core.objects import Loss
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import Mask, Reduction, Weight

__all__ = ["KLDivLoss", "kl_div"]

BatchReduction: TypeAlias = Reduction | Literal["batchmean"]
"""The reductions of `kl_div`."""


def kl_div(
    log_predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    log_target: bool = False,
    reduction: BatchReduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""The Kullback-Leibler divergence of a predicted distribution from the target one, term by term, in nats.

    $$ \ell = t\,(\log t - x) \qquad\text{or, of log-probabilities,}\qquad \ell = e^t (t - x) $$

    An element is one term, so the divergence of a batch of distributions is `reduction="batchmean"`: the mean times
    the number of elements per entry of the first axis, which without masks is the sum over the size of that axis.

    Args:
        log_predictions: $x$, log-probabilities, any shape.
        targets: $t$, probabilities, or log-probabilities if `log_target`; the same shape.
        log_target: whether the targets are logarithms.
        reduction: `"mean"`, `"sum"`, `"none"`, or `"batchmean"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the terms in the inputs' shape. A target of probability 0 adds 0 whatever was predicted, and its
        gradients are finite. A target below 0 is NaN.

    Raises:
        ValueError: shapes that differ, an unknown reduction.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> log_predictions = jnp.log(jnp.array([[0.5, 0.5], [0.9, 0.1]]))
        >>> targets = jnp.array([[0.5, 0.5], [1.0, 0.0]])
        >>> divergence = jaxloss.kl_div(log_predictions, targets, reduction="batchmean")
        >>> print(f"{divergence:.4f}")
        0.0527

    Source: `torch.nn.KLDivLoss`; Kullback and Leibler, "On Information and Sufficiency", 1951.
    """
    predictions, targets, dtype = paired(log_predictions, targets, where, name="log_predictions")
    expect(log_probabilities(dtype), log_predictions=predictions)
    if log_target:
        expect(log_probabilities(dtype), targets=targets)
    else:
        expect(some_probability(dtype), targets=targets)
        predictions = nan_unless(targets >= 0, predictions)
    # A target of probability 0 has no term. Its inputs are replaced as well, because 0 * inf in a derivative is NaN.
    # The comparison with the lowest number is true for -inf alone. A constant -inf would stop `jax.debug_infs`.
    impossible = targets < -limits(targets.dtype).max if log_target else targets == 0
    targets, predictions = jnp.where(impossible, 1.0, targets), jnp.where(impossible, 0.0, predictions)
    probability, log_probability = (jnp.exp(targets), targets) if log_target else (targets, jnp.log(targets))
    losses = jnp.where(impossible, 0.0, probability * (log_probability - predictions))
    count = None
    if reduction not in ("none", "mean", "sum", "batchmean"):
        raise ValueError(f"`reduction` is {reduction!r}; it must be 'none', 'mean', 'sum' or 'batchmean'.")
    if reduction == "batchmean":
        count = jnp.asarray(1 / max(math.prod(losses.shape[1:]), 1), losses.dtype)
        reduction = "mean"
    return reduce(losses, reduction, where, sample_weight, count=count, dtype=dtype)


class KLDivLoss(Loss, fn=kl_div):
    """[`kl_div`][jaxloss.kl_div] and its options as one value."""

    log_target: bool = static(False)
    reduction: BatchReduction = static("mean")
