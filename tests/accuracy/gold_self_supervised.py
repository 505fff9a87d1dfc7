"""The loss of a student and a teacher in 60 digits: see `gold.py`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gold import FLUSHED, Truth, Vector, minus_log_probs
from mpmath import exp, mpf
from points import Arrays, Kind, logit_rows

Matrix = Sequence[Vector]


def dino_loss(
    student: Matrix,
    teacher: Matrix,
    *,
    view_axis: int = -2,
    student_temperature: float = 0.5,
    teacher_temperature: float = 0.25,
) -> list[Any]:
    """The views of one example. The temperatures are powers of 2, by which a division is exact."""
    minus_log_q = [minus_log_probs([y / mpf(student_temperature) for y in view])[0] for view in student]
    minus_log_p = [minus_log_probs([x / mpf(teacher_temperature) for x in view])[0] for view in teacher]
    # An exponential of a rounded logarithm is off by the size of the logarithm.
    p = [[Truth(exp(-each), exp(-each) * (1 + each)) for each in view] for view in minus_log_p]
    q = [[Truth(exp(-each), exp(-each) * (1 + each)) for each in view] for view in minus_log_q]
    pairs = [(t, s) for t in range(len(teacher)) for s in range(len(student)) if t != s]
    classes = range(len(student[0]))
    loss = sum((p[t][k].value * minus_log_q[s][k] for t, s in pairs for k in classes), mpf(0)) / len(pairs)
    scale = sum((p[t][k].scale * minus_log_q[s][k] for t, s in pairs for k in classes), mpf(0)) / len(pairs)

    def by_student(s: int, k: int) -> Truth:
        others = [p[t][k] for t, other in pairs if other == s]
        factor = 1 / (mpf(student_temperature) * len(pairs))
        value = len(others) * q[s][k].value - sum((each.value for each in others), mpf(0))
        size = len(others) * q[s][k].scale + sum((each.scale for each in others), mpf(0))
        return Truth(factor * value, factor * size)

    def by_teacher(t: int, k: int) -> Truth | None:
        if p[t][k].value < FLUSHED:  # a probability of subnormal size, which a factor may bring to normal size
            return None
        total = [sum((minus_log_q[s][i] for other, s in pairs if other == t), mpf(0)) for i in classes]
        factor = 1 / (mpf(teacher_temperature) * len(pairs))
        mean = sum((p[t][i].value * total[i] for i in classes), mpf(0))
        size = sum((p[t][i].scale * total[i] for i in classes), mpf(0))
        return Truth(factor * p[t][k].value * (total[k] - mean), factor * p[t][k].scale * (total[k] + size))

    return [
        Truth(loss, scale),
        [[by_student(s, k) for k in classes] for s in range(len(student))],
        [[by_teacher(t, k) for k in classes] for t in range(len(teacher))],
    ]


def views_of_logits(kind: Kind) -> Arrays:
    """Three views of a student and two of a teacher, with every gap between logits up to those of certain classes."""
    rows = logit_rows(kind)
    rows = rows[np.abs(rows).max(-1) < 1e4]
    rng = np.random.default_rng(0)
    return tuple(rows[rng.integers(0, len(rows), (200, views))] for views in (3, 2))
