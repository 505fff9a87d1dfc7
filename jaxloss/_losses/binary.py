"""Losses of binary classification: one yes-or-no label, or several, for each example."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxloss._core.arguments import Number, filled, floats, has_axis, is_off, mask, paired, real, same_shape
from jaxloss._core.autodiff import Tangent, along, nan_unless, value_or_nan
from jaxloss._core.domains import PROBABILITY, SIGN, expect, within
from jaxloss._core.elementwise import TINY, is_infinite, overflow_safe_mean, softplus, times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "MultiLabelSoftMarginLoss",
    "SoftMarginLoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
]


@program("weight")
def binary_cross_entropy(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    weight: Real[ArrayLike, "*#shape"] | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Binary cross-entropy of probabilities, in nats.

    $$ \ell = -w \bigl( t \log x + (1 - t) \log (1 - x) \bigr) $$

    As in PyTorch, each logarithm is at least -100 and the gradient's denominator is at least 1e-12. So a wrong
    probability of exactly 0 or 1 has a loss of 100 and a gradient of magnitude 1e12. From logits, use
    [`binary_cross_entropy_with_logits`][jaxloss.binary_cross_entropy_with_logits]: it has neither limit.

    Args:
        predictions: Probabilities $x$ in [0, 1], any shape.
        targets: Labels $t$, booleans or probabilities in [0, 1], in the same shape.
        weight: Factors $w$ of the losses, in any shape that broadcasts to the inputs' shape. They do not enter the
            mean's denominator; `sample_weight` does.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A prediction or target outside [0, 1] makes its loss and gradient
        NaN.

    Raises:
        ValueError: The shapes differ, or the weight does not broadcast.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(f"{jaxloss.binary_cross_entropy(jnp.array([0.5, 0.9]), jnp.array([1.0, 1.0])):.4f}")
        0.3993

    Source: `torch.nn.BCELoss`.
    """
    # Masked elements are filled with a probability whose logarithms are finite.
    predictions, targets, dtype = paired(predictions, targets, where, fill=0.5)
    valid = within(PROBABILITY, predictions=predictions) & within(PROBABILITY, targets=targets)
    losses = _clamped_cross_entropy(nan_unless(valid, predictions), targets)
    return reduce(_weighted(losses, weight), reduction, where, sample_weight, dtype=dtype)


class BCELoss(Loss, fn=binary_cross_entropy):
    """Option object of [`binary_cross_entropy`][jaxloss.binary_cross_entropy]."""

    weight: Real[ArrayLike, "..."] | None = None
    reduction: Reduction = static("mean")


@jax.custom_jvp
def _clamped_cross_entropy(x: Values, t: Values) -> Values:
    """The binary cross-entropy of probabilities, with both logarithms at least -100.

    PyTorch's gradient is not that of the clamped value, which would be 0 beyond the clamp.
    """
    return -(t * jnp.maximum(jnp.log(x), -100.0) + (1 - t) * jnp.maximum(jnp.log1p(-x), -100.0))


@_clamped_cross_entropy.defjvp
def _clamped_cross_entropy_jvp(
    primals: tuple[Values, Values], tangents: tuple[Values, Values]
) -> tuple[Values, Values]:
    (x, t), (x_dot, t_dot) = primals, tangents
    log_x, log_rest = jnp.maximum(jnp.log(x), -100.0), jnp.maximum(jnp.log1p(-x), -100.0)
    slope = (x - t) / jnp.maximum(x * (1 - x), TINY)
    return -(t * log_x + (1 - t) * log_rest), slope * x_dot + (log_rest - log_x) * t_dot


@program("weight", "pos_weight", label_smoothing=Number(at_least=0, at_most=1, off=0))
def binary_cross_entropy_with_logits(
    logits: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    weight: Real[ArrayLike, "*#shape"] | None = None,
    pos_weight: Real[ArrayLike, "*#shape"] | None = None,
    label_smoothing: Scalar = 0.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Binary cross-entropy of logits, through a sigmoid, in nats.

    $$ \ell = -w \bigl( p\, t \log \sigma(x) + (1 - t) \log \sigma(-x) \bigr) $$

    Args:
        logits: Log-odds $x$, any shape. An infinite logit is certainty: it costs 0 where it is right.
        targets: Labels $t$, booleans or probabilities in [0, 1], in the same shape.
        weight: Factors $w$ of the losses, in any shape that broadcasts to the inputs' shape. They do not enter the
            mean's denominator; `sample_weight` does.
        pos_weight: Factors $p$ of the positive labels' term, in any shape that broadcasts to the inputs' shape. Often
            there is one number per class.
        label_smoothing: A number s in [0, 1]. The target becomes (1 - s) times itself plus s / 2.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A target outside [0, 1] makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ, or a weight does not broadcast.
        TypeError: The logits are not real and floating.

    Examples:
        >>> print(f"{jaxloss.binary_cross_entropy_with_logits(jnp.array([0.0, 2.0]), jnp.array([1.0, 1.0])):.4f}")
        0.4100

    Source: `torch.nn.BCEWithLogitsLoss`.
    """
    logits, targets, dtype = paired(logits, targets, where, name="logits")
    smoothing = None if is_off(label_smoothing) else label_smoothing
    losses = binary_nll(logits, targets, _broadcast("pos_weight", pos_weight, logits), smoothing)
    return reduce(_weighted(losses, weight), reduction, where, sample_weight, dtype=dtype)


class BCEWithLogitsLoss(Loss, fn=binary_cross_entropy_with_logits):
    """Option object of [`binary_cross_entropy_with_logits`][jaxloss.binary_cross_entropy_with_logits]."""

    weight: Real[ArrayLike, "..."] | None = None
    pos_weight: Real[ArrayLike, "..."] | None = None
    label_smoothing: Scalar = 0.0
    reduction: Reduction = static("mean")


@program()
def soft_margin_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Logistic loss of scores against labels of -1 and 1.

    $$ \ell = \log(1 + e^{-t x}) $$

    Args:
        predictions: Scores $x$, any shape.
        targets: Labels $t$, -1 or 1, in the same shape. [`checked`][jaxloss.checked] raises for any other, such as 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. They are finite for scores of any size.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(f"{jaxloss.soft_margin_loss(jnp.array([0.0, 2.0]), jnp.array([1, -1])):.4f}")
        1.4100

    Source: `torch.nn.SoftMarginLoss`.
    """
    # Masked elements are filled with 1, a label in the domain that `checked` tests.
    predictions, targets, dtype = paired(predictions, targets, where, fill=1.0)
    expect(SIGN, targets=targets)
    return reduce(softplus(-targets * predictions), reduction, where, sample_weight, dtype=dtype)


class SoftMarginLoss(Loss, fn=soft_margin_loss):
    """Option object of [`soft_margin_loss`][jaxloss.soft_margin_loss]."""

    reduction: Reduction = static("mean")


@program("weight")
def multilabel_soft_margin_loss(
    logits: Float[ArrayLike, "*batch classes"],
    targets: Shaped[ArrayLike, "*batch classes"],
    *,
    weight: Real[ArrayLike, "..."] | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Binary cross-entropy of logits, averaged over the classes of each example, in nats.

    $$ \ell = -\frac1C \sum_c w_c \bigl( t_c \log \sigma(x_c) + (1 - t_c) \log \sigma(-x_c) \bigr) $$

    Args:
        logits: Log-odds $x$, shape (N..., C).
        targets: Labels $t$, booleans or probabilities in [0, 1], shape (N..., C).
        weight: A weight $w$ for each class, shape (C,), or factors in any shape that broadcasts to (N..., C).
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A target outside [0, 1] makes the loss and the gradient of its example
        NaN.

    Raises:
        ValueError: The shapes differ, the weight does not broadcast, or the class axis is empty.
        TypeError: The logits are not real and floating.

    Examples:
        >>> print(f"{jaxloss.multilabel_soft_margin_loss(jnp.array([[0.0, 2.0]]), jnp.array([[1, 1]])):.4f}")
        0.4100

    Source: `torch.nn.MultiLabelSoftMarginLoss`.
    """
    (logits, targets), dtype = floats(logits=logits, targets=targets)
    has_axis("logits", logits)
    same_shape(logits=logits, targets=targets)
    keep = mask(where, logits.shape[:-1])
    losses = binary_nll(filled(logits, keep, 0.0), filled(targets, keep, 0.0))
    losses = overflow_safe_mean(_weighted(losses, weight), -1)[..., 0]
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class MultiLabelSoftMarginLoss(Loss, fn=multilabel_soft_margin_loss):
    """Option object of [`multilabel_soft_margin_loss`][jaxloss.multilabel_soft_margin_loss]."""

    weight: Real[ArrayLike, "..."] | None = None
    reduction: Reduction = static("mean")


def binary_nll(
    logits: Values, targets: Values, pos_weight: Values | None = None, smoothing: Scalar | None = None
) -> Values:
    """-p t log sigmoid(x) - (1 - t) log sigmoid(-x); NaN, derivatives included, where t is not in [0, 1]."""
    valid = within(PROBABILITY, targets=targets)
    if smoothing is not None:
        share = jnp.asarray(smoothing, targets.dtype)
        targets = (1 - share) * targets + share / 2
    positive = targets if pos_weight is None else pos_weight * targets
    return _logistic(logits, positive, 1 - targets, valid)


@jax.custom_jvp
def _logistic(x: Values, positive: Values, negative: Values, valid: Bool[Array, "..."]) -> Values:
    """positive * softplus(-x) + negative * softplus(x)."""
    # softplus(x) is max(x, 0) + log1p(exp(-|x|)). The logarithm is the same for x and -x, so that it is computed once.
    # Of the two maxima one is |x| and the other is 0. All terms are positive, so that no digits cancel.
    losses = times(jnp.where(x < 0, positive, negative), jnp.abs(x)) + (positive + negative) * jnp.log1p(
        jnp.exp(-jnp.abs(x))
    )
    return value_or_nan(valid, losses)


@partial(_logistic.defjvp, symbolic_zeros=True)
def _logistic_jvp(
    primals: tuple[Values, Values, Values, Bool[Array, "..."]], tangents: tuple[Tangent, Tangent, Tangent, object]
) -> tuple[Values, Values]:
    x, positive, negative, valid = primals

    def slope_by_logit() -> Values:
        # The sigmoids of x and -x over one denominator. Neither is 1 minus the other, which would lose digits.
        small = jnp.exp(jnp.where(x < 0, x, -x))
        slope = (negative * jnp.where(x < 0, small, 1.0) - positive * jnp.where(x < 0, 1.0, small)) / (1 + small)
        return nan_unless(valid, slope)

    def slope_by_factor(x: Values) -> Values:
        # An infinite logit is a certain answer. Its cost times a tangent of 0 must be 0 and not NaN.
        return nan_unless(valid, jnp.where(is_infinite(x), 0.0, softplus(x)))

    slopes = (slope_by_logit, lambda: slope_by_factor(-x), lambda: slope_by_factor(x))
    return _logistic(*primals), along(tangents[:3], *slopes)


def _weighted(losses: Values, weight: Real[ArrayLike, "..."] | None) -> Values:
    factor = _broadcast("weight", weight, losses)
    return losses if factor is None else times(factor, losses)


def _broadcast(name: str, weight: Real[ArrayLike, "..."] | None, like: Values) -> Values | None:
    """Broadcast a weight to the array that it multiplies by NumPy's rules, in that array's dtype."""
    if weight is None:
        return None
    weight = real(name, weight)
    try:
        return jnp.broadcast_to(weight.astype(like.dtype), like.shape)
    except ValueError:
        raise ValueError(f"`{name}` has shape {weight.shape}, which does not broadcast to {like.shape}.") from None
