"""Cross-entropy for any platform but CPUs: plain XLA, with the statistics of `one_read.py`.

A value reads the logits once, and the slopes read them once more. Only the label's logit comes from a gather, which
reads one number a row. On TPUs a gather costs a copy of the logits in another layout: see `xla_tpu.py`.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy.formula import (
    entropy_slope,
    gap_terms,
    label_slopes,
    negative_log_softmax,
    shifted_exp,
    soft_slopes,
    target_mass,
)
from jaxloss._ops.cross_entropy.one_read import Statistics, others_or_nan, statistics
from jaxloss._ops.cross_entropy.problem import LabelProblem, Problem, RowTerms, Slopes, SoftProblem
from jaxloss._ops.platform import unshared


def gathered(problem: LabelProblem) -> Statistics:
    """The statistics of a problem of labels; the label's logit by a gather."""
    rows = statistics(problem.logits, problem.axis, mass=problem.share)
    picked = problem.label.pick(problem.logits, problem.axis)
    return rows._replace(picked=picked.astype(rows.largest.dtype))


def value(problem: Problem, label_statistics: Callable[[LabelProblem], Statistics] = gathered) -> RowTerms:
    """The terms of each row."""
    if isinstance(problem, SoftProblem):
        return _soft_terms(problem)[0]
    return _label_terms(problem, label_statistics(problem))[0]


def value_and_slopes(
    problem: Problem, label_statistics: Callable[[LabelProblem], Statistics] = gathered
) -> tuple[RowTerms, Slopes]:
    """The terms of each row, and their slopes."""
    if isinstance(problem, SoftProblem):
        terms, mass_sum = _soft_terms(problem)
        logits, targets, largest, log_sum = _reread(problem.logits, problem.targets, terms.largest, terms.log_sum)
        problem = problem._replace(logits=logits, targets=targets)
        probabilities = shifted_exp(logits, largest) * jnp.exp(-log_sum)
        return terms, soft_slopes(probabilities, target_mass(problem), mass_sum)
    terms, label_logit, other_sum = _label_terms(problem, label_statistics(problem))
    # The slopes are formed from the logits and a few numbers per row, so that XLA may fuse them with their use.
    logits, largest, label_logit, other_sum = _reread(problem.logits, terms.largest, label_logit, other_sum)
    return terms, label_slopes(problem._replace(logits=logits), shifted_exp(logits, largest), other_sum, label_logit)


def log_softmax(logits: Values, axis: ClassAxis) -> Values:
    """log(softmax), in the dtype of the maths."""
    return -negative_log_softmax(*_reread(logits, *_largest_and_log_sum(logits, axis)))


def log_softmax_and_softmax(logits: Values, axis: ClassAxis) -> tuple[Values, Values, Values]:
    """log(softmax) and softmax, and a number per row that is not negative: see `log_softmax.py`."""
    logits, largest, log_sum = _reread(logits, *_largest_and_log_sum(logits, axis))
    log_probabilities = -negative_log_softmax(logits, largest, log_sum)
    return log_probabilities, shifted_exp(logits, largest) * jnp.exp(-log_sum), jnp.zeros_like(log_sum)


def entropy(logits: Values, axis: ClassAxis) -> Values:
    """The entropy of the softmax of each row."""
    return _entropy_terms(logits, axis)[0]


def entropy_and_slope(logits: Values, axis: ClassAxis) -> tuple[Values, Values]:
    """The entropy of each row, and its slope."""
    value, largest, log_sum = _entropy_terms(logits, axis)
    logits, largest, log_sum, entropy = _reread(logits, largest, log_sum, value)
    return value, entropy_slope(logits, largest, log_sum, entropy)


def _entropy_terms(logits: Values, axis: ClassAxis) -> tuple[Values, Values, Values]:
    """The entropy, the largest logit of each row, and log(sum(exp(logits - largest)))."""
    largest, log_sum = _largest_and_log_sum(logits, axis)
    logits, largest, log_sum = _reread(logits, largest, log_sum)
    return log_sum + axis.sum(gap_terms(logits, largest)) * jnp.exp(-log_sum), largest, log_sum


def _label_terms(problem: LabelProblem, rows: Statistics) -> tuple[RowTerms, Values, Values]:
    """The terms, the label's logit minus the largest, and the sum of the other classes' exponentials."""
    others, picked = others_or_nan(rows), rows.picked
    assert picked is not None
    # The logit of a label out of range is NaN: it makes the nll and its slopes NaN.
    label_logit = picked - rows.largest
    log_sum = jnp.log1p(others)
    # The sum leaves out one class with the largest logit. If that is the label, expm1 is 0. If not, the label's
    # exponential is taken out and the largest one's 1 is put in: that sum is at least 1, so that no digits cancel.
    other_sum = others - jnp.expm1(label_logit)
    return RowTerms(log_sum - label_logit, log_sum, rows.largest, label_logit, rows.cost), label_logit, other_sum


def _soft_terms(problem: SoftProblem) -> tuple[RowTerms, Values]:
    """The terms, and the sum of the mass of the classes."""
    # A negative target makes the sums of its row NaN. A check of its own would read the targets once more.
    mass = nan_unless(problem.targets >= 0, target_mass(problem))
    rows = statistics(problem.logits, problem.axis, mass=mass)
    log_sum, mass_sum, cost = jnp.log1p(others_or_nan(rows)), rows.mass, rows.cost
    assert mass_sum is not None
    assert cost is not None
    return RowTerms(cost + mass_sum * log_sum, log_sum, rows.largest, None, None), mass_sum


def _largest_and_log_sum(logits: Values, axis: ClassAxis) -> tuple[Values, Values]:
    """The largest logit of each row, and log(sum(exp(logits - largest)))."""
    rows = statistics(logits, axis)
    return rows.largest, jnp.log1p(others_or_nan(rows))


def _reread(logits: Values, *arrays: Values) -> tuple[Values, ...]:
    """The logits for a further pass over them.

    The barrier keeps XLA from storing a float32 copy of low-precision logits in the first pass and reading it in the
    second: that copy is twice as large as the logits.
    """
    low = accumulator(logits.dtype) != logits.dtype
    return unshared(logits, *arrays) if low else (logits, *arrays)
