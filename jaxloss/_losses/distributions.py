"""Negative log-likelihoods of numbers, angles and vectors: whole densities, with no constant left out."""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import aligned, filled, floats, has_axis, has_shape, mask, same_shape
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.domains import NOT_NEGATIVE, POSITIVE, within
from jaxloss._core.elementwise import absolute, log_sum_exp
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.special import log1p_square, log_gamma_step, log_i0e
from jaxloss._core.types import ArrayLike, Mask, Reduction, Weight
from jaxloss._ops.cross_entropy.log_softmax import log_softmax

__all__ = [
    "GaussianMixtureNLLLoss",
    "LaplaceNLLLoss",
    "MultivariateGaussianNLLLoss",
    "StudentTNLLLoss",
    "VonMisesNLLLoss",
    "gaussian_mixture_nll_loss",
    "laplace_nll_loss",
    "multivariate_gaussian_nll_loss",
    "student_t_nll_loss",
    "von_mises_nll_loss",
]

HALF_LOG_2_PI = math.log(2 * math.pi) / 2


@program()
def laplace_nll_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    scale: Float[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of numbers under Laplace distributions with predicted locations, in nats.

    $$ \ell = \log 2 b + \frac{|x - t|}{b} $$

    Args:
        predictions: Locations $x$, any shape.
        targets: Observed numbers $t$, in the same shape and units.
        scale: $b$, above 0, in the same shape and units.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The gradient of the prediction at equality is 0. A scale of 0 or
        below makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions or the scales are not real and floating.

    Examples:
        >>> print(f"{jaxloss.laplace_nll_loss(jnp.array([0.0]), jnp.array([1.0]), jnp.array([0.5])):.4f}")
        2.0000

    Source: Laplace, "Memoir on the Probability of the Causes of Events", 1774.
    """
    (predictions, targets, scale), dtype = aligned(where, 1.0, predictions=predictions, targets=targets, scale=scale)
    scale = nan_unless(within(POSITIVE, scale=scale), scale)
    losses = jnp.log(scale) + math.log(2) + absolute(predictions - targets) / scale
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class LaplaceNLLLoss(Loss, fn=laplace_nll_loss):
    """Option object of [`laplace_nll_loss`][jaxloss.laplace_nll_loss]."""

    reduction: Reduction = static("mean")


@program()
def student_t_nll_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    scale: Float[ArrayLike, "*shape"],
    df: Float[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of numbers under Student's t distributions with predicted locations, in nats.

    $$ \ell = \log \frac{\Gamma(\nu / 2)}{\Gamma((\nu + 1) / 2)} + \frac12 \log \nu \pi + \log s
       + \frac{\nu + 1}{2} \log \Bigl( 1 + \frac{(x - t)^2}{\nu s^2} \Bigr) $$

    Its tails are heavy, so that an outlier pulls little. For a large $\nu$ it is the normal distribution.

    Args:
        predictions: Locations $x$, any shape.
        targets: Observed numbers $t$, in the same shape and units.
        scale: $s$, above 0, in the same shape and units. The variance is $s^2 \nu / (\nu - 2)$.
        df: Degrees of freedom $\nu$, above 0, in the same shape.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A scale or degrees of freedom of 0 or below make their loss and
        gradient NaN.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions, scales or degrees of freedom are not real and floating.

    Examples:
        >>> one = jnp.array([1.0])
        >>> print(f"{jaxloss.student_t_nll_loss(jnp.array([0.0]), one, scale=one, df=4 * one):.4f}")
        1.5387

    Source: Lange, Little and Taylor, "Robust Statistical Modeling Using the t Distribution", 1989.
    """
    (predictions, targets, scale, df), dtype = aligned(
        where, 1.0, predictions=predictions, targets=targets, scale=scale, df=df
    )
    scale = nan_unless(within(POSITIVE, scale=scale), scale)
    df = nan_unless(within(POSITIVE, df=df), df)
    error = (predictions - targets) / scale / jnp.sqrt(df)
    # The logarithms of a large df cancel between the log-gammas and the square root, so that neither is computed.
    normaliser = HALF_LOG_2_PI - log_gamma_step(df / 2, jnp.full_like(df, 0.5)) + jnp.log(scale)
    losses = normaliser + (df / 2 + 0.5) * log1p_square(error)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class StudentTNLLLoss(Loss, fn=student_t_nll_loss):
    """Option object of [`student_t_nll_loss`][jaxloss.student_t_nll_loss]."""

    reduction: Reduction = static("mean")


@program()
def von_mises_nll_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    concentration: Float[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of angles under von Mises distributions with predicted directions, in nats.

    $$ \ell = \log 2 \pi I_0(\kappa) - \kappa \cos(t - x) $$

    Args:
        predictions: Directions $x$ in radians, any shape.
        targets: Observed angles $t$ in radians, in the same shape. A multiple of $2 \pi$ makes no difference.
        concentration: $\kappa$, at least 0, in the same shape. At 0 all angles are equally likely.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A negative concentration makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions or the concentrations are not real and floating.

    Examples:
        >>> print(f"{jaxloss.von_mises_nll_loss(jnp.array([0.0]), jnp.array([1.0]), jnp.array([2.0])):.4f}")
        1.5813

    Source: Mardia and Jupp, "Directional Statistics", 2000.
    """
    (predictions, targets, kappa), dtype = aligned(
        where, 1.0, predictions=predictions, targets=targets, concentration=concentration
    )
    kappa = nan_unless(within(NOT_NEGATIVE, concentration=kappa), kappa)
    # 1 - cos is 2 sin**2 of half the angle, which does not cancel for a small angle.
    half_chord = jnp.sin((predictions - targets) / 2)
    losses = 2 * HALF_LOG_2_PI + log_i0e(kappa) + 2 * kappa * half_chord * half_chord
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class VonMisesNLLLoss(Loss, fn=von_mises_nll_loss):
    """Option object of [`von_mises_nll_loss`][jaxloss.von_mises_nll_loss]."""

    reduction: Reduction = static("mean")


@program()
def gaussian_mixture_nll_loss(
    predictions: Float[ArrayLike, "*shape components"],
    targets: Shaped[ArrayLike, "*shape"],
    scale: Float[ArrayLike, "*shape components"],
    logits: Float[ArrayLike, "*shape components"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of numbers under mixtures of normal distributions, in nats.

    $$ \ell = -\log \sum_k \frac{p_k}{s_k \sqrt{2 \pi}} \exp \Bigl( -\frac{(x_k - t)^2}{2 s_k^2} \Bigr),
       \qquad p = \operatorname{softmax}(z) $$

    Args:
        predictions: Means $x$ of the components, shape (..., K).
        targets: Observed numbers $t$, shape (...), in the same units.
        scale: Standard deviations $s$, above 0, shape (..., K).
        logits: $z$, shape (..., K). A component with a logit of -inf has no weight.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the targets' shape. A scale of 0 or below makes its example's loss NaN. The loss and
        its gradient stay finite where the density is smaller than the smallest number.

    Raises:
        ValueError: The shapes do not fit, or there is no component.
        TypeError: The predictions, scales or logits are not real and floating.

    Examples:
        >>> means, one = jnp.array([[-1.0, 1.0]]), jnp.ones((1, 2))
        >>> print(f"{jaxloss.gaussian_mixture_nll_loss(means, jnp.array([0.5]), one, 0 * one):.4f}")
        1.4238

    Source: Bishop, "Mixture Density Networks", 1994.
    """
    (predictions, targets, scale, logits), dtype = floats(
        predictions=predictions, targets=targets, scale=scale, logits=logits
    )
    has_axis("predictions", predictions)
    same_shape(predictions=predictions, scale=scale, logits=logits)
    has_shape(predictions.shape[:-1], "that of `predictions` without the components", targets=targets)
    keep = mask(where, targets.shape)
    predictions, targets, logits = (filled(each, keep, 0.0) for each in (predictions, targets, logits))
    scale = filled(scale, keep, 1.0)
    scale = nan_unless(within(POSITIVE, scale=scale), scale)
    error = (predictions - targets[..., None]) / scale
    log_densities = -jnp.log(scale) - HALF_LOG_2_PI - error * error / 2
    log_shares = log_softmax(logits, ClassAxis(logits.ndim - 1))
    losses = -log_sum_exp(log_shares + log_densities)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class GaussianMixtureNLLLoss(Loss, fn=gaussian_mixture_nll_loss):
    """Option object of [`gaussian_mixture_nll_loss`][jaxloss.gaussian_mixture_nll_loss]."""

    reduction: Reduction = static("mean")


@program()
def multivariate_gaussian_nll_loss(
    predictions: Float[ArrayLike, "*shape size"],
    targets: Shaped[ArrayLike, "*shape size"],
    scale_tril: Float[ArrayLike, "*shape size size"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of vectors under normal distributions with predicted Cholesky factors, in nats.

    $$ \ell = \frac12 \lVert L^{-1} (x - t) \rVert^2 + \sum_i \log L_{ii} + \frac{D}{2} \log 2 \pi $$

    The covariance is $L L^\top$.

    Args:
        predictions: Means $x$, shape (..., D).
        targets: Observed vectors $t$, shape (..., D), in the same units.
        scale_tril: Lower triangular factors $L$ of the covariances, shape (..., D, D), with a diagonal above 0. The
            entries above the diagonal are not read.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the vectors that take part, shape (...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each vector. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in shape (...). A diagonal entry of 0 or below makes its vector's loss and gradient NaN.

    Raises:
        ValueError: The shapes do not fit, or the vectors are empty.
        TypeError: The predictions or factors are not real and floating.

    Examples:
        >>> error, factor = jnp.array([1.0, 2.0]), jnp.array([[1.0, 0.0], [0.5, 2.0]])
        >>> print(f"{jaxloss.multivariate_gaussian_nll_loss(error, jnp.zeros(2), factor):.4f}")
        3.3123

    Source: Williams, "Using Neural Networks to Model Conditional Multivariate Densities", 1996.
    """
    (predictions, targets, factor), dtype = floats(predictions=predictions, targets=targets, scale_tril=scale_tril)
    size = predictions.shape[has_axis("predictions", predictions)]
    same_shape(predictions=predictions, targets=targets)
    has_shape((*predictions.shape, size), "one square matrix for each vector of `predictions`", scale_tril=factor)
    keep = mask(where, predictions.shape[:-1])
    error = filled(predictions, keep, 0.0) - filled(targets, keep, 0.0)
    row, column = (lax.broadcasted_iota(jnp.int32, factor.shape, factor.ndim - each) for each in (2, 1))
    lower = row >= column if keep is None else (row >= column) & keep[..., None, None]
    # Masked factors become the identity. A select, rather than a product, keeps a NaN out of the upper triangle.
    factor = jnp.where(lower, factor, (row == column).astype(factor.dtype))
    deviations = jnp.sum(jnp.where(row == column, factor, 0.0), axis=-1)
    positive = jnp.all(within(POSITIVE, scale_tril=deviations), axis=-1)
    error = nan_unless(positive[..., None], error)
    whitened = lax.linalg.triangular_solve(factor, error[..., None], left_side=True, lower=True)[..., 0]
    losses = jnp.sum(whitened * whitened, axis=-1) / 2 + jnp.sum(jnp.log(deviations), axis=-1) + size * HALF_LOG_2_PI
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class MultivariateGaussianNLLLoss(Loss, fn=multivariate_gaussian_nll_loss):
    """Option object of [`multivariate_gaussian_nll_loss`][jaxloss.multivariate_gaussian_nll_loss]."""

    reduction: Reduction = static("mean")
