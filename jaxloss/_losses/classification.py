"""Losses of one class among many."""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float, Integer, Real

from jaxloss._core.arguments import floating, floats, has_axis
from jaxloss._core.class_axis import AxisName, ClassAxis, class_axis
from jaxloss._core.class_numbers import class_weight, labels
from jaxloss._core.domains import expect, log_probabilities
from jaxloss._core.objects import Loss
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import Mask, Reduction, Scalar, Values, Weight
from jaxloss._ops.cross_entropy import log_softmax as log_softmax_op
from jaxloss._ops.cross_entropy import row_losses
from jaxloss._ops.cross_entropy.problem import Probabilities, cross_entropy_options

__all__ = ["CrossEntropyLoss", "NLLLoss", "cross_entropy", "log_softmax", "nll_loss"]


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
    r"""How surprised a softmax over the logits is by the true class, in nats.

    $$ \ell = -w_y \log \frac{e^{x_y}}{\sum_c e^{x_c}} \qquad\text{or}\qquad
       \ell = -\sum_c w_c\, t_c \log \frac{e^{x_c}}{\sum_k e^{x_k}} $$

    With class numbers, the mean divides by the sum of the labels' class weights; with probabilities, by the number of
    examples. The label's own term is left out of the sum (without labels the largest one) and added exactly, so the
    loss keeps its digits where one class dominates and at any offset of the logits.

    Args:
        logits: (N..., C), unnormalised log-probabilities. A logit of -inf rules its class out.
        targets: class numbers (N...), integers of any dtype; or probabilities (N..., C), floating.
        weight: (C,), a weight for each class.
        ignore_index: examples with this class number are left out, like those that `where` leaves out. With
            probabilities it must be negative, and `where` leaves examples out.
        label_smoothing: s in [0, 1]; the target becomes (1 - s) times itself plus s / C on every class.
        z_loss: adds `z_loss * logsumexp(logits)**2` to each kept example, whatever its class weight (Chowdhery et al.).
        axis: of the classes, in `logits`.
        axis_name: within `jax.shard_map`, the mesh axis that the classes are split over, of which every device holds C
            consecutive ones: of `logits`, probabilities and `weight`. Class numbers count from the first one of all.
            Devices exchange a few numbers per example, and return the same: see [Past one device](../scaling.md).
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an example is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each example counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses (N...). A label out of range, or a probability outside [0, 1], makes its example's loss
        and gradient NaN.

    Raises:
        ValueError: shapes that do not match, an empty class axis, an option out of range.
        TypeError: logits that are not real and floating, targets that are neither integers nor floating.

    Examples:
        >>> logits = jnp.array([[2.0, 0.5], [0.5, 2.0], [0.0, 0.0]])
        >>> print(f"{jaxloss.cross_entropy(logits, jnp.array([0, 1, -100])):.4f}")
        0.2014

    Source: `torch.nn.CrossEntropyLoss`; label smoothing, Szegedy et al., "Rethinking the Inception Architecture for
    Computer Vision", 2016; z-loss, Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", 2022.
    """
    logits, targets = floating("logits", logits), jnp.asarray(targets)
    number, dtype = has_axis("logits", logits, axis), logits.dtype
    classes = class_axis(number, axis_name, logits=logits)
    if jnp.issubdtype(targets.dtype, jnp.floating):
        target = Probabilities.of(targets, logits, classes, where, ignore_index)
        dtype = jnp.result_type(logits, targets)
    else:
        target = labels(targets, logits, classes, where, ignore_index=ignore_index)
    options = cross_entropy_options(logits, classes, weight, label_smoothing, z_loss)
    rows = row_losses(logits, target, options, classes)
    return _reduced(rows.losses, number, reduction, target.keep, sample_weight, rows.mean_count, dtype)


class CrossEntropyLoss(Loss, fn=cross_entropy):
    """[`cross_entropy`][jaxloss.cross_entropy] and its options as one value."""

    weight: Real[ArrayLike, "classes"] | None = None
    ignore_index: int = static(-100)
    label_smoothing: Scalar = 0.0
    z_loss: Scalar = 0.0
    axis: int = static(-1)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


def _reduced(
    losses: Values,
    axis: int,
    reduction: Reduction,
    keep: Bool[Array, "..."] | None,
    sample_weight: Weight | None,
    count: Values | None,
    dtype: DTypeLike,
) -> Values:
    """The result of `reduce` for arrays that have a class axis of size 1."""
    keep = None if keep is None else jnp.squeeze(keep, axis)
    count = None if count is None else jnp.squeeze(count, axis)
    return reduce(jnp.squeeze(losses, axis), reduction, keep, sample_weight, count=count, dtype=dtype)


def log_softmax(
    logits: Float[ArrayLike, "..."], *, axis: int = -1, axis_name: AxisName | None = None
) -> Float[Array, "..."]:
    r"""The log-probability of every class, from logits: what `nll_loss`, `kl_div` and `ctc_loss` take.

    $$ \log p_c = x_c - \log \sum_k e^{x_k} $$

    It is `jax.nn.log_softmax` with more digits and in less memory: a class that dominates keeps the digits of its
    distance from 0, and a gradient starts again from the logits, where that of JAX holds two arrays of their size.

    Args:
        logits: unnormalised log-probabilities. A logit of -inf rules its class out.
        axis: of the classes.
        axis_name: within `jax.shard_map`, the mesh axis that the classes are split over, as in
            [`cross_entropy`][jaxloss.cross_entropy].

    Returns:
        The log-probabilities, in the logits' shape and dtype.

    Raises:
        ValueError: an empty class axis, or none.
        TypeError: logits that are not real and floating.

    Examples:
        >>> print(jaxloss.log_softmax(jnp.array([20.0, 0.0])))
        [-2.0611537e-09 -2.0000000e+01]

    Source: `torch.nn.LogSoftmax`.
    """
    logits = floating("logits", logits)
    classes = class_axis(has_axis("logits", logits, axis), axis_name, logits=logits)
    return log_softmax_op.log_softmax(logits, classes).astype(logits.dtype)


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
    r"""Minus the log-probability given to the true class.

    $$ \ell = -w_y \log p_y $$

    The mean divides by the sum of the labels' class weights. From logits, [`cross_entropy`][jaxloss.cross_entropy] is
    more exact than this after a log-softmax.

    Args:
        log_probs: (N..., C), log-probabilities; not checked to be normalised.
        targets: class numbers (N...), integers of any dtype.
        weight: (C,), a weight for each class.
        ignore_index: examples with this class number are left out, like those that `where` leaves out.
        axis: of the classes, in `log_probs`.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an example is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each example counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses (N...). A label out of range makes its loss and gradient NaN; a true class of
        probability 0 has the loss inf.

    Raises:
        ValueError: shapes that do not match, an empty class axis.
        TypeError: log-probabilities that are not real and floating, targets that are not integers.

    Examples:
        >>> log_probs = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
        >>> print(jaxloss.nll_loss(log_probs, jnp.array([0, 1]), reduction="none").round(4))
        [0.6931 0.2877]

    Source: `torch.nn.NLLLoss`.
    """
    (log_probs,), dtype = floats(log_probs=log_probs)
    classes = ClassAxis(has_axis("log_probs", log_probs, axis))
    label = labels(targets, log_probs, classes, where, name="log_probs", ignore_index=ignore_index)
    expect(log_probabilities(dtype), label.keep, log_probs=log_probs)
    losses = -label.zero_masked(label.pick(log_probs, classes))
    count = None
    if weight is not None:
        count = label.zero_masked(label.pick(class_weight(weight, log_probs, classes.number), classes))
        losses = losses * count
    return _reduced(losses, classes.number, reduction, label.keep, sample_weight, count, dtype)


class NLLLoss(Loss, fn=nll_loss):
    """[`nll_loss`][jaxloss.nll_loss] and its options as one value."""

    weight: Real[ArrayLike, "classes"] | None = None
    ignore_index: int = static(-100)
    axis: int = static(-1)
    reduction: Reduction = static("mean")
