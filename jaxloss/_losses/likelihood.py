"""Negative log-likelihoods of observed numbers under predicted distributions."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Shaped

from jaxloss._core.arguments import Number, filled, floats, is_off, mask, paired
from jaxloss._core.autodiff import Tangent, along, nan_unless
from jaxloss._core.domains import NOT_NEGATIVE, expect
from jaxloss._core.dtypes import limits
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._ops.elementwise import clamped_variance, half_square_over, stirling_logs, times_log

__all__ = ["GaussianNLLLoss", "PoissonNLLLoss", "gaussian_nll_loss", "poisson_nll_loss"]


@program(eps=Number())
def poisson_nll_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    log_input: bool = True,
    full: bool = False,
    eps: Scalar = 1e-8,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of counts under Poisson distributions with predicted rates, in nats.

    $$ \ell = e^x - t x \qquad\text{or, with rates as predictions,}\qquad \ell = x - t \log(x + \epsilon) $$

    Args:
        predictions: Logarithms $x$ of the rates, any shape; or the rates, at least 0, if `log_input` is False.
        targets: Counts $t$ of at least 0, in the same shape.
        log_input: Whether the predictions are logarithms.
        full: Whether to add Stirling's approximation of log(t!), $t \log t - t + \frac12 \log 2 \pi t$, where t > 1.
        eps: A number added to the rate inside the logarithm. It keeps the logarithm of a rate of 0 finite.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A log-rate of -inf is replaced by the dtype's lowest number, so
        that it costs 0 for a count of 0. A rate below `-eps` makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(f"{jaxloss.poisson_nll_loss(jnp.array([0.0, 1.0]), jnp.array([0.0, 3.0])):.4f}")
        0.3591

    Source: `torch.nn.PoissonNLLLoss`.
    """
    # Masked rates and counts are filled with 1, whose logarithms are finite.
    predictions, targets, dtype = paired(predictions, targets, where, fill=1.0)
    expect(NOT_NEGATIVE, targets=targets)
    if log_input:
        rates, log_rates = jnp.exp(predictions), predictions
    else:
        expect(NOT_NEGATIVE, predictions=predictions)
        rates, log_rates = predictions, _log_plus(predictions, jnp.asarray(eps, predictions.dtype))
    if full:
        # The terms t log t - t join the product with t: for large counts they would overflow and meet as inf - inf.
        log_counts, counted = stirling_logs(targets)
        rates = rates + (log_counts + counted * math.log(2 * math.pi)) / 2
        log_rates = log_rates - (log_counts - counted)
    losses = rates - times_log(targets, log_rates)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


@jax.custom_jvp
def _log_plus(x: Values, eps: Values) -> Values:
    """log(x + eps) without the rounding error of the sum; NaN, derivative included, where the sum is negative."""
    total = x + eps
    # Knuth's exact error of a rounded sum. Its effect on the logarithm is added as the first term of the Taylor series.
    rounded_eps = total - x
    error = (x - (total - rounded_eps)) + (eps - rounded_eps)
    return jnp.log(total) + error / jnp.maximum(total, limits(x.dtype).tiny)


@partial(_log_plus.defjvp, symbolic_zeros=True)
def _log_plus_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    total = primals[0] + primals[1]
    one = jnp.ones_like(total)
    return _log_plus(*primals), nan_unless(total >= 0, along(tangents, lambda: one, lambda: one) / total)


class PoissonNLLLoss(Loss, fn=poisson_nll_loss):
    """Option object of [`poisson_nll_loss`][jaxloss.poisson_nll_loss]."""

    log_input: bool = static(True)
    full: bool = static(False)
    eps: Scalar = 1e-8
    reduction: Reduction = static("mean")


@program(eps=Number(above=0), beta=Number(at_least=0, off=0.0))
def gaussian_nll_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "..."],
    var: Float[ArrayLike, "..."],
    *,
    full: bool = False,
    eps: Scalar = 1e-6,
    beta: Scalar = 0.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of numbers under normal distributions with predicted means and variances, in nats.

    $$ \ell = \frac12 \Bigl( \log v + \frac{(x - t)^2}{v} \Bigr), \qquad v = \max(\text{var}, \epsilon) $$

    Args:
        predictions: Means $x$, any shape.
        targets: Observed numbers $t$. They have the predictions' shape, or lack leading axes of it, or have axes of
            size 1 instead.
        var: Variances of at least 0, in the square of the predictions' units. They have the predictions' shape, or lack
            its last axis, or have axes of size 1, or are one number.
        full: Whether to add the constant $\frac12 \log 2 \pi$.
        eps: The least variance, above 0. The clamp is not differentiated: the gradient is that of the clamped value,
            and it reaches a clamped variance, which would otherwise never leave the clamp.
        beta: The power of the variance that multiplies the loss, at least 0. The factor is not differentiated. At 0
            examples with a large predicted variance hardly move their mean. At 1 the mean learns as with `mse_loss`.
            Seitzer and others recommend 0.5.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the predictions' shape. A negative variance makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes do not fit, `eps` is not above 0, or `beta` is negative.
        TypeError: The predictions or the variances are not real and floating.

    Examples:
        >>> means, variances = jnp.array([0.0, 1.0]), jnp.array([1.0, 4.0])
        >>> print(f"{jaxloss.gaussian_nll_loss(means, jnp.array([1.0, 1.0]), variances):.4f}")
        0.5966

    Source: `torch.nn.GaussianNLLLoss`; Nix and Weigend, "Estimating the Mean and Variance of the Target Probability
    Distribution", 1994. `beta` is from Seitzer et al., "On the Pitfalls of Heteroscedastic Uncertainty Estimation with
    Probabilistic Neural Networks", 2022.
    """
    (predictions, targets, var), dtype = floats(predictions=predictions, targets=targets, var=var)
    shape, keep = predictions.shape, mask(where, predictions.shape)
    if not _broadcasts(targets.shape, shape) and targets.shape != shape[predictions.ndim - targets.ndim :]:
        raise ValueError(
            f"`targets` has shape {targets.shape}, but must have the predictions' {shape}, or lack leading axes of it, "
            "or have axes of size 1 instead."
        )
    targets = jnp.broadcast_to(targets, shape)
    var = _variance(var, shape, jnp.asarray(eps, predictions.dtype), keep)
    error = filled(predictions, keep, 0.0) - filled(targets, keep, 0.0)
    constant = math.log(2 * math.pi) / 2 if full else 0.0
    losses = jnp.log(var) / 2 + half_square_over(error, var) + constant
    if not is_off(beta):
        losses = losses * jnp.power(lax.stop_gradient(var), jnp.asarray(beta, var.dtype))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class GaussianNLLLoss(Loss, fn=gaussian_nll_loss):
    """Option object of [`gaussian_nll_loss`][jaxloss.gaussian_nll_loss]."""

    full: bool = static(False)
    eps: Scalar = 1e-6
    beta: Scalar = 0.0
    reduction: Reduction = static("mean")


def _broadcasts(have: tuple[int, ...], want: tuple[int, ...]) -> bool:
    """Whether a shape is another one with some axes of size 1."""
    return len(have) == len(want) and all(here in (1, there) for here, there in zip(have, want, strict=True))


def _variance(var: Values, shape: tuple[int, ...], eps: Values, keep: Bool[Array, "..."] | None) -> Values:
    """Variances clamped from below by `eps`, with as many axes as the predictions."""
    if var.ndim == 0:
        var = jnp.broadcast_to(var, (1,) * len(shape))
    elif var.shape == shape[:-1]:
        var = var[..., None]
    if not _broadcasts(var.shape, shape):
        raise ValueError(
            f"`var` has shape {var.shape}, but must have the predictions' {shape}, or lack the last axis of it, or "
            "have axes of size 1 instead, or be one number."
        )
    var = filled(var, keep, 1.0)  # a masked variance of 0 must not divide
    expect(NOT_NEGATIVE, var=var)
    return clamped_variance(var, eps)
