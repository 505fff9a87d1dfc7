"""Log-probabilities of tokens, and a loss of them. Losses of preference and of policies take the log-probabilities."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.arguments import Number, filled, floating, floats, has_axis, mask
from jaxloss._core.class_axis import AxisName, class_axis
from jaxloss._core.class_numbers import token_labels
from jaxloss._core.domains import expect, log_probabilities
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import times
from jaxloss._core.logits import Scale
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.tokens_linear import (
    LogProbAndEntropy,
    linear_token_entropy,
    linear_token_log_probs,
    linear_token_log_probs_and_entropy,
)
from jaxloss._ops.cross_entropy.entropy import entropies
from jaxloss._ops.cross_entropy.label_log_probs import label_log_probs, several_log_probs

__all__ = [
    "DFTLoss",
    "LogProbAndEntropy",
    "dft_loss",
    "linear_token_entropy",
    "linear_token_log_probs",
    "linear_token_log_probs_and_entropy",
    "sequence_log_probs",
    "token_entropy",
    "token_log_probs",
]


@program(integers=("targets",), temperature=Number(above=0, off=1), logit_softcap=Number(above=0))
def token_log_probs(
    logits: Float[ArrayLike, "..."],
    targets: Integer[ArrayLike, "..."],
    *,
    ignore_index: int = -100,
    temperature: Scalar = 1.0,
    logit_softcap: Scalar | None = None,
    axis: int = -1,
    axis_name: AxisName | None = None,
    where: Mask | None = None,
) -> Float[Array, "..."]:
    r"""Log-probability of each target under the softmax of its token's logits.

    $$ \log p_y = \frac{x_y}{\tau} - \log \sum_c e^{x_c / \tau} $$

    The likeliest class keeps its digits: a log-probability of -1e-9 is not rounded to 0. From hidden states,
    [`linear_token_log_probs`][jaxloss.linear_token_log_probs] needs less memory.

    Args:
        logits: Unnormalised log-probabilities $x$, shape (N..., C). A logit of -inf rules its class out.
        targets: Class numbers $y$ (indices from 0), shape (N...), integers of any dtype. With one more axis of size K
            at the end, each token has K classes, for distillation of the likeliest classes or for transducers. The
            softmax is computed once for all of them.
        ignore_index: Targets with this class number are masked, in addition to those that `where` masks.
        temperature: A number $\tau$ above 0 that divides the logits, after the soft cap.
        logit_softcap: A number c above 0. The logits become c tanh(logits / c).
        axis: The class axis of `logits`. The axis of K classes is the last one of `targets` in any case.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over, as in
            [`cross_entropy`][jaxloss.cross_entropy].
        where: True for the tokens that take part, shape (N...).

    Returns:
        The log-probabilities in nats, in the shape of `targets`. Masked targets have 0, with a gradient of 0. A target
        out of range makes its value and the gradient of its token NaN. The dtype is float32 for bfloat16 and float16
        logits too, because log-probabilities are subtracted and exponentiated.

    Raises:
        ValueError: Shapes do not match, the class axis is empty, or an option is out of range.
        TypeError: The logits are not real and floating, or the targets are not integers.

    Examples:
        >>> logits = jnp.array([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0]])
        >>> log_probs = jaxloss.token_log_probs(logits, jnp.array([0, 1, -100]))
        >>> print(" ".join(f"{each:.4f}" for each in log_probs))
        -0.1269 -0.3133 0.0000
    """
    logits = floating("logits", logits)
    classes = class_axis(has_axis("logits", logits, axis), axis_name, logits=logits)
    label = token_labels(targets, logits, classes, where, ignore_index)
    scaled = Scale.of(logits, logit_softcap, temperature)(logits)
    if label.numbers.ndim > logits.ndim:
        last = class_axis(logits.ndim - 1, axis_name)
        return several_log_probs(jnp.moveaxis(scaled, classes.number, -1), label, last)
    return jnp.squeeze(label_log_probs(scaled, label, classes), classes.number)


@program(temperature=Number(above=0, off=1), logit_softcap=Number(above=0))
def token_entropy(
    logits: Float[ArrayLike, "..."],
    *,
    temperature: Scalar = 1.0,
    logit_softcap: Scalar | None = None,
    axis: int = -1,
    axis_name: AxisName | None = None,
    where: Mask | None = None,
) -> Float[Array, "..."]:
    r"""Entropy of the softmax of each token's logits.

    $$ H = -\sum_c p_c \log p_c, \qquad p = \operatorname{softmax}(x / \tau) $$

    A policy's entropy bonus is minus a coefficient times the mean of this over the tokens:
    `-0.01 * jaxloss.reduce(entropy, where=mask)`.

    Args:
        logits: Unnormalised log-probabilities $x$, shape (N..., C). A logit of -inf rules its class out, and the class
            adds nothing.
        temperature: A number $\tau$ above 0 that divides the logits, after the soft cap.
        logit_softcap: A number c above 0. The logits become c tanh(logits / c).
        axis: The class axis of `logits`.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over, as in
            [`cross_entropy`][jaxloss.cross_entropy].
        where: True for the tokens that take part, shape (N...). The others have 0, with a gradient of 0.

    Returns:
        The entropies in nats, from 0 to log(C), shape (N...). The dtype is float32 for bfloat16 and float16 logits too.

    Raises:
        ValueError: Shapes do not match, the class axis is empty, or an option is out of range.
        TypeError: The logits are not real and floating.

    Examples:
        >>> logits = jnp.array([[2.0, 0.0], [0.0, -jnp.inf], [0.0, 0.0]])
        >>> print(jaxloss.token_entropy(logits).round(4))
        [0.3653 0.     0.6931]
    """
    logits = floating("logits", logits)
    classes = class_axis(has_axis("logits", logits, axis), axis_name, logits=logits)
    number = classes.number
    keep = mask(where, logits.shape[:number] + logits.shape[number + 1 :])
    keep = None if keep is None else jnp.expand_dims(keep, number)
    return jnp.squeeze(entropies(Scale.of(logits, logit_softcap, temperature)(logits), keep, classes), number)


@program("segment_ids", integers=("segment_ids",))
def sequence_log_probs(
    log_probs: Float[ArrayLike, "..."],
    *,
    where: Mask | None = None,
    average: bool = False,
    segment_ids: Integer[ArrayLike, "..."] | None = None,
    num_segments: int | None = None,
    axis: int = -1,
) -> Float[Array, "..."]:
    """Log-probability of each sequence: the sum of its tokens' log-probabilities, or their average.

    The average does not depend on the length of the sequence. Losses of preference that are defined by averages, such
    as SimPO and ORPO, need it.

    Args:
        log_probs: Log-probabilities of tokens, shape (N..., T).
        where: True for the tokens that take part, in the same shape. Prompts and padding are left out.
        average: Divide by the number of tokens that take part.
        segment_ids: For rows that hold several sequences one after another, the number of each token's sequence in its
            row, from 0, in the shape of `log_probs`. A token with a number below 0 or from `num_segments` on is in no
            sequence.
        num_segments: The largest number of sequences in a row, S. It goes with `segment_ids`.
        axis: The axis of the tokens.

    Returns:
        The log-probabilities of the sequences, shape (N...), or (N..., S) with `segment_ids`: then S takes the place of
        the axis of the tokens. A sequence without a token has 0, with a gradient of 0. The dtype is float32 for
        bfloat16 and float16 inputs too.

    Raises:
        ValueError: Shapes do not match, or only one of `segment_ids` and `num_segments` is given.
        TypeError: The log-probabilities are not real and floating, or the segment ids are not integers.

    Examples:
        >>> log_probs = jnp.array([[-1.0, -2.0, -3.0, -4.0]])
        >>> print(jaxloss.sequence_log_probs(log_probs, where=log_probs > -4, average=True))
        [-2.]
        >>> segment_ids = jnp.array([[0, 0, 1, -1]])
        >>> print(jaxloss.sequence_log_probs(log_probs, segment_ids=segment_ids, num_segments=2))
        [[-3. -3.]]
    """
    log_probs = floating("log_probs", log_probs)
    if not -log_probs.ndim <= axis < log_probs.ndim:
        raise ValueError(f"`log_probs` has shape {log_probs.shape}, which has no axis {axis}.")
    axis = axis % log_probs.ndim
    keep = mask(where, log_probs.shape)
    tokens = filled(log_probs.astype(accumulator(log_probs.dtype)), keep, 0.0)
    keep = jnp.broadcast_to(True if keep is None else keep, tokens.shape)
    if segment_ids is None and num_segments is None:
        total, count = jnp.sum(tokens, axis), jnp.sum(keep, axis)
    else:
        inside = _in_segment(segment_ids, num_segments, tokens, axis)
        # The axis of the segments comes before the axis of the tokens.
        total = jnp.sum(jnp.where(inside, jnp.expand_dims(tokens, axis), 0.0), axis + 1)
        count = jnp.sum(inside & jnp.expand_dims(keep, axis), axis + 1)
    return total / jnp.maximum(count, 1).astype(total.dtype) if average else total


def _in_segment(
    segment_ids: Integer[ArrayLike, "..."] | None, num_segments: int | None, tokens: Float[Array, "..."], axis: int
) -> Bool[Array, "..."]:
    """Whether a token is in a segment, with the axis of the segments before the axis of the tokens."""
    if segment_ids is None or num_segments is None:
        given, missing = ("segment_ids", "num_segments") if num_segments is None else ("num_segments", "segment_ids")
        raise ValueError(f"`{given}` is given without `{missing}`: packed rows need both.")
    if num_segments < 1:
        raise ValueError(f"`num_segments` is {num_segments}, but a row has at least one segment.")
    ids = jnp.asarray(segment_ids)
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise TypeError(f"`segment_ids` has dtype {ids.dtype}, but must be integers: use `astype(int)`.")
    if ids.shape != tokens.shape:
        raise ValueError(f"`segment_ids` has shape {ids.shape}, but `log_probs` has shape {tokens.shape}.")
    ids = jnp.expand_dims(ids, axis)
    return ids == lax.broadcasted_iota(
        ids.dtype, tuple(num_segments if i == axis else 1 for i in range(ids.ndim)), axis
    )


@program()
def dft_loss(
    log_probs: Float[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Dynamic fine-tuning: the cross-entropy of each token, times the probability of its target.

    $$ \ell = -\operatorname{stop\_gradient}(e^{\log p}) \log p $$

    The probability is a constant by definition: no gradient flows through it. So the gradient in the log-probability is
    minus the probability, and improbable targets pull little.

    Args:
        log_probs: Log-probabilities of the targets, any shape, from [`token_log_probs`][jaxloss.token_log_probs] or
            [`linear_token_log_probs`][jaxloss.linear_token_log_probs]. They are at most 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the tokens that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each token. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the shape of `log_probs`. A target of probability 0 has the loss 0.

    Raises:
        ValueError: A mask or weight does not fit.
        TypeError: The log-probabilities are not real and floating.

    Examples:
        >>> print(f"{jaxloss.dft_loss(jnp.log(jnp.array([0.5, 0.25]))):.4f}")
        0.3466

    Source: Wu et al., "On the Generalization of SFT: A Reinforcement Learning Perspective with Reward Rectification",
    2025.
    """
    (log_probs,), dtype = floats(log_probs=log_probs)
    keep = mask(where, log_probs.shape)
    expect(log_probabilities(dtype), keep, log_probs=log_probs)
    log_probs = filled(log_probs, keep, 0.0)
    probabilities = jnp.exp(jax.lax.stop_gradient(log_probs))
    losses = 0.0 - times(probabilities, log_probs)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class DFTLoss(Loss, fn=dft_loss):
    """Option object of [`dft_loss`][jaxloss.dft_loss]."""

    reduction: Reduction = static("mean")
