"""The losses of ranking and of distillation in 60 digits: an element is a list of items, or two distributions.

The scale of a number has the rounding of each difference of two scores, and of each log-probability, by its size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import points
from gold import FLUSHED, LARGEST, Number, Truth, Vector, added, minus_log_probs, near_a_kink, sigmoid, softplus, times
from inputs import Inputs
from mpmath import exp, expm1, log, mpf

# Lists ----------------------------------------------------------------------------------------------------------------

Slopes = list[list[Truth]]


def _result(losses: list[Truth], slopes: Slopes) -> list[Any]:
    return [added(*losses), [added(*each) for each in slopes]]


def _logistic(gap: Number) -> tuple[Truth, Truth]:
    """softplus(gap) and its slope, where the gap is rounded once."""
    size = abs(gap)
    value, slope = softplus(gap), sigmoid(gap)
    return Truth(value, value + size * slope), Truth(slope, slope * (1 + size * sigmoid(-gap)))


def _pairs(t: Vector) -> list[tuple[int, int]]:
    """The pairs of items whose first one has the greater target."""
    return [(i, j) for i in range(len(t)) for j in range(len(t)) if t[i] > t[j]]


def pairwise_logistic_loss(x: Vector, t: Vector) -> list[Any]:
    losses, slopes = [], [[] for _ in x]
    for i, j in _pairs(t):
        loss, slope = _logistic(x[j] - x[i])
        losses.append(loss)
        slopes[i].append(times(-1, slope))
        slopes[j].append(slope)
    return _result(losses, slopes)


def pairwise_hinge_loss(x: Vector, t: Vector) -> list[Any]:
    losses, slopes = [], [[] for _ in x]
    for i, j in _pairs(t):
        short = Truth(1 - (x[i] - x[j]), 1 + abs(x[i] - x[j]))
        if near_a_kink(short):
            return [None, [None] * len(x)]
        if short.value > 0:
            losses.append(short)
            slopes[i].append(Truth(mpf(-1), mpf(1)))
            slopes[j].append(Truth(mpf(1), mpf(1)))
    return _result(losses, slopes)


def listnet_loss(x: Vector, t: Vector) -> list[Any]:
    nll, wanted = minus_log_probs(x)[0], minus_log_probs(t)[0]
    shares = [exp(-each) for each in wanted]
    losses = [Truth(p * each, p * each * (1 + size)) for p, each, size in zip(shares, nll, wanted, strict=True)]
    slopes = []
    for each, p, size in zip(nll, shares, wanted, strict=True):
        q = exp(-each)
        slopes.append([Truth(q - p, q * (1 + each) + p * (1 + size))])
    return _result(losses, slopes)


def listmle_loss(x: Vector, t: Vector) -> list[Any]:
    order = sorted(range(len(x)), key=lambda i: -t[i])
    losses, slopes = [], [[] for _ in x]
    for place, i in enumerate(order[:-1]):
        rest = order[place + 1 :]
        top = max(x[j] for j in rest)
        following = top + log(sum(exp(x[j] - top) for j in rest))
        loss, slope = _logistic(following - x[i])
        size = abs(following) + max(abs(x[j]) for j in rest)
        losses.append(Truth(loss.value, loss.scale + slope.value * size))
        slopes[i].append(Truth(-slope.value, slope.scale * (1 + size)))
        for j in rest:
            share = slope.value * exp(x[j] - following)
            slopes[j].append(Truth(share, share * (1 + size + abs(x[i]))))
    return _result(losses, slopes)


def cosent_loss(x: Vector, t: Vector) -> list[Any]:
    gaps = {(i, j): 20 * (x[j] - x[i]) for i, j in _pairs(t)}
    if not gaps:
        return _result([], [[] for _ in x])
    top = max(gaps.values())
    whole = top + log(sum(exp(gap - top) for gap in gaps.values()))
    size = 20 * max(map(abs, x))
    loss, slope = _logistic(whole)
    slopes = [[] for _ in x]
    for (i, j), gap in gaps.items():
        share = 20 * slope.value * exp(gap - whole)
        rounded = share * (1 + size)
        slopes[i].append(Truth(-share, rounded))
        slopes[j].append(Truth(share, rounded))
    return _result([Truth(loss.value, loss.scale + slope.value * size)], slopes)


def _discount(rank: Number) -> Number:
    return log(1 + rank) / log(2)


def _gains(t: Vector) -> list[Number]:
    gains = [mpf(2) ** each - 1 for each in t]
    best = sum(gain / _discount(mpf(place + 1)) for place, gain in enumerate(sorted(gains, reverse=True)))
    return [gain / best if best else mpf(0) for gain in gains]


def approx_ndcg_loss(x: Vector, t: Vector) -> list[Any]:
    gains, items = _gains(t), range(len(x))
    if not any(gains):
        return _result([], [[] for _ in x])
    losses, slopes = [Truth(mpf(1), mpf(1))], [[] for _ in x]
    for i in items:
        rank = 1 + sum((sigmoid(x[j] - x[i]) for j in items if j != i), mpf(0))
        losses.append(times(-1, Truth(gains[i] / _discount(rank), 2 * gains[i] / _discount(rank))))
        steepness = gains[i] / (_discount(rank) ** 2 * (1 + rank) * log(2))
        for j in items:
            gap = x[j] - x[i]
            slope = steepness * sigmoid(gap) * sigmoid(-gap)
            rounded = slope * (4 + abs(gap))
            slopes[j].append(Truth(slope, rounded))
            slopes[i].append(Truth(-slope, rounded))
    return _result(losses, slopes)


def lambda_loss(x: Vector, t: Vector) -> list[Any]:
    """With the default options. The ranks are constants of the gradient."""
    gains = _gains(t)
    order = sorted(range(len(x)), key=lambda i: -x[i])
    inverse = {i: 1 / _discount(mpf(place + 1)) for place, i in enumerate(order)}
    losses, slopes = [], [[] for _ in x]
    for i, j in _pairs(t):
        apart = mpf(abs(order.index(i) - order.index(j)))
        near, far = 1 / _discount(apart), 1 / _discount(apart + 1)
        weight = (10 * (near - far) + abs(inverse[i] - inverse[j])) * (gains[i] - gains[j]) / log(2)
        rounded = (10 * (near + far) + inverse[i] + inverse[j]) * (gains[i] + gains[j]) / log(2)
        loss, slope = _logistic(x[j] - x[i])
        losses.append(Truth(weight * loss.value, rounded * loss.scale))
        slopes[i].append(Truth(-weight * slope.value, rounded * slope.scale))
        slopes[j].append(Truth(weight * slope.value, rounded * slope.scale))
    return _result(losses, slopes)


def negative_sampling_loss(x: Number, negatives: Vector) -> list[Any]:
    (loss, slope), others = _logistic(-x), [_logistic(each) for each in negatives]
    return [added(loss, *(each for each, _ in others)), times(-1, slope), [each for _, each in others]]


# Distributions --------------------------------------------------------------------------------------------------------


def _log_probs(x: Vector) -> tuple[list[Number], list[Number]]:
    nll = minus_log_probs(x)[0]
    return nll, [exp(-each) for each in nll]


def distillation_loss(x: Vector, y: Vector, *, divergence: str = "kl") -> list[Any]:
    (of_q, q), (of_p, p) = _log_probs(x), _log_probs(y)
    if max(*of_q, *of_p) > LARGEST:
        return [None, [None] * len(x), [None] * len(x)]  # the difference of two logits overflows
    items, sizes = range(len(x)), [a + b for a, b in zip(of_q, of_p, strict=True)]
    if divergence == "kl":
        terms = [p[i] * (expm1(of_p[i] - of_q[i]) - (of_p[i] - of_q[i])) for i in items]
        whole = sum(terms)
        by_x = [Truth(q[i] - p[i], q[i] * (1 + of_q[i]) + p[i] * (1 + of_p[i])) for i in items]
        most = sum(p[i] * (1 + sizes[i]) for i in items)
        by_y = [
            Truth(p[i] * (of_q[i] - of_p[i] - whole), p[i] * (1 + of_p[i]) * (sizes[i] + most) + whole * p[i])
            if p[i] > FLUSHED
            else None  # a large divergence multiplies it
            for i in items
        ]
    else:
        m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        from_p = [p[i] * log(p[i] / m[i]) for i in items]
        from_q = [q[i] * log(q[i] / m[i]) for i in items]
        terms = [(a + b) / 2 for a, b in zip(from_p, from_q, strict=True)]
        most = 1 + sum(m[i] * sizes[i] for i in items)
        by_x = [Truth((from_q[i] - q[i] * sum(from_q)) / 2, q[i] * (1 + sizes[i]) * most) for i in items]
        by_y = [Truth((from_p[i] - p[i] * sum(from_p)) / 2, p[i] * (1 + sizes[i]) * most) for i in items]
    scale = sum(terms[i] * (1 + sizes[i]) + abs(q[i] - p[i]) * sizes[i] for i in items)
    return [Truth(sum(terms), scale), by_x, by_y]


def top_k_distillation_loss(x: Vector, classes: Sequence[int], log_p: Vector) -> list[Any]:
    of_q, q = _log_probs(x)
    if max(of_q) > LARGEST:
        return [None, [None] * len(x), [None] * len(classes)]
    p = [exp(each) for each in log_p]
    losses, by_x = [], [[Truth(sum(p) * q[i], sum(p) * q[i] * (1 + of_q[i]) * (1 - min(log_p)))] for i in range(len(x))]
    by_log_p: list[Truth | None] = []
    # The student's log-probabilities are computed from that of its likeliest class of the list, which has their slopes.
    by_x[max(classes, key=lambda c: x[c])].append(Truth(mpf(0), sum(p)))
    for c, share, each in zip(classes, p, log_p, strict=True):
        size = of_q[c] - each
        losses.append(Truth(share * (each + of_q[c]), share * size * (1 - each)))
        by_x[c].append(Truth(-share, share * (1 - each)))
        slope = Truth(share * (each + of_q[c] + 1), share * (1 - each) * (1 + size))
        by_log_p.append(slope if share > FLUSHED else None)
    return [*_result(losses, by_x), by_log_p]


# Points ---------------------------------------------------------------------------------------------------------------

LISTS = Inputs((100,), size=8, scale=3)
COSINES = Inputs((100,), size=8, scale=0.5)
RELEVANCE = np.array([[2.0, 0, 1, 0, 3], [0, 1, 1, 4, 0], [1.0, 2, 3, 4, 0], [0, 0, 0, 0, 0]])


def _scores(kind: Any) -> np.ndarray:
    """Lists of finite scores, whose differences stay below the number that stands for minus infinity."""
    rows = points.logit_rows(kind)
    return rows[np.abs(rows).max(-1) < 1e36]


def lists(kind: Any) -> tuple[np.ndarray, ...]:
    rows = _scores(kind)
    return np.repeat(rows, len(RELEVANCE), 0), np.tile(RELEVANCE, (len(rows), 1))


def ordinary_lists(rng: np.random.Generator, inputs: Inputs) -> tuple[np.ndarray, ...]:
    shape = (*inputs.shape, inputs.size)
    return rng.normal(size=shape) * inputs.scale, rng.integers(0, 4, shape) * 1.0


def sampled(kind: Any) -> tuple[np.ndarray, ...]:
    rows = _scores(kind)
    return rows[:, 0], rows[:, 1:]


def ordinary_sampled(rng: np.random.Generator, inputs: Inputs) -> tuple[np.ndarray, ...]:
    rows = rng.normal(size=(*inputs.shape, inputs.size)) * inputs.scale
    return rows[:, 0], rows[:, 1:]


def two_distributions(kind: Any) -> tuple[np.ndarray, ...]:
    """Other logits, the same logits, and logits that differ in the last digits."""
    rows = _scores(kind)
    near = kind.rounded(rows * (1 + 4 * float(kind.info.eps))).astype(float)
    return np.concatenate([rows] * 3), np.concatenate([np.roll(rows, 7, 0), rows, near])


def top_k(kind: Any) -> tuple[np.ndarray, ...]:
    rows = _scores(kind)
    log_probs = kind.rounded([[-0.25, -3.0], [-1e-3, -8.0], [-0.7, -104.0]]).astype(float)
    number = np.arange(len(rows))
    classes = np.stack([number % 5, (number + 1 + number % 4) % 5], -1)
    return rows, classes, log_probs[number % len(log_probs)]


def ordinary_top_k(rng: np.random.Generator, inputs: Inputs) -> tuple[np.ndarray, ...]:
    rows = rng.normal(size=(*inputs.shape, inputs.size)) * inputs.scale
    classes = rng.permuted(np.broadcast_to(np.arange(inputs.size), rows.shape), axis=-1)[:, :3]
    return rows, classes, -1 - np.abs(rng.normal(size=classes.shape))


def ordinary_distributions(rng: np.random.Generator, inputs: Inputs) -> tuple[np.ndarray, ...]:
    rows = rng.normal(size=(2, *inputs.shape, inputs.size)) * inputs.scale
    return rows[0], rows[1]


OF_LISTS = {"adversarial": lists, "ordinary": ordinary_lists, "inputs": LISTS}
