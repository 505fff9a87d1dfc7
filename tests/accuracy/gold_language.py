"""The formulas of `gold.py` for losses of language models: preferences and policies.

The losses are functions of a sum of inputs. `chained` says what rounding that sum may cost them.
"""

from typing import Any

from gold import FLUSHED, LARGEST, Number, Truth, added, in_float32, one, sigmoid, softplus, times, total
from mpmath import exp, expm1, inf, log, log1p, mpf

Result = list[Truth | None]
BETA = in_float32(0.1)


def chained(at: Truth, value: Number, slope: Number, curvature: Number) -> tuple[Truth, Truth]:
    """A function of a sum, and its derivative: the sum's rounding error is passed on."""
    # The last term is the square of a sum's rounding error, for functions that are flat where the sum is 0.
    loss = abs(value) + abs(slope) * at.scale + abs(curvature) * at.scale**2 * mpf(2) ** -20
    return Truth(value, loss), Truth(slope, abs(slope) + abs(curvature) * at.scale)


def log_loss(at: Truth) -> tuple[Truth, Truth]:
    """-log sigmoid(x), and its derivative."""
    value, slope = softplus(-at.value), sigmoid(-at.value)
    steepest = sigmoid(rounded(at) - at.value)
    return Truth(value, value + steepest * at.scale), Truth(-slope, slope + curved(at) * at.scale)


def falling(at: Truth) -> tuple[Truth, Truth]:
    """sigmoid(-x), and its derivative."""
    value, slope = sigmoid(-at.value), sigmoid(at.value) * sigmoid(-at.value)
    return Truth(value, value + curved(at) * at.scale), Truth(-slope, slope + curved(at) * at.scale)


def rounded(at: Truth) -> Number:
    """The most that rounding may move a sum of float32 numbers."""
    return at.scale * mpf(2) ** -22


def curved(at: Truth) -> Number:
    """The largest slope of the sigmoid where rounding may move a sum to."""
    nearest = max(abs(at.value) - rounded(at), mpf(0))
    return sigmoid(nearest) * sigmoid(-nearest)


def squared(at: Truth) -> tuple[Truth, Truth]:
    return chained(at, at.value**2, 2 * at.value, 2)


def mirrored(function: Any, at: Truth) -> tuple[Truth, Truth]:
    """The function at -x, and its derivative in x."""
    value, slope = function(times(-1, at))
    return value, times(-1, slope)


def differences(logit: Truth, beta: Number) -> Result:
    """The log-loss of a scaled difference, and its derivatives in both terms."""
    value, slope = log_loss(logit)
    return [value, times(beta, slope), times(-beta, slope)]


# Preferences --------------------------------------------------------------------------------------------------------


def bradley_terry_loss(a: Number, b: Number) -> Result:
    return differences(total(a, -b), mpf(1))


def cpo_loss(c: Number, r: Number) -> Result:
    return differences(times(BETA, total(c, -r)), BETA)


def simpo_loss(c: Number, r: Number) -> Result:
    return differences(added(times(2, total(c, -r)), one(-0.5)), mpf(2))


def dpo_loss(c: Number, r: Number, rc: Number, rr: Number, *, loss_type: str = "sigmoid") -> Result:
    chosen, rejected, margin = total(c, -rc), total(r, -rr), total(c, -rc, -r, rr)
    if loss_type == "sigmoid":
        return differences(times(BETA, margin), BETA)
    if loss_type == "ipo":
        value, slope = squared(added(margin, one(-1 / (2 * mpf(BETA)))))
        return [value, slope, times(-1, slope)]
    high, low = times(BETA, chosen), times(BETA, rejected)
    if loss_type == "apo_zero":
        (first, by_high), (second, by_low) = falling(high), mirrored(falling, low)
    else:
        (won, by_won), (drawn, by_drawn) = log_loss(high), mirrored(log_loss, high)
        first, by_high = added(won, times(0.5, drawn)), added(by_won, times(0.5, by_drawn))
        lost, by_lost = mirrored(log_loss, low)
        second, by_low = times(0.5, lost), times(0.5, by_lost)
    return [added(first, second), times(BETA, by_high), times(BETA, by_low)]


def orpo_loss(c: Number, r: Number) -> Result:
    if c == r == 0:
        return [times(BETA, one(log(2))), None, None]
    if r == 0:
        return [one(inf), total(-1, BETA / expm1(c)), one(inf)]
    if c == 0:
        return [one(0), total(-1, BETA * exp(r) / expm1(r)), one(0)]
    # The logarithm of the odds of the rejected completion over those of the chosen one.
    terms = [r, -c, log(-expm1(c)), -log(-expm1(r))]
    odds = total(*terms) if c != r else one(0)
    value, slope = mirrored(log_loss, odds)
    lost = 1 + odds.scale + value.value  # digits of the exponent in the slope

    def part(by: Number) -> Truth:
        return times(BETA, Truth(by, abs(by) * lost))

    return [
        added(times(BETA, value), one(-c)),
        added(one(-1), part(slope.value / expm1(c))),
        part(-slope.value / expm1(r)),
    ]


def kto_loss(p: Number, ref: Number, target: int, *, loss_type: str = "kto") -> Result:
    sign = 1 if target else -1
    value, slope = (falling if loss_type == "kto" else log_loss)(times(sign * BETA, total(p, -ref)))
    return [value, times(sign * BETA, slope)]


# Policies -----------------------------------------------------------------------------------------------------------


def policy_gradient_loss(p: Number, advantage: Number) -> Result:
    return [one(-advantage * p), one(-advantage)]


def kl_estimate(p: Number, ref: Number, *, estimator: str = "k3") -> Result:
    d = total(p, -ref)
    if estimator == "k1":
        return [d, one(1)]
    if estimator == "k2":
        return [times(0.5, each) for each in squared(d)]
    d = one(d.value)  # one subtraction, which rounds to its own size
    return list(chained(d, expm1(-d.value) + d.value, -expm1(-d.value), exp(-d.value)))


def surrogate(log_ratio: Number, advantage: Number) -> Truth:
    """Minus the advantage times the ratio. The ratio may overflow or vanish where the product does not."""
    ratio = exp(log_ratio)
    value = -advantage * ratio
    lost = ratio if ratio > LARGEST else abs(advantage) if ratio < FLUSHED else mpf(0)
    return Truth(value, max(abs(value) * (1 + abs(log_ratio)), lost))


def ppo_loss(p: Number, old: Number, advantage: Number) -> Result:
    log_ratio, epsilon = p - old, mpf(in_float32(0.2))
    bound = log1p(epsilon if advantage >= 0 else -epsilon)
    clipped = log_ratio > bound if advantage >= 0 else log_ratio < bound
    value = surrogate(bound if clipped else log_ratio, advantage)
    if abs(log_ratio - bound) < mpf(2) ** -20 * (abs(log_ratio) + abs(bound)):
        return [value, None]  # rounding decides the side of the kink
    return [value, one(0) if clipped or advantage == 0 else value]


def grpo_loss(
    p: Number, old: Number, advantage: Number, ref: Number, *, surrogate: str = "clip", beta: float = 0.0
) -> Result:
    value, slope = sapo(p - old, advantage) if surrogate == "sapo" else ppo_loss(p, old, advantage)
    if not beta:
        return [value, slope]
    kl, by_p = kl_estimate(p, ref)
    return [added(value, times(beta, kl)), None if slope is None else added(slope, times(beta, by_p))]


def sapo(log_ratio: Number, advantage: Number) -> Result:
    tau = mpf(1 if advantage > 0 else in_float32(1.05))
    ratio = exp(min(log_ratio, mpf(20)))  # where the sigmoid has been 1, and its slope 0, for long
    at = Truth(tau * (ratio - 1), tau * (ratio * (1 + abs(log_ratio)) + 1))
    steep = sigmoid(at.value) * sigmoid(-at.value)
    value, slope = chained(at, sigmoid(at.value), steep, steep * (sigmoid(-at.value) - sigmoid(at.value)))
    by, lost = -4 * advantage * slope.value * ratio, slope.scale * ratio * (1 + abs(log_ratio))
    lost += 1 if ratio < FLUSHED else 0  # as in `surrogate`
    return [times(-4 * advantage / tau, value), Truth(by, abs(by) + abs(4 * advantage) * lost)]


def ppo_value_loss(v: Number, old: Number, ret: Number) -> Result:
    epsilon = mpf(in_float32(0.2))
    distance, doubt = abs(v - old), mpf(2) ** -20 * (abs(v) + abs(old) + abs(ret) + epsilon)
    side = epsilon if v > old else -epsilon
    error, clipped = total(v, -ret), total(old, side, -ret)
    outside = distance > epsilon and abs(clipped.value) > abs(error.value)
    value, slope = (times(0.5, each) for each in squared(clipped if outside else error))
    near = min(abs(distance - epsilon), abs(abs(clipped.value) - abs(error.value)))
    if 0 < near < doubt:
        return [value, None]
    return [value, one(0) if outside else slope]
