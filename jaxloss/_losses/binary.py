"""Losses of yes or no, one answer or several."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Real, Shaped

from jaxloss._core.arguments import filled, floats, has_axis, mask, paired, real, same_shape
from jaxloss._core.autodiff import Tangent, along, nan_unless, value_or_nan
from jaxloss._core.domains import PROBABILITY, SIGN, expect, within
from jaxloss._core.elementwise import TINY, is_infinite, overflow_safe_mean, softplus, times
from jaxloss._core.objects import Loss
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import Mask, Reduction, Values, Weight

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


def binary_cross_entropy(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    weight: Real[ArrayLike, "..."] | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""How surprised a predicted probability of yes is by the answer, in nats.

    $$ \ell = -w \bigl( t \log x + (1 - t) \log (1 - x) \bigr) $$

    Each logarithm is at least -100 and the gradient's denominator at least 1e-12, as in PyTorch: at a probability of
    exactly 0 or 1 that is wrong, the loss is 100 and the gradient 1e12 in size. From logits,
    [`binary_cross_entropy_with_logits`][jaxloss.binary_cross_entropy_with_logits] has neither limit.

    Args:
        predictions: $x$, probabilities in [0, 1], any shape.
        targets: $t$, in [0, 1] or boolean, the same shape.
        weight: $w$, broadcasting to that shape. It multiplies the losses and does not enter the mean's denominator;
            `sample_weight` does both.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A prediction or target outside [0, 1] makes them NaN, the
        gradient too.

    Raises:
        ValueError: shapes that differ, a weight that does not broadcast.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> print(f"{jaxloss.binary_cross_entropy(jnp.array([0.5, 0.9]), jnp.array([1.0, 1.0])):.4f}")
        0.3993

    Source: `torch.nn.BCELoss`.
    """
    predictions, targets, dtype = paired(predictions, targets, where, fill=0.5)
    valid = within(PROBABILITY, predictions=predictions) & within(PROBABILITY, targets=targets)
    losses = _clamped_cross_entropy(nan_unless(valid, predictions), targets)
    return reduce(_weighted(losses, weight), reduction, where, sample_weight, dtype=dtype)


class BCELoss(Loss, fn=binary_cross_entropy):
    """[`binary_cross_entropy`][jaxloss.binary_cross_entropy] and its options as one value."""

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


def binary_cross_entropy_with_logits(
    logits: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    weight: Real[ArrayLike, "..."] | None = None,
    pos_weight: Real[ArrayLike, "..."] | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""How surprised a sigmoid of the logit is by the answer, in nats.

    $$ \ell = -w \bigl( p\, t \log \sigma(x) + (1 - t) \log \sigma(-x) \bigr) $$

    Args:
        logits: $x$, log-odds, any shape. Infinite ones are certainty: right costs 0.
        targets: $t$, in [0, 1] or boolean, the same shape.
        weight: $w$, broadcasting to that shape. It multiplies the losses and does not enter the mean's denominator;
            `sample_weight` does both.
        pos_weight: $p$, broadcasting to that shape: how much more a yes counts, often one number per class.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A target outside [0, 1] makes them NaN, the gradient too.

    Raises:
        ValueError: shapes that differ, a weight that does not broadcast.
        TypeError: logits that are not real and floating.

    Examples:
        >>> print(f"{jaxloss.binary_cross_entropy_with_logits(jnp.array([0.0, 2.0]), jnp.array([1.0, 1.0])):.4f}")
        0.4100

    Source: `torch.nn.BCEWithLogitsLoss`.
    """
    logits, targets, dtype = paired(logits, targets, where, name="logits")
    losses = _binary_cross_entropy(logits, targets, _broadcast("pos_weight", pos_weight, logits))
    return reduce(_weighted(losses, weight), reduction, where, sample_weight, dtype=dtype)


class BCEWithLogitsLoss(Loss, fn=binary_cross_entropy_with_logits):
    """[`binary_cross_entropy_with_logits`][jaxloss.binary_cross_entropy_with_logits] and its options as one value."""

    weight: Real[ArrayLike, "..."] | None = None
    pos_weight: Real[ArrayLike, "..."] | None = None
    reduction: Reduction = static("mean")


def soft_margin_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""The logistic loss of a score whose sign is the answer.

    $$ \ell = \log(1 + e^{-t x}) $$

    Args:
        predictions: $x$, scores, any shape.
        targets: $t$, -1 or 1, the same shape.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape, finite for scores of any size.

    Raises:
        ValueError: shapes that differ.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> print(f"{jaxloss.soft_margin_loss(jnp.array([0.0, 2.0]), jnp.array([1, -1])):.4f}")
        1.4100

    Source: `torch.nn.SoftMarginLoss`.
    """
    predictions, targets, dtype = paired(predictions, targets, where, fill=1.0)
    expect(SIGN, targets=targets)
    return reduce(softplus(-targets * predictions), reduction, where, sample_weight, dtype=dtype)


class SoftMarginLoss(Loss, fn=soft_margin_loss):
    """[`soft_margin_loss`][jaxloss.soft_margin_loss] and its options as one value."""

    reduction: Reduction = static("mean")


def multilabel_soft_margin_loss(
    logits: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    weight: Real[ArrayLike, "..."] | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""The mean over an example's classes of the binary cross-entropy of each.

    $$ \ell = -\frac1C \sum_c w_c \bigl( t_c \log \sigma(x_c) + (1 - t_c) \log \sigma(-x_c) \bigr) $$

    Args:
        logits: $x$, (N..., C), log-odds.
        targets: $t$, (N..., C), in [0, 1] or boolean.
        weight: $w$, a weight for each class (C,), or broadcasting to (N..., C).
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an example is kept, (N...): see [`reduce`][jaxloss.reduce].
        sample_weight: how much each example counts, (N...): see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses (N...). A target outside [0, 1] makes its example's loss and gradient NaN.

    Raises:
        ValueError: shapes that differ, a weight that does not broadcast, an empty class axis.
        TypeError: logits that are not real and floating.

    Examples:
        >>> print(f"{jaxloss.multilabel_soft_margin_loss(jnp.array([[0.0, 2.0]]), jnp.array([[1, 1]])):.4f}")
        0.4100

    Source: `torch.nn.MultiLabelSoftMarginLoss`.
    """
    (logits, targets), dtype = floats(logits=logits, targets=targets)
    has_axis("logits", logits)
    same_shape(logits=logits, targets=targets)
    keep = mask(where, logits.shape[:-1])
    losses = _binary_cross_entropy(filled(logits, keep, 0.0), filled(targets, keep, 0.0), None)
    losses = overflow_safe_mean(_weighted(losses, weight), -1)[..., 0]
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class MultiLabelSoftMarginLoss(Loss, fn=multilabel_soft_margin_loss):
    """[`multilabel_soft_margin_loss`][jaxloss.multilabel_soft_margin_loss] and its options as one value."""

    weight: Real[ArrayLike, "..."] | None = None
    reduction: Reduction = static("mean")


def _binary_cross_entropy(logits: Values, targets: Values, pos_weight: Values | None) -> Values:
    """-p t log sigmoid(x) - (1 - t) log sigmoid(-x); NaN, derivatives included, where t is not in [0, 1]."""
    valid = within(PROBABILITY, targets=targets)
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
    return losses if factor is None else losses * factor


def _broadcast(name: str, weight: Real[ArrayLike, "..."] | None, like: Values) -> Values | None:
    """Broadcast a weight to the array that it multiplies by NumPy's rules, in that array's dtype."""
    if weight is None:
        return None
    weight = real(name, weight)
    try:
        return jnp.broadcast_to(weight.astype(like.dtype), like.shape)
    except ValueError:
        raise ValueError(f"`{name}` has shape {weight.shape}, which does not broadcast to {like.shape}.") from None
