"""Regions, images and ordered classes in 60 digits: see `gold.py`.

An element of a loss of regions is an image: the losses of its regions, and the derivative of their sum.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gold import (
    LARGEST,
    Number,
    Truth,
    Vector,
    in_float32,
    near_a_kink,
    one,
    sigmoid,
    softplus,
    total,
)
from mpmath import exp, inf, log, mpf, sign, sqrt

STEP = mpf(10) ** -25
UNIT = mpf(2) ** -24  # of the rounding of a number near 1
SMOOTH = mpf(in_float32(1e-5))
Sums = list[tuple[Number, Number, Number]]  # true positive, false positive, false negative of each region

# Regions --------------------------------------------------------------------------------------------------------------


def _softmax(x: Vector) -> tuple[list[Number], Number]:
    """The probabilities, and how much their logarithms amplify the rounding of a logit."""
    largest = max(x)
    exponentials = [exp(each - largest) for each in x]
    norm = sum(exponentials, mpf(0))
    return [each / norm for each in exponentials], 1 + min(largest - min(x), mpf(100))


def _regions(losses: Callable[..., list[Number]]) -> Callable[..., list[Any]]:
    """The losses as functions of the sums of all regions, and their derivative in the logits."""

    def measured(x: Sequence[Vector], labels: Sequence[int], **options: Any) -> list[Any]:
        options.pop("pixel_axes")
        rows = [_softmax(pixel) for pixel in x]
        amplified = max(row[1] for row in rows)
        classes = range(len(x[0]))
        sums = [
            (
                sum((p[k] for (p, _), y in zip(rows, labels, strict=True) if y == k), mpf(0)),
                sum((p[k] for (p, _), y in zip(rows, labels, strict=True) if y != k), mpf(0)),
                sum((1 - p[k] for (p, _), y in zip(rows, labels, strict=True) if y == k), mpf(0)),
            )
            for k in classes
        ]

        def slope(region: int, part: int, missing: float = 0.0) -> Number:
            at = [[[hit, false, lost + missing] for hit, false, lost in sums] for _ in range(2)]
            at[0][region][part] += STEP
            at[1][region][part] -= STEP
            ahead, behind = (sum(losses(each, **options), mpf(0)) for each in at)
            return (ahead - behind) / (2 * STEP)

        slopes = [[slope(k, part) for part in range(3)] for k in classes]
        # A pixel's 1 - p is a difference, whose rounding moves the loss and its slopes.
        curves = [abs(slope(k, 1, UNIT) - each[1]) / UNIT for k, each in zip(classes, slopes, strict=True)]

        def by_logits(p: list[Number], label: int) -> list[Truth]:
            by_p = [each[0] - each[2] if k == label else each[1] for k, each in enumerate(slopes)]
            sizes = [sum(map(abs, each)) + curve for each, curve in zip(slopes, curves, strict=True)]
            return _through_softmax(p, by_p, sizes, amplified)

        moved = losses([(hit, false, lost + UNIT) for hit, false, lost in sums], **options)
        values = [
            Truth(value, abs(value) * amplified + abs(other - value) / UNIT)
            for value, other in zip(losses(sums, **options), moved, strict=True)
        ]
        return [values, [by_logits(p, y) for (p, _), y in zip(rows, labels, strict=True)]]

    measured.__name__ = losses.__name__
    return measured


def _through_softmax(p: list[Number], by_p: Vector, sizes: Vector, amplified: Number) -> list[Truth]:
    mean = sum((a * b for a, b in zip(p, by_p, strict=True)), mpf(0))
    size = sum((a * b for a, b in zip(p, sizes, strict=True)), mpf(0))
    return [
        Truth(each * (slope - mean), each * (large + size) * amplified)
        for each, slope, large in zip(p, by_p, sizes, strict=True)
    ]


def _missed(hit: Number, false: Number, missing: Number, alpha: Number, beta: Number, smooth: Number) -> Number:
    wrong = alpha * false + beta * missing
    return wrong / (hit + wrong + smooth)


@_regions
def dice_loss(sums: Sums) -> list[Number]:
    return [_missed(*each, mpf(0.5), mpf(0.5), SMOOTH / 2) for each in sums]


@_regions
def jaccard_loss(sums: Sums) -> list[Number]:
    return [_missed(*each, mpf(1), mpf(1), SMOOTH / 2) for each in sums]


@_regions
def tversky_loss(sums: Sums, *, alpha: float, beta: float) -> list[Number]:
    return [_missed(*each, mpf(alpha), mpf(beta), SMOOTH) for each in sums]


@_regions
def focal_tversky_loss(sums: Sums) -> list[Number]:
    weights = mpf(in_float32(0.3)), mpf(in_float32(0.7))
    return [_missed(*each, *weights, SMOOTH) ** mpf(0.75) for each in sums]


@_regions
def generalized_dice_loss(sums: Sums) -> list[Number]:
    sizes = [round(float(hit + missing)) for hit, _false, missing in sums]
    weights = [1 / mpf(size) ** 2 if size else mpf(0) for size in sizes]
    weights = [weight if size else max(weights) for weight, size in zip(weights, sizes, strict=True)]
    parts = [sum((w * each[i] for w, each in zip(weights, sums, strict=True)), mpf(0)) for i in range(3)]
    return [_missed(*parts, mpf(0.5), mpf(0.5), SMOOTH / 2)]


def _sorted_sum(errors: Vector, truth: Sequence[bool]) -> tuple[Number, list[Number], Number]:
    """The Lovasz extension, the increase of the Jaccard loss at each pixel, and the smallest gap of two errors."""
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    count, seen, before, slopes = sum(truth), 0, mpf(0), [mpf(0)] * len(errors)
    for place, i in enumerate(order, 1):
        seen += truth[i]
        jaccard = 1 - mpf(count - seen) / (count + place - seen)
        slopes[i], before = jaccard - before, jaccard
    value = sum((max(error, mpf(0)) * slope for error, slope in zip(errors, slopes, strict=True)), mpf(0))
    ranked = sorted(errors)
    return value, slopes, min((b - a for a, b in zip(ranked, ranked[1:], strict=False)), default=inf)


def lovasz_hinge_loss(x: Vector, truth: Vector) -> list[Any]:
    signs = [2 * t - 1 for t in truth]
    errors = [1 - each * s for each, s in zip(x, signs, strict=True)]
    value, slopes, gap = _sorted_sum(errors, [bool(t) for t in truth])
    size = 1 + max(map(abs, x))
    if gap < size * mpf(2) ** -20 or any(near_a_kink(Truth(e, size)) for e in errors):
        return [Truth(value, size), [None] * len(x)]  # rounding decides the order
    by_x = [-s * slope if e > 0 else mpf(0) for s, slope, e in zip(signs, slopes, errors, strict=True)]
    return [Truth(value, size), [one(each) for each in by_x]]


def lovasz_softmax_loss(x: Sequence[Vector], labels: Sequence[int], **_: Any) -> list[Any]:
    rows = [_softmax(pixel) for pixel in x]
    amplified, classes = max(row[1] for row in rows), range(len(x[0]))
    values, by_p, close = [], [[mpf(0)] * len(x[0]) for _ in x], False
    for k in classes:
        truth = [y == k for y in labels]
        if not any(truth):
            values.append(one(0))
            continue
        errors = [1 - p[k] if t else p[k] for (p, _), t in zip(rows, truth, strict=True)]
        value, slopes, gap = _sorted_sum(errors, truth)
        values.append(Truth(value, amplified))
        close = close or gap < amplified * mpf(2) ** -20
        for pixel, t, slope in zip(by_p, truth, slopes, strict=True):
            pixel[k] = -slope if t else slope
    if close:  # rounding decides the order
        return [values, [[None] * len(x[0]) for _ in x]]
    return [
        values,
        [
            _through_softmax(p, each, [abs(slope) for slope in each], amplified)
            for (p, _), each in zip(rows, by_p, strict=True)
        ],
    ]


# Ordered classes and bins ---------------------------------------------------------------------------------------------


def _binary(x: Number, above: bool) -> tuple[Number, Number]:
    return (softplus(-x), -sigmoid(-x)) if above else (softplus(x), sigmoid(x))


def coral_loss(x: Vector, grade: int) -> list[Any]:
    terms = [_binary(each, grade > k) for k, each in enumerate(x)]
    return [total(*(loss for loss, _ in terms)), [one(slope) for _, slope in terms]]


def corn_loss(x: Vector, grade: int) -> list[Any]:
    terms = [_binary(each, grade > k) if k <= grade else (mpf(0), mpf(0)) for k, each in enumerate(x)]
    return [total(*(loss for loss, _ in terms)), [one(slope) for _, slope in terms]]


def distribution_focal_loss(x: Vector, place: Number) -> list[Any]:
    p, amplified = _softmax(x)
    low = min(int(place), len(x) - 2)
    shares = [1 - abs(place - k) if k in (low, low + 1) else mpf(0) for k in range(len(x))]
    if max(x) - min(x) > LARGEST:
        return [None, [None] * len(x)]
    value = sum((-share * log(each) for share, each in zip(shares, p, strict=True) if share), mpf(0))
    by_x = [Truth(each - share, (each + share) * amplified) for each, share in zip(p, shares, strict=True)]
    return [Truth(value, value + sum((s * (max(x) - each) for s, each in zip(shares, x, strict=True)), mpf(0))), by_x]


def sparsemax_loss(x: Vector, label: int) -> list[Any]:
    z = [each - max(x) for each in x]
    ranked = sorted(z, reverse=True)
    size = max(k for k in range(1, len(z) + 1) if 1 + k * ranked[k - 1] > sum(ranked[:k]))
    threshold = (sum(ranked[:size]) - 1) / size
    p = [max(each - threshold, mpf(0)) for each in z]
    terms = [mpf(0.5), -z[label], *(each**2 / 2 for each in ranked[:size]), -size * threshold**2 / 2]
    if max(map(abs, z)) > LARGEST:
        return [None, [None] * len(x)]
    by_x = [Truth(each - (k == label), 2 + abs(threshold)) for k, each in enumerate(p)]
    return [total(*terms), by_x]


# Images ---------------------------------------------------------------------------------------------------------------


def total_variation_loss(x: Sequence[Sequence[Vector]]) -> list[Any]:
    rows, columns, channels = len(x), len(x[0]), len(x[0][0])
    terms, by_x = [], [[[mpf(0)] * channels for _ in range(columns)] for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            for other in ((i + 1, j), (i, j + 1)):
                if other[0] == rows or other[1] == columns:
                    continue
                for c in range(channels):
                    change = x[other[0]][other[1]][c] - x[i][j][c]
                    terms.append(abs(change))
                    by_x[other[0]][other[1]][c] += sign(change)
                    by_x[i][j][c] -= sign(change)
    return [total(*terms), [[[one(each) for each in pixel] for pixel in row] for row in by_x]]


def ssim_loss(a: Sequence[Sequence[Vector]], b: Sequence[Sequence[Vector]], *, window_size: int) -> list[Any]:
    """Of one channel, in [0, 1]. The variances are differences, whose rounding the constants amplify in the slopes."""
    middle, width = window_size // 2, mpf(1.5)
    bell = [exp(-(mpf(i - middle) ** 2) / (2 * width**2)) for i in range(window_size)]
    window = [[u * v / sum(bell) ** 2 for v in bell] for u in bell]
    low, high = mpf(in_float32(0.01)) ** 2, mpf(in_float32(0.03)) ** 2
    images = [[[pixel[0] for pixel in row] for row in image] for image in (a, b)]
    places = [(i, j) for i in range(len(a) - window_size + 1) for j in range(len(a[0]) - window_size + 1)]

    def moment(i: int, j: int, of: Callable[[int, int], Number]) -> Number:
        return sum(
            (w * of(i + u, j + v) for u, row in enumerate(window) for v, w in enumerate(row)),
            mpf(0),
        )

    def loss() -> Number:
        x, y = images
        found = mpf(0)
        for place in places:
            mx, my = moment(*place, lambda i, j: x[i][j]), moment(*place, lambda i, j: y[i][j])
            vx = moment(*place, lambda i, j, m=mx: (x[i][j] - m) ** 2)
            vy = moment(*place, lambda i, j, m=my: (y[i][j] - m) ** 2)
            both = moment(*place, lambda i, j, m=mx, n=my: (x[i][j] - m) * (y[i][j] - n))
            found += (2 * mx * my + low) * (2 * both + high) / ((mx**2 + my**2 + low) * (vx + vy + high))
        return 1 - found / len(places)

    steepness = 1 / sqrt(high)
    slopes: list[Any] = []
    for image in images:
        by_pixel = [[[one(0)] for _ in row] for row in image]
        for i, row in enumerate(image):
            for j in range(len(row)):
                values = []
                for step in (STEP, -2 * STEP):
                    row[j] += step
                    values.append(loss())
                row[j] += STEP
                by_pixel[i][j][0] = Truth((values[0] - values[1]) / (2 * STEP), steepness)
        slopes.append(by_pixel)
    return [Truth(loss(), mpf(1)), *slopes]


# Points ---------------------------------------------------------------------------------------------------------------


def regions(kind: Any) -> tuple[np.ndarray, ...]:
    """Images of six pixels and three classes: almost alike, ordinary, certain, and a class without a pixel."""
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(size=(8, 6, 3)) * scale for scale in (1e-20, 0.02, 3.0, 30.0, 300.0, 1e4)])
    labels = rng.integers(0, 3, logits.shape[:2])
    labels[::2] %= 2
    certain = 40.0 * np.eye(3)[labels[:8]] - 20
    return np.concatenate([logits, certain]), np.concatenate([labels, labels[:8]])


def ordinary_regions(rng: np.random.Generator, inputs: Any) -> tuple[np.ndarray, ...]:
    return rng.normal(size=(*inputs.shape, 6, 3)), rng.integers(0, 3, (*inputs.shape, 6))


def hinge_pixels(kind: Any) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(size=(8, 6)) * scale for scale in (1e-20, 0.02, 3.0, 300.0, 1e4)])
    truth = rng.integers(0, 2, scores.shape) * 1.0
    truth[::4] = 0
    return scores, truth


def ordinary_hinge_pixels(rng: np.random.Generator, inputs: Any) -> tuple[np.ndarray, ...]:
    return rng.normal(size=(*inputs.shape, 6)), rng.integers(0, 2, (*inputs.shape, 6)) * 1.0


def thresholds(kind: Any) -> tuple[np.ndarray, ...]:
    from points import logit_rows

    rows = logit_rows(kind)
    rows = rows[np.isfinite(rows).all(-1)]
    return np.repeat(rows, 6, 0), np.tile(np.arange(6), len(rows))


def ordinary_thresholds(rng: np.random.Generator, inputs: Any) -> tuple[np.ndarray, ...]:
    return rng.normal(size=(*inputs.shape, 5)) * 3, rng.integers(0, 6, inputs.shape)


def bins(kind: Any) -> tuple[np.ndarray, ...]:
    from points import logit_rows

    rows, places = logit_rows(kind), kind.rounded([0.0, 0.25, 1.0, 2.75, 4.0]).astype(float)
    rows = rows[np.isfinite(rows).all(-1)]
    return np.repeat(rows, len(places), 0), np.tile(places, len(rows))


def ordinary_bins(rng: np.random.Generator, inputs: Any) -> tuple[np.ndarray, ...]:
    return rng.normal(size=(*inputs.shape, 5)), rng.uniform(0, 4, inputs.shape)


def finite_logits_and_labels(kind: Any) -> tuple[np.ndarray, ...]:
    logits, labels = thresholds(kind)
    return logits[labels < 5], labels[labels < 5]


def ordinary_logits_and_labels(rng: np.random.Generator, inputs: Any) -> tuple[np.ndarray, ...]:
    return rng.normal(size=(*inputs.shape, 5)), rng.integers(0, 5, inputs.shape)


def images(kind: Any) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    return (np.concatenate([rng.uniform(0, size, (8, 3, 4, 2)) for size in (1e-20, 1.0, 255.0)]),)


def ordinary_images(rng: np.random.Generator, inputs: Any) -> tuple[np.ndarray, ...]:
    return (rng.uniform(size=(*inputs.shape, 3, 4, 2)),)


def image_pairs(kind: Any) -> tuple[np.ndarray, ...]:
    """Two images: independent, equal, flat, and of opposite contrast."""
    rng = np.random.default_rng(0)
    first = rng.uniform(size=(12, 4, 4, 1))
    second = rng.uniform(size=(12, 4, 4, 1))
    second[:3], first[3:6], second[4:6], second[6:9] = first[:3], 0.75, 0.25, 1 - first[6:9]
    return first, second


def ordinary_image_pairs(rng: np.random.Generator, inputs: Any) -> tuple[np.ndarray, ...]:
    first = rng.uniform(size=(*inputs.shape, 4, 4, 1))
    return first, np.clip(first + 0.1 * rng.normal(size=first.shape), 0, 1)
