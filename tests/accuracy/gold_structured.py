"""What the losses of a matrix product, of a sequence and of sets of points truly are: see `gold`."""

from collections.abc import Sequence
from typing import Any

from gold import Truth, Vector, added, cross_entropy, mpf, one, times, total
from gold_probabilistic import with_slopes
from mpmath import exp, inf, log, sqrt

Matrix = Sequence[Vector]


def linear_cross_entropy(hidden: Vector, kernel: Matrix, label: int, **options: Any) -> list[Any]:
    """Of one token, and its derivatives in the hidden state and in the kernel."""
    columns = list(zip(*kernel, strict=True))
    products = [total(*(h * k for h, k in zip(hidden, column, strict=True))) for column in columns]
    loss, slopes = cross_entropy([each.value for each in products], label, **options)
    if loss is None:
        return [None, None, None]
    # The logits are rounded, which the exponentials of them multiply.
    rounding = max(each.scale for each in products)
    loss = Truth(loss.value, loss.scale + rounding)
    slopes = [Truth(slope.value, slope.scale * (1 + rounding)) for slope in slopes]
    by_hidden = [added(*(times(k, slope) for k, slope in zip(row, slopes, strict=True))) for row in kernel]
    return [loss, by_hidden, [[times(h, slope) for slope in slopes] for h in hidden]]


def ctc_loss(log_probs: Matrix, labels: Sequence[int], frames: int, length: int, *, blank: int = 0) -> list[Any]:
    """Of one sequence, and its derivative in the log-probabilities: minus how often each class is expected."""
    states = [blank, *(state for label in labels[:length] for state in (label, blank))]
    rows = [[exp(value) for value in row] for row in log_probs[:frames]]
    forward = _passed(states, rows)
    backward = [row[::-1] for row in _passed(states[::-1], rows[::-1])[::-1]]
    likelihood = sum(forward[-1][-2:]) if rows else mpf(not labels[:length])
    expected = [[mpf(0)] * len(row) for row in log_probs]
    if not likelihood:
        return [one(inf), None]
    for t, row in enumerate(rows):
        for state, ahead, behind in zip(states, forward[t], backward[t], strict=True):
            if row[state]:
                expected[t][state] += ahead * behind / row[state] / likelihood
    # Those of a frame add up to 1, which is the size that rounding has.
    return [one(-log(likelihood)), [[Truth(-each, mpf(1)) for each in row] for row in expected]]


def ctc_loss_with_logits(
    logits: Matrix, labels: Sequence[int], frames: int, length: int, *, blank: int = 0
) -> list[Any]:
    """Of one sequence, and its derivative in the logits: each class's probability minus how often it is expected."""
    exponentials = [[exp(value) for value in row] for row in logits]
    probabilities = [[each / sum(row) for each in row] for row in exponentials]
    log_probs = [[log(each) if each else -inf for each in row] for row in probabilities]
    loss, slopes = ctc_loss(log_probs, labels, frames, length, blank=blank)
    if slopes is None:
        return [loss, None]
    # An emission has the rounding of its logit and of the log-sum-exp, as much as they are large.
    size = sum(max(abs(value) for value in row if value > -inf) for row in logits[:frames])
    loss = Truth(loss.value, loss.scale + size)
    rows = zip(probabilities, slopes, range(len(logits)), strict=True)
    return [
        loss,
        [
            [Truth(p * (t < frames) + slope.value, 1 + size) for p, slope in zip(row, slope_row, strict=True)]
            for row, slope_row, t in rows
        ],
    ]


def _passed(states: Sequence[int], rows: Matrix) -> list[list[Any]]:
    """The probability of having emitted what led to each state, in each frame."""
    found: list[list[Any]] = []
    for t, row in enumerate(rows):
        before = found[-1] if t else [mpf(1)] + [mpf(0)] * (len(states) - 1)
        here = []
        for i, state in enumerate(states):
            reached = before[i] + (before[i - 1] if i else 0)
            if i > 1 and state != states[i - 2]:  # over a blank, between labels that differ
                reached += before[i - 2]
            here.append(reached * row[state])
        found.append(here)
    return found


def _squares(a: Matrix, b: Matrix) -> list[list[Any]]:
    return [[sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) for y in b] for x in a]


def chamfer_loss(a: Matrix, b: Matrix) -> list[Any]:
    def terms(*numbers: Any) -> list[Any]:
        first, second = _points(numbers, a), _points(numbers[_size(a) :], b)
        one_way, back = (list(map(min, _squares(*sets))) for sets in ((first, second), (second, first)))
        return [*(each / len(a) for each in one_way), *(each / len(b) for each in back)]

    return _by_sets(terms, a, b)


def energy_distance_loss(a: Matrix, b: Matrix) -> list[Any]:
    def terms(*numbers: Any) -> list[Any]:
        first, second = _points(numbers, a), _points(numbers[_size(a) :], b)
        between = [2 * sqrt(each) / len(a) / len(b) for row in _squares(first, second) for each in row]
        within = [-sqrt(each) / len(x) ** 2 for x in (first, second) for row in _squares(x, x) for each in row]
        return [*between, *within]

    return _by_sets(terms, a, b)


def mmd_loss(a: Matrix, b: Matrix, *, biased: bool) -> list[Any]:
    assert not biased
    pairs = len(a) * len(b)

    def kernel(x: Vector, y: Vector) -> Truth:
        exponent = _squares([x], [y])[0][0] / 2
        return Truth(exp(-exponent), exp(-exponent) * (1 + exponent))  # the exponent is rounded

    def within(points: Matrix) -> Any:
        share = mpf(1) / len(points) / (len(points) - 1)
        return added(*(times(share, kernel(x, y)) for x in points for y in points if x is not y))

    def by(own: Matrix, other: Matrix) -> list[list[Truth]]:
        shares = [(y, -mpf(2) / len(own) / (len(own) - 1)) for y in own] + [(y, mpf(2) / pairs) for y in other]
        return [
            [added(*(times(share * (x[i] - y[i]), kernel(x, y)) for y, share in shares)) for i in range(len(x))]
            for x in own
        ]

    between = [times(-mpf(2) / pairs, kernel(x, y)) for x in a for y in b]
    return [added(within(a), within(b), *between), by(a, b), by(b, a)]


def _size(points: Matrix) -> int:
    return len(points) * len(points[0])


def _points(numbers: Any, like: Matrix) -> list[list[Any]]:
    """The first numbers as points."""
    width = len(like[0])
    return [list(numbers[i * width : (i + 1) * width]) for i in range(len(like))]


def _by_sets(terms: Any, a: Matrix, b: Matrix) -> list[Any]:
    """The loss, and its derivatives in both sets."""
    loss, *slopes = with_slopes(terms, *(x for points in (a, b) for point in points for x in point))
    return [loss, _points(slopes, a), _points(slopes[_size(a) :], b)]
