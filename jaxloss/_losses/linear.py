"""Cross-entropy of a linear map of hidden states."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Real

from jaxloss._core.arguments import Number
from jaxloss._core.class_axis import AxisName, ClassAxis, class_axis
from jaxloss._core.class_numbers import Labels, labels
from jaxloss._core.dtypes import accumulator
from jaxloss._core.logits import Hidden, Kernel, Scale, check_chunk_size, matched, with_bias
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import check_reduction, element_weights, reduce, reduce_total
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._ops.cross_entropy import row_losses
from jaxloss._ops.cross_entropy.problem import Options, Probabilities, cross_entropy_options
from jaxloss._ops.rows import Implementation, solve
from jaxloss._ops.rows.problem import Problem, Rows, Shared

__all__ = ["LinearCrossEntropyLoss", "TokenStats", "linear_cross_entropy", "linear_cross_entropy_with_stats"]


Losses = Float[Array, "..."]


class TokenStats(NamedTuple):
    """Statistics of the logits for every token, in the shape of the unreduced loss. They have no derivative.

    Masked tokens have 0 and False.

    Attributes:
        log_prob: The log-probability of the label.
        correct: True if no class has a larger logit than the label. The mean over tokens is the token accuracy.
        log_sum: The logsumexp of the logits.
    """

    log_prob: Float[Array, "..."]
    correct: Bool[Array, "..."]
    log_sum: Float[Array, "..."]


linear_program = program(
    "bias",
    "weight",
    integers=("targets",),
    label_smoothing=Number(at_least=0, at_most=1, off=0),
    z_loss=Number(off=0),
    logit_softcap=Number(above=0),
)


@linear_program
def linear_cross_entropy(
    hidden: Hidden,
    kernel: Kernel,
    targets: Real[ArrayLike, "..."],
    *,
    bias: Float[ArrayLike, "*heads_and_classes"] | None = None,
    weight: Real[ArrayLike, "classes"] | None = None,
    ignore_index: int = -100,
    label_smoothing: Scalar = 0.0,
    z_loss: Scalar = 0.0,
    logit_softcap: Scalar | None = None,
    chunk_size: int | None = None,
    implementation: Implementation | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Losses:
    """Softmax cross-entropy of a linear map of hidden states, in nats, without the logits of all tokens in memory.

    It equals [`cross_entropy`][jaxloss.cross_entropy] of `hidden @ kernel + bias`. The logits of all tokens never
    exist, neither for the value nor for any derivative. It is the loss of a language model.

    Args:
        hidden: Hidden states of the tokens, shape (N..., D).
        kernel: The weights of the linear map, shape (D, V), as in `nnx.Linear`; or (D, K..., V) for K heads, as in
            `nnx.LinearGeneral`. Tied weights are `embedding.T`, which XLA copies on CPUs if there is more than one
            chunk. If the dtypes of `kernel` and `hidden` differ, both are promoted, which copies one of them.
        targets: Class numbers (indices from 0), shape (N...) or (N..., K...), integers of any dtype; or probabilities,
            floating, with a last axis of V.
        bias: A number added to each logit, shape (V,) or (K..., V).
        weight: A weight for each class, shape (V,). Its cost is negligible.
        ignore_index: Tokens with this class number are masked, in addition to those that `where` masks.
        label_smoothing: A number s in [0, 1]. The target becomes (1 - s) times itself plus s / V for every class. It
            costs one more pass over each chunk of logits.
        z_loss: The factor of `logsumexp(logits)**2`, which is added to the loss of each unmasked token. Its cost is
            negligible.
        logit_softcap: A number c above 0. The logits become c tanh(logits / c). It costs a hyperbolic tangent per
            logit.
        chunk_size: The number of tokens in a chunk. The temporary memory is about V times this number, in float32, and
            one gradient of the kernel in float32. None picks a size for the platform.
        implementation: `"xla"` works in chunks. `"reference"` materialises all logits, to compare with. None picks one.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over. Each device holds V
            consecutive classes of `kernel`, `bias`, `weight` and the probabilities. `hidden` is the same on all devices
            of the axis, and class numbers count from the first class of the first device. See
            [Multiple devices](../scaling.md).
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce]. Value and gradient take three matrix
            products with `"mean"` and `"sum"`, and four with `"none"`, because its cotangents are only known in the
            backward pass.
        where: True for the tokens that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each token. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...) or (N..., K...). They are float32 for low-precision inputs too, because
        the logits are float32. A label out of range, or a probability outside [0, 1], makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, an option is out of range, or the implementation is unknown.
        TypeError: An array has the wrong dtype.

    Examples:
        A language model whose head is its embedding:

        >>> from flax import nnx
        >>> embed = nnx.Embed(50, 8, rngs=nnx.Rngs(0))
        >>> tokens = jnp.array([[3, 14, 15, 9], [2, 6, 5, 3]])
        >>> hidden = embed(tokens[:, :-1])  # stands for the output of the model's layers
        >>> loss = jaxloss.linear_cross_entropy(hidden, embed.embedding[...].T, tokens[:, 1:])
        >>> loss.shape, loss.dtype
        ((), dtype('float32'))

    Source: `torch.nn.functional.linear_cross_entropy`; gradients in the forward pass, Hsu et al., "Liger Kernel:
    Efficient Triton Kernels for LLM Training", 2024; logits that are never stored, Wijmans et al., "Cut Your Losses in
    Large-Vocabulary Language Models", 2025; soft-capping, Gemma Team, "Gemma 2: Improving Open Language Models at a
    Practical Size", 2024.
    """
    loss, _ = _loss_and_stats(
        hidden,
        kernel,
        targets,
        bias=bias,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        logit_softcap=logit_softcap,
        chunk_size=chunk_size,
        implementation=implementation,
        axis_name=axis_name,
        reduction=reduction,
        where=where,
        sample_weight=sample_weight,
    )
    return loss


@linear_program
def linear_cross_entropy_with_stats(
    hidden: Hidden,
    kernel: Kernel,
    targets: Real[ArrayLike, "..."],
    *,
    bias: Float[ArrayLike, "*heads_and_classes"] | None = None,
    weight: Real[ArrayLike, "classes"] | None = None,
    ignore_index: int = -100,
    label_smoothing: Scalar = 0.0,
    z_loss: Scalar = 0.0,
    logit_softcap: Scalar | None = None,
    chunk_size: int | None = None,
    implementation: Implementation | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> tuple[Losses, TokenStats]:
    """Softmax cross-entropy of a linear map, and the statistics of each token's logits, from one pass over the logits.

    The arguments are those of [`linear_cross_entropy`][jaxloss.linear_cross_entropy], and the targets are class
    numbers.

    Returns:
        The loss, and a [`TokenStats`][jaxloss.TokenStats]: a pair for `jax.value_and_grad(..., has_aux=True)`.

    Raises:
        ValueError: The targets are probabilities, or an argument is one that `linear_cross_entropy` refuses.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> hidden, kernel = jnp.eye(3), jnp.array([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0]])
        >>> loss, stats = jaxloss.linear_cross_entropy_with_stats(hidden, kernel, jnp.array([0, 1, 1]))
        >>> print(f"{loss:.4f}", stats.correct)
        0.4714 [ True  True False]
    """
    loss, stats = _loss_and_stats(
        hidden,
        kernel,
        targets,
        bias=bias,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        logit_softcap=logit_softcap,
        chunk_size=chunk_size,
        implementation=implementation,
        axis_name=axis_name,
        reduction=reduction,
        where=where,
        sample_weight=sample_weight,
    )
    if stats is None:
        raise ValueError("`targets` are probabilities, but the stats are of the label: use class numbers.")
    return loss, TokenStats(stats.log_prob, stats.correct > 0, stats.log_sum)


class LinearCrossEntropyLoss(Loss, fn=linear_cross_entropy):
    """Option object of [`linear_cross_entropy`][jaxloss.linear_cross_entropy]."""

    bias: Float[ArrayLike, "*heads_and_classes"] | None = None
    weight: Real[ArrayLike, "classes"] | None = None
    ignore_index: int = static(-100)
    label_smoothing: Scalar = 0.0
    z_loss: Scalar = 0.0
    logit_softcap: Scalar | None = None
    chunk_size: int | None = static(None)
    implementation: Implementation | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


def _loss_and_stats(
    hidden: Hidden,
    kernel: Kernel,
    targets: Real[ArrayLike, "..."],
    *,
    bias: Float[ArrayLike, "..."] | None,
    weight: Real[ArrayLike, "classes"] | None,
    ignore_index: int,
    label_smoothing: Scalar,
    z_loss: Scalar,
    logit_softcap: Scalar | None,
    chunk_size: int | None,
    implementation: Implementation | None,
    axis_name: AxisName | None,
    reduction: Reduction,
    where: Mask | None,
    sample_weight: Weight | None,
) -> tuple[Losses, "_Stats | None"]:
    """Check the arguments, solve in chunks, and reduce. The statistics are None for probabilities."""
    check_chunk_size(chunk_size)
    check_reduction(reduction)
    hidden, kernel, bias = matched(hidden, kernel, bias)
    shape = (*hidden.shape[:-1], *kernel.shape[1:-1])
    axis = class_axis(len(shape), axis_name, kernel=kernel)
    logits = jax.ShapeDtypeStruct((*shape, kernel.shape[-1]), accumulator(hidden.dtype))
    options = cross_entropy_options(logits, axis, weight, label_smoothing, z_loss)
    scale = Scale.of(logits, logit_softcap, 1.0)
    targets, count = jnp.asarray(targets), None
    if jnp.issubdtype(targets.dtype, jnp.floating):
        target = Probabilities.of(targets, logits, axis, where, ignore_index, name="hidden @ kernel")
    else:
        target = labels(targets, logits, axis, where, name="hidden @ kernel", ignore_index=ignore_index)
        targets = target.numbers[..., 0]
        if options.weight is not None:
            count = target.zero_masked(target.pick(options.weight, axis))[..., 0]
    keep = jnp.ones(shape, bool) if target.keep is None else target.keep[..., 0]
    if options.weight is not None:  # the axes of the kernel, which are those of a chunk of logits
        options = options._replace(weight=options.weight.reshape((1,) * (kernel.ndim - 1) + kernel.shape[-1:]))
    shared = Shared(kernel, _Parameters(bias, scale, options), ClassAxis(kernel.ndim - 1, axis_name))
    # "mean" and "sum" need the weighted sum only. Its gradient is computed with it, chunk by chunk. So the
    # weights of the losses must be known first.
    weights = None if reduction == "none" else reduce(jnp.ones(shape, logits.dtype), "none", keep, sample_weight)
    problem = Problem(Rows(hidden, targets, keep), shared, weights)
    total, stats = solve(problem, _token_losses, chunk_size, implementation)
    if weights is None:
        return reduce(total, "none", keep, sample_weight), stats
    sample_weight = element_weights(shape, logits.dtype, keep, sample_weight)
    return reduce_total(total, shape, reduction, keep, sample_weight, count=count), stats


class _Parameters(NamedTuple):
    """The parameters between the product hidden @ kernel and the losses."""

    bias: Float[Array, "*heads classes"] | None
    scale: Scale
    options: Options


class _Stats(NamedTuple):
    """The numbers of `TokenStats`, in float32 or wider; 0 for masked tokens."""

    log_prob: Float[Array, "..."]
    correct: Float[Array, "..."]
    log_sum: Float[Array, "..."]


def _token_losses(
    product: Values, targets: Real[Array, "..."], keep: Bool[Array, "..."], parameters: _Parameters, axis: ClassAxis
) -> tuple[Values, _Stats | None]:
    """The loss of each token, 0 where masked, from hidden @ kernel."""
    logits = parameters.scale(with_bias(product, parameters.bias))
    keep = keep[..., None]
    if jnp.issubdtype(targets.dtype, jnp.floating):
        rows = row_losses(logits, Probabilities(targets, keep), parameters.options, axis)
        return jnp.squeeze(rows.losses, -1), None
    numbers = targets[..., None]
    label = Labels(numbers, (numbers >= 0) & (numbers < axis.class_count(logits.shape[-1])), keep)
    rows = row_losses(logits, label, parameters.options, axis)
    label_logit, log_sum, largest = rows.terms.label_logit, rows.terms.log_sum, rows.terms.largest
    if label_logit is None:
        return jnp.squeeze(rows.losses, -1), None
    # The label's logit is relative to the largest: it is 0 if no class has a larger one.
    correct = (label_logit >= 0).astype(log_sum.dtype)
    stats = (label.zero_masked(each) for each in (label_logit - log_sum, correct, largest + log_sum))
    return jnp.squeeze(rows.losses, -1), _Stats(*(lax.stop_gradient(jnp.squeeze(each, -1)) for each in stats))
