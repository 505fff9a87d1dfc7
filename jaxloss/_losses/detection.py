"""Losses of detectors: a yes-or-no score for each place. Few of the answers are yes."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, filled, floats, has_axis, is_off, mask, paired
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.domains import PROBABILITY, Domain, within
from jaxloss._core.elementwise import absolute, clamp_max, hinge, power, sigmoid, softplus, times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._losses.binary import binary_nll
from jaxloss._ops.cross_entropy import row_losses
from jaxloss._ops.cross_entropy.problem import Options, Probabilities

__all__ = [
    "AsymmetricLoss",
    "DistributionFocalLoss",
    "QualityFocalLoss",
    "SigmoidFocalLoss",
    "VarifocalLoss",
    "asymmetric_loss",
    "distribution_focal_loss",
    "quality_focal_loss",
    "sigmoid_focal_loss",
    "varifocal_loss",
]


@program(alpha=Number(at_least=0, at_most=1), gamma=Number(at_least=0))
def sigmoid_focal_loss(
    logits: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    alpha: Scalar | None = 0.25,
    gamma: Scalar = 2.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Focal loss of a sigmoid: binary cross-entropy in which well classified elements count less.

    $$ \ell = -\bigl( \alpha t + (1 - \alpha)(1 - t) \bigr)\, q^\gamma
       \bigl( t \log \sigma(x) + (1 - t) \log \sigma(-x) \bigr), \qquad q = t\, \sigma(-x) + (1 - t)\, \sigma(x) $$

    $q$ is the probability of the wrong answer. The focal loss of one class out of many is
    [`softmax_focal_loss`][jaxloss.softmax_focal_loss].

    Args:
        logits: Log-odds $x$, any shape.
        targets: Labels $t$, booleans or probabilities in [0, 1], in the same shape. Some detectors mark elements to be
            ignored by -1: use `where=targets >= 0`.
        alpha: The factor $\alpha$ of the positive labels, in [0, 1]. With None all labels have the factor 1.
        gamma: The focusing exponent $\gamma$, at least 0. At 0, and without `alpha`, the loss is
            [`binary_cross_entropy_with_logits`][jaxloss.binary_cross_entropy_with_logits].
        reduction: `"mean"`, `"sum"` or `"none"`. RetinaNet divides the sum by the number of positive labels. See
            [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A target outside [0, 1] makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ, or an option is out of range.
        TypeError: The logits are not real and floating.

    Examples:
        >>> print(f"{jaxloss.sigmoid_focal_loss(jnp.array([0.0, -4.0]), jnp.array([1, 0])):.4f}")
        0.0217

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017; `torchvision.ops.sigmoid_focal_loss`, whose
    `reduction` is "none" by default, and whose `alpha=-1` is None here.
    """
    logits, targets, dtype = paired(logits, targets, where, name="logits")
    losses = _focused(logits, targets, jnp.asarray(gamma, logits.dtype), 1)
    if alpha is not None:
        share = jnp.asarray(alpha, logits.dtype)
        losses = losses * (share * targets + (1 - share) * (1 - targets))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class SigmoidFocalLoss(Loss, fn=sigmoid_focal_loss):
    """Option object of [`sigmoid_focal_loss`][jaxloss.sigmoid_focal_loss]."""

    alpha: Scalar | None = 0.25
    gamma: Scalar = 2.0
    reduction: Reduction = static("mean")


def _focused(logits: Values, targets: Values, exponent: Values, side: int) -> Values:
    """The binary cross-entropy times |t s(-x) + side (1 - t) s(x)|**exponent.

    With side 1 the factor is the probability of the wrong answer, and with side -1 the distance of the probability from
    the target. Neither is a subtraction from 1, so that both keep their digits near 0.
    """
    x = _bounded(logits)
    factor = absolute(targets * sigmoid(-x) + side * (1 - targets) * sigmoid(x))
    return _weighed(factor, exponent, binary_nll(logits, targets))


def _weighed(factor: Values, exponent: Values, nll: Values) -> Values:
    """factor**exponent * nll."""
    # Half of the exponent twice: the power of a small factor may underflow where its product with the loss does not.
    root = power(factor, exponent / 2)
    return times(root, times(root, nll))


def _bounded(logits: Values) -> Values:
    """The logits, where their sigmoid has a slope. Elsewhere a constant with the same sigmoid.

    The slope of the factor is 0 where the loss is so large that its multiples overflow. The select keeps 0 * inf out of
    the gradient.
    """
    return jnp.where(jnp.abs(logits) < 1e4, logits, jnp.sign(logits) * 1e4)


@program(gamma_neg=Number(at_least=0), gamma_pos=Number(at_least=0), clip=Number(at_least=0, at_most=1, off=0))
def asymmetric_loss(
    logits: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    gamma_neg: Scalar = 4.0,
    gamma_pos: Scalar = 1.0,
    clip: Scalar = 0.05,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Asymmetric loss of many labels: a focal loss with an exponent for each answer, which ignores easy negatives.

    $$ \ell = -\bigl( t\, \sigma(-x) + (1 - t)\, p_m \bigr)^{\gamma_+ t + \gamma_- (1 - t)}
       \bigl( t \log \sigma(x) + (1 - t) \log(1 - p_m) \bigr), \qquad p_m = \max(\sigma(x) - m, 0) $$

    Args:
        logits: Log-odds $x$, any shape.
        targets: Labels $t$, booleans or probabilities in [0, 1], in the same shape.
        gamma_neg: The focusing exponent $\gamma_-$ of the negative labels, at least 0.
        gamma_pos: The focusing exponent $\gamma_+$ of the positive labels, at least 0.
        clip: The probability $m$ in [0, 1]. Negative labels with a lower predicted probability have no loss.
        reduction: `"mean"`, `"sum"` or `"none"`. The paper sums over the labels. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A target outside [0, 1] makes its loss and gradient NaN. Wrong
        answers of any certainty keep their gradient.

    Raises:
        ValueError: The shapes differ, or an option is out of range.
        TypeError: The logits are not real and floating.

    Examples:
        >>> print(f"{jaxloss.asymmetric_loss(jnp.array([0.0, -4.0]), jnp.array([1, 0])):.4f}")
        0.1733

    Source: Ridnik et al., "Asymmetric Loss For Multi-Label Classification", 2021.
    """
    logits, targets, dtype = paired(logits, targets, where, name="logits")
    x, negative_nll = _bounded(logits), softplus(logits)
    probability = sigmoid(x)
    if not is_off(clip):
        margin = jnp.asarray(clip, logits.dtype)
        probability = hinge(probability - margin)
        # 1 - p + m is the sum of two positive numbers. At p = m it is 1, and its logarithm no more than 0.
        negative_nll = -clamp_max(jnp.logaddexp(-negative_nll, jnp.log(margin)), 0.0)
    wrong = targets * sigmoid(-x) + (1 - targets) * probability
    positive, negative = jnp.asarray(gamma_pos, logits.dtype), jnp.asarray(gamma_neg, logits.dtype)
    exponent = targets * positive + (1 - targets) * negative
    nll = times(targets, softplus(-logits)) + times(1 - targets, negative_nll)
    losses = nan_unless(within(PROBABILITY, targets=targets), _weighed(wrong, exponent, nll))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class AsymmetricLoss(Loss, fn=asymmetric_loss):
    """Option object of [`asymmetric_loss`][jaxloss.asymmetric_loss]."""

    gamma_neg: Scalar = 4.0
    gamma_pos: Scalar = 1.0
    clip: Scalar = 0.05
    reduction: Reduction = static("mean")


@program(alpha=Number(at_least=0), gamma=Number(at_least=0))
def varifocal_loss(
    logits: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    alpha: Scalar = 0.75,
    gamma: Scalar = 2.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Varifocal loss: scores that should be the quality of a box, such as its intersection over union.

    $$ \ell = w \cdot -\bigl( t \log \sigma(x) + (1 - t) \log \sigma(-x) \bigr), \qquad
       w = \begin{cases} t & t > 0 \\ \alpha\, \sigma(x)^\gamma & t = 0 \end{cases} $$

    Args:
        logits: Log-odds $x$, any shape.
        targets: Qualities $t$ in [0, 1], in the same shape; 0 where there is no object.
        alpha: The factor $\alpha$ of elements without an object.
        gamma: The focusing exponent $\gamma$ of elements without an object, at least 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A target outside [0, 1] makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ, or an option is out of range.
        TypeError: The logits are not real and floating.

    Examples:
        >>> print(f"{jaxloss.varifocal_loss(jnp.array([0.0, 0.0]), jnp.array([0.8, 0.0])):.4f}")
        0.3422

    Source: Zhang et al., "VarifocalNet: An IoU-aware Dense Object Detector", 2021.
    """
    logits, targets, dtype = paired(logits, targets, where, name="logits")
    # Without an object it is a focal loss.
    empty = _focused(logits, jnp.zeros_like(targets), jnp.asarray(gamma, logits.dtype), 1)
    empty = empty * jnp.asarray(alpha, logits.dtype)
    losses = jnp.where(targets == 0, empty, times(targets, binary_nll(logits, targets)))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class VarifocalLoss(Loss, fn=varifocal_loss):
    """Option object of [`varifocal_loss`][jaxloss.varifocal_loss]."""

    alpha: Scalar = 0.75
    gamma: Scalar = 2.0
    reduction: Reduction = static("mean")


@program(beta=Number(at_least=0))
def quality_focal_loss(
    logits: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    beta: Scalar = 2.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Quality focal loss: binary cross-entropy of qualities in which elements near their target count less.

    $$ \ell = -|t - \sigma(x)|^\beta \bigl( t \log \sigma(x) + (1 - t) \log \sigma(-x) \bigr) $$

    Args:
        logits: Log-odds $x$, any shape.
        targets: Qualities $t$ in [0, 1], in the same shape.
        beta: The focusing exponent $\beta$, at least 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A target outside [0, 1] makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ, or `beta` is out of range.
        TypeError: The logits are not real and floating.

    Examples:
        >>> print(f"{jaxloss.quality_focal_loss(jnp.array([0.0]), jnp.array([1.0])):.4f}")
        0.1733

    Source: Li et al., "Generalized Focal Loss", 2020.
    """
    logits, targets, dtype = paired(logits, targets, where, name="logits")
    losses = _focused(logits, targets, jnp.asarray(beta, logits.dtype), -1)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class QualityFocalLoss(Loss, fn=quality_focal_loss):
    """Option object of [`quality_focal_loss`][jaxloss.quality_focal_loss]."""

    beta: Scalar = 2.0
    reduction: Reduction = static("mean")


@program()
def distribution_focal_loss(
    logits: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    *,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Distribution focal loss: a coordinate predicted as a distribution over the whole numbers.

    $$ \ell = -(l + 1 - y) \log p_l - (y - l) \log p_{l+1}, \qquad l = \min(\lfloor y \rfloor, n - 1) $$

    It is the cross-entropy of the two whole numbers on each side of the coordinate. The predicted coordinate is the
    mean of the distribution.

    Args:
        logits: Unnormalised log-probabilities of the numbers 0 to n, shape (N..., n + 1).
        targets: Coordinates $y$ in [0, n], shape (N...), in units of the distance between two whole numbers.
        axis: The axis of `logits` that holds the numbers.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the coordinates that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each coordinate. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A coordinate outside [0, n] makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, or the axis is empty.
        TypeError: The logits are not real and floating.

    Examples:
        >>> print(f"{jaxloss.distribution_focal_loss(jnp.zeros((1, 4)), jnp.array([1.25])):.4f}")  # log(4)
        1.3863

    Source: Li et al., "Generalized Focal Loss", 2020.
    """
    (logits, targets), dtype = floats(logits=logits, targets=targets)
    classes = ClassAxis(has_axis("logits", logits, axis))
    shape = logits.shape[: classes.number] + logits.shape[classes.number + 1 :]
    if targets.shape != shape:
        raise ValueError(
            f"`targets` has shape {targets.shape}, but `logits` {logits.shape} without its axis {classes.number} is "
            f"{shape}."
        )
    keep = mask(where, shape)
    keep = None if keep is None else jnp.expand_dims(keep, classes.number)
    coordinates = filled(jnp.expand_dims(targets, classes.number), keep, 0.0)
    largest = logits.shape[classes.number] - 1
    in_range = within(Domain(f"in [0, {largest}]", lambda y: (y >= 0) & (y <= largest)), targets=coordinates)
    # The largest coordinate has a whole number on its left alone: it shares the last interval.
    left = jnp.minimum(jnp.floor(lax.stop_gradient(coordinates)), largest - 1)
    numbers = lax.broadcasted_iota(logits.dtype, logits.shape, classes.number)
    shares = jnp.where(numbers == left, left + 1 - coordinates, jnp.where(numbers == left + 1, coordinates - left, 0.0))
    rows = row_losses(logits, Probabilities(filled(shares, keep, 0.0), keep), Options(), classes)
    losses = jnp.squeeze(nan_unless(in_range, rows.losses), classes.number)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class DistributionFocalLoss(Loss, fn=distribution_focal_loss):
    """Option object of [`distribution_focal_loss`][jaxloss.distribution_focal_loss]."""

    axis: int = static(-1)
    reduction: Reduction = static("mean")
