"""Losses of classification for rare classes: easy or frequent examples count less."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from jaxloss._core.arguments import Number, floating, has_axis, real
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import AxisName, class_axis
from jaxloss._core.class_numbers import class_weight
from jaxloss._core.domains import NOT_NEGATIVE, POSITIVE, within
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import one_minus_exp, power, times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._losses.classification import cross_entropies, reduce_rows
from jaxloss._ops.cross_entropy.class_losses import class_losses

__all__ = [
    "LogitAdjustedCrossEntropyLoss",
    "SoftmaxFocalLoss",
    "class_balanced_weight",
    "logit_adjusted_cross_entropy",
    "softmax_focal_loss",
]

SMOOTHING = Number(at_least=0, at_most=1, off=0)


@program("weight", integers=("targets",), gamma=Number(at_least=0), label_smoothing=SMOOTHING)
def softmax_focal_loss(
    logits: Float[ArrayLike, "..."],
    targets: Real[ArrayLike, "..."],
    *,
    gamma: Scalar = 2.0,
    weight: Real[ArrayLike, "classes"] | None = None,
    ignore_index: int = -100,
    label_smoothing: Scalar = 0.0,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Focal loss of a softmax: cross-entropy in which well classified examples count less.

    $$ \ell = -w_y (1 - p_y)^\gamma \log p_y \qquad\text{or}\qquad
       \ell = -\sum_c w_c\, t_c (1 - p_c)^\gamma \log p_c $$

    The focal loss of independent yes-or-no labels is [`sigmoid_focal_loss`][jaxloss.sigmoid_focal_loss].

    Args:
        logits: Unnormalised log-probabilities, shape (N..., C).
        targets: Class numbers, shape (N...), integers; or probabilities, shape (N..., C), floating.
        gamma: The focusing exponent $\gamma$, at least 0. At 0 the loss is [`cross_entropy`][jaxloss.cross_entropy].
        weight: A weight for each class, shape (C,). It is the $\alpha$ of the paper.
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
        >>> print(f"{jaxloss.softmax_focal_loss(jnp.zeros((1, 2)), jnp.array([0])):.4f}")  # a quarter of log(2)
        0.1733

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017.
    """
    rows = class_losses(
        lambda nll: _focal(nll, jnp.asarray(gamma, nll.dtype)),
        logits, targets, axis, where, weight=weight, label_smoothing=label_smoothing, ignore_index=ignore_index,
    )  # fmt: skip
    return reduce_rows(*rows, reduction, sample_weight)


class SoftmaxFocalLoss(Loss, fn=softmax_focal_loss):
    """Option object of [`softmax_focal_loss`][jaxloss.softmax_focal_loss]."""

    gamma: Scalar = 2.0
    weight: Real[ArrayLike, "classes"] | None = None
    ignore_index: int = static(-100)
    label_smoothing: Scalar = 0.0
    axis: int = static(-1)
    reduction: Reduction = static("mean")


@jax.custom_jvp
def _focal(nll: Values, gamma: Values) -> Values:
    """(1 - p)**gamma * nll, where p = exp(-nll)."""
    # 1 - p is no subtraction, so that it keeps its digits where p is almost 1.
    return power(one_minus_exp(nll), gamma) * nll


@_focal.defjvp
def _focal_jvp(primals: tuple[Values, Values], tangents: tuple[Values, Values]) -> tuple[Values, Values]:
    nll, gamma = primals
    rest = one_minus_exp(nll)
    slope = power(rest, gamma) + gamma * power(rest, gamma - 1) * _times_exp(nll)
    # Where the label is certain the logarithm is -inf and the loss is 0. The slope in gamma is 0 there.
    log_rest = jnp.where(rest > 0, jnp.log(jnp.where(rest > 0, rest, 1.0)), 0.0)
    return _focal(nll, gamma), slope * tangents[0] + times(log_rest, _focal(nll, gamma)) * tangents[1]


@jax.custom_jvp
def _times_exp(nll: Values) -> Values:
    """nll * exp(-nll), which is 0 at inf. So is its derivative."""
    return times(jnp.exp(-nll), nll)


@_times_exp.defjvp
def _times_exp_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    (nll,) = primals
    return _times_exp(nll), (jnp.exp(-nll) - _times_exp(nll)) * tangents[0]


@program(
    "prior", "weight", integers=("targets",), tau=Number(at_least=0), label_smoothing=SMOOTHING, z_loss=Number(off=0)
)
def logit_adjusted_cross_entropy(
    logits: Float[ArrayLike, "..."],
    targets: Real[ArrayLike, "..."],
    *,
    prior: Real[ArrayLike, "classes"],
    tau: Scalar = 1.0,
    weight: Real[ArrayLike, "classes"] | None = None,
    ignore_index: int = -100,
    label_smoothing: Scalar = 0.0,
    z_loss: Scalar = 0.0,
    axis: int = -1,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Cross-entropy of logits that the frequencies of the classes are added to, so that rare classes are not lost.

    $$ \ell = \text{cross\_entropy}\bigl( x + \tau \log \pi,\ t \bigr), \qquad
       \pi_c = \frac{n_c}{\sum_k n_k} $$

    The model learns the logits of balanced classes. So evaluate the plain logits, without the adjustment. At
    $\tau = 1$ it is the balanced softmax (Ren et al., 2020).

    Args:
        logits: Unnormalised log-probabilities, shape (N..., C).
        targets: Class numbers, shape (N...), integers; or probabilities, shape (N..., C), floating.
        prior: The frequency of each class in the training data, shape (C,), above 0. Counts $n_c$ are normalised. A
            class without examples needs a small number, such as a count of 1.
        tau: The factor $\tau$ of the adjustment, at least 0. At 0 the loss is
            [`cross_entropy`][jaxloss.cross_entropy].
        weight: A weight for each class, shape (C,).
        ignore_index: Examples with this class number are masked. See [`cross_entropy`][jaxloss.cross_entropy].
        label_smoothing: A number s in [0, 1]. The target becomes (1 - s) times itself plus s / C for every class.
        z_loss: The factor of the squared logsumexp of the adjusted logits, which is added to the loss of each unmasked
            example.
        axis: The class axis of `logits`.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes of `logits`, `prior` and `weight` are split
            over. See [`cross_entropy`][jaxloss.cross_entropy].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). With class numbers the mean divides by the sum of the labels' class
        weights. A label out of range makes its loss and gradient NaN. A prior of 0 or less makes all of them NaN.

    Raises:
        ValueError: Shapes do not match, the class axis is empty, or an option is out of range.
        TypeError: The logits or the prior are not real, the logits are not floating, or the targets are neither
            integers nor floating.

    Examples:
        >>> logits, counts = jnp.zeros((2, 2)), jnp.array([90, 10])
        >>> losses = jaxloss.logit_adjusted_cross_entropy(logits, jnp.array([0, 1]), prior=counts, reduction="none")
        >>> print(losses.round(4))  # the rare class pulls harder
        [0.1054 2.3026]

    Source: Menon et al., "Long-Tail Learning via Logit Adjustment", 2021.
    """
    logits = floating("logits", logits)
    classes = class_axis(has_axis("logits", logits, axis), axis_name, logits=logits)
    counts = class_weight(prior, logits, classes.number, name="prior")
    counts = nan_unless(within(POSITIVE, prior=counts), counts)
    log_prior = jnp.log(counts) - jnp.log(classes.sum(counts))
    adjusted = logits.astype(counts.dtype) + jnp.asarray(tau, counts.dtype) * log_prior
    rows = cross_entropies(
        adjusted, targets, classes, where,
        weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing, z_loss=z_loss, like=logits,
    )  # fmt: skip
    return reduce_rows(*rows, reduction, sample_weight)


class LogitAdjustedCrossEntropyLoss(Loss, fn=logit_adjusted_cross_entropy):
    """Option object of [`logit_adjusted_cross_entropy`][jaxloss.logit_adjusted_cross_entropy]."""

    prior: Real[ArrayLike, "classes"]
    tau: Scalar = 1.0
    weight: Real[ArrayLike, "classes"] | None = None
    ignore_index: int = static(-100)
    label_smoothing: Scalar = 0.0
    z_loss: Scalar = 0.0
    axis: int = static(-1)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


@program(beta=Number(at_least=0, at_most=math.nextafter(1.0, 0.0)))
def class_balanced_weight(counts: Real[ArrayLike, "classes"], *, beta: Scalar = 0.9999) -> Float[Array, "classes"]:
    r"""Class weights from the number of examples of each class, for `weight=` of a loss.

    $$ w_c \propto \frac{1 - \beta}{1 - \beta^{n_c}} $$

    The weights of the classes that have examples add up to their number. A class without examples has the weight 0.

    Args:
        counts: The number of examples $n_c$ of each class, shape (C,), at least 0.
        beta: $\beta$ in [0, 1). At 0 all classes weigh the same. Towards 1 the weights become those of the inverse
            frequency.

    Returns:
        The weights, shape (C,), in float32 at least. A negative count makes its weight NaN.

    Raises:
        ValueError: `beta` is out of range.
        TypeError: The counts are complex.

    Examples:
        >>> weights = jaxloss.class_balanced_weight(jnp.array([1000, 10, 0]))
        >>> print(" ".join(f"{weight:.3f}" for weight in weights))
        0.021 1.979 0.000

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", 2019.
    """
    counts = real("counts", counts)
    counts = counts.astype(accumulator(counts.dtype) if jnp.issubdtype(counts.dtype, jnp.floating) else float)
    valid, present = within(NOT_NEGATIVE, counts=counts), counts > 0
    # 1 - beta**n, without a subtraction. Where beta is 0 the logarithm is -inf and the result is 1.
    examples = -jnp.expm1(jnp.where(present, counts, 1.0) * jnp.log(jnp.asarray(beta, counts.dtype)))
    weights = jnp.where(present, 1 / examples, 0.0)
    return nan_unless(valid, weights * (jnp.sum(present, dtype=weights.dtype) / jnp.sum(weights)))
