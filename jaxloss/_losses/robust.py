"""Losses of regression in which outliers count less."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, paired
from jaxloss._core.objects import Loss
from jaxloss._core.penalties import general_penalty, hypotenuse, log_cosh, rounded_tip
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.redescending import (
    CauchyLoss,
    GemanMcClureLoss,
    TukeyBiweightLoss,
    WelschLoss,
    cauchy_loss,
    geman_mcclure_loss,
    tukey_biweight_loss,
    welsch_loss,
)

__all__ = [
    "CauchyLoss",
    "CharbonnierLoss",
    "GemanMcClureLoss",
    "LogCoshLoss",
    "PseudoHuberLoss",
    "RobustLoss",
    "TukeyBiweightLoss",
    "WelschLoss",
    "cauchy_loss",
    "charbonnier_loss",
    "geman_mcclure_loss",
    "log_cosh_loss",
    "pseudo_huber_loss",
    "robust_loss",
    "tukey_biweight_loss",
    "welsch_loss",
]


@program()
def log_cosh_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Logarithm of the hyperbolic cosine of the error.

    $$ \ell = \log \cosh(x - t) $$

    The loss is half the squared error near 0, and the absolute error minus $\log 2$ far from 0.

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The gradient is the hyperbolic
        tangent of the error.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.log_cosh_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]))
        >>> print(f"{loss:.4f}")
        0.7226

    Source: Chen et al., "Log Hyperbolic Cosine Loss Improves Variational Auto-Encoder", 2018.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    return reduce(log_cosh(predictions - targets), reduction, where, sample_weight, dtype=dtype)


class LogCoshLoss(Loss, fn=log_cosh_loss):
    """Option object of [`log_cosh_loss`][jaxloss.log_cosh_loss]."""

    reduction: Reduction = static("mean")


@program(delta=Number(above=0))
def pseudo_huber_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    delta: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Pseudo-Huber loss: a smooth form of the Huber loss.

    $$ \ell = \delta^2 \left( \sqrt{1 + (x - t)^2 / \delta^2} - 1 \right) $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        delta: The error at which the loss turns from a square to a line, above 0, in the units of the error.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape, in the square of their units.

    Raises:
        ValueError: The shapes differ, or `delta` is not above 0.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.pseudo_huber_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]))
        >>> print(f"{loss:.4f}")
        0.6771

    Source: Charbonnier et al., "Deterministic Edge-Preserving Regularization in Computed Imaging", 1997.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    delta = jnp.asarray(delta, predictions.dtype)
    return reduce(delta * rounded_tip(predictions - targets, delta), reduction, where, sample_weight, dtype=dtype)


class PseudoHuberLoss(Loss, fn=pseudo_huber_loss):
    """Option object of [`pseudo_huber_loss`][jaxloss.pseudo_huber_loss]."""

    delta: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(eps=Number(at_least=0))
def charbonnier_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    eps: Scalar = 1e-3,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Charbonnier loss: absolute error with a rounded tip.

    $$ \ell = \sqrt{(x - t)^2 + \epsilon^2} $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        eps: The radius $\epsilon$ of the tip, at least 0, in the units of the error. The loss of no error is `eps`, and
            0 gives `l1_loss`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape and units.

    Raises:
        ValueError: The shapes differ, or `eps` is negative.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.charbonnier_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]))
        >>> print(f"{loss:.4f}")
        1.2500

    Source: Lai et al., "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", 2017.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    eps = jnp.asarray(eps, predictions.dtype)
    return reduce(hypotenuse(predictions - targets, eps), reduction, where, sample_weight, dtype=dtype)


class CharbonnierLoss(Loss, fn=charbonnier_loss):
    """Option object of [`charbonnier_loss`][jaxloss.charbonnier_loss]."""

    eps: Scalar = 1e-3
    reduction: Reduction = static("mean")


@program(alpha=Number(), scale=Number(above=0))
def robust_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    alpha: Scalar = 1.0,
    scale: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Barron's general robust loss, whose `alpha` says how little outliers count.

    $$ \ell = \frac{b}{\alpha} \left( \left( \frac{z}{b} + 1 \right)^{\alpha / 2} - 1 \right), \qquad
       b = |\alpha - 2|, \quad z = \left( \frac{x - t}{c} \right)^2 $$

    Limits hold at $\alpha = 2$, half the squared error, and at $\alpha = 0$, `cauchy_loss`. $\alpha = 1$ is
    `pseudo_huber_loss` divided by the square of its `delta`, and $\alpha = -2$ is `geman_mcclure_loss`. A falling
    $\alpha$ approaches `welsch_loss`. `alpha` may be traced, learnt and mapped over.

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        alpha: The shape $\alpha$, any finite number.
        scale: The scale $c$ of usual errors, above 0, in the units of the error.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The derivative in `alpha` is
        infinite at 2. It is kept finite by a floor of 1e-6 for $b$, which is 1e-12 in float64.

    Raises:
        ValueError: The shapes differ, `alpha` is not finite, or `scale` is not above 0.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.robust_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]))
        >>> print(f"{loss:.4f}")
        0.6771

    Source: Barron, "A General and Adaptive Robust Loss Function", 2019.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    alpha, scale = (jnp.asarray(option, predictions.dtype) for option in (alpha, scale))
    error = (predictions - targets) / scale
    return reduce(general_penalty(error, alpha), reduction, where, sample_weight, dtype=dtype)


class RobustLoss(Loss, fn=robust_loss):
    """Option object of [`robust_loss`][jaxloss.robust_loss]."""

    alpha: Scalar = 1.0
    scale: Scalar = 1.0
    reduction: Reduction = static("mean")
