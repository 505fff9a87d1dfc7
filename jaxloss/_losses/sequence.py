"""Losses of sequences whose labels are not aligned with their frames, and what else one asks of an alignment."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Integer

from jaxloss._core.elementwise import is_infinite
from jaxloss._core.objects import Loss
from jaxloss._core.pytree import static
from jaxloss._core.reduction import check_reduction, reduce
from jaxloss._core.sequences import (
    Lengths,
    checked_lengths,
    checked_log_probs,
    length_mask,
    sequence_batch,
)
from jaxloss._core.types import Mask, Reduction, Weight
from jaxloss._ops.ctc import likeliest_path, negative_log_likelihood

__all__ = ["CTCAlignment", "CTCLoss", "ctc_alignment", "ctc_greedy_decode", "ctc_loss"]


def ctc_loss(
    log_probs: Float[ArrayLike, "..."],
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
    r"""How surprising the labels of a sequence are, wherever in its frames they stand, in nats.

    $$ \ell = -\log \sum_{\pi \in \mathcal{B}^{-1}(y)} \prod_{t=1}^{T} p_t(\pi_t) $$

    The sum is over all paths $\pi$, a class in every frame, that become the labels $y$ when repeated classes are
    merged and blanks are dropped. So two equal labels in a row need a blank between them. The mean is over sequences,
    of the loss of each divided by the number of its labels.

    The recursion works in numbers of extended range, not in logarithms, and keeps its digits over thousands of frames.
    The derivative is the true one, $-P(\pi_t = c \mid y)$; PyTorch's adds the probability of the class, which is
    right only through a log-softmax.

    Args:
        log_probs: (N, T, C), or (T, C) for one sequence: log-probabilities, as
            [`log_softmax`][jaxloss.log_softmax] gives them. What they hold behind a sequence's end, and for classes
            that are neither blank nor label, is not looked at.
        targets: class numbers, integers of any dtype: (N, S), padded with anything; (S,) for one sequence; or one axis
            with all labels one after another, if `target_lengths` are known when the program is made.
        input_lengths: (N,), the frames of each sequence, from 0 to T.
        target_lengths: (N,), the labels of each sequence, from 0 to S.
        blank: the class of a frame that is no label.
        zero_infinity: makes 0, without a gradient, of the loss of a sequence that is too short for its labels.
        time_major: `log_probs` are (T, N, C), as in PyTorch.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce]; only the mean divides by the number
            of labels.
        where: (N,), True where a sequence is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: (N,), how much each sequence counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses (N,). Labels without any path give inf, with a gradient of 0; so do paths of a
        log-probability under -3e8 (in float32). A label that is the blank or no class, a length out of range, and a
        log-probability that is NaN or inf make the loss of their sequence NaN.

    Raises:
        ValueError: shapes that do not match, a blank that is no class, labels one after another whose lengths are
            traced or do not add up.
        TypeError: log-probabilities that are not real and floating, labels or lengths that are not integers.

    Examples:
        Three frames of three classes, of which 0 is the blank. The labels 1, 2 fit in five ways:

        >>> log_probs = jnp.log(jnp.full((1, 3, 3), 1 / 3))
        >>> loss = jaxloss.ctc_loss(log_probs, jnp.array([[1, 2]]), [3], [2], reduction="sum")
        >>> print(f"{jnp.exp(-loss) * 27:.4f}")
        5.0000

    Source: `torch.nn.CTCLoss`; Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence
    Data with Recurrent Neural Networks", 2006.
    """
    check_reduction(reduction)
    log_probs, shape, axis = checked_log_probs(log_probs, blank, time_major)
    batch = sequence_batch(log_probs, shape, targets, input_lengths, target_lengths, where)

    losses = negative_log_likelihood(batch, axis, blank)
    if zero_infinity:
        losses = jnp.where(is_infinite(losses), 0.0, losses)
    if reduction == "mean":
        losses = losses / jnp.maximum(batch.target_lengths, 1).astype(losses.dtype)
    return reduce(losses.reshape(shape), reduction, where, sample_weight, dtype=log_probs.dtype)


class CTCLoss(Loss, fn=ctc_loss):
    """[`ctc_loss`][jaxloss.ctc_loss] and its options as one value."""

    blank: int = static(0)
    zero_infinity: bool = static(False)
    time_major: bool = static(False)
    reduction: Reduction = static("mean")


class CTCAlignment(NamedTuple):
    """Where in the frames of a sequence its labels stand.

    Attributes:
        path: (N, T), the class of every frame on the likeliest path: a label, or the blank; -1 behind the end of a
            sequence, and everywhere in one that has no path.
        score: (N,), the log-probability of that path; -inf if there is none, NaN where `ctc_loss` is NaN.
        posterior: (N, T, C), the probability that a frame is of a class, over all paths; 0 behind the end.
    """

    path: Int[Array, "..."]
    score: Float[Array, "..."]
    posterior: Float[Array, "..."]


def ctc_alignment(
    log_probs: Float[ArrayLike, "..."],
    targets: Integer[ArrayLike, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    blank: int = 0,
    time_major: bool = False,
) -> CTCAlignment:
    """Where the labels of a sequence stand in its frames: the likeliest path, and each frame's probabilities.

    Args:
        log_probs: (N, T, C), or (T, C) for one sequence: as [`ctc_loss`][jaxloss.ctc_loss] takes them.
        targets: class numbers, in any form that `ctc_loss` takes.
        input_lengths: (N,), the frames of each sequence.
        target_lengths: (N,), the labels of each sequence.
        blank: the class of a frame that is no label.
        time_major: `log_probs` are (T, N, C), and so are the path (T, N) and the posterior.

    Returns:
        A [`CTCAlignment`][jaxloss.CTCAlignment]. Only the posterior and the score have a derivative.

    Raises:
        ValueError: as `ctc_loss`.
        TypeError: as `ctc_loss`.

    Examples:
        >>> log_probs = jaxloss.log_softmax(jnp.array([[0.0, 3.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]))
        >>> print(jaxloss.ctc_alignment(log_probs, jnp.array([1, 2]), 3, 2).path)
        [1 1 2]

    Source: Graves et al., 2006, for the posterior; Viterbi, "Error Bounds for Convolutional Codes and an
    Asymptotically Optimum Decoding Algorithm", 1967, for the path.
    """
    log_probs, shape, axis = checked_log_probs(log_probs, blank, time_major)
    batch = sequence_batch(log_probs, shape, targets, input_lengths, target_lengths)

    # The posterior is minus the derivative of the loss.
    def total(log_probs: Float[Array, "..."]) -> Float[Array, ""]:
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, blank=blank, time_major=time_major, reduction="sum"
        )

    score, path = likeliest_path(batch, axis, blank)
    path = (path.T if axis else path).reshape(log_probs.shape[:-1])
    return CTCAlignment(path, score.reshape(shape), -jax.grad(total)(log_probs))


def ctc_greedy_decode(
    log_probs: Float[ArrayLike, "..."], input_lengths: Lengths, *, blank: int = 0, time_major: bool = False
) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
    """The labels of the likeliest class in every frame, repetitions merged and blanks dropped.

    Args:
        log_probs: (N, T, C), or (T, C) for one sequence: log-probabilities, or anything that orders the classes.
        input_lengths: (N,), the frames of each sequence.
        blank: the class of a frame that is no label.
        time_major: `log_probs` are (T, N, C).

    Returns:
        The labels (N, T), padded with the blank, which is no label; and how many there are of each sequence, (N,).

    Raises:
        ValueError: shapes that do not match, a blank that is no class.
        TypeError: log-probabilities that are not real and floating, lengths that are not integers.

    Examples:
        >>> best = jnp.array([1, 1, 0, 1, 2, 0])
        >>> labels, length = jaxloss.ctc_greedy_decode(jax.nn.one_hot(best, 3), 6)
        >>> print(labels[:length])
        [1 1 2]

    Source: Graves et al., 2006, "best path decoding".
    """
    log_probs, shape, axis = checked_log_probs(log_probs, blank, time_major)
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
