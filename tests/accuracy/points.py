"""Where losses are tried: numbers at which formulas break, and ordinary ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from inputs import Inputs

Arrays = tuple[np.ndarray, ...]
INF = np.inf

# Powers at which float32 squares and exponentials overflow or vanish, digits cancel, and sigmoids saturate.
SIZES = [1e-30, 1e-20, 1e-10, 1e-7, 1e-4, 0.02, 0.25, 0.5, 1, 3, 8, 17, 20, 88, 104, 1e3, 1e4, 1e10, 1e19, 1e20, 1e30]


@dataclass(frozen=True)
class Kind:
    """The floating numbers of a dtype."""

    dtype: str

    @property
    def info(self) -> Any:
        return jnp.finfo(self.dtype)

    def rounded(self, values: Any) -> np.ndarray:
        """Each number as the dtype's nearest; what is too large as its largest."""
        values = np.asarray(values, float)
        largest = float(self.info.max)
        clipped = np.where(np.isinf(values), values, np.clip(values, -largest, largest))
        return np.asarray(clipped, self.dtype)

    def positive(self) -> np.ndarray:
        """Sizes of every order, the ends of the dtype and a number of subnormal size."""
        info = self.info
        tiny, largest, eps = float(info.tiny), float(info.max), float(info.eps)
        sizes = [*SIZES, tiny, tiny / 4, 2 * tiny, largest, largest / 2, 1 + eps, 1 - eps / 2, 2 * eps, 1 + 4 * eps]
        return np.unique(self.rounded(sizes).astype(float))

    def real(self) -> np.ndarray:
        return np.unique(np.concatenate([-self.positive(), [0.0], self.positive()]))

    def probabilities(self) -> np.ndarray:
        sizes = self.positive()
        near_1 = 1 - sizes[sizes < 0.25]
        return np.unique(self.rounded([0.0, *sizes[sizes <= 1], *near_1, 0.7]).astype(float))

    def log_probabilities(self) -> np.ndarray:
        return -np.concatenate([[0.0], self.positive()])


def grid(*axes: np.ndarray) -> Arrays:
    """Every combination."""
    return tuple(axis.ravel() for axis in np.meshgrid(*axes))


def sampled(*axes: np.ndarray, number: int = 3000) -> Arrays:
    rng = np.random.default_rng(0)
    return tuple(rng.choice(axis, number) for axis in axes)


def pairs(kind: Kind) -> Arrays:
    """All pairs, equal ones among them, and pairs that differ in the last digit."""
    first, second = grid(kind.real(), kind.real())
    base = kind.rounded([0.3, 1, 3.7, 100, 1e4]).astype(float)
    next_up = base * (1 + float(kind.info.eps))
    return np.concatenate([first, base, next_up]), np.concatenate([second, next_up, base])


def log_rates_and_counts(kind: Kind) -> Arrays:
    return grid(np.append(kind.real(), -INF), np.concatenate([[0.0, 2], kind.positive()]))


def rates_and_counts(kind: Kind) -> Arrays:
    return grid(np.append(kind.positive(), 0.0), np.concatenate([[0.0, 2], kind.positive()]))


def means_and_variances(kind: Kind) -> Arrays:
    variances = np.concatenate([[0.0, 1e-6, 1.1e-6, 0.9e-6], kind.positive()])
    return sampled(kind.real(), kind.real(), variances)


def log_probs_and_probs(kind: Kind) -> Arrays:
    return grid(np.append(kind.log_probabilities(), -INF), kind.probabilities())


def two_log_probs(kind: Kind) -> Arrays:
    each = np.append(kind.log_probabilities(), -INF)
    return grid(each, each)


def two_probs(kind: Kind) -> Arrays:
    return grid(kind.probabilities(), kind.probabilities())


def logits_and_probs(kind: Kind) -> Arrays:
    certain = np.array([-INF, INF]), np.array([0.0, 1.0])
    return tuple(map(np.append, grid(kind.real(), kind.probabilities()), certain))


def scores_and_signs(kind: Kind) -> Arrays:
    return grid(kind.real(), np.array([-1.0, 1.0]))


def pairs_and_signs(kind: Kind) -> Arrays:
    first, second = pairs(kind)
    return *np.tile([first, second], 2), np.repeat([-1.0, 1.0], len(first))


def logit_rows(kind: Kind) -> np.ndarray:
    """Rows of 5 logits: every size, gaps, ties, offsets, and classes ruled out."""
    rng = np.random.default_rng(0)
    rows: list[Any] = [size * rng.normal(size=5) for size in kind.positive() for _ in range(2)]
    rows += [[0.0, *[-gap] * 4] for gap in (17, 88, 104, 1e4)]
    rows += [[0.0, -gap, -2 * gap, -gap, 0] for gap in (1e-7, 1e-4, 0.02, 17, 20, 88, 104, 1e4)]
    rows += [np.zeros(5), np.full(5, -3.0), [1, 1, 1, 0, 1]]
    rows += [np.array([0.5, 0, -1, 20, 3]) + offset for offset in (1e4, -1e4, 1e10, -1e10)]
    largest = float(kind.info.max)
    rows += [largest * np.array(each) for each in ([1, 1, 1, 1, 1], [1, -1, 1, -1, 0], [1, 0.5, 0.25, 0, 0.125])]
    rows += [[-INF, 1, 2, -INF, 0], [0, -INF, -INF, -INF, -INF], [88, -INF, 0, 1, -INF], [1e4, 0, -INF, -1e4, 1e4]]
    return kind.rounded(np.array(rows)).astype(float)


def logits_and_labels(kind: Kind) -> Arrays:
    rows = logit_rows(kind)
    return np.repeat(rows, 5, 0), np.tile(np.arange(5), len(rows))


def log_probs_and_labels(kind: Kind) -> Arrays:
    rows, labels = logits_and_labels(kind)
    return -np.abs(rows), labels


def scores_and_labels(kind: Kind) -> Arrays:
    rows, labels = logits_and_labels(kind)
    kept = np.isfinite(rows).all(-1)
    return rows[kept], labels[kept]


def logits_and_soft_labels(kind: Kind) -> Arrays:
    eps = float(kind.info.eps)
    soft = np.array(
        [
            [1.0, 0, 0, 0, 0],
            [0.0, 0.5, 0.5, 0, 0],
            [0.125, 0.5, 0, 0.25, 0.125],
            [1 - eps, 0, eps, 0, 0],
            [0, 0, 0, 0, 0],
        ]
    )
    rows = logit_rows(kind)
    return np.repeat(rows, len(soft), 0), kind.rounded(np.tile(soft, (len(rows), 1))).astype(float)


def logits_and_multilabels(kind: Kind) -> Arrays:
    answers = np.array([[0.0, 1, 0, 1, 1], [1, 0, 1, 0, 0], [0.5, 0.25, 1, 0, 0.125]])
    rows = logit_rows(kind)
    rows = rows[np.isfinite(rows).all(-1)]
    return np.repeat(rows, len(answers), 0), np.tile(answers, (len(rows), 1))


def scores_and_lists(kind: Kind) -> Arrays:
    lists = np.array([[0, 1, -1, 0, 0], [-1, 0, 1, 2, 3], [4, 4, 2, -1, 7], [0, 1, 2, 3, 4]])
    rows = logit_rows(kind)
    rows = rows[np.isfinite(rows).all(-1)]
    return np.repeat(rows, len(lists), 0), np.tile(lists, (len(rows), 1))


def vector_tuples(number: int) -> Callable[[Kind], Arrays]:
    """Vectors of 4: of one length, of very different lengths, zero, equal, opposite, and almost equal."""

    def make(kind: Kind) -> Arrays:
        rng = np.random.default_rng(0)

        def tuples() -> Iterator[list[np.ndarray]]:
            for size in [0.0, *kind.positive()]:
                for other in (size, 0.0, 1.0, 1e-20, 1e19):
                    yield [rng.normal(size=4) * each for each in (size, other, size)[:number]]
                same = kind.rounded(rng.normal(size=4) * size).astype(float)
                yield [same, same, -same][:number]
                yield [same, same * (1 + 2 * float(kind.info.eps)), same][:number]
                yield [same * np.array([1, 0, 0, 0]), same * np.array([0, 1, 0, 0]), np.zeros(4)][:number]

        return tuple(kind.rounded(np.array(each)).astype(float) for each in zip(*tuples(), strict=True))

    return make


def vectors_and_signs(kind: Kind) -> Arrays:
    first, second = vector_tuples(2)(kind)
    return np.tile(first, (2, 1)), np.tile(second, (2, 1)), np.repeat([1.0, -1.0], len(first))


def vectors_and_probabilities(kind: Kind) -> Arrays:
    first, second = vector_tuples(2)(kind)
    return np.tile(first, (3, 1)), np.tile(second, (3, 1)), np.repeat([0.0, 0.25, 1.0], len(first))


def products_and_labels(kind: Kind) -> Arrays:
    """Hidden states and a kernel each, whose logits are of every size, tie, or leave no class a chance but one."""
    rng = np.random.default_rng(0)
    hidden, kernels = [], []
    for size in kind.positive()[kind.positive() < 1e15]:
        for other in (1.0, 1 / size if size > 1e-4 else 1.0):
            hidden.append(rng.normal(size=4) * size)
            kernels.append(rng.normal(size=(4, 5)) * other)
    hidden += [np.ones(4), np.array([0.0, 0, 0, 0]), np.array([1.0, -1, 1, -1])]
    kernels += [np.full((4, 5), 0.25), rng.normal(size=(4, 5)), np.arange(20.0).reshape(4, 5) * 30]
    labels = np.arange(len(hidden)) % 5
    return kind.rounded(np.array(hidden)).astype(float), kind.rounded(np.array(kernels)).astype(float), labels


def ordinary_products(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    (number,), classes = inputs.shape, inputs.size
    labels = rng.integers(0, classes, number)
    return rng.normal(size=(number, 8)), rng.normal(size=(number, 8, classes)), labels


FRAMES, LABELS, CLASSES = 300, 20, 6


def sequences(kind: Kind) -> Arrays:
    """Frames that are certain, nearly certain and hopeless, repeated labels, just enough frames and too few."""
    rng = np.random.default_rng(0)
    scales = (1e-30, 0.02, 3.0, 30.0, 300.0, 1e4, 3.0, 3.0)
    logits = np.stack([rng.normal(size=(FRAMES, CLASSES)) * scale for scale in scales])
    logits[:, :, 5] = -INF  # a class that no label is
    log_probs = _log_softmax(logits)
    targets = rng.integers(1, 5, (len(scales), LABELS))
    targets[2] = 1  # needs 39 frames
    targets[6] = targets[7] = 2
    frames = np.array([FRAMES, FRAMES, FRAMES, FRAMES - 100, FRAMES, FRAMES, 39, 38])
    lengths = np.array([LABELS, 1, LABELS, LABELS, LABELS, 0, LABELS, LABELS])
    return log_probs, targets, frames, lengths


def ordinary_sequences(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    log_probs = _log_softmax(rng.normal(size=(*inputs.shape, FRAMES, CLASSES)) * inputs.scale)
    targets = rng.integers(1, CLASSES, (*inputs.shape, LABELS))
    return log_probs, targets, rng.integers(FRAMES // 2, FRAMES + 1, inputs.shape), rng.integers(1, 21, inputs.shape)


def sequences_of_logits(kind: Kind) -> Arrays:
    """The logits whose log-softmax `sequences` has, moved up and down."""
    log_probs, *rest = sequences(kind)
    return log_probs + np.resize([0.0, 30.0, -300.0], log_probs.shape[0])[:, None, None], *rest


def ordinary_sequences_of_logits(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    log_probs, *rest = ordinary_sequences(rng, inputs)
    return rng.normal(size=log_probs.shape) * inputs.scale, *rest


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), -1, keepdims=True))


def series(kind: Kind) -> Arrays:
    """Pairs of series that are equal, nearly equal, of all sizes, shifted in time, of one frame, constant."""
    rng = np.random.default_rng(0)
    scales = (1e-15, 1e-4, 0.02, 1.0, 30.0, 1e4, 1e15, 3.0, 1.0, 1.0)
    x = np.stack([rng.normal(size=(9, 2)) * scale for scale in scales])
    y = np.stack([rng.normal(size=(7, 2)) * scale for scale in scales])
    y[2], y[7], x[8], y[8] = x[2, :7], x[7, 2:] * (1 + 1e-6), 1.0, 1.0
    return x, y, np.array([9, 9, 7, 9, 5, 9, 9, 9, 9, 1]), np.array([7, 7, 7, 3, 7, 7, 7, 7, 7, 7])


def ordinary_series(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = inputs.shape
    x, y = (rng.normal(size=(*shape, frames, 2)) * inputs.scale for frames in (30, 40))
    return x, y, rng.integers(15, 31, shape), rng.integers(20, 41, shape)


def attention(kind: Kind) -> Arrays:
    """Scores that are equal, sharp and hopeless, just enough frames and too few."""
    rng = np.random.default_rng(0)
    scales = (1e-30, 0.02, 3.0, 30.0, 300.0, 1e4, 3.0, 3.0)
    scores = np.stack([rng.normal(size=(20, 6)) * scale for scale in scales])
    return scores, np.array([20, 20, 15, 20, 20, 20, 6, 5]), np.array([6, 1, 6, 4, 6, 6, 6, 6])


def ordinary_attention(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    scores = rng.normal(size=(*inputs.shape, 60, 12)) * inputs.scale
    return scores, rng.integers(30, 61, inputs.shape), rng.integers(4, 13, inputs.shape)


def joint_logits(kind: Kind) -> Arrays:
    """Logits of a transducer that are equal, sharp and hopeless; no label, no frame, and a class that no label is."""
    rng = np.random.default_rng(0)
    scales = (1e-30, 0.02, 3.0, 30.0, 300.0, 1e4, 3.0, 3.0)
    logits = np.stack([rng.normal(size=(12, 6, 4)) * scale for scale in scales])
    logits[2, :, :, 2] = -INF
    lengths = np.array([12, 12, 12, 8, 12, 12, 1, 0]), np.array([5, 1, 5, 5, 5, 0, 5, 5])
    return logits, rng.integers(0, 2, (len(scales), 5)), *lengths


def ordinary_joint_logits(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    logits = rng.normal(size=(*inputs.shape, 60, 11, 4)) * inputs.scale
    targets = rng.integers(0, 3, (*inputs.shape, 10))
    return logits, targets, rng.integers(30, 61, inputs.shape), rng.integers(4, 11, inputs.shape)


def grid_log_probs(kind: Kind) -> Arrays:
    return _of_blank_and_label(*joint_logits(kind))


def ordinary_grid_log_probs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return _of_blank_and_label(*ordinary_joint_logits(rng, inputs))


def _of_blank_and_label(logits: np.ndarray, targets: np.ndarray, *lengths: np.ndarray) -> Arrays:
    """Log-probabilities of the last class, and of the first in place of every label."""
    log_probs = _log_softmax(logits)
    return log_probs[..., -1], log_probs[:, :, :-1, 0], *lengths
