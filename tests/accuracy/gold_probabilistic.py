"""Likelihoods, scores and survival in numbers of 60 digits. The derivatives are differences in many more digits."""

from collections.abc import Callable
from typing import Any

from gold import Number, Truth, Vector, softplus, total
from mpmath import besseli, cos, erf, exp, fabs, log, log1p, loggamma, mpf, pi, sqrt, workdps

Terms = Callable[..., list[Number]]


def with_slopes(terms: Terms, *numbers: Any, slopes: int | None = None) -> list[Any]:
    """The sum of the terms, and its derivative in each of the first `slopes` numbers, which may be vectors.

    The scale of a derivative is the sum of the sizes of the terms' derivatives.
    """

    def changed(at: int, value: Any) -> list[Number]:
        return terms(*numbers[:at], value, *numbers[at + 1 :])

    def slope(moved: Callable[[Number], list[Number]], x: Number) -> Truth:
        with workdps(120):
            step = mpf(10) ** -50 * max(fabs(x), mpf(10) ** -10)
            pairs = zip(moved(x + step), moved(x - step), strict=True)
            return total(*((after - before) / (2 * step) for after, before in pairs))

    def slopes_of(at: int) -> Any:
        if not isinstance(numbers[at], list):
            return slope(lambda x: changed(at, x), numbers[at])
        vector = numbers[at]
        return [
            slope(lambda x, i=i: changed(at, [*vector[:i], x, *vector[i + 1 :]]), each) for i, each in enumerate(vector)
        ]

    return [total(*terms(*numbers)), *(slopes_of(at) for at in range(len(numbers) if slopes is None else slopes))]


def laplace_nll_loss(x: Number, t: Number, b: Number) -> list[Any]:
    return with_slopes(lambda x, t, b: [log(2), log(b), fabs(x - t) / b], x, t, b)


def student_t_nll_loss(x: Number, t: Number, s: Number, df: Number) -> list[Any]:
    def terms(x: Number, t: Number, s: Number, df: Number) -> list[Number]:
        step = loggamma(df / 2) - loggamma((df + 1) / 2) + log(df / 2) / 2
        return [step, log(2 * pi) / 2, log(s), (df + 1) / 2 * log1p((x - t) ** 2 / (df * s**2))]

    return with_slopes(terms, x, t, s, df, slopes=3)


def von_mises_nll_loss(x: Number, t: Number, k: Number) -> list[Any]:
    def terms(x: Number, t: Number, k: Number) -> list[Number]:
        return [log(2 * pi), log(besseli(0, k)) - k, k * (1 - cos(t - x))]

    loss, *slopes = with_slopes(terms, x, t, k, slopes=2)
    # Rounding the difference of the angles moves the sine by as much, also where the sine is small.
    return [loss, *(Truth(each.value, max(each.scale, k * (fabs(x) + fabs(t)))) for each in slopes)]


def gaussian_mixture_nll_loss(x: Vector, t: Number, s: Vector, z: Vector) -> list[Any]:
    def terms(x: Vector, t: Number, s: Vector, z: Vector) -> list[Number]:
        triples = list(zip(x, s, z, strict=True))
        largest = max(zk - ((xk - t) / sk) ** 2 / 2 for xk, sk, zk in triples)
        summed = sum(exp(zk - ((xk - t) / sk) ** 2 / 2 - largest) / sk for xk, sk, zk in triples)
        return [-largest, -log(summed), log(sum(map(exp, z))), log(2 * pi) / 2]

    return with_slopes(terms, x, t, s, z)


def multivariate_gaussian_nll_loss(x: Vector, t: Vector, factor: list[Vector]) -> list[Any]:
    def terms(x: Vector, t: Vector) -> list[Number]:
        solved: list[Number] = []
        for i, row in enumerate(factor):
            solved.append((x[i] - t[i] - sum(row[j] * solved[j] for j in range(i))) / row[i])
        logs = [log(row[i]) for i, row in enumerate(factor)]
        return [*(y**2 / 2 for y in solved), *logs, len(x) * log(2 * pi) / 2]

    return with_slopes(terms, x, t)


def negative_binomial_nll_loss(x: Number, t: Number, k: Number) -> list[Any]:
    def terms(x: Number, t: Number, k: Number) -> list[Number]:
        loss = loggamma(t + 1) + loggamma(k) - loggamma(t + k) + k * softplus(x - log(k)) + t * softplus(log(k) - x)
        return [loss]

    found = with_slopes(terms, x, t, k, slopes=1)
    # The loss is the sum of deviances of this size and of halves of logarithms.
    size = fabs(found[0].value) + log1p(t) + 1
    slope = t + exp(x) / (1 + exp(x) / k)
    return [Truth(found[0].value, size), Truth(found[1].value, slope)]


def gamma_nll_loss(x: Number, t: Number, k: Number) -> list[Any]:
    def terms(x: Number, t: Number, k: Number) -> list[Number]:
        return [k * t * exp(-x), k * x, -k * log(t), log(t), loggamma(k), -k * log(k)]

    return with_slopes(terms, x, t, k, slopes=1)


def tweedie_loss(x: Number, t: Number, *, power: float = 1.5, full: bool = False) -> list[Any]:
    p = mpf(power)

    def terms(x: Number, t: Number) -> list[Number]:
        mean = exp((2 - p) * x) / (2 - p) if p != 2 else x
        found = [mean, -t * (exp((1 - p) * x) / (1 - p) if p != 1 else x)]
        return [*found, t ** (2 - p) / ((1 - p) * (2 - p))] if full and t else found

    return with_slopes(terms, x, t, slopes=1)


def gaussian_kl_loss(m: Number, v: Number) -> list[Any]:
    return with_slopes(lambda m, v: [m**2 / 2, (exp(v) - 1 - v) / 2], m, v)


def gaussian_crps_loss(x: Number, t: Number, s: Number) -> list[Any]:
    def terms(x: Number, t: Number, s: Number) -> list[Number]:
        z = (x - t) / s
        return [(x - t) * erf(z / sqrt(2)), s * sqrt(2 / pi) * exp(-(z**2) / 2), -s / sqrt(pi)]

    return with_slopes(terms, x, t, s)


def ensemble_crps_loss(x: Vector, t: Number) -> list[Any]:
    size = len(x)

    def terms(x: Vector, t: Number) -> list[Number]:
        return [*(fabs(a - t) / size for a in x), *(-fabs(a - b) / (2 * size**2) for a in x for b in x)]

    return with_slopes(terms, x, t)


def energy_score_loss(x: list[Vector], t: Vector) -> list[Any]:
    def length(a: Vector, b: Vector) -> Number:
        return sqrt(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))

    pairs = [-length(a, b) / (2 * len(x) ** 2) for a in x for b in x]
    return [total(*(length(a, t) / len(x) for a in x), *pairs)]


def cox_loss(h: Vector, d: Vector, e: Vector) -> list[Any]:
    """The loss of one study: a vector of losses."""
    at_risk = [[j for j in range(len(h)) if d[j] >= each] for each in d]
    return [[total(log(sum(exp(h[j]) for j in at_risk[i])), -h[i]) if e[i] else total() for i in range(len(h))]]


def discrete_hazard_nll_loss(x: Vector, d: int, e: Number) -> list[Any]:
    def terms(x: Vector) -> list[Number]:
        return [*map(softplus, x[:d]), softplus(-x[d] if e else x[d])]

    return with_slopes(terms, x)
