"""Robust losses whose gradient falls again as the error grows, so that outliers have almost no say.

They belong to the family of robust.py.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, paired
from jaxloss._core.objects import Loss
from jaxloss._core.penalties import biweight, general_penalty, well
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight


@program(scale=Number(above=0))
def cauchy_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    scale: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Cauchy loss: the logarithm of the squared error plus 1.

    $$ \ell = \log\left( 1 + \frac12 z \right), \qquad z = \left( \frac{x - t}{c} \right)^2 $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        scale: The scale $c$ of usual errors, above 0, in the units of the error.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape.

    Raises:
        ValueError: The shapes differ, or `scale` is not above 0.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.cauchy_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]))
        >>> print(f"{loss:.4f}")
        0.6082

    Source: Black and Anandan, "The Robust Estimation of Multiple Motions", 1996; Barron, "A General and
    Adaptive Robust Loss Function", 2019.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    scale = jnp.asarray(scale, predictions.dtype)
    losses = general_penalty((predictions - targets) / scale, jnp.zeros((), predictions.dtype))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class CauchyLoss(Loss, fn=cauchy_loss):
    """Option object of [`cauchy_loss`][jaxloss.cauchy_loss]."""

    scale: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(scale=Number(above=0))
def geman_mcclure_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    scale: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Geman-McClure loss: bounded, so that an outlier has almost no gradient.

    $$ \ell = \frac{2 z}{z + 4}, \qquad z = \left( \frac{x - t}{c} \right)^2 $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        scale: The scale $c$ of usual errors, above 0, in the units of the error.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. It is at most 2.

    Raises:
        ValueError: The shapes differ, or `scale` is not above 0.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.geman_mcclure_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]))
        >>> print(f"{loss:.4f}")
        0.5588

    Source: Geman and McClure, "Bayesian Image Analysis", 1985; Barron, "A General and Adaptive Robust Loss
    Function", 2019.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    scale = jnp.asarray(scale, predictions.dtype)
    losses = general_penalty((predictions - targets) / scale, jnp.full((), -2.0, predictions.dtype))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class GemanMcClureLoss(Loss, fn=geman_mcclure_loss):
    """Option object of [`geman_mcclure_loss`][jaxloss.geman_mcclure_loss]."""

    scale: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(scale=Number(above=0))
def welsch_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    scale: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Welsch loss: bounded, with a gradient that vanishes faster than any power of the error.

    $$ \ell = 1 - e^{-z / 2}, \qquad z = \left( \frac{x - t}{c} \right)^2 $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        scale: The scale $c$ of usual errors, above 0, in the units of the error.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. It is at most 1.

    Raises:
        ValueError: The shapes differ, or `scale` is not above 0.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.welsch_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]))
        >>> print(f"{loss:.4f}")
        0.4911

    Source: Dennis and Welsch, "Techniques for Nonlinear Least Squares and Robust Regression", 1978.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    scale = jnp.asarray(scale, predictions.dtype)
    return reduce(well((predictions - targets) / scale), reduction, where, sample_weight, dtype=dtype)


class WelschLoss(Loss, fn=welsch_loss):
    """Option object of [`welsch_loss`][jaxloss.welsch_loss]."""

    scale: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(c=Number(above=0))
def tukey_biweight_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    c: Scalar = 4.685,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Tukey's biweight: errors beyond `c` have no gradient.

    $$ \ell = \begin{cases} \frac{c^2}{6} \left( 1 - \left( 1 - \frac{(x - t)^2}{c^2} \right)^3 \right) & |x - t| < c \\
       \frac{c^2}{6} & \text{otherwise} \end{cases} $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        c: The error from which the loss is constant, above 0, in the units of the error. The default gives an
            efficiency of 95 % for normal noise of deviation 1.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape, in the square of their units.

    Raises:
        ValueError: The shapes differ, or `c` is not above 0.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.tukey_biweight_loss(jnp.array([1.0, 2.0]), jnp.array([1.5, 4.0]))
        >>> print(f"{loss:.4f}")
        0.8906

    Source: Beaton and Tukey, "The Fitting of Power Series, Meaning Polynomials, Illustrated on Band-Spectroscopic
    Data", 1974.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    c = jnp.asarray(c, predictions.dtype)
    return reduce(jnp.square(c) * biweight((predictions - targets) / c), reduction, where, sample_weight, dtype=dtype)


class TukeyBiweightLoss(Loss, fn=tukey_biweight_loss):
    """Option object of [`tukey_biweight_loss`][jaxloss.tukey_biweight_loss]."""

    c: Scalar = 4.685
    reduction: Reduction = static("mean")
