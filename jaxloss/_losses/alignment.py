"""Losses of two sequences that are aligned with each other: series in time, or the frames of speech and its text."""

from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxloss._core.arguments import Number, filled, floats, has_axis, mask
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.dtypes import limits
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.sequences import (
    Batch,
    Lengths,
    checked_lengths,
    flat_mask,
    length_mask,
    reduce_by_labels,
    sequence_batch,
)
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._ops.cross_entropy.log_softmax import log_softmax
from jaxloss._ops.ctc import negative_log_likelihood
from jaxloss._ops.grid import soft_minimum

__all__ = ["ForwardSumLoss", "SoftDTWLoss", "forward_sum_loss", "soft_dtw_loss"]

LENGTHS = ("input_lengths", "target_lengths")


@program(integers=LENGTHS, gamma=Number(above=0))
def soft_dtw_loss(
    predictions: Float[ArrayLike, "*series frames features"],
    targets: Shaped[ArrayLike, "*series frames_of_targets features"],
    input_lengths: Lengths | None = None,
    target_lengths: Lengths | None = None,
    *,
    gamma: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Soft dynamic time warping: the squared error of two series under all alignments of their frames.

    $$ \ell = -\gamma \log \sum_{\pi} \exp \left( -\frac{1}{\gamma} \sum_{(t, s) \in \pi} \lVert x_t - y_s \rVert^2
       \right) $$

    A path $\pi$ starts at the first frames of both series and ends at the last ones. Each step moves to the next frame
    of one series or of both. So series of different lengths and speeds can be compared. As $\gamma$ goes to 0, the loss
    becomes the cost of the best alignment, which is dynamic time warping.

    The loss is below that cost by at most $\gamma$ times the logarithm of the number of paths. It may be negative, also
    for equal series. The gradient in a cost is the probability that an alignment passes through its two frames.

    Args:
        predictions: Predicted series $x$, shape (N..., T, D). Frames past the end of a series are ignored.
        targets: True series $y$, shape (N..., S, D), in the same units.
        input_lengths: The number of frames of each predicted series, from 1 to T, shape (N...). The default is T.
        target_lengths: The number of frames of each true series, from 1 to S, shape (N...). The default is S.
        gamma: How soft the minimum over the alignments is: a number above 0, in units of the squared error.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs of series that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...), in units of the squared error. A length out of range makes the loss of
        its pair NaN.

    Raises:
        ValueError: Shapes do not match, a series has no frame, or `gamma` is out of range.
        TypeError: The predictions are not real and floating, or the lengths are not integers.

    Examples:
        The same step, two frames later. The alignment finds it at almost no cost:

        >>> early, late = jnp.array([0.0, 1, 1, 1, 1])[:, None], jnp.array([0.0, 0, 0, 1, 1])[:, None]
        >>> print(jnp.sum((early - late) ** 2))
        2.0
        >>> print(f"{jaxloss.soft_dtw_loss(early, late, gamma=0.01):.2f}")
        -0.02

    Source: Cuturi and Blondel, "Soft-DTW: a Differentiable Loss Function for Time-Series", 2017.
    """
    (x, y), dtype = floats(predictions=predictions, targets=targets)
    _check_series(x, y)
    shape = x.shape[:-2]
    keep = mask(where, shape)
    x, rows = _frames("input_lengths", x, input_lengths, keep)
    y, columns = _frames("target_lengths", y, target_lengths, keep)
    losses = soft_minimum(_squared_distances(x, y), jnp.asarray(gamma, x.dtype), rows, columns)
    return reduce(losses.reshape(shape), reduction, where, sample_weight, dtype=dtype)


class SoftDTWLoss(Loss, fn=soft_dtw_loss):
    """Option object of [`soft_dtw_loss`][jaxloss.soft_dtw_loss]."""

    gamma: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(integers=LENGTHS, blank_log_prob=Number())
def forward_sum_loss(
    log_probs: Float[ArrayLike, "*batch frames tokens"],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    blank_log_prob: Scalar = -1.0,
    zero_infinity: bool = False,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Forward sum: the negative log-likelihood that the frames of speech read the tokens of a text in order, in nats.

    $$ \ell = -\log \sum_{\pi} \prod_{t=1}^{T} p_t(\pi_t), \qquad p_t = \operatorname{softmax}(b, a_{t,1}, \dots,
       a_{t,S}) $$

    It is [`ctc_loss`][jaxloss.ctc_loss] of the labels 1 to S, whose log-probabilities are attention scores. Each frame
    reads one token or, with the score $b$, none. The path $\pi$ reads all tokens in order, each in one frame or in
    several frames in a row. So the loss teaches attention to be monotone without any labelled durations.

    The mean is over sequences, and it divides each loss by the number of the sequence's tokens first.

    Args:
        log_probs: Attention scores $a$, or their log-probabilities, shape (N, T, S), or (T, S) for one sequence. Frames
            and tokens past the end of a sequence are ignored.
        input_lengths: The number of frames of each sequence, from 0 to T, shape (N,).
        target_lengths: The number of tokens of each sequence, from 0 to S, shape (N,).
        blank_log_prob: The score $b$ of a frame that reads no token.
        zero_infinity: Whether a sequence with more tokens than frames has the loss 0, without a gradient.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce]. Only the mean divides by the number of
            tokens.
        where: True for the sequences that take part, shape (N,). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each sequence, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N,). A sequence with more tokens than frames has the loss inf and a gradient
        of 0. A length out of range, and a score that is NaN, make the loss of their sequence NaN.

    Raises:
        ValueError: Shapes do not match.
        TypeError: The scores are not real and floating, or the lengths are not integers.

    Examples:
        Two frames and two tokens, all as likely as no token. Each frame has three choices, and one path reads both
        tokens:

        >>> loss = jaxloss.forward_sum_loss(jnp.zeros((1, 2, 2)), [2], [2], blank_log_prob=0.0, reduction="sum")
        >>> print(f"{jnp.exp(-loss) * 9:.4f}")
        1.0000

    Source: Shih et al., "RAD-TTS: Parallel Flow-Based TTS with Robust Alignment Learning and Diverse Synthesis", 2021;
    Badlani et al., "One TTS Alignment to Rule Them All", 2022.
    """
    (scores,), dtype = floats(log_probs=log_probs)
    if scores.ndim not in (2, 3):
        raise ValueError(f"`log_probs` has shape {scores.shape}, but must be (N, T, S), or (T, S) for one sequence.")
    tokens, shape = scores.shape[has_axis("log_probs", scores)], scores.shape[:-2]
    labels = jnp.broadcast_to(jnp.arange(1, tokens + 1), (*shape, tokens))
    batch = sequence_batch(scores, shape, labels, input_lengths, target_lengths, where)

    losses = negative_log_likelihood(_with_blank(batch, jnp.asarray(blank_log_prob, scores.dtype)), 0, 0)
    return reduce_by_labels(losses, batch, shape, zero_infinity, reduction, where, sample_weight, dtype=dtype)


class ForwardSumLoss(Loss, fn=forward_sum_loss):
    """Option object of [`forward_sum_loss`][jaxloss.forward_sum_loss]."""

    blank_log_prob: Scalar = -1.0
    zero_infinity: bool = static(False)
    reduction: Reduction = static("mean")


def _check_series(x: Values, y: Values) -> None:
    """Raise for arrays that are no two batches of series with the same features."""
    if x.ndim < 2 or x.shape[:-2] != y.shape[:-2] or x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"`predictions` has shape {x.shape} and `targets` has shape {y.shape}, but they must be (N..., T, D) and "
            "(N..., S, D): only the numbers of frames may differ."
        )
    has_axis("predictions", x, -2)
    has_axis("targets", y, -2)


def _squared_distances(x: Values, y: Values) -> Values:
    """The squared distance of each pair of frames."""

    def distances(x: Values, y: Values) -> Values:
        errors = x[:, :, None] - y[:, None]
        return jnp.sum(errors * errors, -1)

    # Without the checkpoint an eager gradient stores the differences of all features.
    return cast(Callable[[Values, Values], Values], jax.checkpoint(distances, prevent_cse=False))(x, y)


def _frames(
    name: str, series: Values, lengths: Lengths | None, keep: Bool[Array, "..."] | None
) -> tuple[Values, Int[Array, "series"]]:
    """Series with one batch axis, 0 where masked or past their end, and their lengths."""
    shape, size = series.shape[:-2], series.shape[-2]
    flat = flat_mask(keep, shape)
    given = jnp.full(shape, size) if lengths is None else lengths
    counts = checked_lengths(name, given, shape)
    counts = counts if flat is None else jnp.where(flat, counts, size)
    # A length that is out of range keeps all frames: with none, its NaN would reach the loss but not the gradient.
    inside = length_mask(jnp.where(counts < 1, size, counts), size) & (True if flat is None else flat[:, None])
    return filled(series.reshape(-1, *series.shape[-2:]), inside, 0.0), counts


def _with_blank(batch: Batch, blank_log_prob: Values) -> Batch:
    """The log-probabilities of the blank and of the tokens of each sequence, which take the place of their scores."""
    scores = batch.log_probs
    inside = length_mask(batch.target_lengths, scores.shape[2])[:, None]
    inside &= length_mask(batch.input_lengths, scores.shape[1])[:, :, None]
    scores = jnp.where(inside, scores, -limits(scores.dtype).max / 4)
    is_blank = jnp.arange(scores.shape[2] + 1)[None, None] == 0
    scores = jnp.where(is_blank, blank_log_prob, jnp.pad(scores, ((0, 0), (0, 0), (1, 0))))
    return batch._replace(log_probs=log_softmax(scores, ClassAxis(2)))
