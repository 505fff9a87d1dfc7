"""Losses of classification: one class out of many for each example."""

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxloss._core.arguments import Number, filled, floating, has_axis
from jaxloss._core.autodiff import custom_jvp, nan_unless
from jaxloss._core.class_axis import AxisName, ClassAxis, class_axis
from jaxloss._core.class_numbers import class_weight, labels
from jaxloss._core.domains import expect, log_probabilities
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import hinge, times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._ops.cross_entropy import log_softmax as log_softmax_op
from jaxloss._ops.cross_entropy import row_losses
from jaxloss._ops.cross_entropy.class_losses import ClassLosses
from jaxloss._ops.cross_entropy.problem import Probabilities, cross_entropy_options

__all__ = [
    "CrossEntropyLoss",
    "NLLLoss",
    "SparsemaxLoss",
    "cross_entropy",
    "log_softmax",
    "nll_loss",
    "sparsemax_loss",
]


@program("weight", integers=("targets",), label_smoothing=Number(at_least=0, at_most=1, off=0), z_loss=Number(off=0))
def cross_entropy(
    logits: Float[ArrayLike, "..."],
    targets: Real[ArrayLike, "..."],
    *,
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
    r"""Softmax cross-entropy of logits against class indices or probabilities, in nats.

    $$ \ell = -w_y \log \frac{e^{x_y}}{\sum_c e^{x_c}} \qquad\text{or}\qquad
       \ell = -\sum_c w_c\, t_c \log \frac{e^{x_c}}{\sum_k e^{x_k}} $$

    With class numbers, the mean divides by the sum of the labels' class weights. With probabilities, it divides by the
    number of examples.

    The loss keeps its digits where one class dominates, and at any offset of the logits: the sum of exponentials leaves
    the label's term out, and the term is added exactly. Probabilities have no label, so their sum leaves the largest
    term out.

    Args:
        logits: Unnormalised log-probabilities, shape (N..., C). A logit of -inf rules its class out.
        targets: Class numbers (indices from 0), shape (N...), integers of any dtype; or probabilities, shape (N..., C),
            floating.
        weight: A weight for each class, shape (C,).
        ignore_index: Examples with this class number are masked, in addition to those that `where` masks. With
            probabilities it must be negative, and only `where` masks examples.
        label_smoothing: A number s in [0, 1]. The target becomes (1 - s) times itself plus s / C for every class.
        z_loss: The factor of `logsumexp(logits)**2`, which is added to the loss of each unmasked example. Class weights
            do not scale this term (Chowdhery et al.).
        axis: The class axis of `logits`.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over. Each device holds C
            consecutive classes of `logits`, of the probabilities and of `weight`. Class numbers count from the first
            class of all devices. The devices exchange a few numbers per example and return the same result. See
            [Multiple devices](../scaling.md).
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A label out of range, or a probability outside [0, 1], makes the loss
        and the gradient of its example NaN.

    Raises:
        ValueError: Shapes do not match, the class axis is empty, or an option is out of range.
        TypeError: The logits are not real and floating, or the targets are neither integers nor floating.

    Examples:
        >>> logits = jnp.array([[2.0, 0.5], [0.5, 2.0], [0.0, 0.0]])
        >>> print(f"{jaxloss.cross_entropy(logits, jnp.array([0, 1, -100])):.4f}")
        0.2014

    Source: `torch.nn.CrossEntropyLoss`; label smoothing, Szegedy et al., "Rethinking the Inception Architecture for
    Computer Vision", 2016; z-loss, Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", 2022.
    """
    logits = floating("logits", logits)
    classes = class_axis(has_axis("logits", logits, axis), axis_name, logits=logits)
    rows = cross_entropies(
        logits, targets, classes, where,
        weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing, z_loss=z_loss,
    )  # fmt: skip
    return reduce_rows(*rows, reduction, sample_weight)


class CrossEntropyLoss(Loss, fn=cross_entropy):
    """Option object of [`cross_entropy`][jaxloss.cross_entropy]."""

    weight: Real[ArrayLike, "classes"] | None = None
    ignore_index: int = static(-100)
    label_smoothing: Scalar = 0.0
    z_loss: Scalar = 0.0
    axis: int = static(-1)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


def cross_entropies(
    logits: Values,
    targets: Real[ArrayLike, "..."],
    axis: ClassAxis,
    where: Mask | None,
    *,
    weight: Real[ArrayLike, "classes"] | None,
    ignore_index: int,
    label_smoothing: Scalar,
    z_loss: Scalar,
    like: Values | None = None,
) -> ClassLosses:
    """The cross-entropy of each row. `like` has the logits' dtype where they were cast before."""
    targets, like = jnp.asarray(targets), logits if like is None else like
    dtype = like.dtype
    if jnp.issubdtype(targets.dtype, jnp.floating):
        target = Probabilities.of(targets, logits, axis, where, ignore_index)
        dtype = jnp.result_type(like, targets)
    else:
        target = labels(targets, logits, axis, where, ignore_index=ignore_index)
    options = cross_entropy_options(logits, axis, weight, label_smoothing, z_loss)
    rows = row_losses(logits, target, options, axis)
    return ClassLosses(rows.losses, axis.number, target.keep, rows.mean_count, dtype)


def reduce_rows(
    losses: Values,
    axis: int,
    keep: Bool[Array, "..."] | None,
    count: Values | None,
    dtype: DTypeLike,
    reduction: Reduction,
    sample_weight: Weight | None,
) -> Values:
    """The result of `reduce` for arrays that have a class axis of size 1."""
    keep = None if keep is None else jnp.squeeze(keep, axis)
    count = None if count is None else jnp.squeeze(count, axis)
    return reduce(jnp.squeeze(losses, axis), reduction, keep, sample_weight, count=count, dtype=dtype)


@program()
def log_softmax(
    logits: Float[ArrayLike, "*shape"], *, axis: int = -1, axis_name: AxisName | None = None
) -> Float[Array, "*shape"]:
    r"""Log-probabilities of all classes from logits, the input of `nll_loss`, `kl_div` and `ctc_loss`.

    $$ \log p_c = x_c - \log \sum_k e^{x_k} $$

    The value is more accurate than that of `jax.nn.log_softmax`: a dominant class keeps the digits of its distance from
    0. The gradient takes less memory: it is computed from the logits, where JAX stores two arrays of their size.

    Args:
        logits: Unnormalised log-probabilities. A logit of -inf rules its class out.
        axis: The class axis.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over, as in
            [`cross_entropy`][jaxloss.cross_entropy].

    Returns:
        The log-probabilities, in the logits' shape and dtype.

    Raises:
        ValueError: The class axis is empty, or the logits have no such axis.
        TypeError: The logits are not real and floating.

    Examples:
        >>> print(jaxloss.log_softmax(jnp.array([20.0, 0.0])))
        [-2.0611537e-09 -2.0000000e+01]

    Source: `torch.nn.LogSoftmax`.
    """
    logits = floating("logits", logits)
    classes = class_axis(has_axis("logits", logits, axis), axis_name, logits=logits)
    return log_softmax_op.log_softmax(logits, classes).astype(logits.dtype)


@program("weight", integers=("targets",))
def nll_loss(
    log_probs: Float[ArrayLike, "..."],
    targets: Integer[ArrayLike, "..."],
    *,
    weight: Real[ArrayLike, "classes"] | None = None,
    ignore_index: int = -100,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-probability of the true class, in nats.

    $$ \ell = -w_y \log p_y $$

    The mean divides by the sum of the labels' class weights. From logits, use [`cross_entropy`][jaxloss.cross_entropy]:
    it is more exact than this loss after a log-softmax.

    Args:
        log_probs: Log-probabilities, shape (N..., C). They are not checked to be normalised. Logits give a wrong
            number, and [`checked`][jaxloss.checked] raises for those above 0.
        targets: Class numbers (indices from 0), shape (N...), integers of any dtype.
        weight: A weight for each class, shape (C,).
        ignore_index: Examples with this class number are masked, in addition to those that `where` masks.
        axis: The class axis of `log_probs`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A label out of range makes its loss and gradient NaN. A true class of
        probability 0 has the loss inf.

    Raises:
        ValueError: Shapes do not match, or the class axis is empty.
        TypeError: The log-probabilities are not real and floating, or the targets are not integers.

    Examples:
        >>> log_probs = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
        >>> print(jaxloss.nll_loss(log_probs, jnp.array([0, 1]), reduction="none").round(4))
        [0.6931 0.2877]

    Source: `torch.nn.NLLLoss`.
    """
    log_probs = floating("log_probs", log_probs)
    dtype = log_probs.dtype
    classes = ClassAxis(has_axis("log_probs", log_probs, axis))
    label = labels(targets, log_probs, classes, where, name="log_probs", ignore_index=ignore_index)
    expect(log_probabilities(dtype), label.keep, log_probs=log_probs)
    # The dtype of the maths is that of the picked values. On a TPU a cast before the gather is stored for all classes.
    losses = -label.zero_masked(label.pick(log_probs, classes).astype(accumulator(dtype)))
    count = None
    if weight is not None:
        count = label.zero_masked(label.pick(class_weight(weight, log_probs, classes.number), classes))
        losses = times(count, losses)
    return reduce_rows(losses, classes.number, label.keep, count, dtype, reduction, sample_weight)


class NLLLoss(Loss, fn=nll_loss):
    """Option object of [`nll_loss`][jaxloss.nll_loss]."""

    weight: Real[ArrayLike, "classes"] | None = None
    ignore_index: int = static(-100)
    axis: int = static(-1)
    reduction: Reduction = static("mean")


@program(integers=("targets",))
def sparsemax_loss(
    logits: Float[ArrayLike, "..."],
    targets: Real[ArrayLike, "..."],
    *,
    ignore_index: int = -100,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Sparsemax loss: the cross-entropy of a softmax that gives unlikely classes the probability 0.

    $$ \ell = \tfrac12 \sum_{c \in S} (x_c^2 - \tau^2) - \sum_c t_c x_c + \tfrac12 \sum_c t_c^2, \qquad
       p_c = \max(x_c - \tau, 0), \quad S = \{c : p_c > 0\} $$

    The threshold $\tau$ makes the probabilities add up to 1. The gradient is $p - t$. The loss is 0 where the label's
    logit is larger than all others by 1 or more.

    Args:
        logits: Scores, shape (N..., C).
        targets: Class numbers, shape (N...), integers; or probabilities, shape (N..., C), floating.
        ignore_index: Examples with this class number are masked. See [`cross_entropy`][jaxloss.cross_entropy].
        axis: The class axis of `logits`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A label out of range makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, or the class axis is empty.
        TypeError: The logits are not real and floating, or the targets are neither integers nor floating.

    Examples:
        >>> print(jaxloss.sparsemax_loss(jnp.array([[1.5, 0.0], [0.0, 0.0]]), jnp.array([0, 0])))  # 0 and 1/4
        0.125

    Source: Martins and Astudillo, "From Softmax to Sparsemax", 2016.
    """
    logits, targets = floating("logits", logits), jnp.asarray(targets)
    classes, dtype = ClassAxis(has_axis("logits", logits, axis)), logits.dtype
    scores = logits.astype(accumulator(dtype))
    if jnp.issubdtype(targets.dtype, jnp.floating):
        soft = Probabilities.of(targets, logits, classes, where, ignore_index)
        dtype, keep, mass = jnp.result_type(logits, targets), soft.keep, soft.values.astype(scores.dtype)
        valid = jnp.max(-mass, classes.number, keepdims=True) <= 0
    else:
        label = labels(targets, logits, classes, where, ignore_index=ignore_index)
        mass, keep, valid = label.matches(logits, classes).astype(scores.dtype), label.keep, label.in_range
    losses = nan_unless(valid, _sparsemax_loss(filled(scores, keep, 0.0), mass, classes))
    return reduce_rows(losses, classes.number, keep, None, dtype, reduction, sample_weight)


class SparsemaxLoss(Loss, fn=sparsemax_loss):
    """Option object of [`sparsemax_loss`][jaxloss.sparsemax_loss]."""

    ignore_index: int = static(-100)
    axis: int = static(-1)
    reduction: Reduction = static("mean")


@custom_jvp(2)
def _sparsemax_loss(scores: Values, mass: Values, axis: ClassAxis) -> Values:
    """The loss of each row as a sum of squares and of scores below the threshold.

    The terms of the definition are large where the scores are, and cancel. These are not, and are never negative.
    """
    shifted, threshold = _below_largest(scores, axis)
    probabilities = hinge(shifted - threshold)
    below = axis.sum(times(mass, hinge(threshold - shifted)))
    # It is 0 for probabilities. The definition has it for other targets too.
    excess = (axis.largest(scores) + threshold) * (axis.sum(mass) - 1)
    return axis.sum((mass - probabilities) ** 2) / 2 + below - excess


@_sparsemax_loss.defjvp
def _sparsemax_loss_jvp(
    axis: ClassAxis, primals: tuple[Values, Values], tangents: tuple[Values, Values]
) -> tuple[Values, Values]:
    # The threshold's derivative cancels in the first order.
    scores, mass = primals
    shifted, threshold = _below_largest(scores, axis)
    probabilities = hinge(shifted - threshold)
    slopes = (probabilities - mass) * tangents[0] + tangents[1] * (mass - scores)
    return _sparsemax_loss(scores, mass, axis), axis.sum(slopes)


def _below_largest(scores: Values, axis: ClassAxis) -> tuple[Values, Values]:
    """The scores minus the largest, and the number at which those above it exceed it by 1 in total.

    The largest score and the threshold differ by at most 1, which large scores would round away.
    """
    shifted = scores - axis.largest(scores)
    ordered = -jnp.sort(-lax.stop_gradient(shifted), axis.number)
    rank = 1 + lax.broadcasted_iota(scores.dtype, scores.shape, axis.number)
    # In descending order the classes with a positive probability come first.
    first = 1 + rank * ordered > jnp.cumsum(ordered, axis.number)
    count = jnp.sum(first, axis.number, keepdims=True, dtype=scores.dtype)
    least = jnp.min(jnp.where(first, ordered, 0.0), axis.number, keepdims=True)
    total = axis.sum(jnp.where(shifted >= least, shifted, 0.0))
    return shifted, (total - 1) / count
