"""Losses of a number against the number it should have been."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Shaped

from jaxloss._checked import expect
from jaxloss._checks import NOT_NEGATIVE, floats, option, paired
from jaxloss._loss import Loss
from jaxloss._numerics import Tangent, absolute, along, limits, nan_unless, times_log
from jaxloss._pytree import static
from jaxloss._reduce import filled, mask, reduce
from jaxloss._types import Mask, Reduction, Scalar, Weight

__all__ = [
    "GaussianNLLLoss",
    "HuberLoss",
    "L1Loss",
    "MSELoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "gaussian_nll_loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
]

Values = Float[Array, "..."]


def l1_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""The absolute error.

    $$ \ell = |x - t| $$

    Args:
        predictions: $x$, any shape.
        targets: $t$, the same shape, in the same units.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The gradient at equality is 0.

    Raises:
        ValueError: shapes that differ.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> print(jaxloss.l1_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0])))
        1.25

    Source: `torch.nn.L1Loss`.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    return reduce(absolute(predictions - targets), reduction, where, sample_weight, dtype=dtype)


class L1Loss(Loss, fn=l1_loss):
    """[`l1_loss`][jaxloss.l1_loss] and its options as one value."""

    reduction: Reduction = static("mean")


def mse_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""The squared error, without a factor of one half.

    $$ \ell = (x - t)^2 $$

    Args:
        predictions: $x$, any shape.
        targets: $t$, the same shape, in the same units.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape, in the square of their units.

    Raises:
        ValueError: shapes that differ.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> print(jaxloss.mse_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0])))
        2.125

    Source: `torch.nn.MSELoss`.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    return reduce(jnp.square(predictions - targets), reduction, where, sample_weight, dtype=dtype)


class MSELoss(Loss, fn=mse_loss):
    """[`mse_loss`][jaxloss.mse_loss] and its options as one value."""

    reduction: Reduction = static("mean")


def huber_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    delta: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Half the squared error up to `delta`, and its tangent, a multiple of the absolute error, beyond it.

    $$ \ell = \begin{cases} \frac12 (x - t)^2 & |x - t| < \delta \\
       \delta\,(|x - t| - \frac12 \delta) & \text{otherwise} \end{cases} $$

    Args:
        predictions: $x$, any shape.
        targets: $t$, the same shape, in the same units.
        delta: above 0, in the units of the error. `huber_loss` is `delta` times `smooth_l1_loss` with `beta=delta`.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape, in the square of their units.

    Raises:
        ValueError: shapes that differ, a `delta` that is not above 0.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> print(jaxloss.huber_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0])))
        0.8125

    Source: `torch.nn.HuberLoss`; Huber, "Robust Estimation of a Location Parameter", 1964.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    delta = option("delta", delta, predictions, above=0)
    error = predictions - targets
    limit = jnp.broadcast_to(delta, error.shape)
    near = lax.clamp(-limit, error, limit)
    return reduce(near * (error - near / 2), reduction, where, sample_weight, dtype=dtype)


class HuberLoss(Loss, fn=huber_loss):
    """[`huber_loss`][jaxloss.huber_loss] and its options as one value."""

    delta: Scalar = 1.0
    reduction: Reduction = static("mean")


def smooth_l1_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    beta: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""The absolute error, rounded off to a parabola where it is below `beta`.

    $$ \ell = \begin{cases} \frac{1}{2 \beta} (x - t)^2 & |x - t| < \beta \\
       |x - t| - \frac12 \beta & \text{otherwise} \end{cases} $$

    Args:
        predictions: $x$, any shape.
        targets: $t$, the same shape, in the same units.
        beta: at least 0, in the units of the error; 0 gives `l1_loss`.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape and units.

    Raises:
        ValueError: shapes that differ, a negative `beta`.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> print(jaxloss.smooth_l1_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]), beta=2.0))
        0.53125

    Source: `torch.nn.SmoothL1Loss`; Girshick, "Fast R-CNN", 2015.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    beta = option("beta", beta, predictions, at_least=0)
    error = absolute(predictions - targets)
    quadratic = error < beta
    near = jnp.where(quadratic, error, 0.0)
    # Where beta is 0 nothing is quadratic, and the 1 only keeps the branch not taken finite.
    losses = jnp.where(quadratic, near * (near / jnp.where(beta == 0, 1.0, beta)) / 2, error - beta / 2)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class SmoothL1Loss(Loss, fn=smooth_l1_loss):
    """[`smooth_l1_loss`][jaxloss.smooth_l1_loss] and its options as one value."""

    beta: Scalar = 1.0
    reduction: Reduction = static("mean")


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
    r"""How surprised a Poisson distribution of the predicted rate is by a count, in nats.

    $$ \ell = e^x - t x \qquad\text{or, of a rate,}\qquad \ell = x - t \log(x + \epsilon) $$

    Args:
        predictions: $x$, the logarithm of the rate, or the rate itself (at least 0) if not `log_input`.
        targets: $t$, counts of at least 0, the same shape.
        log_input: whether the predictions are logarithms.
        full: adds Stirling's approximation of log(t!), $t \log t - t + \frac12 \log 2 \pi t$, where t > 1.
        eps: keeps the logarithm of a rate of 0 finite.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A log-rate of -inf is taken for the dtype's lowest number, so that
        it costs 0 for a count of 0. A rate below `-eps` is NaN, gradient included.

    Raises:
        ValueError: shapes that differ.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> print(f"{jaxloss.poisson_nll_loss(jnp.array([0.0, 1.0]), jnp.array([0.0, 3.0])):.4f}")
        0.3591

    Source: `torch.nn.PoissonNLLLoss`.
    """
    predictions, targets, dtype = paired(predictions, targets, where, fill=1.0)
    expect(NOT_NEGATIVE, targets=targets)
    if log_input:
        rates, log_rates = jnp.exp(predictions), predictions
    else:
        expect(NOT_NEGATIVE, predictions=predictions)
        rates, log_rates = predictions, _log_plus(predictions, option("eps", eps, predictions))
    if full:
        # Stirling's t log t - t goes into the product with t, where large terms do not meet as inf - inf.
        counted = targets > 1
        log_counts = jnp.log(jnp.where(counted, targets, 1.0))
        rates = rates + jnp.where(counted, (log_counts + math.log(2 * math.pi)) / 2, 0.0)
        log_rates = log_rates - jnp.where(counted, log_counts - 1, 0.0)
    losses = rates - times_log(targets, log_rates)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


@jax.custom_jvp
def _log_plus(x: Values, eps: Values) -> Values:
    """log(x + eps), with what rounding takes from the sum; NaN, derivative included, where the sum is negative."""
    total = x + eps
    of_eps = total - x
    lost = (x - (total - of_eps)) + (eps - of_eps)
    return jnp.log(total) + lost / jnp.maximum(total, limits(x.dtype).tiny)


@partial(_log_plus.defjvp, symbolic_zeros=True)
def _log_plus_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    total = primals[0] + primals[1]
    one = jnp.ones_like(total)
    return _log_plus(*primals), nan_unless(total >= 0, along(tangents, lambda: one, lambda: one) / total)


class PoissonNLLLoss(Loss, fn=poisson_nll_loss):
    """[`poisson_nll_loss`][jaxloss.poisson_nll_loss] and its options as one value."""

    log_input: bool = static(True)
    full: bool = static(False)
    eps: Scalar = 1e-8
    reduction: Reduction = static("mean")


def gaussian_nll_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "..."],
    var: Float[ArrayLike, "..."],
    *,
    full: bool = False,
    eps: Scalar = 1e-6,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""How surprised a normal distribution of the predicted mean and variance is by a number, in nats.

    $$ \ell = \frac12 \Bigl( \log v + \frac{(x - t)^2}{v} \Bigr), \qquad v = \max(\text{var}, \epsilon) $$

    Args:
        predictions: $x$, the means, any shape.
        targets: $t$, the same shape, or lacking leading axes of it.
        var: variances of at least 0, in the square of the predictions' units: the same shape; or lacking the last
            axis; or with axes of size 1; or one number.
        full: adds $\frac12 \log 2 \pi$.
        eps: above 0, the least variance. The clamp is not differentiated: the gradient is taken at the clamped value
            and reaches a clamped variance, which would otherwise never leave the clamp.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the predictions' shape. A negative variance has a loss and gradient of NaN.

    Raises:
        ValueError: shapes that do not fit, an `eps` that is not above 0.
        TypeError: predictions or variances that are not real and floating.

    Examples:
        >>> means, variances = jnp.array([0.0, 1.0]), jnp.array([1.0, 4.0])
        >>> print(f"{jaxloss.gaussian_nll_loss(means, jnp.array([1.0, 1.0]), variances):.4f}")
        0.5966

    Source: `torch.nn.GaussianNLLLoss`; Nix and Weigend, "Estimating the Mean and Variance of the Target Probability
    Distribution", 1994.
    """
    (predictions, targets, var), dtype = floats(predictions=predictions, targets=targets, var=var)
    shape, keep = predictions.shape, mask(where, predictions.shape)
    if targets.shape != shape[predictions.ndim - targets.ndim :]:
        raise ValueError(f"`targets` has shape {targets.shape}, but `predictions` ends in no such shape: {shape}.")
    targets = jnp.broadcast_to(targets, shape)
    var = _variance(var, shape, option("eps", eps, predictions, above=0), keep)
    error = filled(predictions, keep, 0.0) - filled(targets, keep, 0.0)
    constant = math.log(2 * math.pi) / 2 if full else 0.0
    losses = jnp.log(var) / 2 + _squared_over(error, var) + constant
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class GaussianNLLLoss(Loss, fn=gaussian_nll_loss):
    """[`gaussian_nll_loss`][jaxloss.gaussian_nll_loss] and its options as one value."""

    full: bool = static(False)
    eps: Scalar = 1e-6
    reduction: Reduction = static("mean")


def _variance(var: Values, shape: tuple[int, ...], eps: Values, keep: Bool[Array, "..."] | None) -> Values:
    """Variances clamped from below by `eps`, with as many axes as the predictions."""
    if var.ndim == 0:
        var = jnp.broadcast_to(var, (1,) * len(shape))
    elif var.shape == shape[:-1]:
        var = var[..., None]
    if var.ndim != len(shape) or any(have not in (1, want) for have, want in zip(var.shape, shape, strict=True)):
        raise ValueError(
            f"`var` has shape {var.shape}, but must have the predictions' {shape}, or lack the last axis of it, or "
            "have axes of size 1 instead, or be one number."
        )
    var = filled(var, keep, 1.0)
    expect(NOT_NEGATIVE, var=var)
    return _floored(var, eps)


@jax.custom_jvp
def _squared_over(error: Values, var: Values) -> Values:
    """error^2 / (2 var), where neither the square nor a power of the variance overflows, in the derivatives too."""
    return (error / 2) * (error / var)


@partial(_squared_over.defjvp, symbolic_zeros=True)
def _squared_over_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    error, var = primals
    ratio = error / var
    return _squared_over(error, var), along(tangents, lambda: ratio, lambda: -ratio * (ratio / 2))


@jax.custom_jvp
def _floored(var: Values, eps: Values) -> Values:
    """max(var, eps), with the derivative 1 in `var` on both sides; NaN, derivative included, below 0."""
    return jnp.where(var < 0, jnp.nan, jnp.maximum(var, eps))


@_floored.defjvp
def _floored_jvp(primals: tuple[Values, Values], tangents: tuple[Values, Values]) -> tuple[Values, Values]:
    var, eps = primals
    return _floored(var, eps), nan_unless(var >= 0, tangents[0]) + jnp.where(var < eps, tangents[1], 0.0)
