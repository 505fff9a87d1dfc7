"""Divergences: a predicted distribution against its target distribution."""

from typing import Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import aligned, paired
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.counts import float_size
from jaxloss._core.domains import expect, log_probabilities, some_probability
from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import exp_excess
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import check_reduction, reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Weight

__all__ = ["GaussianKLLoss", "KLDivLoss", "gaussian_kl_loss", "kl_div"]

BatchReduction: TypeAlias = Reduction | Literal["batchmean"]
"""The reductions of `kl_div`: those of every loss, and PyTorch's "batchmean"."""


@program()
def kl_div(
    log_predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    log_target: bool = False,
    reduction: BatchReduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Kullback-Leibler divergence between target and predicted distributions, per element, in nats.

    $$ \ell = t\,(\log t - x) \qquad\text{or, with log-probabilities as targets,}\qquad \ell = e^t (t - x) $$

    An element is one term of a divergence. For a batch of distributions use `reduction="batchmean"`: it is the mean
    times the number of elements per entry of the first axis. Without masks it equals the sum divided by the size of
    that axis.

    Args:
        log_predictions: Predicted log-probabilities $x$, any shape. Probabilities give a wrong number, and
            [`checked`][jaxloss.checked] raises for them.
        targets: Target probabilities $t$, or log-probabilities if `log_target` is True, in the same shape.
        log_target: Whether the targets are log-probabilities.
        reduction: `"mean"`, `"sum"`, `"none"` or `"batchmean"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the terms in the inputs' shape. A target of probability 0 adds 0 for any prediction, and its
        gradients are finite. A target below 0 makes its term and gradient NaN.

    Raises:
        ValueError: The shapes differ, or the reduction is unknown.
        TypeError: The predictions are not real and floating.

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
    check_reduction(reduction, "batchmean")
    if reduction == "batchmean":
        # An element counts as its share of an entry of the first axis, so that the mean divides by the entries.
        count = 1 / jnp.maximum(jnp.asarray(float_size(losses.shape[1:]), losses.dtype), 1)
        reduction = "mean"
    return reduce(losses, reduction, where, sample_weight, count=count, dtype=dtype)


class KLDivLoss(Loss, fn=kl_div):
    """Option object of [`kl_div`][jaxloss.kl_div]."""

    log_target: bool = static(False)
    reduction: BatchReduction = static("mean")


@program()
def gaussian_kl_loss(
    mean: Float[ArrayLike, "*shape"],
    log_var: Float[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Kullback-Leibler divergence of normal distributions from the standard normal distribution, in nats.

    $$ \ell = \frac12 \bigl( e^v - 1 - v + m^2 \bigr) $$

    It is the term of a variational autoencoder's latent numbers. A sum over the latent numbers and a mean over the
    examples is `reduction="none"` with `.sum(-1).mean()`.

    Args:
        mean: Means $m$, any shape.
        log_var: Logarithms $v$ of the variances, in the same shape.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape.

    Raises:
        ValueError: The shapes differ.
        TypeError: An input is not real and floating.

    Examples:
        >>> print(f"{jaxloss.gaussian_kl_loss(jnp.array([0.0, 1.0]), jnp.array([0.0, 1.0])):.4f}")
        0.4296

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2014.
    """
    (mean, log_var), dtype = aligned(where, 0.0, mean=mean, log_var=log_var)
    return reduce((exp_excess(log_var) + jnp.square(mean)) / 2, reduction, where, sample_weight, dtype=dtype)


class GaussianKLLoss(Loss, fn=gaussian_kl_loss):
    """Option object of [`gaussian_kl_loss`][jaxloss.gaussian_kl_loss]."""

    reduction: Reduction = static("mean")
