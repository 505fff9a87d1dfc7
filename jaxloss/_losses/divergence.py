"""Divergences: a predicted distribution against its target distribution."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import aligned, filled, floats, has_axis, mask, paired, same_shape
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.counts import float_size
from jaxloss._core.domains import NOT_NEGATIVE, expect, log_probabilities, some_probability, within
from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import exp_excess
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import check_reduction, reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Weight

__all__ = [
    "GaussianKLLoss",
    "GeneralizedKLDivLoss",
    "KLDivLoss",
    "fenchel_young",
    "gaussian_kl_loss",
    "generalized_kl_div",
    "kl_div",
]

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
def generalized_kl_div(
    log_predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Kullback-Leibler divergence between masses that need not sum to 1, per element, in nats.

    $$ \ell = t\,(\log t - x) - t + e^x $$

    No element is negative, and an element is 0 where the mass is the target. For distributions the sum over their
    elements is that of [`kl_div`][jaxloss.kl_div].

    Args:
        log_predictions: Logarithms $x$ of the predicted masses, any shape.
        targets: Target masses $t$, at least 0, in the same shape.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the terms in the inputs' shape. A target of 0 has the term $e^x$, and no gradient in the target. A
        target below 0 makes its term and gradient NaN.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> divergence = jaxloss.generalized_kl_div(jnp.log(jnp.array([2.0, 1.0])), jnp.array([2.0, 3.0]))
        >>> print(f"{divergence:.4f}")
        0.6479

    Source: Csiszar, "Why Least Squares and Maximum Entropy?", 1991.
    """
    predictions, targets, dtype = paired(log_predictions, targets, where, name="log_predictions")
    valid = within(NOT_NEGATIVE, targets=targets)
    # A target of 0 has no logarithm. Where it is replaced, the derivative in it is 0.
    none = targets == 0
    mass = jnp.where(none, 1.0, targets)
    excess = predictions - jnp.log(mass)
    # The three terms cancel near equality, and t (e^d - 1 - d) does not. Far from it e^d alone may overflow.
    near = jnp.abs(excess) < 0.5
    close = mass * exp_excess(jnp.where(near, excess, 0.0))
    far = jnp.exp(predictions) - jnp.where(none, 0.0, mass + mass * jnp.where(none | near, 0.0, excess))
    losses = nan_unless(valid, jnp.where(near & ~none, close, far))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class GeneralizedKLDivLoss(Loss, fn=generalized_kl_div):
    """Option object of [`generalized_kl_div`][jaxloss.generalized_kl_div]."""

    reduction: Reduction = static("mean")


def fenchel_young(
    max_function: Callable[[Float[Array, "classes"]], Float[Array, ""]],
) -> Callable[..., Float[Array, "..."]]:
    r"""Transform a regularised maximum of scores into the loss whose predictions are the maximum's gradient.

    $$ \ell = f(\theta) - \langle \theta, y \rangle, \qquad
       f(\theta) = \max_{p} \langle \theta, p \rangle - \Omega(p) $$

    The gradient in the scores is the prediction minus the target, $\nabla f(\theta) - y$. The loss leaves out
    $\Omega(y)$, which depends on the targets alone. With `jax.scipy.special.logsumexp` the loss is
    [`cross_entropy`][jaxloss.cross_entropy] with probabilities, with `jnp.max` the loss of the perceptron.

    Args:
        max_function: The function $f$ of one vector of scores, shape (C,), with a number as its result.

    Returns:
        A function `loss(scores, targets, *, reduction="mean", where=None, sample_weight=None)` of scores $\theta$ and
        targets $y$ of one shape (N..., C). It has one loss for each entry of (N...). `where` and `sample_weight` have
        that shape. See [`reduce`][jaxloss.reduce]. It raises a ValueError for shapes that differ, and a TypeError for
        scores that are not real and floating.

    Examples:
        >>> loss = jaxloss.fenchel_young(jax.scipy.special.logsumexp)
        >>> scores, targets = jnp.array([[0.5, 2.0], [1.0, 1.0]]), jnp.array([[0.0, 1.0], [0.25, 0.75]])
        >>> print(f"{loss(scores, targets):.4f} {jaxloss.cross_entropy(scores, targets):.4f}")
        0.4473 0.4473

    Source: Blondel, Martins and Niculae, "Learning with Fenchel-Young Losses", 2020.
    """

    def loss(
        scores: Float[ArrayLike, "*batch classes"],
        targets: Shaped[ArrayLike, "*batch classes"],
        *,
        reduction: Reduction = "mean",
        where: Mask | None = None,
        sample_weight: Weight | None = None,
    ) -> Float[Array, "..."]:
        (scores, targets), dtype = floats(scores=scores, targets=targets)
        same_shape(scores=scores, targets=targets)
        has_axis("scores", scores)
        keep = mask(where, scores.shape[:-1])
        scores, targets = filled(scores, keep, 0.0), filled(targets, keep, 0.0)
        maximum = max_function
        for _ in range(scores.ndim - 1):
            maximum = jax.vmap(maximum)
        losses = maximum(scores) - jnp.sum(scores * targets, -1)
        return reduce(losses, reduction, where, sample_weight, dtype=dtype)

    return loss


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
