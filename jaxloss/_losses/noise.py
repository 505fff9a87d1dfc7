"""Losses of classification for noisy labels: a wrong label does less harm than in cross-entropy."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from jaxloss._core.arguments import Number
from jaxloss._core.elementwise import one_minus_exp
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._losses.classification import reduce_rows
from jaxloss._ops.cross_entropy.class_losses import class_losses

__all__ = [
    "GeneralizedCrossEntropyLoss",
    "Poly1CrossEntropyLoss",
    "SymmetricCrossEntropyLoss",
    "generalized_cross_entropy",
    "poly1_cross_entropy",
    "symmetric_cross_entropy",
]


@program("weight", integers=("targets",), epsilon=Number(), label_smoothing=Number(at_least=0, at_most=1, off=0))
def poly1_cross_entropy(
    logits: Float[ArrayLike, "..."],
    targets: Real[ArrayLike, "..."],
    *,
    epsilon: Scalar = 2.0,
    weight: Real[ArrayLike, "classes"] | None = None,
    ignore_index: int = -100,
    label_smoothing: Scalar = 0.0,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Poly-1 loss: cross-entropy with another first coefficient of its series in 1 - p.

    $$ \ell = w_y \bigl( -\log p_y + \epsilon (1 - p_y) \bigr) \qquad\text{or}\qquad
       \ell = \sum_c w_c\, t_c \bigl( -\log p_c + \epsilon (1 - p_c) \bigr) $$

    Args:
        logits: Unnormalised log-probabilities, shape (N..., C).
        targets: Class numbers, shape (N...), integers; or probabilities, shape (N..., C), floating.
        epsilon: The change $\epsilon$ of the first coefficient. At 0 the loss is
            [`cross_entropy`][jaxloss.cross_entropy].
        weight: A weight for each class, shape (C,).
        ignore_index: Examples with this class number are masked. See [`cross_entropy`][jaxloss.cross_entropy].
        label_smoothing: A number s in [0, 1]. The target becomes (1 - s) times itself plus s / C for every class.
        axis: The class axis of `logits`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). With class numbers the mean divides by the sum of the labels' class
        weights. A label out of range makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, the class axis is empty, or an option is out of range.
        TypeError: The logits are not real and floating, or the targets are neither integers nor floating.

    Examples:
        >>> print(f"{jaxloss.poly1_cross_entropy(jnp.zeros((1, 2)), jnp.array([0])):.4f}")  # log(2) + 2 / 2
        1.6931

    Source: Leng et al., "PolyLoss", 2022.
    """
    rows = class_losses(
        lambda nll: nll + one_minus_exp(nll) * jnp.asarray(epsilon, nll.dtype),
        logits, targets, axis, where, weight=weight, label_smoothing=label_smoothing, ignore_index=ignore_index,
    )  # fmt: skip
    return reduce_rows(*rows, reduction, sample_weight)


class Poly1CrossEntropyLoss(Loss, fn=poly1_cross_entropy):
    """Option object of [`poly1_cross_entropy`][jaxloss.poly1_cross_entropy]."""

    epsilon: Scalar = 2.0
    weight: Real[ArrayLike, "classes"] | None = None
    ignore_index: int = static(-100)
    label_smoothing: Scalar = 0.0
    axis: int = static(-1)
    reduction: Reduction = static("mean")


@program("weight", integers=("targets",), q=Number(at_least=0, at_most=1))
def generalized_cross_entropy(
    logits: Float[ArrayLike, "..."],
    targets: Real[ArrayLike, "..."],
    *,
    q: Scalar = 0.7,
    weight: Real[ArrayLike, "classes"] | None = None,
    ignore_index: int = -100,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Generalized cross-entropy: bounded, so that a wrong label does little harm.

    $$ \ell = w_y \frac{1 - p_y^q}{q} $$

    It lies between cross-entropy, at $q = 0$, and the absolute error of the label's probability, at $q = 1$.

    Args:
        logits: Unnormalised log-probabilities, shape (N..., C).
        targets: Class numbers, shape (N...), integers; or probabilities, shape (N..., C), floating. With probabilities
            the loss is the sum over the classes, weighted by them.
        q: The exponent $q$ in [0, 1].
        weight: A weight for each class, shape (C,).
        ignore_index: Examples with this class number are masked. See [`cross_entropy`][jaxloss.cross_entropy].
        axis: The class axis of `logits`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). With class numbers the mean divides by the sum of the labels' class
        weights. A label out of range makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, the class axis is empty, or `q` is out of range.
        TypeError: The logits are not real and floating, or the targets are neither integers nor floating.

    Examples:
        >>> print(jaxloss.generalized_cross_entropy(jnp.zeros((1, 4)), jnp.array([0]), q=0.5))
        1.0

    Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels",
    2018.
    """

    def bounded(nll: Values) -> Values:
        # Both branches are finite at q = 0, so that a traced q has a finite derivative there.
        exponent = jnp.asarray(q, nll.dtype)
        divisor = jnp.where(exponent == 0, 1.0, exponent)
        return jnp.where(exponent == 0, nll, one_minus_exp(divisor * nll) / divisor)

    rows = class_losses(bounded, logits, targets, axis, where, weight=weight, ignore_index=ignore_index)
    return reduce_rows(*rows, reduction, sample_weight)


class GeneralizedCrossEntropyLoss(Loss, fn=generalized_cross_entropy):
    """Option object of [`generalized_cross_entropy`][jaxloss.generalized_cross_entropy]."""

    q: Scalar = 0.7
    weight: Real[ArrayLike, "classes"] | None = None
    ignore_index: int = static(-100)
    axis: int = static(-1)
    reduction: Reduction = static("mean")


@program(integers=("targets",), alpha=Number(at_least=0), beta=Number(at_least=0), log_zero=Number(at_most=0))
def symmetric_cross_entropy(
    logits: Float[ArrayLike, "..."],
    targets: Real[ArrayLike, "..."],
    *,
    alpha: Scalar = 0.1,
    beta: Scalar = 1.0,
    log_zero: Scalar = -4.0,
    ignore_index: int = -100,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Symmetric cross-entropy: the cross-entropy of labels and predictions, in both directions.

    $$ \ell = -\alpha \log p_y - \beta A (1 - p_y) $$

    $A$ stands for the logarithm of a probability of 0, which all classes but the label have.

    Args:
        logits: Unnormalised log-probabilities, shape (N..., C).
        targets: Class numbers, shape (N...), integers; or probabilities, shape (N..., C), floating. With probabilities
            the loss is the sum over the classes, weighted by them.
        alpha: The factor $\alpha$ of the cross-entropy.
        beta: The factor $\beta$ of the reverse cross-entropy.
        log_zero: $A$, at most 0.
        ignore_index: Examples with this class number are masked. See [`cross_entropy`][jaxloss.cross_entropy].
        axis: The class axis of `logits`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A label out of range makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, the class axis is empty, or an option is out of range.
        TypeError: The logits are not real and floating, or the targets are neither integers nor floating.

    Examples:
        >>> print(f"{jaxloss.symmetric_cross_entropy(jnp.zeros((1, 2)), jnp.array([0])):.4f}")  # 0.1 log(2) + 4 / 2
        2.0693

    Source: Wang et al., "Symmetric Cross Entropy for Robust Learning with Noisy Labels", 2019.
    """

    def both(nll: Values) -> Values:
        share, reverse, log_of_zero = (jnp.asarray(option, nll.dtype) for option in (alpha, beta, log_zero))
        return share * nll - reverse * log_of_zero * one_minus_exp(nll)

    rows = class_losses(both, logits, targets, axis, where, ignore_index=ignore_index)
    return reduce_rows(*rows, reduction, sample_weight)


class SymmetricCrossEntropyLoss(Loss, fn=symmetric_cross_entropy):
    """Option object of [`symmetric_cross_entropy`][jaxloss.symmetric_cross_entropy]."""

    alpha: Scalar = 0.1
    beta: Scalar = 1.0
    log_zero: Scalar = -4.0
    ignore_index: int = static(-100)
    axis: int = static(-1)
    reduction: Reduction = static("mean")
