"""Distillation from the likeliest classes of a teacher. Its page and its `__all__` are of distillation."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.arguments import Number, filled, floating, has_axis, mask, same_shape
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import AxisName, ClassAxis, class_axis
from jaxloss._core.class_numbers import Labels, class_numbers, listed_labels
from jaxloss._core.domains import expect, log_probabilities
from jaxloss._core.dtypes import accumulator, limits
from jaxloss._core.elementwise import clamp_min, is_infinite, times
from jaxloss._core.logits import Scale, check_chunk_size, matched, with_bias
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import check_reduction, reduce
from jaxloss._core.types import ArrayLike, Like, Mask, Reduction, Scalar, Values, Weight
from jaxloss._losses.distillation_formulas import kl_terms
from jaxloss._losses.distillation_linear import solved_losses
from jaxloss._ops.cross_entropy.label_log_probs import several_log_probs
from jaxloss._ops.cross_entropy.log_softmax import log_softmax
from jaxloss._ops.rows import Implementation
from jaxloss._ops.rows.problem import RowLoss, Rows, Shared


@program(integers=("teacher_classes",), temperature=Number(above=0, off=1))
def top_k_distillation_loss(
    logits: Float[ArrayLike, "..."],
    teacher_classes: Integer[ArrayLike, "..."],
    teacher_log_probs: Float[ArrayLike, "..."],
    *,
    renormalize: bool = False,
    temperature: Scalar = 1.0,
    rescale: bool = True,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Divergence of a student's distribution from the likeliest classes of its teacher, in nats.

    $$ \ell = T^2 \sum_{i=1}^{k} p_i \log \frac{p_i}{q_{c_i}} $$

    $p_i$ are the teacher's probabilities of its $k$ likeliest classes $c_i$, and $q$ is the softmax of the student's
    logits divided by the temperature $T$. So a teacher's results can be stored, and a large teacher need not run.

    Args:
        logits: The student's unnormalised log-probabilities, shape (N..., C).
        teacher_classes: The class numbers $c_i$, shape (N..., k), integers. They must differ from each other.
        teacher_log_probs: $\log p_i$, the log-probabilities of these classes, in the same shape. They are those of the
            teacher's logits divided by $T$. Entries that fill a shorter list are -inf.
        renormalize: Whether both distributions are made to add up to 1 over the $k$ classes. The loss is then never
            negative, and it ignores the student's other classes. Stored log-probabilities can then be divided by any
            $T$ afterwards. Otherwise $p$ adds up to less than 1, and the loss can be a little below 0.
        temperature: $T$, above 0. It divides the student's logits only.
        rescale: Whether the loss is multiplied by $T^2$.
        axis: The class axis of all arrays.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A class number out of range makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, an axis is empty, or an option is out of range.
        TypeError: The logits or the log-probabilities are not real and floating, or the class numbers are not integers.

    Examples:
        >>> teacher = jax.nn.log_softmax(jnp.array([[3.0, 0.0, 1.0, -2.0]]))
        >>> teacher_log_probs, teacher_classes = jax.lax.top_k(teacher, 2)
        >>> loss = jaxloss.top_k_distillation_loss(jnp.zeros((1, 4)), teacher_classes, teacher_log_probs)
        >>> print(f"{loss:.4f}")  # 0.8301 of all classes
        0.9263

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015; Raman et al., "For Distillation, Tokens
    Are Not All You Need", 2023.
    """
    logits = floating("logits", logits)
    log_p, classes = floating("teacher_log_probs", teacher_log_probs), class_numbers(teacher_classes, name=CLASSES)
    dtype, maths = jnp.result_type(logits, log_p), accumulator(jnp.result_type(logits, log_p))
    axis = has_axis("logits", logits, axis)
    same_shape(teacher_classes=classes, teacher_log_probs=log_p)
    has_axis("teacher_classes", classes, axis)
    logits, classes, log_p = (jnp.moveaxis(each, axis, -1) for each in (logits.astype(maths), classes, log_p))
    last = ClassAxis(logits.ndim - 1)
    keep = mask(where, logits.shape[:-1])
    label, log_p = _top_k(classes, log_p.astype(maths), logits, last, keep, renormalize)
    scaled = Scale.of(logits, None, temperature)(logits)
    losses = _divergences(scaled, label, log_p, renormalize, last)
    losses = losses * jnp.asarray(temperature if rescale else 1.0, maths) ** 2
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class TopKDistillationLoss(Loss, fn=top_k_distillation_loss):
    """Option object of [`top_k_distillation_loss`][jaxloss.top_k_distillation_loss]."""

    renormalize: bool = static(False)
    temperature: Scalar = 1.0
    rescale: bool = static(True)
    axis: int = static(-1)
    reduction: Reduction = static("mean")


@program("bias", integers=("teacher_classes",), temperature=Number(above=0, off=1), logit_softcap=Number(above=0))
def linear_top_k_distillation_loss(
    hidden: Float[ArrayLike, "*tokens width"],
    kernel: Float[ArrayLike, "width classes"],
    teacher_classes: Integer[ArrayLike, "*tokens k"],
    teacher_log_probs: Float[ArrayLike, "*tokens k"],
    *,
    bias: Float[ArrayLike, "classes"] | None = None,
    renormalize: bool = False,
    temperature: Scalar = 1.0,
    rescale: bool = True,
    logit_softcap: Scalar | None = None,
    chunk_size: int | None = None,
    implementation: Implementation | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Divergence of a student from the likeliest classes of its teacher, without the logits of all tokens in memory.

    It equals [`top_k_distillation_loss`][jaxloss.top_k_distillation_loss] of `hidden @ kernel + bias`. Neither the
    value nor any derivative holds the logits of more than one chunk of tokens.

    Args:
        hidden: The student's hidden states, shape (N..., D).
        kernel: The weights of the student's last linear map, shape (D, V), as in `nnx.Linear`.
        teacher_classes: The class numbers of the teacher's $k$ likeliest classes, shape (N..., k), integers. They must
            differ from each other.
        teacher_log_probs: The teacher's log-probabilities of these classes at the temperature T, in the same shape.
            Entries that fill a shorter list are -inf.
        bias: A number added to each logit of the student, shape (V,).
        renormalize: Whether both distributions are made to add up to 1 over the $k$ classes.
        temperature: A number T above 0 that divides the student's logits, after the soft cap.
        rescale: Whether the loss is multiplied by $T^2$.
        logit_softcap: A number c above 0. The student's logits become c tanh(logits / c).
        chunk_size: The number of tokens in a chunk. The temporary memory is about V times this number, in float32, and
            one gradient of the kernel in float32. None picks a size for the platform.
        implementation: `"xla"` works in chunks. `"reference"` materialises all logits, to compare with. None picks one.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes of the kernel are split over, as in
            [`linear_cross_entropy`][jaxloss.linear_cross_entropy]. The teacher's arrays are the same on all devices of
            the axis, and its class numbers count from the first class of the first device.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the tokens that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each token. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...), in float32 for low-precision inputs too. A class number out of range
        makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, an option is out of range, or the implementation is unknown.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> hidden, kernel = jnp.eye(2), jnp.array([[2.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
        >>> classes, log_probs = jnp.array([[0, 2], [1, 2]]), jnp.log(jnp.array([[0.5, 0.25], [0.5, 0.5]]))
        >>> loss = jaxloss.linear_top_k_distillation_loss(hidden, kernel, classes, log_probs, reduction="none")
        >>> print(" ".join(f"{each:.4f}" for each in loss))
        -0.1374 0.1688

    Source: Raman et al., "For Distillation, Tokens Are Not All You Need", 2023; gradients in the forward pass, Hsu et
    al., "Liger Kernel: Efficient Triton Kernels for LLM Training", 2024.
    """
    check_chunk_size(chunk_size)
    check_reduction(reduction)
    hidden, kernel, bias = matched(hidden, kernel, bias)
    if kernel.ndim != 2:
        raise ValueError(f"`kernel` has shape {kernel.shape}, but must be (width, classes).")
    log_p, classes = floating("teacher_log_probs", teacher_log_probs), class_numbers(teacher_classes, name=CLASSES)
    same_shape(teacher_classes=classes, teacher_log_probs=log_p)
    shape = hidden.shape[:-1]
    axis = class_axis(len(shape), axis_name, kernel=kernel)
    logits = jax.ShapeDtypeStruct((*shape, kernel.shape[-1]), accumulator(jnp.result_type(hidden, log_p)))
    keep = mask(where, shape)
    label, log_p = _top_k(classes, log_p.astype(logits.dtype), logits, axis, keep, renormalize)
    keep = jnp.broadcast_to(True if keep is None else keep, shape)
    parameters = _Parameters(bias, Scale.of(logits, logit_softcap, temperature))
    rows = Rows(hidden, _Teacher(label.numbers[..., 0], log_p), keep)
    factor = jnp.asarray(temperature if rescale else 1.0, logits.dtype) ** 2
    row_loss = _renormalized_losses if renormalize else _plain_losses
    shared = Shared(kernel, parameters, ClassAxis(1, axis.mesh))
    return solved_losses(rows, shared, row_loss, factor, reduction, sample_weight, chunk_size, implementation)


class LinearTopKDistillationLoss(Loss, fn=linear_top_k_distillation_loss):
    """Option object of [`linear_top_k_distillation_loss`][jaxloss.linear_top_k_distillation_loss]."""

    bias: Float[ArrayLike, "classes"] | None = None
    renormalize: bool = static(False)
    temperature: Scalar = 1.0
    rescale: bool = static(True)
    logit_softcap: Scalar | None = None
    chunk_size: int | None = static(None)
    implementation: Implementation | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


CLASSES = "teacher_classes"


class _Teacher(NamedTuple):
    """The classes of each row, and their log-probabilities."""

    numbers: Integer[Array, "rows k"]
    log_probs: Float[Array, "rows k"]


class _Parameters(NamedTuple):
    """The arrays between the product hidden @ kernel and the losses."""

    bias: Float[Array, "classes"] | None
    scale: Scale


def _top_k(
    classes: Integer[Array, "..."],
    log_p: Values,
    like: Like,
    axis: ClassAxis,
    keep: Bool[Array, "..."] | None,
    renormalize: bool,
) -> tuple[Labels, Values]:
    """The teacher's classes and log-probabilities, checked against the logits, whose class axis is the last."""
    rows = like.shape[:-1]
    if classes.shape[:-1] != rows or 0 in classes.shape[-1:]:
        raise ValueError(
            f"`teacher_classes` has shape {classes.shape}, but for logits of shape {like.shape} it must be "
            f"{(*rows, 'k')} with at least one class."
        )
    label = listed_labels(CLASSES, classes, keep, like, axis)
    if not renormalize:  # which takes any numbers that differ from the log-probabilities by a constant
        expect(log_probabilities(log_p.dtype), None if keep is None else keep[..., None], teacher_log_probs=log_p)
    return label, filled(log_p, keep, 0.0)


def _divergences(logits: Values, label: Labels, log_p: Values, renormalize: bool, axis: ClassAxis) -> Values:
    """The divergence of each row from the teacher's classes. The class axis of the logits is the last."""
    in_range = jnp.all(label.in_range, -2)
    logits = nan_unless(in_range, logits)  # a gather of a class out of range would make one slope NaN, and not all
    picked = label.zero_masked(label.gather_several(logits, axis)[..., None])[..., 0]
    if renormalize:
        # An entry that fills a list names no class, so that it has no part in the student's sum.
        picked = jnp.where(is_infinite(log_p), log_p, picked)
        listed = ClassAxis(log_p.ndim - 1)
        return jnp.sum(kl_terms(log_softmax(log_p, listed), log_softmax(picked, listed)), -1)
    log_q = several_log_probs(logits, label, axis, picked)
    # A class that both rule out adds nothing. The difference of the two infinities would be NaN.
    listed_log_p = clamp_min(log_p, -limits(log_p.dtype).max / 4)
    return jnp.sum(times(jnp.exp(log_p), listed_log_p - log_q), -1)


def _row_losses(
    renormalize: bool,
    product: Values,
    teacher: _Teacher,
    keep: Bool[Array, "..."],
    parameters: _Parameters,
    axis: ClassAxis,
) -> tuple[Values, None]:
    """The divergence of each token, 0 where masked, from the student's hidden @ kernel."""
    logits = parameters.scale(with_bias(product, parameters.bias))
    numbers = teacher.numbers[..., None]
    in_range = (numbers >= 0) & (numbers < axis.class_count(logits.shape[-1]))
    label = Labels(numbers, in_range, jnp.broadcast_to(keep[..., None, None], numbers.shape))
    losses = _divergences(logits, label, teacher.log_probs, renormalize, axis)
    return jnp.where(keep, losses, 0.0), None


# The loops are compiled once for each function. So each of the two has one.
_plain_losses: RowLoss[None] = partial(_row_losses, False)
_renormalized_losses: RowLoss[None] = partial(_row_losses, True)
