"""Cross-entropy for any platform: plain XLA, which fuses each sum with its terms.

A value reads the logits twice, for the largest and for the sums, and the slopes read them once more. `_statistics` is
the place for a reduction that makes both in one read.
"""

import jax.numpy as jnp
from jax import lax

from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy.formula import (
    entropy_slope,
    gap_terms,
    label_slopes,
    largest_of,
    log_sum_without_label,
    negative_log_softmax,
    nll_and_log_sum,
    shifted_exp,
    soft_slopes,
    target_mass,
    zero_if_weightless,
)
from jaxloss._ops.cross_entropy.problem import LabelProblem, Problem, RowTerms, Slopes, SoftProblem
from jaxloss._ops.platform import unshared


def value(problem: Problem) -> RowTerms:
    """The terms of each row."""
    return _soft_terms(problem) if isinstance(problem, SoftProblem) else _label_terms(problem)[0]


def value_and_slopes(problem: Problem) -> tuple[RowTerms, Slopes]:
    """The terms of each row, and their slopes."""
    axis = problem.axis
    if isinstance(problem, SoftProblem):
        terms = _soft_terms(problem)
        return terms, soft_slopes(softmax(problem.logits, terms.largest, terms.log_sum), target_mass(problem), axis)
    terms, label_logit, other_sum = _label_terms(problem)
    # The slopes are formed from the logits and a few numbers per row, so that XLA may fuse them with their use.
    logits, largest, label_logit, other_sum = _reread(problem.logits, terms.largest, label_logit, other_sum)
    problem = problem._replace(logits=logits)
    exponentials = _other_exponentials(problem, largest)
    return terms, label_slopes(problem, exponentials, other_sum, label_logit)


def log_softmax(logits: Values, axis: ClassAxis) -> Values:
    """log(softmax), in the dtype of the maths."""
    largest, log_sum = _statistics(logits, axis)
    return -negative_log_softmax(logits, largest, log_sum)


def log_softmax_and_softmax(logits: Values, axis: ClassAxis) -> tuple[Values, Values, Values]:
    """log(softmax) and softmax, and a number per row that is not negative: see `log_softmax.py`."""
    largest, log_sum = _statistics(logits, axis)
    log_probabilities = -negative_log_softmax(logits, largest, log_sum)
    return log_probabilities, softmax(logits, largest, log_sum), jnp.zeros_like(log_sum)


def softmax(logits: Values, largest: Values, log_sum: Values) -> Values:
    """The softmax, from the statistics of its rows."""
    logits, largest, log_sum = _reread(logits, largest, log_sum)
    return shifted_exp(logits, largest) * jnp.exp(-log_sum)


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
    largest, log_sum = _statistics(logits, axis)
    return log_sum + axis.sum(gap_terms(logits, largest)) * jnp.exp(-log_sum), largest, log_sum


def _label_terms(problem: LabelProblem) -> tuple[RowTerms, Values, Values]:
    """The terms, the label's logit minus the largest, and the sum of the other classes' exponentials."""
    axis, largest = problem.axis, largest_of(problem.logits, problem.axis)
    # `pick` makes the logit of a label out of range NaN, and with it all terms and slopes of the row.
    label_logit = problem.label.pick(problem.logits, axis).astype(largest.dtype) - largest
    other_sum = axis.sum(_other_exponentials(problem, largest))
    nll, log_sum = nll_and_log_sum(other_sum, label_logit)
    gap = None
    if problem.share is not None:
        gaps = largest - problem.logits.astype(largest.dtype)
        share = jnp.broadcast_to(problem.share, gaps.shape)
        gap = axis.sum(share * zero_if_weightless(share, gaps))
    return RowTerms(nll, log_sum, largest, label_logit, gap), label_logit, other_sum


def _other_exponentials(problem: LabelProblem, largest: Values) -> Values:
    """exp(logits - largest), with 0 at the label."""
    return jnp.where(problem.label.matches(problem.logits, problem.axis), 0.0, shifted_exp(problem.logits, largest))


def _soft_terms(problem: SoftProblem) -> RowTerms:
    largest, log_sum = _statistics(problem.logits, problem.axis)
    mass = target_mass(problem)
    costs = zero_if_weightless(mass, negative_log_softmax(problem.logits, largest, log_sum))
    return RowTerms(problem.axis.sum(mass * costs), log_sum, largest, None, None)


def _statistics(logits: Values, axis: ClassAxis) -> tuple[Values, Values]:
    """The largest logit of each row, and log(sum(exp(logits - largest)))."""
    largest = largest_of(logits, axis)
    exponentials = shifted_exp(logits, largest)
    # Several exponentials above 3/4 make the total 3/2 or more, and then this sum is not used.
    # The difference from itself is 0 and keeps the derivative: JAX drops custom derivatives within a `lax.scan` that it
    # differentiates in reverse mode and then in forward mode.
    without = jnp.where(exponentials > 0.75, exponentials - lax.stop_gradient(exponentials), exponentials)
    other_sum = axis.sum(without)
    return largest, log_sum_without_label(axis.sum(exponentials), other_sum)


def _reread(logits: Values, *arrays: Values) -> tuple[Values, ...]:
    """The logits for a further pass over them.

    The barrier keeps XLA from storing a float32 copy of low-precision logits in the first pass and reading it in the
    second: that copy is twice as large as the logits.
    """
    low = accumulator(logits.dtype) != logits.dtype
    return unshared(logits, *arrays) if low else (logits, *arrays)
