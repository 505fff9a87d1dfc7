"""Formulas in 60 digits of softmax losses of cosines with margins: see `gold`."""

from collections.abc import Callable, Sequence
from typing import Any

from gold import Number, Truth, Vector, added, cross_entropy, in_float32, mpf
from mpmath import acos, cos, floor, pi, sin, sqrt

Matrix = Sequence[Vector]
Margin = Callable[[Number], tuple[Number, Number]]
"""The label's cosine with its margin, and the slope."""
NEAR = mpf(2) ** -12
"""The least sine that float32 can tell from the cosine."""


def _length(x: Vector) -> Number:
    return sqrt(sum((each * each for each in x), mpf(0)))


def _unit(x: Vector) -> Vector:
    return [each / (_length(x) or 1) for each in x]


def _sine(cosine: Number) -> Number:
    return sqrt(max((1 - cosine) * (1 + cosine), mpf(0)))


def _softmax_of_cosines(
    hidden: Vector, kernel: Matrix, label: int, margin: Margin, scale: float, clip: Number | int = 1
) -> list[Any]:
    """The loss of one example, and its derivatives in the embedding and in the class vectors."""
    columns = [list(column) for column in zip(*kernel, strict=True)]
    of_hidden, of_classes = _unit(hidden), [_unit(column) for column in columns]
    cosines = [sum((h * k for h, k in zip(of_hidden, each, strict=True)), mpf(0)) for each in of_classes]
    clipped = [max(min(each, clip), -clip) for each in cosines]
    turned, slope_of_margin = margin(clipped[label])
    logits = [scale * (turned if j == label else each) for j, each in enumerate(clipped)]
    loss, slopes = cross_entropy(logits, label)
    # Cosines are rounded. A margin multiplies the error where the angle is near 0 or pi, and the exponential again.
    rounding = scale * (3 + abs(slope_of_margin) + abs(turned) + 1 / max(_sine(clipped[label]), NEAR))
    loss = Truth(loss.value, loss.scale + rounding)
    found = []
    for j, slope in enumerate(slopes):
        inside = abs(cosines[j]) < clip or clip == 1
        factor = scale * (slope_of_margin if j == label else 1) if inside else mpf(0)
        size = scale * (1 + 1 / max(_sine(clipped[j]), NEAR) if j == label else 1)
        found.append(Truth(slope.value * factor, slope.scale * (1 + rounding) * size))

    def across(slope: Truth, towards: Number, unit: Number, cosine: Number, length: Number) -> Truth:
        if not length:
            return Truth(mpf(0), mpf(0))
        sizes = abs(towards) + abs(cosine * unit)
        value, size = slope.value * (towards - cosine * unit) / length, slope.scale * sizes / length
        return Truth(value, size)

    lengths, length = [_length(column) for column in columns], _length(hidden)
    by_hidden = [
        added(*(across(g, k[d], of_hidden[d], c, length) for g, k, c in zip(found, of_classes, cosines, strict=True)))
        for d in range(len(hidden))
    ]
    by_kernel = [
        [
            across(g, of_hidden[d], k[d], c, size)
            for g, k, c, size in zip(found, of_classes, cosines, lengths, strict=True)
        ]
        for d in range(len(hidden))
    ]
    return [loss, by_hidden, by_kernel]


def arcface_loss(hidden: Vector, kernel: Matrix, label: int, *, margin: float = 0.5, scale: float = 64.0) -> list[Any]:
    angle = mpf(margin)

    def turned(cosine: Number) -> tuple[Number, Number]:
        if cosine < -cos(angle):
            return cosine - angle * sin(angle), mpf(1)
        sine = _sine(cosine)
        slope = cos(angle) + (sin(angle) * cosine / sine if sine else 0)
        return cosine * cos(angle) - sine * sin(angle), slope

    return _softmax_of_cosines(hidden, kernel, label, turned, scale)


def cosface_loss(
    hidden: Vector, kernel: Matrix, label: int, *, margin: float = in_float32(0.35), scale: float = 64.0
) -> list[Any]:
    return _softmax_of_cosines(hidden, kernel, label, lambda cosine: (cosine - mpf(margin), mpf(1)), scale)


def margin_softmax_loss(
    hidden: Vector, kernel: Matrix, label: int, *, multiplier: float, scale: float = 64.0
) -> list[Any]:
    def turned(cosine: Number) -> tuple[Number, Number]:
        angle = multiplier * acos(max(min(cosine, mpf(1)), mpf(-1)))
        half_turns = floor(angle / pi)
        sign, sine = (-1) ** int(half_turns), _sine(cosine)
        return sign * cos(angle) - 2 * half_turns, sign * multiplier * sin(angle) / sine if sine else mpf(0)

    return _softmax_of_cosines(hidden, kernel, label, turned, scale)


def adaface_loss(
    hidden: Vector,
    kernel: Matrix,
    label: int,
    *,
    mean: float = 20.0,
    std: float = 100.0,
    margin: float = in_float32(0.4),
    h: float = in_float32(0.333),
    scale: float = 64.0,
) -> list[Any]:
    eps = mpf(in_float32(1e-3))
    length = max(min(_length(hidden), mpf(100)), eps)
    quality = max(min((length - mean) / (std + eps) * h, mpf(1)), mpf(-1))
    shift, subtracted = -margin * quality, margin + margin * quality

    def turned(cosine: Number) -> tuple[Number, Number]:
        angle = acos(cosine) + shift
        if not eps < angle < pi - eps:
            return cos(max(min(angle, pi - eps), eps)) - subtracted, mpf(0)
        return cos(angle) - subtracted, sin(angle) / _sine(cosine)

    return _softmax_of_cosines(hidden, kernel, label, turned, scale, clip=1 - eps)
