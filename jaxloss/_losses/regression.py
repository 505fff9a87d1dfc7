"""Losses of a number against the number it should have been."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Shaped

from jaxloss._core.arguments import option, paired
from jaxloss._core.elementwise import absolute
from jaxloss._core.objects import Loss
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import Mask, Reduction, Scalar, Weight

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
