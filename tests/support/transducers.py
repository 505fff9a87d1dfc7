"""Transducers by enumeration: every path is written down, and its probability added."""

import itertools
from typing import Any

import numpy as np
from inputs import LABEL, LENGTH, LOG_PROB, Arrays, Inputs, cotangent, normal, takes
from references import Found

FRAMES, LABELS = 4, 3


@takes(LOG_PROB, LABEL, LENGTH, LENGTH)
def logits_and_targets(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Logits that may be read as log-probabilities. Neither the first nor the last class is a label."""
    logits = -np.abs(normal(rng, (*inputs.shape, FRAMES, LABELS + 1, inputs.size), inputs.scale)) - 0.125
    targets = np.asarray(rng.integers(1, inputs.size - 1, (*inputs.shape, LABELS)))
    return logits, targets, *_lengths(rng, inputs)


@takes(LOG_PROB, LOG_PROB, LENGTH, LENGTH)
def blanks_and_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    blanks, labels = (
        -np.abs(normal(rng, (*inputs.shape, FRAMES, columns), inputs.scale)) - 0.125 for columns in (LABELS + 1, LABELS)
    )
    return blanks, labels, *_lengths(rng, inputs)


def _lengths(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    frames, labels = np.asarray(rng.integers(1, FRAMES + 1, inputs.shape)), rng.integers(0, LABELS + 1, inputs.shape)
    labels = np.asarray(labels)
    frames.flat[0], labels.flat[0] = FRAMES, LABELS
    return frames, labels


def rnnt_loss(arrays: Arrays, reduction: str, options: Any) -> Found:
    """The value, and the gradient in the logits."""
    logits, targets, frames, labels = arrays
    blank = options.get("blank", -1) % logits.shape[-1]
    shape = logits.shape[:-3]
    log_probs, share = logits, np.zeros_like(logits)
    if options.get("fused_log_softmax", True):
        log_probs = logits - np.log(np.sum(np.exp(logits), -1, keepdims=True))
        share = np.exp(log_probs)
    at_label = np.take_along_axis(log_probs[..., :-1, :], targets[..., None, :, None], -1)[..., 0]
    value, (of_blank, of_label) = _with_gradients(log_probs[..., blank], at_label, frames, labels)
    weight = _weight(shape, reduction)
    of_label = np.concatenate([of_label, np.zeros_like(of_blank[..., :1])], -1)
    number = np.arange(logits.shape[-1])
    padded = np.concatenate([targets, np.zeros_like(targets[..., :1])], -1)[..., None, :, None]
    gradient = of_blank[..., None] * ((number == blank) - share) + of_label[..., None] * ((number == padded) - share)
    return _reduced(value, reduction), [gradient * weight[..., None, None, None]]


def transducer_loss(arrays: Arrays, reduction: str, options: Any) -> Found:
    """The value, and the gradients in both arrays."""
    del options
    value, gradients = _with_gradients(*arrays)
    weight = _weight(value.shape, reduction)[..., None, None]
    return _reduced(value, reduction), [gradient * weight for gradient in gradients]


def _reduced(value: np.ndarray, reduction: str) -> np.ndarray:
    return {"none": lambda x: x, "sum": np.sum, "mean": np.mean}[reduction](value)


def _weight(shape: tuple[int, ...], reduction: str) -> np.ndarray:
    """The cotangent of each sequence's loss."""
    if reduction == "none":
        return np.asarray(cotangent(shape))
    return np.full(shape, float(cotangent(())) / (np.prod(shape) if reduction == "mean" else 1))


def _with_gradients(
    blanks: np.ndarray, labels: np.ndarray, frames: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    value, of_blanks, of_labels = np.zeros(frames.shape), np.zeros_like(blanks), np.zeros_like(labels)
    for index in np.ndindex(*frames.shape):
        value[index], of_blanks[index], of_labels[index] = _enumerate(
            blanks[index], labels[index], int(frames[index]), int(lengths[index])
        )
    return value, (of_blanks, of_labels)


def _enumerate(blanks: np.ndarray, labels: np.ndarray, frames: int, length: int) -> tuple[float, Any, Any]:
    """Minus the logarithm of the sum over all paths, and its gradient: minus each arc's share of the paths."""
    paths = []
    for emitting in itertools.combinations_with_replacement(range(frames), length):
        on_blanks, on_labels = np.zeros_like(blanks), np.zeros_like(labels)
        for label, frame in enumerate(emitting):
            on_labels[frame, label] = 1
        for frame in range(frames):
            on_blanks[frame, sum(each <= frame for each in emitting)] = 1
        paths.append((on_blanks, on_labels))
    if not frames:
        return np.inf, np.zeros_like(blanks), np.zeros_like(labels)
    scores = np.array([np.sum(blanks[b == 1]) + np.sum(labels[y == 1]) for b, y in paths])
    total = np.logaddexp.reduce(scores)
    shares = np.exp(scores - total)
    of_blanks, of_labels = (-sum(share * path[i] for share, path in zip(shares, paths, strict=True)) for i in (0, 1))
    return -total, of_blanks, of_labels
