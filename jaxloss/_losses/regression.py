"""Losses of regression: a number against its true value."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, paired
from jaxloss._core.elementwise import absolute
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight

__all__ = [
    "HuberLoss",
    "L1Loss",
    "MSELoss",
    "SmoothL1Loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
]


@program()
def l1_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Absolute error.

    $$ \ell = |x - t| $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The gradient at equality is 0.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(jaxloss.l1_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0])))
        1.25

    Source: `torch.nn.L1Loss`.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    return reduce(absolute(predictions - targets), reduction, where, sample_weight, dtype=dtype)


class L1Loss(Loss, fn=l1_loss):
    """Option object of [`l1_loss`][jaxloss.l1_loss]."""

    reduction: Reduction = static("mean")


@program()
def mse_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Squared error, without a factor of one half.

    $$ \ell = (x - t)^2 $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape, in the square of their units.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(jaxloss.mse_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0])))
        2.125

    Source: `torch.nn.MSELoss`.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    return reduce(jnp.square(predictions - targets), reduction, where, sample_weight, dtype=dtype)


class MSELoss(Loss, fn=mse_loss):
    """Option object of [`mse_loss`][jaxloss.mse_loss]."""

    reduction: Reduction = static("mean")


@program(delta=Number(above=0))
def huber_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    delta: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Huber loss: squared error near 0, absolute error beyond `delta`.

    $$ \ell = \begin{cases} \frac12 (x - t)^2 & |x - t| < \delta \\
       \delta\,(|x - t| - \frac12 \delta) & \text{otherwise} \end{cases} $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        delta: The error at which the loss becomes linear, above 0, in the units of the error. `huber_loss` is `delta`
            times `smooth_l1_loss` with `beta=delta`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape, in the square of their units.

    Raises:
        ValueError: The shapes differ, or `delta` is not above 0.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(jaxloss.huber_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0])))
        0.8125

    Source: `torch.nn.HuberLoss`; Huber, "Robust Estimation of a Location Parameter", 1964.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    delta = jnp.asarray(delta, predictions.dtype)
    error = predictions - targets
    # One product serves both branches: `near` is the error clipped to delta. The error is never squared unclipped, so
    # that a large one does not overflow.
    limit = jnp.broadcast_to(delta, error.shape)
    near = lax.clamp(-limit, error, limit)
    return reduce(near * (error - near / 2), reduction, where, sample_weight, dtype=dtype)


class HuberLoss(Loss, fn=huber_loss):
    """Option object of [`huber_loss`][jaxloss.huber_loss]."""

    delta: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(beta=Number(at_least=0))
def smooth_l1_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    beta: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Smooth L1 loss: absolute error, rounded to a parabola below `beta`.

    $$ \ell = \begin{cases} \frac{1}{2 \beta} (x - t)^2 & |x - t| < \beta \\
       |x - t| - \frac12 \beta & \text{otherwise} \end{cases} $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        beta: The error below which the loss is quadratic, at least 0, in the units of the error. 0 gives `l1_loss`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape and units.

    Raises:
        ValueError: The shapes differ, or `beta` is negative.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(jaxloss.smooth_l1_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]), beta=2.0))
        0.53125

    Source: `torch.nn.SmoothL1Loss`; Girshick, "Fast R-CNN", 2015.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    beta = jnp.asarray(beta, predictions.dtype)
    error = absolute(predictions - targets)
    quadratic = error < beta
    # The unused branch must stay finite, because its derivative is multiplied by 0 and 0 * inf is NaN: large errors are
    # replaced before they are squared, and a beta of 0 before it divides.
    near = jnp.where(quadratic, error, 0.0)
    losses = jnp.where(quadratic, near * (near / jnp.where(beta == 0, 1.0, beta)) / 2, error - beta / 2)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class SmoothL1Loss(Loss, fn=smooth_l1_loss):
    """Option object of [`smooth_l1_loss`][jaxloss.smooth_l1_loss]."""

    beta: Scalar = 1.0
    reduction: Reduction = static("mean")
