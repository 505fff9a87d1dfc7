"""Losses of sequences whose labels are not aligned with their frames, and alignments."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from jaxloss._core.objects import Loss
from jaxloss._core.program import keyword_options, program
from jaxloss._core.pytree import static
from jaxloss._core.sequences import (
    Lengths,
    checked_frames,
    checked_lengths,
    length_mask,
    reduce_by_labels,
    sequence_batch,
    without_concatenation,
)
from jaxloss._core.types import ArrayLike, Mask, Reduction, Weight
from jaxloss._ops.ctc import likeliest_path, negative_log_likelihood
from jaxloss._ops.ctc.emissions import of_logits

__all__ = [
    "CTCAlignment",
    "CTCLoss",
    "CTCWithLogitsLoss",
    "ctc_alignment",
    "ctc_greedy_decode",
    "ctc_loss",
    "ctc_loss_with_logits",
]

NAMES = ("targets", "input_lengths", "target_lengths")
"""The arrays of integers that name a class or count frames or labels."""


@keyword_options
def ctc_loss(
    log_probs: Float[ArrayLike, "... classes"],
    targets: Integer[ArrayLike, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
    time_major: bool = False,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Connectionist temporal classification: the negative log-likelihood of labels under all alignments, in nats.

    $$ \ell = -\log \sum_{\pi \in \mathcal{B}^{-1}(y)} \prod_{t=1}^{T} p_t(\pi_t) $$

    A path $\pi$ has one class per frame. The sum is over all paths that become the labels $y$ when repeated classes are
    merged and blanks are dropped. So two equal labels in a row need a blank between them. The mean is over sequences,
    and it divides each loss by the number of the sequence's labels first.

    The recursion works in numbers of extended range instead of logarithms, and keeps its digits over thousands of
    frames. The derivative is exact, $-P(\pi_t = c \mid y)$. PyTorch's derivative adds the probability of the class,
    which is correct only through a log-softmax.

    Args:
        log_probs: Log-probabilities, shape (N, T, C), or (T, C) for one sequence, for example from
            [`log_softmax`][jaxloss.log_softmax]. [`ctc_loss_with_logits`][jaxloss.ctc_loss_with_logits] takes logits
            and needs less memory. Frames past the end of a sequence are ignored, and so are classes that
            are neither blank nor label. Logits give a wrong number, and [`checked`][jaxloss.checked] raises for those
            above 0.
        targets: Class numbers (indices from 0), integers of any dtype: (N, S), padded with any integers; (S,) for one
            sequence; or one axis with the labels of all sequences in turn, if `target_lengths` are known at trace time.
        input_lengths: The number of frames of each sequence, from 0 to T, shape (N,).
        target_lengths: The number of labels of each sequence, from 0 to S, shape (N,).
        blank: The class of a frame without a label.
        zero_infinity: Whether a sequence that is too short for its labels has the loss 0, without a gradient.
        time_major: Whether `log_probs` are (T, N, C), as in PyTorch.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce]. Only the mean divides by the number of
            labels.
        where: True for the sequences that take part, shape (N,). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each sequence, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N,). Labels without a path have the loss inf and a gradient of 0, and so have
        paths with a log-probability under -3e8 (in float32). A label that is the blank or no class, a length out of
        range, and a log-probability that is NaN or inf make the loss of their sequence NaN.

    Raises:
        ValueError: Shapes do not match, the blank is no class, or the targets have one axis for all sequences and the
            target lengths are traced or do not add up.
        TypeError: The log-probabilities are not real and floating, or the labels or lengths are not integers.

    Examples:
        Three frames of three classes, where 0 is the blank. The labels 1, 2 have five paths:

        >>> log_probs = jnp.log(jnp.full((1, 3, 3), 1 / 3))
        >>> loss = jaxloss.ctc_loss(log_probs, jnp.array([[1, 2]]), [3], [2], reduction="sum")
        >>> print(f"{jnp.exp(-loss) * 27:.4f}")
        5.0000

    Source: `torch.nn.CTCLoss`; Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence
    Data with Recurrent Neural Networks", 2006.
    """
    targets = without_concatenation(targets, target_lengths, log_probs)
    return _ctc_loss(
        log_probs,
        targets,
        input_lengths,
        target_lengths,
        blank=blank,
        zero_infinity=zero_infinity,
        time_major=time_major,
        reduction=reduction,
        where=where,
        sample_weight=sample_weight,
    )


@keyword_options
def ctc_loss_with_logits(
    logits: Float[ArrayLike, "... classes"],
    targets: Integer[ArrayLike, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
    time_major: bool = False,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Connectionist temporal classification of logits: [`ctc_loss`][jaxloss.ctc_loss] of their log-softmax, in nats.

    $$ \ell = -\log \sum_{\pi \in \mathcal{B}^{-1}(y)} \prod_{t=1}^{T} p_t(\pi_t), \qquad
       p_t = \operatorname{softmax}(x_t) $$

    No array of log-probabilities exists. The gradient is the softmax minus the posterior,
    $p_t(c) - P(\pi_t = c \mid y)$, and it is written once.

    Args:
        logits: Unnormalised log-probabilities $x$, shape (N, T, C), or (T, C) for one sequence. A logit of -inf rules
            its class out. Frames past the end of a sequence are ignored.
        targets: Class numbers (indices from 0), in any form that `ctc_loss` takes.
        input_lengths: The number of frames of each sequence, from 0 to T, shape (N,).
        target_lengths: The number of labels of each sequence, from 0 to S, shape (N,).
        blank: The class of a frame without a label.
        zero_infinity: Whether a sequence that is too short for its labels has the loss 0, without a gradient.
        time_major: Whether `logits` are (T, N, C), as in PyTorch.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce]. Only the mean divides by the number of
            labels.
        where: True for the sequences that take part, shape (N,). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each sequence, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N,). Labels without a path have the loss inf and a gradient of 0. A label that
        is the blank or no class, a length out of range, and a logit that is NaN or inf make the loss of their sequence
        NaN.

    Raises:
        ValueError: The same mistakes as in `ctc_loss`.
        TypeError: The same mistakes as in `ctc_loss`.

    Examples:
        >>> logits = jnp.array([[[0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]])
        >>> print(f"{jaxloss.ctc_loss_with_logits(logits, jnp.array([[1, 2]]), [2], [2], reduction='sum'):.4f}")
        0.0720

    Source: Graves et al., 2006; `optax.losses.ctc_loss` takes logits too.
    """
    targets = without_concatenation(targets, target_lengths, logits)
    return _ctc_loss_with_logits(
        logits,
        targets,
        input_lengths,
        target_lengths,
        blank=blank,
        zero_infinity=zero_infinity,
        time_major=time_major,
        reduction=reduction,
        where=where,
        sample_weight=sample_weight,
    )


@program(integers=NAMES)
def _ctc_loss(
    log_probs: Float[ArrayLike, "... classes"],
    targets: Integer[Array, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    blank: int,
    zero_infinity: bool,
    time_major: bool,
    reduction: Reduction,
    where: Mask | None,
    sample_weight: Weight | None,
) -> Float[Array, "..."]:
    given = checked_frames("log_probs", log_probs, blank, time_major)
    batch = sequence_batch(*given[:2], targets, input_lengths, target_lengths, where)
    losses = negative_log_likelihood(batch, given[2], blank)
    return reduce_by_labels(
        losses, batch, given[1], zero_infinity, reduction, where, sample_weight, dtype=batch.log_probs.dtype
    )


@program(integers=NAMES)
def _ctc_loss_with_logits(
    logits: Float[ArrayLike, "... classes"],
    targets: Integer[Array, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    blank: int,
    zero_infinity: bool,
    time_major: bool,
    reduction: Reduction,
    where: Mask | None,
    sample_weight: Weight | None,
) -> Float[Array, "..."]:
    given = checked_frames("logits", logits, blank, time_major)
    batch = sequence_batch(*given[:2], targets, input_lengths, target_lengths, where)
    losses = negative_log_likelihood(batch, given[2], blank, pick=of_logits)
    return reduce_by_labels(
        losses, batch, given[1], zero_infinity, reduction, where, sample_weight, dtype=batch.log_probs.dtype
    )


class CTCLoss(Loss, fn=ctc_loss):
    """Option object of [`ctc_loss`][jaxloss.ctc_loss]."""

    blank: int = static(0)
    zero_infinity: bool = static(False)
    time_major: bool = static(False)
    reduction: Reduction = static("mean")


class CTCWithLogitsLoss(Loss, fn=ctc_loss_with_logits):
    """Option object of [`ctc_loss_with_logits`][jaxloss.ctc_loss_with_logits]."""

    blank: int = static(0)
    zero_infinity: bool = static(False)
    time_major: bool = static(False)
    reduction: Reduction = static("mean")


class CTCAlignment(NamedTuple):
    """Alignment of a sequence's labels with its frames.

    Attributes:
        path: The class of every frame on the most probable path, a label or the blank, shape (N, T). It is -1 past the
            end of a sequence, and in every frame of a sequence without a path.
        score: The log-probability of that path, shape (N,). It is -inf without a path, and NaN where `ctc_loss` is NaN.
        posterior: The probability of each class in each frame, over all paths, shape (N, T, C). It is 0 past the end.
    """

    path: Int[Array, "*frames"]
    score: Float[Array, "*batch"]
    posterior: Float[Array, "*frames classes"]


def ctc_alignment(
    log_probs: Float[ArrayLike, "... classes"],
    targets: Integer[ArrayLike, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    blank: int = 0,
    time_major: bool = False,
) -> CTCAlignment:
    """Alignment of labels with frames: the most probable path, and the class probabilities of each frame.

    Args:
        log_probs: Log-probabilities, shape (N, T, C), or (T, C) for one sequence, as for
            [`ctc_loss`][jaxloss.ctc_loss].
        targets: Class numbers (indices from 0), in any form that `ctc_loss` takes.
        input_lengths: The number of frames of each sequence, shape (N,).
        target_lengths: The number of labels of each sequence, shape (N,).
        blank: The class of a frame without a label.
        time_major: Whether `log_probs` are (T, N, C). The path is then (T, N), and the posterior (T, N, C).

    Returns:
        A [`CTCAlignment`][jaxloss.CTCAlignment]. Only its posterior and its score have a derivative.

    Raises:
        ValueError: The same mistakes as in `ctc_loss`.
        TypeError: The same mistakes as in `ctc_loss`.

    Examples:
        >>> log_probs = jaxloss.log_softmax(jnp.array([[0.0, 3.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]))
        >>> print(jaxloss.ctc_alignment(log_probs, jnp.array([1, 2]), 3, 2).path)
        [1 1 2]

    Source: Graves et al., 2006, for the posterior; Viterbi, "Error Bounds for Convolutional Codes and an Asymptotically
    Optimum Decoding Algorithm", 1967, for the path.
    """
    targets = without_concatenation(targets, target_lengths, log_probs)
    return _ctc_alignment(log_probs, targets, input_lengths, target_lengths, blank=blank, time_major=time_major)


@program(integers=NAMES)
def _ctc_alignment(
    log_probs: Float[ArrayLike, "... classes"],
    targets: Integer[Array, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    blank: int,
    time_major: bool,
) -> CTCAlignment:
    log_probs, shape, axis = checked_frames("log_probs", log_probs, blank, time_major)
    batch = sequence_batch(log_probs, shape, targets, input_lengths, target_lengths)

    # The posterior is minus the derivative of the loss.
    def total(log_probs: Float[Array, "..."]) -> Float[Array, ""]:
        return jnp.sum(negative_log_likelihood(batch._replace(log_probs=log_probs), axis, blank))

    score, path = likeliest_path(batch, axis, blank)
    path = (path.T if axis else path).reshape(log_probs.shape[:-1])
    return CTCAlignment(path, score.reshape(shape), -jax.grad(total)(batch.log_probs).reshape(log_probs.shape))


@program(integers=NAMES)
def ctc_greedy_decode(
    log_probs: Float[ArrayLike, "... classes"], input_lengths: Lengths, *, blank: int = 0, time_major: bool = False
) -> tuple[Int[Array, "*batch frames"], Int[Array, "*batch"]]:
    """Labels of the most probable class in every frame, with repetitions merged and blanks dropped.

    Args:
        log_probs: Log-probabilities, shape (N, T, C), or (T, C) for one sequence. Any scores that order the classes
            will do.
        input_lengths: The number of frames of each sequence, shape (N,).
        blank: The class of a frame without a label.
        time_major: Whether `log_probs` are (T, N, C).

    Returns:
        The labels, shape (N, T), padded with the blank, which is no label; and the number of labels of each sequence,
        (N,).

    Raises:
        ValueError: Shapes do not match, or the blank is no class.
        TypeError: The log-probabilities are not real and floating, or the lengths are not integers.

    Examples:
        >>> best = jnp.array([1, 1, 0, 1, 2, 0])
        >>> labels, length = jaxloss.ctc_greedy_decode(jax.nn.one_hot(best, 3), 6)
        >>> print(labels[:length])
        [1 1 2]

    Source: Graves et al., 2006, "best path decoding".
    """
    log_probs, shape, axis = checked_frames("log_probs", log_probs, blank, time_major)
    best = jnp.argmax(log_probs, -1)
    best = best.T if axis else best.reshape(-1, log_probs.shape[-2])
    count, longest = best.shape
    in_input = length_mask(checked_lengths("input_lengths", input_lengths, shape), longest)
    previous = jnp.pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=blank)
    is_label = (best != blank) & (best != previous) & in_input
    place = jnp.where(is_label, jnp.cumsum(is_label, 1) - 1, longest)  # a place out of range is not written
    rows = jnp.arange(count)[:, None]
    labels = jnp.full_like(best, blank).at[rows, place].set(best, mode="drop")
    return labels.reshape(*shape, longest), jnp.sum(is_label, 1).reshape(shape)
