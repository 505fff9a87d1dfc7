"""What losses and their derivatives truly are: the formulas in numbers of 60 digits.

A formula takes the numbers of one element (a list of them for a vector) and returns a `Truth` for the loss and one for
its derivative in each input that has one, or None where the formula has a kink so near that rounding decides its side.
They are written out by hand, derivatives too, and share nothing with the library.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from mpmath import exp, expm1, inf, log, log1p, mp, mpf, pi, sign, sqrt

mp.dps = 60

Number = Any  # mpf has no types
Vector = Sequence[Number]


class Truth(NamedTuple):
    """A number, and the sum of the sizes of the terms that its formula adds up to it: rounding is measured by that."""

    value: Number
    scale: Number


def in_float32(option: float) -> float:
    """An option as the maths have it, in every dtype of the inputs."""
    return float(np.float32(option))


def one(value: Number) -> Truth:
    """Of a formula without a sum."""
    return Truth(mpf(value), abs(mpf(value)))


def total(*terms: Number) -> Truth:
    return Truth(sum(terms, mpf(0)), sum(map(abs, terms), mpf(0)))


def added(*truths: Truth) -> Truth:
    return Truth(sum((each.value for each in truths), mpf(0)), sum((each.scale for each in truths), mpf(0)))


def times(factor: Number, truth: Truth) -> Truth:
    return Truth(factor * truth.value, abs(factor) * truth.scale) if factor else one(0)


def near_a_kink(at: Truth) -> bool:
    """Whether rounding float32 numbers decides the sign. What is 0 exactly is exactly at the kink, and no doubt."""
    return at.value != 0 and abs(at.value) < max(at.scale * mpf(2) ** -20, FLUSHED)


FLUSHED = mpf(2) ** -126
"""Below this float32 is of subnormal size, which XLA's CPU takes for 0."""

LARGEST = mpf(float(np.finfo(np.float32).max))


def slope(of: Number, by: Number) -> Truth | None:
    """The derivative of |x| times that of x, which is exact."""
    return None if 0 < abs(of) < FLUSHED else one(sign(of) * by)


def ramp(at: Truth, *, slope_at_0: int) -> tuple[Truth, Number]:
    """max(0, x) and its slope."""
    if near_a_kink(at):
        return Truth(max(at.value, mpf(0)), at.scale), None
    return (at, mpf(1)) if at.value > 0 else (one(0), mpf(slope_at_0 if at.value == 0 else 0))


def softplus(x: Number) -> Number:
    return max(x, mpf(0)) + log1p(exp(-abs(x)))


def sigmoid(x: Number) -> Number:
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


# Regression ---------------------------------------------------------------------------------------------------------


def l1_loss(x: Number, t: Number) -> list[Truth | None]:
    return [one(abs(x - t)), slope(x - t, 1), slope(x - t, -1)]


def mse_loss(x: Number, t: Number) -> list[Truth]:
    return [one((x - t) ** 2), one(2 * (x - t)), one(2 * (t - x))]


def huber_loss(x: Number, t: Number, *, delta: float = 1.0) -> list[Truth]:
    error = x - t
    near = max(min(error, mpf(delta)), -mpf(delta))
    loss = near * (error - near / 2)
    return [Truth(loss, max(loss, abs(error))) if delta < abs(error) else one(loss), one(near), one(-near)]


def smooth_l1_loss(x: Number, t: Number, *, beta: float = 1.0) -> list[Truth | None]:
    error = x - t
    if abs(error) < beta:
        return [one(error**2 / (2 * mpf(beta))), one(error / beta), one(-error / beta)]
    return [total(abs(error), -mpf(beta) / 2), slope(error, 1), slope(error, -1)]


def poisson_nll_loss(
    x: Number, t: Number, *, log_input: bool = True, full: bool = False, eps: float = in_float32(1e-8)
) -> list[Truth | None]:
    if log_input:
        x = max(x, -LARGEST)
        losses, by_x, by_t = [exp(x), -t * x], [exp(x), -t], [-x]
    else:
        losses, by_x, by_t = [x, -t * log(x + eps)], [mpf(1), -t / (x + eps)], [-log(x + eps)]
    if full and t > 1:
        losses += [t * log(t), -t, log(2 * pi * t) / 2]
        by_t += [log(t), 1 / (2 * t)]
    if full and 1 - t and abs(1 - t) < mpf(2) ** -20:
        return [None, total(*by_x), None]  # the term is added, or not, on one side of 1
    return [total(*losses), total(*by_x), total(*by_t)]


def gaussian_nll_loss(
    x: Number, t: Number, var: Number, *, full: bool = False, eps: float = in_float32(1e-6)
) -> list[Truth]:
    v, error = max(var, mpf(eps)), x - t
    losses = [log(v) / 2, error**2 / (2 * v)] + ([log(2 * pi) / 2] if full else [])
    return [total(*losses), one(error / v), one(-error / v), total(1 / (2 * v), -(error**2) / (2 * v**2))]


def kl_div(x: Number, t: Number, *, log_target: bool = False) -> list[Truth]:
    if t == (-inf if log_target else 0):
        return [one(0), one(0), one(0)]
    mass, logarithm = (exp(t), t) if log_target else (t, log(t))
    if log_target and mass < FLUSHED:
        return [None, one(-mass), None]
    by_t = [mass * logarithm, mass, -mass * x] if log_target else [logarithm, mpf(1), -x]
    return [total(mass * logarithm, -mass * x), one(-mass), total(*by_t)]


# Yes or no ----------------------------------------------------------------------------------------------------------

TINY = mpf(9.999999960041972e-13)  # PyTorch's 1e-12


def binary_cross_entropy(x: Number, t: Number) -> list[Truth]:
    yes = max(log(x), mpf(-100)) if x > 0 else mpf(-100)
    no = max(log1p(-x), mpf(-100)) if x < 1 else mpf(-100)
    return [total(-t * yes, -(1 - t) * no), one((x - t) / max(x * (1 - x), TINY)), total(no, -yes)]


def binary_cross_entropy_with_logits(x: Number, t: Number, *, pos_weight: float = 1.0) -> list[Truth]:
    yes, no = mpf(pos_weight) * t, 1 - t
    losses = [weight * cost for weight, cost in ((yes, softplus(-x)), (no, softplus(x))) if weight]
    by_x = total(-yes * sigmoid(-x), no * sigmoid(x))
    return [total(*losses), by_x, total(pos_weight * softplus(-x), -softplus(x))]


def soft_margin_loss(x: Number, t: Number) -> list[Truth]:
    return [one(softplus(-t * x)), one(-t * sigmoid(-t * x))]


def multilabel_soft_margin_loss(x: Vector, t: Vector) -> list[Any]:
    each = [binary_cross_entropy_with_logits(*pair) for pair in zip(x, t, strict=True)]
    share = 1 / mpf(len(x))
    return [
        times(share, added(*(loss for loss, *_ in each))),
        [times(share, by_x) for _, by_x, _ in each],
        [times(share, by_t) for _, _, by_t in each],
    ]


# One class among many -----------------------------------------------------------------------------------------------


def minus_log_probs(x: Vector) -> tuple[list[Number], Truth]:
    """Minus the log-probabilities, none a difference of larger numbers, and the log of the sum of exponentials."""
    top = max(x)
    surprises = [
        log1p(sum((exp(other - own) for j, other in enumerate(x) if j != i), mpf(0))) if own > -inf else inf
        for i, own in enumerate(x)
    ]
    return surprises, total(top, surprises[x.index(top)])


def log_softmax(x: Vector) -> list[Any]:
    """Of all classes, and the derivative of their sum."""
    surprises, _ = minus_log_probs(x)
    log_probs = [None if LARGEST < each < inf else one(-each) for each in surprises]  # the difference overflows
    return [log_probs, [total(mpf(1), -len(x) * exp(-each)) for each in surprises]]


def cross_entropy(
    x: Vector,
    target: Any,
    *,
    weight: Vector | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> list[Any]:
    """The target is a class number or a list of probabilities, which has a derivative."""
    share, soft = mpf(label_smoothing) / len(x), isinstance(target, list)
    mass = target if soft else [mpf(i == target) for i in range(len(x))]
    classes = [mpf(1)] * len(x) if weight is None else weight
    pull = [w * ((1 - label_smoothing) * t + share) for w, t in zip(classes, mass, strict=True)]
    surprises, log_sum = minus_log_probs(x)
    if any(p and LARGEST < s < inf for p, s in zip(pull, surprises, strict=True)):
        return [None] * (3 if soft else 2)  # the difference of two logits overflows
    losses = [times(p, one(s)) for p, s in zip(pull, surprises, strict=True)]
    losses.append(times(mpf(z_loss) * log_sum.value, log_sum))
    by_x = []
    for i, surprise in enumerate(surprises):
        # p sum(pull) - pull_i: of a label, without the part of the first term that the second cancels.
        mine, others = exp(-surprise), sum(pull) - pull[i]
        slope = total(mine * others, expm1(-surprise) * pull[i])
        slope = Truth(slope.value, mine * sum(pull) + pull[i]) if soft else slope
        by_x.append(added(slope, times(2 * mpf(z_loss) * mine, log_sum)))
    by_target = [one((1 - label_smoothing) * w * s) for w, s in zip(classes, surprises, strict=True)]
    return [added(*losses), by_x] + ([by_target] if soft else [])


def nll_loss(x: Vector, label: int, *, weight: Vector | None = None) -> list[Any]:
    scale = mpf(1) if weight is None else weight[label]
    return [one(-scale * x[label]), [one(-scale * (i == label)) for i in range(len(x))]]


# Margins ------------------------------------------------------------------------------------------------------------


def multi_margin_loss(
    x: Vector, label: int, *, p: int = 1, margin: float = 1.0, weight: Vector | None = None
) -> list[Any]:
    share = (mpf(1) if weight is None else weight[label]) / len(x)
    losses: list[Truth] = []
    by_x: list[list[Truth | None]] = [[one(0)] for _ in x]
    for i, score in enumerate(x):
        if i == label:
            continue
        short, slope = ramp(total(mpf(margin), score - x[label]), slope_at_0=0)
        if short.scale > LARGEST:  # the difference of two scores overflows
            return [None, [None] * len(x)]
        losses.append(Truth(share * short.value**p, share * short.scale**p))
        steep = None if slope is None else times(share * slope * p, short if p == 2 else one(1))
        by_x[i].append(steep)
        by_x[label].append(None if steep is None else times(-1, steep))
    return [added(one(0), *losses), [None if None in terms else added(*terms) for terms in by_x]]


def multilabel_margin_loss(x: Vector, labels: Sequence[int]) -> list[Any]:
    listed = labels[: labels.index(-1)] if -1 in labels else labels
    losses, by_x = [one(0)], [[mpf(0)] for _ in x]
    for label in listed:
        for i in (i for i in range(len(x)) if i not in listed):
            short, slope = ramp(total(mpf(1), x[i] - x[label]), slope_at_0=0)
            if short.scale > LARGEST:
                return [None, [None] * len(x)]
            losses.append(times(1 / mpf(len(x)), short))
            by_x[i].append(None if slope is None else slope / len(x))
            by_x[label].append(None if slope is None else -slope / len(x))
    return [added(*losses), [None if None in terms else total(*terms) for terms in by_x]]


def hinge_embedding_loss(x: Number, y: Number, *, margin: float = 1.0) -> list[Truth | None]:
    if y == 1:
        return [one(x), one(1)]
    apart, slope = ramp(total(mpf(margin), -x), slope_at_0=1)
    return [apart, None if slope is None else one(-slope)]


def margin_ranking_loss(a: Number, b: Number, y: Number, *, margin: float = 0.0) -> list[Truth | None]:
    short, slope = ramp(total(mpf(margin), -y * (a - b)), slope_at_0=1)
    return [short, None if slope is None else one(-y * slope), None if slope is None else one(y * slope)]


# Vectors ------------------------------------------------------------------------------------------------------------


def dot(a: Vector, b: Vector) -> Number:
    return sum((x * y for x, y in zip(a, b, strict=True)), mpf(0))


def cosine(a: Vector, b: Vector, lengths: tuple[Number, Number], fixed: tuple[bool, bool]) -> list[Any]:
    """a . b / (A B), and its derivatives; a length that is `fixed` does not depend on its vector."""
    if max(lengths) > LARGEST:
        return [None, [None] * len(a), [None] * len(b)]
    terms = [x * y / lengths[0] / lengths[1] for x, y in zip(a, b, strict=True)]
    value = total(*terms)

    def slopes(mine: Vector, other: Vector, length: Number, still: bool) -> list[Truth]:
        across = [x / lengths[0] / lengths[1] for x in other]
        turn = [mpf(0)] * len(mine) if still else [x / length**2 for x in mine]
        return [added(one(y), times(-x, value)) for x, y in zip(turn, across, strict=True)]

    return [value, slopes(a, b, lengths[0], fixed[0]), slopes(b, a, lengths[1], fixed[1])]


def cosine_similarity(a: Vector, b: Vector, *, eps: float = in_float32(1e-8)) -> list[Any]:
    norms = sqrt(dot(a, a)), sqrt(dot(b, b))
    return cosine(a, b, (max(norms[0], mpf(eps)), max(norms[1], mpf(eps))), (norms[0] < eps, norms[1] < eps))


def cosine_embedding_loss(a: Vector, b: Vector, y: Number, *, margin: float = 0.0) -> list[Any]:
    lengths = sqrt(dot(a, a) + TINY), sqrt(dot(b, b) + TINY)
    value, *slopes = cosine(a, b, lengths, (False, False))
    if value is None:
        return [value, *slopes]
    if y == 1:
        return [added(one(1), times(-1, value)), *([times(-1, each) for each in by] for by in slopes)]
    apart, slope = ramp(added(value, one(-mpf(margin))), slope_at_0=1)
    slope = None if 0 < abs(dot(a, b)) < FLUSHED else slope
    return [apart, *([None if slope is None else times(slope, each) for each in by] for by in slopes)]


def pairwise_distance(a: Vector, b: Vector, *, p: float = 2.0, eps: float = in_float32(1e-6)) -> list[Any]:
    """The p-norm of a - b + eps, for p of at least 1."""
    gaps = [total(x - y, mpf(eps)) for x, y in zip(a, b, strict=True)]
    length = sum((abs(gap.value) ** p for gap in gaps), mpf(0)) ** (1 / mpf(p))
    rounding = max(gap.scale for gap in gaps)
    if max(rounding, length) > LARGEST:  # the difference of two vectors overflows, or its norm
        return [None, [None] * len(a), [None] * len(a)]
    lost = any(0 < abs(gap.value) < FLUSHED for gap in gaps) and length < FLUSHED * 2**24
    by_a: list[Truth | None] = []
    for gap in gaps:
        if lost or (p == 1 and near_a_kink(gap)):
            by_a.append(None)
        elif length == 0:
            by_a.append(one(0))
        else:
            along = sign(gap.value) * (abs(gap.value) / length) ** (p - 1)
            by_a.append(Truth(along, abs(along) if p == 1 else max(abs(along), gap.scale / length)))
    by_b = [None if each is None else Truth(-each.value, each.scale) for each in by_a]
    return [Truth(length, max(length, rounding)), by_a, by_b]


def triplet_margin_loss(
    anchor: Vector,
    positive: Vector,
    negative: Vector,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = in_float32(1e-6),
    swap: bool = False,
) -> list[Any]:
    near, far, other = (
        pairwise_distance(a, b, p=p, eps=eps) for a, b in ((anchor, positive), (anchor, negative), (positive, negative))
    )
    zero: list[Truth | None] = [one(0)] * len(anchor)
    by_far: tuple[list[Any], list[Any], list[Any]] = far[1], zero, far[2]
    unsure = False
    if swap and None not in (far[0], other[0]):
        gap = total(far[0].value, -other[0].value)
        unsure = gap.value == 0 or near_a_kink(gap)  # where they tie each takes half, or either one all of it
        if gap.value > 0:
            far, by_far = other, (zero, other[1], other[2])
    if None in (near[0], far[0], other[0]):
        return [None, *([None] * len(anchor) for _ in range(3))]
    short, slope = ramp(added(near[0], times(-1, far[0]), one(mpf(margin))), slope_at_0=1)
    if slope is None or unsure:
        return [short, *([None] * len(anchor) for _ in range(3))]

    def combined(pull: Iterable[Truth | None], push: Iterable[Truth | None]) -> list[Truth | None]:
        return [
            None if x is None or y is None else times(slope, added(x, times(-1, y)))
            for x, y in zip(pull, push, strict=True)
        ]

    return [short, *map(combined, (near[1], near[2], zero), by_far)]
