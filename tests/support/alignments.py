"""Alignments of two series by enumeration, and the forward sum by PyTorch's CTC."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from inputs import LENGTH, REAL, Arrays, Inputs, cotangent, normal, takes
from references import Found

FRAMES, OTHERS = 4, 3
Path = list[tuple[int, int]]


@takes(REAL, REAL, LENGTH, LENGTH)
def two_series(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Series of up to four and three frames. One pair has all of them."""
    series = (normal(rng, (*inputs.shape, frames, inputs.size), inputs.scale) for frames in (FRAMES, OTHERS))
    lengths = [np.asarray(rng.integers(1, most + 1, inputs.shape)) for most in (FRAMES, OTHERS)]
    lengths[0].flat[0], lengths[1].flat[0] = FRAMES, OTHERS
    return *series, *lengths


@takes(REAL, LENGTH, LENGTH)
def attention(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Scores of six frames and three tokens, with enough frames for the tokens."""
    frames, tokens = 6, 3
    scores = normal(rng, (*inputs.shape, frames, tokens), inputs.scale)
    return scores, np.asarray(rng.integers(3, 7, inputs.shape)), np.asarray(rng.integers(1, 4, inputs.shape))


def paths(rows: int, columns: int) -> Iterator[Path]:
    """All paths from the last cell back to the first."""
    if (rows, columns) == (1, 1):
        yield [(0, 0)]
    for down, right in ((1, 0), (0, 1), (1, 1)):
        if down < rows and right < columns:
            for path in paths(rows - down, columns - right):
                yield [*path, (rows - 1, columns - 1)]


def soft_dtw_loss(arrays: Arrays, reduction: str, options: Any) -> Found:
    """The value, and the gradients in both series."""
    x, y, rows, columns = arrays
    gamma = options.get("gamma", 1.0)
    value, gradients = np.zeros(rows.shape), (np.zeros_like(x), np.zeros_like(y))
    for at in np.ndindex(*rows.shape):
        errors = x[at][:, None] - y[at][None]
        costs = (errors**2).sum(-1)
        each = list(paths(int(rows[at]), int(columns[at])))
        scores = np.array([-sum(costs[cell] for cell in path) / gamma for path in each])
        total = np.logaddexp.reduce(scores)
        value[at] = -gamma * total
        shares = np.zeros_like(costs)
        for path, score in zip(each, scores, strict=True):
            for cell in path:
                shares[cell] += np.exp(score - total)
        by_error = 2 * shares[..., None] * errors
        gradients[0][at], gradients[1][at] = by_error.sum(1), -by_error.sum(0)
    if reduction == "none":
        weight = np.asarray(cotangent(rows.shape))
    else:
        weight = np.full(rows.shape, float(cotangent(())) / (rows.size if reduction == "mean" else 1))
    reduced = {"none": value, "sum": value.sum(), "mean": value.mean()}[reduction]
    return reduced, [gradient * weight[..., None, None] for gradient in gradients]


def forward_sum_loss(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Any) -> Any:
    """The loop over the sequences that the paper's authors published, with each sequence cut to its lengths."""
    scores, frames, tokens = arrays
    shape = frames.shape
    blank = options.get("blank_log_prob", -1.0)
    losses = []
    for each, length, count in zip(
        scores.reshape(-1, *scores.shape[-2:]), frames.reshape(-1), tokens.reshape(-1), strict=True
    ):
        padded = functional.pad(each[:length, :count], (1, 0), value=blank).log_softmax(-1)
        labels = padded.new_tensor(range(1, int(count) + 1)).long()
        loss = functional.ctc_loss(
            padded, labels, length, count, reduction="none", zero_infinity=options.get("zero_infinity", False)
        )
        losses.append(loss / (count if reduction == "mean" else 1))
    stacked = sum(functional.one_hot(scores.new_tensor(i).long(), len(losses)) * loss for i, loss in enumerate(losses))
    stacked = stacked.reshape(shape)
    return {"none": stacked, "sum": stacked.sum(), "mean": stacked.mean()}[reduction]
