"""Formulas in 60 digits of robust losses and of losses of forecasts."""

from typing import Any

from gold import FLUSHED, LARGEST, Number, Truth, Vector, in_float32, mpf, one, slope
from mpmath import cosh, exp, inf, log, log1p, nan, sign, sqrt, tanh


def of_error(error: Number, value: Number, slope: Number, scale: Number | None = None) -> list[Truth | None]:
    """A loss of the error alone: its derivatives in the prediction and in the target are opposite."""
    if abs(error) > LARGEST:  # the difference overflows
        return [None, None, None]
    slope = one(slope) if scale is None else Truth(slope, scale)
    return [one(value), slope, Truth(-slope.value, slope.scale)]


def log_cosh_loss(x: Number, t: Number) -> list[Truth | None]:
    error = abs(x - t)
    return of_error(x - t, log(cosh(error)) if error < 1 else error + log1p(exp(-2 * error)) - log(mpf(2)), tanh(x - t))


def pseudo_huber_loss(x: Number, t: Number, *, delta: float = 1.0) -> list[Truth | None]:
    root = sqrt(1 + ((x - t) / mpf(delta)) ** 2)
    return of_error(x - t, (x - t) ** 2 / (1 + root), (x - t) / root)


def charbonnier_loss(x: Number, t: Number, *, eps: float = 1e-3) -> list[Truth | None]:
    root = sqrt((x - t) ** 2 + mpf(eps) ** 2)
    return of_error(x - t, root, (x - t) / root if root else mpf(0))


def robust_loss(x: Number, t: Number, *, alpha: float = 1.0, scale: float = 1.0) -> list[Truth | None]:
    error, a = (x - t) / mpf(scale), mpf(alpha)
    if a == 2:
        return of_error(x - t, error**2 / 2, error / scale)
    if a == 0:
        return of_error(x - t, log1p(error**2 / 2), error / (1 + error**2 / 2) / scale)
    b = abs(a - 2)
    u = log1p(error**2 / b) / 2
    by_error = error * exp((a - 2) * u) / scale
    small = abs(a * u) < mpf(10) ** -30
    return of_error(x - t, b * u if small else b / a * (exp(a * u) - 1), by_error)


def cauchy_loss(x: Number, t: Number, *, scale: float = 1.0) -> list[Truth | None]:
    return robust_loss(x, t, alpha=0.0, scale=scale)


def geman_mcclure_loss(x: Number, t: Number, *, scale: float = 1.0) -> list[Truth | None]:
    z = ((x - t) / mpf(scale)) ** 2
    return of_error(x - t, 2 * z / (z + 4), (x - t) / mpf(scale) ** 2 / (1 + z / 4) ** 2)


def welsch_loss(x: Number, t: Number, *, scale: float = 1.0) -> list[Truth | None]:
    z = ((x - t) / mpf(scale)) ** 2
    value = z / 2 if z < mpf(10) ** -40 else 1 - exp(-z / 2)
    return of_error(x - t, value, (x - t) / mpf(scale) ** 2 * exp(-z / 2))


def tukey_biweight_loss(x: Number, t: Number, *, c: float = 4.685) -> list[Truth | None]:
    square = min((x - t) ** 2 / mpf(c) ** 2, mpf(1))
    value = mpf(c) ** 2 / 6 * square * (3 - 3 * square + square**2)
    return of_error(x - t, value, (x - t) * (1 - square) ** 2, abs(x - t) * (1 - square))


# Forecasts ------------------------------------------------------------------------------------------------------------


def quantile_loss(x: Number, t: Number, *, quantile: float = 0.5) -> list[Truth | None]:
    if abs(x - t) > LARGEST:
        return [None, None, None]
    q, error = mpf(in_float32(quantile)), x - t
    by_x = slope(error, 1 - q if error > 0 else q)
    return [one(max(-q * error, (1 - q) * error)), by_x, by_x and Truth(-by_x.value, by_x.scale)]


def expectile_loss(x: Number, t: Number, *, expectile: float = 0.5) -> list[Truth | None]:
    q, error = mpf(in_float32(expectile)), x - t
    share = 1 - q if error > 0 else q
    return of_error(error, share * error**2, 2 * share * error)


def msle_loss(x: Number, t: Number) -> list[Truth]:
    if min(x, t) < -1:
        return [one(nan)] * 3
    if min(x, t) == -1:
        return [one(inf if x != t else nan), None, None]
    gap, scale = log1p(x) - log1p(t), abs(log1p(x)) + abs(log1p(t))
    near = abs(x - t) < (1 + t) / 4  # then the logarithm of the ratio keeps all digits
    size = abs(gap) if near else scale
    return [
        Truth(gap**2, gap**2 if near else scale * abs(gap)),
        *(Truth(s * 2 * gap / (1 + y), 2 * size / (1 + y)) for s, y in ((1, x), (-1, t))),
    ]


def mape_loss(x: Number, t: Number) -> list[Truth | None]:
    if abs(x - t) > LARGEST:
        return [None, None, None]
    least = mpf(in_float32(1e-7))
    size, error = max(abs(t), least), x - t
    by_x = slope(error, 1 / size)
    by_t = Truth(
        -sign(error) / size - (abs(error) * sign(t) / size**2 if abs(t) > least else 0), 1 / size + abs(error) / size**2
    )
    return [one(abs(error) / size), by_x, None if by_x is None or abs(abs(t) - least) < least / 1000 else by_t]


def smape_loss(x: Number, t: Number) -> list[Truth | None]:
    size, error = abs(x) + abs(t), x - t
    if size == 0:
        return [one(mpf(0))] * 3
    value = 2 * abs(error) / size

    def by(own: Number, other: Number) -> Truth | None:
        if own == other:
            return one(mpf(0))
        steep = 2 * sign(own - other) / size
        return Truth(steep - value * sign(own) / size, abs(steep) + value / size)

    flushed = min(abs(x - t), size) < 8 * FLUSHED
    return [None, None, None] if flushed else [one(value), by(x, t), by(t, x)]


def mase_loss(x: Vector, t: Vector, y: Vector) -> list[Any]:
    changes = [b - a for a, b in zip(y, y[1:], strict=False)]
    change = sum(map(abs, changes), mpf(0)) / len(changes)
    errors = [a - b for a, b in zip(x, t, strict=True)]
    if max(map(abs, [*errors, *changes])) > LARGEST or 0 < change < 8 * FLUSHED or not change:
        return [None, None, None]
    by_x = [slope(error, 1 / change) for error in errors]
    return [
        [one(abs(error) / change) for error in errors],
        by_x,
        [each and Truth(-each.value, each.scale) for each in by_x],
    ]


def concordance_loss(x: Vector, t: Vector) -> list[Any]:
    """The rounding of the means enters the variances by its square, and that of the deviations by itself."""
    largest = max(map(abs, [*x, *t]))
    if not largest:
        return [one(mpf(0)), None, None]
    x, t = ([value / largest for value in series] for series in (x, t))
    number = len(x)
    means = [sum(series, mpf(0)) / number for series in (x, t)]
    spread = sum(sum((value - m) ** 2 for value in series) for series, m in zip((x, t), means, strict=True)) / number
    scale = spread + (means[0] - means[1]) ** 2
    if scale < mpf(10) ** -10:
        return [None, None, None]  # constant series, but for their last digits
    error = sum((a - b) ** 2 for a, b in zip(x, t, strict=True)) / number
    value, amplified = error / scale, 1 / scale

    def by(own: Vector, other: Vector, mean: Number, other_mean: Number) -> list[Truth]:
        slopes = [
            2 * ((a - b) - value * ((a - mean) + (mean - other_mean))) / number / scale / largest
            for a, b in zip(own, other, strict=True)
        ]
        return [Truth(each, (1 + value) * amplified / largest) for each in slopes]

    return [Truth(value, value * amplified), by(x, t, *means), by(t, x, *reversed(means))]
