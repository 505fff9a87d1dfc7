"""The losses of detectors, rare classes, noisy labels, boxes and tokens in 60 digits: see `gold.py`.

The derivatives of the losses of boxes are differences of a step of 1e-25.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from gold import (
    FLUSHED,
    LARGEST,
    Number,
    Truth,
    Vector,
    cross_entropy,
    in_float32,
    minus_log_probs,
    one,
    sigmoid,
    softplus,
    times,
    total,
)
from mpmath import atan, exp, expm1, inf, log, mpf, pi

# Yes-or-no scores -----------------------------------------------------------------------------------------------------


def _power(base: Number, exponent: Number) -> Number:
    return base**exponent if base or not exponent else mpf(0)


def _nll(x: Number, t: Number) -> Number:
    return sum(weight * softplus(cost) for weight, cost in ((t, -x), (1 - t, x)) if weight)


def _product(base: Number, slope: Number, exponent: Number, nll: Number, *nll_slopes: Number) -> Truth:
    """The derivative of base**exponent * nll."""
    by_base = exponent * _power(base, exponent - 1) * slope * nll if slope else mpf(0)
    return total(by_base, *(_power(base, exponent) * each for each in nll_slopes))


def sigmoid_focal_loss(x: Number, t: Number, *, alpha: float = 0.25, gamma: float = 2.0) -> list[Truth]:
    share = alpha * t + (1 - alpha) * (1 - t)
    wrong, slope = t * sigmoid(-x) + (1 - t) * sigmoid(x), (1 - 2 * t) * sigmoid(x) * sigmoid(-x)
    loss = one(share * _power(wrong, mpf(gamma)) * _nll(x, t))
    by_x = _product(wrong, slope, mpf(gamma), _nll(x, t), -t * sigmoid(-x), (1 - t) * sigmoid(x))
    return [loss, times(share, by_x)]


def varifocal_loss(x: Number, t: Number, *, alpha: float = 0.75, gamma: float = 2.0) -> list[Truth]:
    if t > 0:
        return [one(t * _nll(x, t)), times(t, total(-t * sigmoid(-x), (1 - t) * sigmoid(x)))]
    slope = sigmoid(x) * sigmoid(-x)
    by_x = _product(sigmoid(x), slope, mpf(gamma), _nll(x, t), sigmoid(x))
    return [one(alpha * _power(sigmoid(x), mpf(gamma)) * _nll(x, t)), times(alpha, by_x)]


def quality_focal_loss(x: Number, t: Number) -> list[Truth]:
    """With beta = 2. The distance is a difference, whose rounding the scales have."""
    low, high = t * sigmoid(-x), (1 - t) * sigmoid(x)
    distance, nll, steepness = low - high, _nll(x, t), sigmoid(x) * sigmoid(-x)
    slope = -2 * distance * steepness * nll + distance**2 * (high - low)
    scale = 2 * (low + high) * steepness * nll + (low + high) ** 3
    return [Truth(distance**2 * nll, (low + high) ** 2 * nll), Truth(slope, scale)]


def asymmetric_loss(x: Number, t: Number) -> list[Truth]:
    """With the default options. The clipped probability is a difference, whose rounding the scales have."""
    clip, likely, steepness = mpf(in_float32(0.05)), sigmoid(x), sigmoid(x) * sigmoid(-x)

    def parts(negative: Number, clipped: bool) -> tuple[Number, Number, Number, Number]:
        wrong, exponent = t * sigmoid(-x) + (1 - t) * negative, t + 4 * (1 - t)
        nll = (t * softplus(-x) if t else 0) - ((1 - t) * log(1 - negative) if t < 1 else 0)
        slope = (1 - t) * steepness * (not clipped) - t * steepness
        by_nll = (1 - t) * (0 if clipped else steepness / (1 - negative)) - t * sigmoid(-x)
        by_x = exponent * _power(wrong, exponent - 1) * slope * nll + _power(wrong, exponent) * by_nll
        return _power(wrong, exponent) * nll, by_x, wrong, exponent

    value, slope, wrong, exponent = parts(max(likely - clip, mpf(0)), likely <= clip)
    # A relative error of the clipped probability enters as often as the exponent says.
    amplified = 1 + exponent * likely / max(wrong, clip / 8)
    return [Truth(value, abs(value) * amplified), Truth(slope, abs(slope) * amplified + abs(value) * amplified)]


# One class among many -------------------------------------------------------------------------------------------------


def _by_nll(x: Vector, label: int, loss: Callable[[Number], Number], slope: Callable[[Number], Number]) -> list[Any]:
    """A function of the label's negative log-probability. Exponentials of it round by its size."""
    nll = minus_log_probs(x)[0]
    surprise = nll[label]
    if LARGEST < surprise < inf:
        return [None, None]  # the difference of two logits overflows
    outer, amplified = slope(surprise), 1 + (surprise if surprise < inf else 0)
    inner = [expm1(-surprise) if i == label else exp(-each) for i, each in enumerate(nll)]
    value = loss(surprise)
    return [Truth(value, abs(value)), [Truth(outer * each, abs(outer * each) * amplified) for each in inner]]


def softmax_focal_loss(x: Vector, label: int, *, gamma: float = 2.0) -> list[Any]:
    def slope(nll: Number) -> Number:
        wrong = -expm1(-nll)
        return _power(wrong, mpf(gamma)) + gamma * _power(wrong, mpf(gamma) - 1) * (exp(-nll) * nll if nll < inf else 0)

    return _by_nll(x, label, lambda nll: _power(-expm1(-nll), mpf(gamma)) * nll, slope)


def poly1_cross_entropy(x: Vector, label: int) -> list[Any]:
    return _by_nll(x, label, lambda nll: nll - 2 * expm1(-nll), lambda nll: 1 + 2 * exp(-nll))


def generalized_cross_entropy(x: Vector, label: int) -> list[Any]:
    q = mpf(in_float32(0.7))
    return _by_nll(x, label, lambda nll: -expm1(-q * nll) / q, lambda nll: exp(-q * nll))


def symmetric_cross_entropy(x: Vector, label: int) -> list[Any]:
    alpha = mpf(in_float32(0.1))
    return _by_nll(x, label, lambda nll: alpha * nll - 4 * expm1(-nll), lambda nll: alpha + 4 * exp(-nll))


def logit_adjusted_cross_entropy(x: Vector, label: int, *, prior: Vector) -> list[Any]:
    """The sum of a logit and the logarithm of its prior is rounded by the size of the sum."""
    whole = sum(map(mpf, prior))
    adjusted = [each + log(mpf(count) / whole) for each, count in zip(x, prior, strict=True)]
    loss, slopes = cross_entropy(adjusted, label)
    if loss is None or loss.value == inf:
        return [loss, slopes]
    top = abs(max(adjusted))
    likely = [exp(-each) for each in minus_log_probs(adjusted)[0]]
    rounding = [p * (abs(each) + top) if p else 0 for p, each in zip(likely, adjusted, strict=True)]
    rounded = [Truth(slope.value, slope.scale + size) for slope, size in zip(slopes, rounding, strict=True)]
    return [Truth(loss.value, loss.scale + abs(adjusted[label]) + top), rounded]


# Boxes ----------------------------------------------------------------------------------------------------------------

EPS = mpf(in_float32(1e-7))
STEP = mpf(10) ** -25


def _boxes(loss: Callable[[Vector, Vector, Number | None], tuple[Number, Number]]) -> Callable[..., list[Any]]:
    """The loss and its derivatives. `loss` also returns the factor that its derivative holds constant, and takes it."""

    def measured(a: Vector, b: Vector) -> list[Any]:
        sides = [box[i + 2] - box[i] for box in (a, b) for i in (0, 1)]
        # Lengths are differences of coordinates.
        amplified = 4 * (1 + max(map(abs, (*a, *b))) / min(sides))
        value, constant = loss(a, b, None)

        def slope(which: int, place: int) -> Truth | None:
            at = [[list(a), list(b)] for _ in range(2)]
            at[0][which][place] += STEP
            at[1][which][place] -= STEP
            ahead, behind = (loss(*each, constant)[0] for each in at)
            if abs((a, b)[which][place] - (a, b)[1 - which][place]) < STEP * 4:
                return None  # at a kink
            return Truth((ahead - behind) / (2 * STEP), amplified / min(sides))

        return [Truth(value, amplified), *([slope(which, place) for place in range(4)] for which in (0, 1))]

    return measured


def _measures(a: Vector, b: Vector) -> tuple[Number, Number, Number, Number]:
    """The intersection over union, the union, the enclosing area, and the share of the distance in the diagonal."""
    overlap = [max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), mpf(0)) for i in (0, 1)]
    enclosing = [max(a[i + 2], b[i + 2]) - min(a[i], b[i]) for i in (0, 1)]
    centers = [(a[i] + a[i + 2] - b[i] - b[i + 2]) / 2 for i in (0, 1)]
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    both = overlap[0] * overlap[1]
    distance = (centers[0] ** 2 + centers[1] ** 2) / (enclosing[0] ** 2 + enclosing[1] ** 2 + EPS)
    return both / (area - both + EPS), area - both, enclosing[0] * enclosing[1], distance


@_boxes
def box_iou_loss(a: Vector, b: Vector, _: Number | None) -> tuple[Number, Number]:
    return 1 - _measures(a, b)[0], mpf(0)


@_boxes
def generalized_box_iou_loss(a: Vector, b: Vector, _: Number | None) -> tuple[Number, Number]:
    iou, union, enclosing, _distance = _measures(a, b)
    return 1 - iou + (enclosing - union) / (enclosing + EPS), mpf(0)


@_boxes
def distance_box_iou_loss(a: Vector, b: Vector, _: Number | None) -> tuple[Number, Number]:
    iou, _union, _enclosing, distance = _measures(a, b)
    return 1 - iou + distance, mpf(0)


@_boxes
def complete_box_iou_loss(a: Vector, b: Vector, constant: Number | None) -> tuple[Number, Number]:
    iou, _union, _enclosing, distance = _measures(a, b)
    angles = [atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    aspect = 4 / pi**2 * (angles[1] - angles[0]) ** 2
    share = aspect / (1 - iou + aspect + EPS) if constant is None else constant
    return 1 - iou + distance + share * aspect, share


for _name in ("box_iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"):
    globals()[_name].__name__ = _name


# Tokens ---------------------------------------------------------------------------------------------------------------


def dft_loss(x: Number) -> list[Truth]:
    return [one(-exp(x) * x), one(-exp(x))]


def token_log_probs(x: Vector, label: int) -> list[Any]:
    value, *slopes = cross_entropy(x, label)
    if value is None:
        return [None, None]
    return [times(-1, value), [times(-1, each) for each in slopes[0]]]


def token_entropy(x: Vector) -> list[Any]:
    """The logarithms of small probabilities are differences, and their rounding enters the slope by its factor."""
    surprises = minus_log_probs(x)[0]
    shares = [(exp(-each), each) for each in surprises]
    if any(0 < p < FLUSHED for p, _ in shares):
        return [None, None]  # a probability of subnormal size may be taken for 0, before its logarithm multiplies it
    entropy = sum((p * each for p, each in shares if p), mpf(0))

    def slope(p: Number, surprise: Number) -> Truth:
        return Truth(p * (surprise - entropy), p * (surprise + entropy) * (1 + surprise)) if p else one(mpf(0))

    return [one(entropy), [slope(*share) for share in shares]]


# Points ---------------------------------------------------------------------------------------------------------------


def box_pairs(kind: Any) -> tuple[np.ndarray, ...]:
    """Boxes of sizes from 1/64 to 4096, near the origin and far from it: apart, overlapping, inside each other."""
    rng = np.random.default_rng(0)
    scale = 4.0 ** rng.integers(-3, 7, (300, 1))
    low = rng.uniform(0, 2, (2, 300, 2)) * scale
    size = rng.uniform(0.25, 2, (2, 300, 2)) * scale
    first, second = np.concatenate([low, low + size], -1)
    return first, second


def log_probs(kind: Any) -> tuple[np.ndarray, ...]:
    return (-np.abs(kind.real()),)


def ordinary_log_probs(rng: np.random.Generator, inputs: Any) -> tuple[np.ndarray, ...]:
    return (-np.abs(rng.normal(size=inputs.shape)) * 3,)
