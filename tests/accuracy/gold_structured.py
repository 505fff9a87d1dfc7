"""What the losses of a matrix product and of a sequence truly are: see `gold`."""

from collections.abc import Sequence
from typing import Any

from gold import Truth, Vector, added, cross_entropy, mpf, one, times, total
from mpmath import exp, inf, log

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
