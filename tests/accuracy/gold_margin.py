"""Formulas in 60 digits of hinge losses and of the divergence of masses."""

from typing import Any

from gold import FLUSHED, LARGEST, Number, Truth, Vector, mpf, one, ramp, times, total
from mpmath import exp, log


def hinge_loss(x: Number, y: Number, *, margin: float = 1.0, p: int = 1) -> list[Truth | None]:
    short, slope = ramp(total(mpf(margin), -y * x), slope_at_0=0)
    loss = Truth(short.value**p, short.scale**p)
    return [loss, None if slope is None else times(-y * slope * p, short if p == 2 else one(1))]


def multiclass_hinge_loss(x: Vector, label: int, *, margin: float = 1.0, p: int = 1) -> list[Any]:
    rivals = [score for i, score in enumerate(x) if i != label]
    best = max(rivals)
    short, slope = ramp(total(mpf(margin), best - x[label]), slope_at_0=0)
    if short.scale > LARGEST:  # the difference of two scores overflows
        return [None, [None] * len(x)]
    if slope is None:
        return [Truth(short.value**p, short.scale**p), [None] * len(x)]
    steep = times(slope * p, short if p == 2 else one(1))
    share = times(1 / mpf(rivals.count(best)), steep)
    by_x = [times(-1, steep) if i == label else share if score == best else one(0) for i, score in enumerate(x)]
    return [Truth(short.value**p, short.scale**p), by_x]


def generalized_kl_div(x: Number, t: Number) -> list[Truth | None]:
    if t == 0:
        return [one(exp(x)), one(exp(x)), one(0)]
    excess, sizes = x - log(t), abs(x) + abs(log(t))
    loss = t * (exp(excess) - 1 - excess)
    # The excess is a difference of two rounded numbers, and the loss is about its square.
    loss = Truth(loss, loss + t * min(abs(excess), mpf(1)) * sizes)
    return [loss, Truth(exp(x) - t, exp(x) + t * sizes), None if t < FLUSHED else total(-x, log(t))]
