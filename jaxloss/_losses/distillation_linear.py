"""Distillation from hidden states, without the logits of all tokens. Its page and its `__all__` are of distillation."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxloss._core.arguments import Number, mask, one_of
from jaxloss._core.class_axis import AxisName, ClassAxis, class_axis
from jaxloss._core.dtypes import accumulator
from jaxloss._core.logits import Scale, check_chunk_size, matched, with_bias
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import check_reduction, element_weights, reduce, reduce_total
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._losses.distillation_formulas import DIVERGENCES, Divergence, beta_range, divergence_terms
from jaxloss._ops.cross_entropy.log_softmax import log_softmax
from jaxloss._ops.rows import Implementation, solve
from jaxloss._ops.rows.formula import project
from jaxloss._ops.rows.problem import Problem, RowLoss, Rows, Shared


@program("bias", "teacher_bias", beta=beta_range, temperature=Number(above=0, off=1), logit_softcap=Number(above=0))
def linear_distillation_loss(
    hidden: Float[ArrayLike, "*tokens width"],
    kernel: Float[ArrayLike, "width classes"],
    teacher_hidden: Float[ArrayLike, "*tokens teacher_width"],
    teacher_kernel: Float[ArrayLike, "teacher_width classes"],
    *,
    bias: Float[ArrayLike, "classes"] | None = None,
    teacher_bias: Float[ArrayLike, "classes"] | None = None,
    divergence: Divergence = "kl",
    beta: Scalar = 0.5,
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
    r"""Divergence of a student's distribution from its teacher's, without the logits of all tokens in memory.

    It equals [`distillation_loss`][jaxloss.distillation_loss] of `hidden @ kernel + bias` and
    `teacher_hidden @ teacher_kernel + teacher_bias`. Neither the value nor any derivative holds the logits of more than
    one chunk of tokens.

    Args:
        hidden: The student's hidden states, shape (N..., D).
        kernel: The weights of the student's last linear map, shape (D, V), as in `nnx.Linear`.
        teacher_hidden: The teacher's hidden states, shape (N..., E).
        teacher_kernel: The weights of the teacher's last linear map, shape (E, V). Both have a gradient, which costs
            time only if it is asked for.
        bias: A number added to each logit of the student, shape (V,).
        teacher_bias: A number added to each logit of the teacher, shape (V,).
        divergence: See [`distillation_loss`][jaxloss.distillation_loss].
        beta: The weight of the teacher in the mixture, in [0, 1]. `"js"` needs a number between 0 and 1.
        temperature: A number T above 0 that divides the logits of both, after the soft cap.
        rescale: Whether the loss is multiplied by $T^2$.
        logit_softcap: A number c above 0. The logits of both become c tanh(logits / c).
        chunk_size: The number of tokens in a chunk. The temporary memory is a few arrays of V times this number, in
            float32, and one gradient of the kernel in float32. None picks a size for the platform.
        implementation: `"xla"` works in chunks. `"reference"` materialises all logits, to compare with. None picks one.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes of both kernels are split over, as in
            [`linear_cross_entropy`][jaxloss.linear_cross_entropy].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the tokens that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each token. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...), in float32 for low-precision inputs too.

    Raises:
        ValueError: Shapes do not match, an option is out of range, or the implementation is unknown.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> hidden, kernel = jnp.eye(2), jnp.array([[2.0, 0.0], [0.0, 1.0]])
        >>> loss = jaxloss.linear_distillation_loss(hidden, jnp.zeros((2, 2)), hidden, kernel, reduction="none")
        >>> print(" ".join(f"{each:.4f}" for each in loss))
        0.3278 0.1109

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015; gradients in the forward pass, Hsu et
    al., "Liger Kernel: Efficient Triton Kernels for LLM Training", 2024.
    """
    one_of("divergence", divergence, DIVERGENCES)
    check_chunk_size(chunk_size)
    check_reduction(reduction)
    hidden, kernel, bias = matched(hidden, kernel, bias)
    teacher_hidden, teacher_kernel, teacher_bias = matched(teacher_hidden, teacher_kernel, teacher_bias, "teacher_")
    _check_shapes(hidden, kernel, teacher_hidden, teacher_kernel)
    shape = hidden.shape[:-1]
    axis = class_axis(len(shape), axis_name, kernel=kernel, teacher_kernel=teacher_kernel)
    logits = jax.ShapeDtypeStruct((*shape, kernel.shape[-1]), accumulator(jnp.result_type(hidden, teacher_hidden)))
    scale = Scale.of(logits, logit_softcap, temperature)
    teacher = _Teacher(teacher_kernel, teacher_bias)
    parameters = _Parameters(bias, teacher, scale, jnp.asarray(beta, logits.dtype))
    keep = mask(where, shape)
    rows = Rows(hidden, teacher_hidden, jnp.broadcast_to(True if keep is None else keep, shape))
    shared = Shared(kernel, parameters, ClassAxis(1, axis.mesh))
    factor = jnp.asarray(temperature if rescale else 1.0, logits.dtype) ** 2
    return solved_losses(
        rows, shared, _ROW_LOSSES[divergence], factor, reduction, sample_weight, chunk_size, implementation
    )


class LinearDistillationLoss(Loss, fn=linear_distillation_loss):
    """Option object of [`linear_distillation_loss`][jaxloss.linear_distillation_loss]."""

    bias: Float[ArrayLike, "classes"] | None = None
    teacher_bias: Float[ArrayLike, "classes"] | None = None
    divergence: Divergence = static("kl")
    beta: Scalar = 0.5
    temperature: Scalar = 1.0
    rescale: bool = static(True)
    logit_softcap: Scalar | None = None
    chunk_size: int | None = static(None)
    implementation: Implementation | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


def solved_losses(
    rows: Rows,
    shared: Shared,
    row_loss: RowLoss[None],
    factor: Values,
    reduction: Reduction,
    sample_weight: Weight | None,
    chunk_size: int | None,
    implementation: Implementation | None,
) -> Values:
    """The losses of all rows times a factor, whose dtype the sums have, computed in chunks and reduced."""
    keep, dtype = rows.keep, factor.dtype
    # "mean" and "sum" need the weighted sum only, and its gradient is computed with it. So weights come first.
    weights = None if reduction == "none" else reduce(jnp.ones(keep.shape, dtype), "none", keep, sample_weight)
    value, _ = solve(Problem(rows, shared, weights), row_loss, chunk_size, implementation)
    value = value * factor
    if weights is None:
        return reduce(value, "none", keep, sample_weight)
    sample_weight = element_weights(keep.shape, dtype, keep, sample_weight)
    return reduce_total(value, keep.shape, reduction, keep, sample_weight)


class _Teacher(NamedTuple):
    """The teacher's linear map."""

    kernel: Float[Array, "width classes"]
    bias: Float[Array, "classes"] | None


class _Parameters(NamedTuple):
    """The arrays between the product hidden @ kernel and the losses."""

    bias: Float[Array, "classes"] | None
    teacher: _Teacher
    scale: Scale
    beta: Float[Array, ""]


def _check_shapes(hidden: Values, kernel: Values, teacher_hidden: Values, teacher_kernel: Values) -> None:
    if kernel.ndim != 2 or teacher_kernel.ndim != 2 or kernel.shape[1] != teacher_kernel.shape[1]:
        raise ValueError(
            f"`kernel` has shape {kernel.shape} and `teacher_kernel` {teacher_kernel.shape}, but they must be "
            "(width, classes) with the same classes: drop the classes that only one of them has."
        )
    if hidden.shape[:-1] != teacher_hidden.shape[:-1]:
        raise ValueError(
            f"`teacher_hidden` has shape {teacher_hidden.shape}, but `hidden` {hidden.shape} has the tokens "
            f"{hidden.shape[:-1]}."
        )


def _row_losses(
    divergence: Divergence,
    product: Values,
    teacher_hidden: Values,
    keep: Bool[Array, "..."],
    parameters: _Parameters,
    axis: ClassAxis,
) -> tuple[Values, None]:
    """The divergence of each token, 0 where masked, from the student's hidden @ kernel."""
    teacher, scale = parameters.teacher, parameters.scale
    log_q = log_softmax(scale(with_bias(product, parameters.bias)), axis)
    teacher_product = project(teacher_hidden, teacher.kernel)
    log_p = log_softmax(scale(with_bias(teacher_product, teacher.bias)), axis)
    losses = axis.sum(divergence_terms(divergence, log_p, log_q, parameters.beta))[..., 0]
    return jnp.where(keep, losses, 0.0), None


# The loops are compiled once for each function. So each divergence has one.
_ROW_LOSSES: dict[Divergence, RowLoss[None]] = {each: partial(_row_losses, each) for each in DIVERGENCES}
