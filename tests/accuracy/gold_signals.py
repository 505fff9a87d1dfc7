"""What the losses of signals and of adversarial networks truly are: see `gold`."""

from collections.abc import Callable
from typing import Any

from gold import FLUSHED, Number, Truth, Vector, added, in_float32, mpf, one, ramp, sigmoid, softplus, total
from gold_probabilistic import with_slopes
from mpmath import log10, sqrt

EPS = mpf(in_float32(1e-8))


def energy(x: Vector) -> Number:
    return sum((value * value for value in x), mpf(0))


def centred(x: Vector) -> Vector:
    mean = sum(x, mpf(0)) / len(x)
    return [value - mean for value in x]


def decibels(power: Number, error: Number) -> Number:
    return -10 * log10(power / (error + EPS) + EPS)


def si_sdr_loss(x: Vector, t: Vector) -> list[Any]:
    def parts(x: Vector, t: Vector) -> tuple[Vector, Vector]:
        x, t = centred(x), centred(t)
        scale = sum((a * b for a, b in zip(x, t, strict=True)), mpf(0)) / (energy(t) + EPS)
        scaled = [scale * b for b in t]
        return scaled, [a - b for a, b in zip(x, scaled, strict=True)]

    size = length(x) * (1 + length(t) / sqrt(energy(centred(t)) + EPS))
    return _of_signals(parts, x, t, size, size)


def snr_loss(x: Vector, t: Vector) -> list[Any]:
    def parts(x: Vector, t: Vector) -> tuple[Vector, Vector]:
        return centred(t), centred([a - b for a, b in zip(x, t, strict=True)])

    return _of_signals(parts, x, t, length(t), length([a - b for a, b in zip(x, t, strict=True)]))


def length(x: Vector) -> Number:
    return sqrt(energy(x))


def _of_signals(
    parts: Callable[[Vector, Vector], tuple[Vector, Vector]], x: Vector, t: Vector, size: Number, error_size: Number
) -> list[Any]:
    """The loss of a scaled target and an error, and its derivatives in both signals.

    The parts are differences of numbers of these sizes, which rounding is measured by.
    """
    scaled, error = parts(x, t)
    power, wrong = energy(scaled) + FLUSHED, energy(error) + EPS
    share = power / wrong / (power / wrong + EPS)
    amplified = error_size * length(error) / wrong + share * size / sqrt(power)
    steepness = 9 * share * (length(error) / wrong + 1 / sqrt(power)) * (1 + amplified)
    if length(error) < mpf(2) ** -20 * error_size:
        # Rounding decides the error, and with it the loss: only a NaN is wrong.
        return [Truth(decibels(power, energy(error)), mpf(10) ** 7), None, None]
    loss, *slopes = with_slopes(lambda x, t: [decibels(*map(energy, parts(x, t)))], x, t)
    sizes = steepness, steepness * (1 + length(x) / sqrt(energy(t) + EPS))
    rounded = [[Truth(each.value, size) for each in by] for by, size in zip(slopes, sizes, strict=True)]
    return [Truth(loss.value, loss.scale + 10 * amplified), *rounded]


def gan_discriminator_loss(real: Number, fake: Number, *, loss_type: str = "non_saturating") -> list[Any]:
    if loss_type == "non_saturating":
        return [total(softplus(-real), softplus(fake)), one(-sigmoid(-real)), one(sigmoid(fake))]
    if loss_type == "hinge":
        (first, down), (second, up) = (ramp(at, slope_at_0=0) for at in (total(1, -real), total(1, fake)))
        return [added(first, second), None if down is None else one(-down), None if up is None else one(up)]
    if loss_type == "least_squares":
        return [one(((real - 1) ** 2 + fake**2) / 2), one(real - 1), one(fake)]
    return [one(fake - real), one(-1), one(1)]


def gan_generator_loss(fake: Number, *, loss_type: str = "non_saturating") -> list[Any]:
    if loss_type == "non_saturating":
        return [one(softplus(-fake)), one(-sigmoid(-fake))]
    if loss_type == "least_squares":
        return [one((fake - 1) ** 2 / 2), one(fake - 1)]
    return [one(-fake), one(-1)]
