"""Formulas in 60 digits of robust losses and of losses of forecasts."""

from gold import LARGEST, Number, Truth, mpf, one
from mpmath import cosh, exp, log, log1p, sqrt, tanh


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
