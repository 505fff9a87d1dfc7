"""Losses of transducers: labels of a sequence that any number of frames may emit, each one after the other."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.arguments import filled, floating, floats, has_axis
from jaxloss._core.domains import Domain, expect, log_probabilities, within
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import check_reduction, reduce
from jaxloss._core.sequences import Batch, Lengths, flat_mask, length_mask, sequence_batch
from jaxloss._core.types import ArrayLike, Mask, Reduction, Weight
from jaxloss._ops.grid import negative_log_total, transducer_problem
from jaxloss._ops.grid.cells import blank_and_label

__all__ = ["RNNTLoss", "TransducerLoss", "rnnt_loss", "transducer_loss"]

LENGTHS = ("input_lengths", "target_lengths")


@program(integers=("targets", *LENGTHS))
def rnnt_loss(
    logits: Float[ArrayLike, "..."],
    targets: Integer[ArrayLike, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    blank: int = -1,
    fused_log_softmax: bool = True,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""RNN transducer: the negative log-likelihood of labels under all alignments with the frames, in nats.

    $$ \ell = -\log \sum_{\pi} \prod_{(t, u, c) \in \pi} p_{t,u}(c) $$

    A path $\pi$ starts in cell (0, 0) of a grid of frames and labels. In cell (t, u) the blank moves it to the next
    frame, and label u + 1 moves it to the next label. The last step is a blank in the last frame. The mean is over
    sequences, and it does not divide by the number of labels.

    The recursion works in numbers of extended range instead of logarithms, and keeps its digits over long sequences.

    Args:
        logits: Unnormalised log-probabilities of the joint network, shape (N, T, U + 1, C), or (T, U + 1, C) for one
            sequence. Cells past the end of a sequence are ignored.
        targets: Class numbers (indices from 0), integers of any dtype: (N, U), padded with any integers, or (U,).
        input_lengths: The number of frames of each sequence, from 0 to T, shape (N,).
        target_lengths: The number of labels of each sequence, from 0 to U, shape (N,).
        blank: The class that emits no label. A negative number counts from the last class. In
            [`ctc_loss`][jaxloss.ctc_loss] the default is 0, as in `torch.nn`.
        fused_log_softmax: Whether the loss takes the log-softmax of the logits. With False they must be
            log-probabilities already.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the sequences that take part, shape (N,). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each sequence, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N,). A sequence without frames has no path: its loss is inf and its gradient
        is 0. A label that is the blank or no class, a length out of range, and a logit that is NaN make the loss of
        their sequence NaN.

    Raises:
        ValueError: Shapes do not match, or the blank is no class.
        TypeError: The logits are not real and floating, or the labels or lengths are not integers.

    Examples:
        Two frames, one label and two classes, all equally likely. The label stands in the first or the second frame,
        and each of the two paths has three steps:

        >>> loss = jaxloss.rnnt_loss(jnp.zeros((1, 2, 2, 2)), jnp.array([[0]]), [2], [1])
        >>> print(f"{jnp.exp(-loss):.4f}")
        0.2500

    Source: Graves, "Sequence Transduction with Recurrent Neural Networks", 2012; `torchaudio.functional.rnnt_loss`.
    """
    check_reduction(reduction)
    logits = floating("logits", logits)
    if logits.ndim not in (3, 4):
        raise ValueError(
            f"`logits` has shape {logits.shape}, but must be (N, T, U + 1, C), or (T, U + 1, C) for one sequence."
        )
    classes = logits.shape[has_axis("logits", logits)]
    if not -classes <= blank < classes:
        raise ValueError(f"`blank` is {blank}, but must be a class number from {-classes} to {classes - 1}.")
    blank, shape = blank % classes, logits.shape[:-3]
    batch = sequence_batch(logits, shape, targets, input_lengths, target_lengths, where)
    batch = _with_a_frame(batch, where, shape, logits.shape[-3])
    columns = batch.targets.shape[1] + 1
    if logits.shape[-2] != columns:
        raise ValueError(
            f"`logits` has shape {logits.shape}, but its axis -2 must have {columns} entries, one more than the "
            f"{columns - 1} labels of `targets`."
        )

    in_target = length_mask(batch.target_lengths, columns - 1)
    words = f"a class number from 0 to {classes - 1} that is not the blank, {blank}"
    label = Domain(words, lambda y: ((y >= 0) & (y < classes) & (y != blank)) | ~in_target)
    in_range = within(label, targets=batch.targets)
    # Bad labels and padding become the blank, so that the choice never leaves the array.
    labels = jnp.pad(jnp.where(in_range & in_target, batch.targets, blank), ((0, 0), (0, 1)), constant_values=blank)
    keep = _cells(batch, logits.shape[-3], columns)
    if not fused_log_softmax:
        expect(log_probabilities(logits.dtype), keep[..., None], logits=batch.log_probs)

    at_blank, at_label = blank_and_label(batch.log_probs, labels, blank, keep, fused_log_softmax)
    problem, valid = transducer_problem(
        at_blank, at_label[:, :, :-1], batch.input_lengths, batch.target_lengths, jnp.all(in_range, 1)
    )
    losses = negative_log_total(problem, valid)
    return reduce(losses.reshape(shape), reduction, where, sample_weight, dtype=logits.dtype)


class RNNTLoss(Loss, fn=rnnt_loss):
    """Option object of [`rnnt_loss`][jaxloss.rnnt_loss]."""

    blank: int = static(-1)
    fused_log_softmax: bool = static(True)
    reduction: Reduction = static("mean")


@program(integers=LENGTHS)
def transducer_loss(
    blank_log_probs: Float[ArrayLike, "..."],
    label_log_probs: Float[ArrayLike, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Transducer: the negative log-likelihood of labels, from the log-probabilities of the blank and of each label.

    $$ \ell = -\log \sum_{\pi} \prod_{(t, u) \in \pi} p_{t,u} $$

    It is [`rnnt_loss`][jaxloss.rnnt_loss] without the softmax. Factorised transducers, and those whose blank has a
    sigmoid of its own, form these two arrays in their own way. From hidden states,
    [`linear_token_log_probs`][jaxloss.linear_token_log_probs] forms them without the logits of all cells: give it the
    blank and the label of each cell as two classes of a token.

    Args:
        blank_log_probs: The log-probability of the blank in cell (t, u), shape (N, T, U + 1), or (T, U + 1) for one
            sequence. Cells past the end of a sequence are ignored.
        label_log_probs: The log-probability of label u + 1 in cell (t, u), shape (N, T, U), or (T, U).
        input_lengths: The number of frames of each sequence, from 0 to T, shape (N,).
        target_lengths: The number of labels of each sequence, from 0 to U, shape (N,).
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the sequences that take part, shape (N,). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each sequence, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N,). A sequence without frames has the loss inf and a gradient of 0. A length
        out of range, and a log-probability that is NaN or inf, make the loss of their sequence NaN.

    Raises:
        ValueError: Shapes do not match.
        TypeError: The log-probabilities are not real and floating, or the lengths are not integers.

    Examples:
        >>> blank, label = jnp.log(jnp.full((1, 2, 2), 0.5)), jnp.log(jnp.full((1, 2, 1), 0.5))
        >>> print(f"{jnp.exp(-jaxloss.transducer_loss(blank, label, [2], [1])):.4f}")
        0.2500

    Source: Graves, "Sequence Transduction with Recurrent Neural Networks", 2012; Variani et al., "Hybrid Autoregressive
    Transducer", 2020, for blanks with a distribution of their own.
    """
    check_reduction(reduction)
    (blanks, labels), dtype = floats(blank_log_probs=blank_log_probs, label_log_probs=label_log_probs)
    if blanks.ndim not in (2, 3):
        raise ValueError(
            f"`blank_log_probs` has shape {blanks.shape}, but must be (N, T, U + 1), or (T, U + 1) for one sequence."
        )
    columns = blanks.shape[has_axis("blank_log_probs", blanks)]
    wanted = (*blanks.shape[:-1], columns - 1)
    if labels.shape != wanted:
        raise ValueError(
            f"`label_log_probs` has shape {labels.shape}, but must be {wanted}: one label less in each frame than "
            f"`blank_log_probs` {blanks.shape}."
        )
    shape = blanks.shape[:-2]
    no_targets = jnp.zeros((*shape, columns - 1), int)
    batch = sequence_batch(blanks, shape, no_targets, input_lengths, target_lengths, where)
    batch = _with_a_frame(batch, where, shape, blanks.shape[-2])
    blanks, labels = batch.log_probs, filled(labels if shape else labels[None], flat_mask(where, shape), 0.0)

    keep = _cells(batch, blanks.shape[1], columns)
    keep_labels = keep[:, :, 1:]  # a cell has an arc to the label if the cell to its right is in the grid
    expect(log_probabilities(dtype), keep, blank_log_probs=blanks)
    expect(log_probabilities(dtype), keep_labels, label_log_probs=labels)
    problem, valid = transducer_problem(
        blanks, labels, batch.input_lengths, batch.target_lengths, jnp.ones(blanks.shape[:1], bool)
    )
    losses = negative_log_total(problem, valid)
    return reduce(losses.reshape(shape), reduction, where, sample_weight, dtype=dtype)


class TransducerLoss(Loss, fn=transducer_loss):
    """Option object of [`transducer_loss`][jaxloss.transducer_loss]."""

    reduction: Reduction = static("mean")


def _with_a_frame(batch: Batch, where: Mask | None, shape: tuple[int, ...], frames: int) -> Batch:
    """The batch with one frame of zeros in each masked sequence: without a frame its loss would be infinite."""
    keep = flat_mask(where, shape)
    if keep is None:
        return batch
    lengths = jnp.where(keep, batch.input_lengths, min(frames, 1))
    return batch._replace(input_lengths=lengths, log_probs=filled(batch.log_probs, keep, 0.0))


def _cells(batch: Batch, frames: int, columns: int) -> Bool[Array, "sequences frames columns"]:
    """True for the cells of each grid, shape (N, T, U + 1)."""
    # With no cell in use, the NaN of a negative length would reach the loss but not the gradient.
    rows, labels = (
        jnp.where(lengths < 0, most, lengths)
        for lengths, most in ((batch.input_lengths, frames), (batch.target_lengths, columns - 1))
    )
    return length_mask(rows, frames)[:, :, None] & length_mask(labels + 1, columns)[:, None]
