"""Cross-entropy for CPUs: two reads of the logits, in forms that XLA's CPU compiler fuses with their sums.

Memory traffic limits the speed, above all the first use of fresh memory. XLA's CPU fuses the terms of a sum with it if
they are plain arithmetic, and materialises an array of the logits' size otherwise. Each trick has a name. The figures
are CPU times without the trick over those with it, on JAX 0.10.2, float32 and bfloat16, for (512, 32000) logits if no
shape is given.

- `mask_by_minimum`, `mask_by_floor` and `mask_by_limit` replace selects, which do not fuse with a sum: 2.1 and 2.5 for
  labels; 1.7 and 2.4, and 1.3 and 1.9, for soft targets. They save one to two arrays of the logits' size.
- `row_blocks` sums long rows in blocks: 4.5 and 5.7 for (256, 65536), 1.9 and 1.5 for (64, 262144).
- `unshared` keeps two sums from sharing a term, which would be materialised: 1.9 and 3.4 for smoothed labels, 1.8 and
  3.0 for soft targets, 2.0 and 2.9 for `log_softmax`. It saves one to four arrays of the logits' size.
- `stored`: in float32 the exponentials stay in the buffer that becomes the gradient, 1.4 for a gradient. In bfloat16
  and float16 they would need an array of twice the logits' size. There the slopes compute them a second time
  (`_reread`): 1.4 for a gradient, 3.2 for a value.
- `separate_logarithms` keeps the logarithms of short rows out of the loop of their sum: 2.9 and 2.8 for (65536, 10).
- `log_softmax_and_softmax` returns a number that hides a constant from XLA, see `log_softmax.py`. It saves an array of
  the logits' size in the gradient of `nll_loss` for (16384, 100), and no time.
"""

from typing import TypeVarTuple

import jax.numpy as jnp
from jax import lax

from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.counts import is_known
from jaxloss._core.dtypes import accumulator, limits
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
)
from jaxloss._ops.cross_entropy.problem import LabelProblem, Problem, RowTerms, Slopes, SoftProblem
from jaxloss._ops.platform import explicitly_sharded, unshared

Arrays = TypeVarTuple("Arrays")


LONGEST_BLOCK = 32768


def value(problem: Problem) -> RowTerms:
    """The terms of each row."""
    if isinstance(problem, SoftProblem):
        return _soft_terms(problem)[0]
    return _label_terms(problem, stored=False)[0]


def value_and_slopes(problem: Problem) -> tuple[RowTerms, Slopes]:
    """The terms of each row, and their slopes."""
    if isinstance(problem, SoftProblem):
        terms, mass = _soft_terms(problem)
        probabilities = _softmax(problem.logits, terms.largest, terms.log_sum)
        return terms, soft_slopes(probabilities, mass, problem.axis.sum(mass))
    # XLA merges the two computations of stored exponentials. Others it must not merge: the barrier separates them.
    stored = _fits_gradient_buffer(problem.logits)
    terms, label_logit, other_sum = _label_terms(problem, stored)
    logits, largest, label_logit, other_sum, label = _reread(
        problem.logits, terms.largest, label_logit, other_sum, problem.label
    )
    problem = problem._replace(logits=logits, label=label)
    return terms, label_slopes(problem, _exponentials(problem, largest, stored)[0], other_sum, label_logit)


def log_softmax(logits: Values, axis: ClassAxis) -> Values:
    """log(softmax), in the dtype of the maths."""
    largest = largest_of(logits, axis)
    # A gather of the labels' classes from the result then fuses with it, and reads these logits alone.
    logits, log_sum, largest = unshared(logits, _log_sum(logits, largest, axis), largest)
    return -negative_log_softmax(logits, largest, log_sum)


def log_softmax_and_softmax(logits: Values, axis: ClassAxis) -> tuple[Values, Values, Values]:
    """log(softmax) and softmax, and a number per row that is not negative: see `log_softmax.py`."""
    largest = largest_of(logits, axis)
    log_sum = _log_sum(logits, largest, axis)
    probabilities = _softmax(*unshared(logits, largest, log_sum))
    return log_softmax(logits, axis), probabilities, log_sum


def entropy(logits: Values, axis: ClassAxis) -> Values:
    """The entropy of the softmax of each row."""
    return _entropy_terms(logits, axis)[0]


def entropy_and_slope(logits: Values, axis: ClassAxis) -> tuple[Values, Values]:
    """The entropy of each row, and its slope."""
    value, largest, log_sum = _entropy_terms(logits, axis)
    return value, entropy_slope(*unshared(logits, largest, log_sum, value))


def _entropy_terms(logits: Values, axis: ClassAxis) -> tuple[Values, Values, Values]:
    """The entropy, the largest logit of each row, and log(sum(exp(logits - largest)))."""
    largest = largest_of(logits, axis)
    log_sum = _log_sum(logits, largest, axis)
    # The sums of the log-sum contain the same exponentials, and XLA would store them for both.
    logits_of_pass, largest_of_pass, _ = unshared(logits, largest, log_sum)
    weighted = axis.sum(gap_terms(logits_of_pass, largest_of_pass))
    return log_sum + weighted * jnp.exp(-log_sum), largest, log_sum


def _label_terms(problem: LabelProblem, stored: bool) -> tuple[RowTerms, Values, Values]:
    """The terms, the label's logit minus the largest, and the sum of the other classes' exponentials."""
    axis, largest = problem.axis, largest_of(problem.logits, problem.axis)
    # The gather reads one logit of a row. It must not make XLA store the float32 copy that the sums fuse.
    label_logit = problem.label.pick(_reread(problem.logits)[0], axis).astype(largest.dtype) - largest
    other_sum = _exponentials(problem, largest, stored)[1]
    nll, log_sum = nll_and_log_sum(separate_logarithms(problem.label, other_sum), label_logit)
    return RowTerms(nll, log_sum, largest, label_logit, _gap(problem, largest)), label_logit, other_sum


def _gap(problem: LabelProblem, largest: Values) -> Values | None:
    if problem.share is None:
        return None
    # The sum of the exponentials contains the same differences, and would share them.
    logits, largest = unshared(problem.logits, largest)
    gaps = largest - logits.astype(largest.dtype)
    if problem.share.size != 1:  # class weights, which may be 0: one share for all classes is not
        return weighted_sum(problem.share, gaps, problem.axis, signed=True)
    return problem.axis.sum(gaps * problem.share)


def _exponentials(problem: LabelProblem, largest: Values, stored: bool) -> tuple[Values, Values]:
    """exp(logits - largest), and the sum of these over all classes but the label's."""
    logits, axis, label = problem.logits, problem.axis, problem.label
    exponentials, classes = shifted_exp(logits, largest), logits.shape[axis.number]
    if stored:
        # The array is materialised for the slopes in any case. So a select costs no extra pass.
        exponentials = jnp.where(label.matches(logits, axis), 0.0, exponentials)
        return exponentials, axis.sum(exponentials)
    blocks = row_blocks(problem)
    if blocks == 1:
        return exponentials, axis.sum(mask_by_minimum(exponentials, label, axis))
    # Each block is a row, with the label relative to its first class.
    starts = jnp.arange(blocks, dtype=label.numbers.dtype) * (classes // blocks)
    starts = jnp.expand_dims(starts, range(logits.ndim - 1))
    (rows,) = _reread(logits.reshape(-1, classes // blocks))
    largest_of_rows = jnp.broadcast_to(largest, (*largest.shape[:-1], blocks)).reshape(-1, 1)
    label = label._replace(numbers=(label.local(classes, axis).numbers - starts).reshape(-1, 1))
    sums = jnp.sum(mask_by_minimum(shifted_exp(rows, largest_of_rows), label, ClassAxis(1)), 1)
    return exponentials, axis.sum(sums.reshape(*largest.shape[:-1], blocks))


def row_blocks(problem: LabelProblem) -> int:
    """The number of equal blocks to sum a row in: XLA's CPU takes longer per element of a row past 32,768 elements."""
    classes = problem.logits.shape[problem.axis.number]
    last = problem.axis.number == problem.logits.ndim - 1
    # On a mesh with explicit axes JAX refuses to reshape an axis that may be split.
    if not is_known(classes) or classes <= LONGEST_BLOCK or not last or explicitly_sharded(problem.logits):
        return 1
    return next((n for n in range(2, classes // 64) if classes % n == 0 and classes // n <= LONGEST_BLOCK), 1)


def separate_logarithms(label: Labels, other_sum: Values) -> Values:
    """The same sums, behind a select that keeps the logarithms of short rows out of the loop of their sum.

    Where the label is out of range the value has no effect: the label's logit is NaN, and so are the terms.
    """
    return jnp.where(label.in_range, other_sum, 0.0)


def mask_by_minimum(exponentials: Values, label: Labels, axis: ClassAxis) -> Values:
    """The exponentials, with 0 at the label.

    An exponential is at most 1, and the distance is 0 at the label and at least 2 elsewhere. So the minimum is 0 at the
    label and the exponential elsewhere, without ties.
    """
    return jnp.minimum(exponentials, label.distance(exponentials, axis))


def mask_by_floor(exponentials: Values) -> Values:
    """The exponentials, with 0 for those from 3/4 to 1, the largest possible. The derivative is that of all of them.

    JAX drops custom derivatives within a `lax.scan` that it differentiates in reverse mode and then in forward mode.
    """
    return exponentials - lax.stop_gradient(exponentials) * jnp.floor(exponentials + 0.25)


def mask_by_limit(size: Values, costs: Values) -> Values:
    """Costs that are not negative, whose product with a weight is never 0 * inf. `size` is the size of the weight.

    A finite cost is unchanged. A cost of inf becomes the largest finite number if the weight is 0, and stays inf
    otherwise.
    """
    most = limits(costs.dtype).max
    finite = jnp.minimum(costs, most)
    # The excess is 0, or inf for a cost of inf. Its limit is 0 for a weight of 0, else the largest finite number, which
    # added to itself is inf. So no inf arises from finite costs. The minimum with 1 keeps the ceiling at 1.
    limit = jnp.ceil(jnp.minimum(size, 1.0)) * most
    return finite + jnp.minimum(costs - finite, limit)


def weighted_sum(weight: Values, costs: Values, axis: ClassAxis, *, signed: bool) -> Values:
    """The sum of weight * cost over the classes, where 0 * inf is 0.

    Every operation per logit counts. So the absolute value is taken only of weights that may be negative.
    """
    return axis.sum(weight * mask_by_limit(jnp.abs(weight) if signed else weight, costs))


def _soft_terms(problem: SoftProblem) -> tuple[RowTerms, Values]:
    """The terms, and the mass of the classes."""
    axis = problem.axis
    largest = largest_of(problem.logits, axis)
    log_sum = _log_sum(problem.logits, largest, axis)
    # The check of the targets' domain reads them too, and would share their float32 copy with this sum.
    (targets,) = unshared(problem.targets)
    mass = target_mass(problem._replace(targets=targets))
    # The order of the arguments differs from that in `_softmax`: XLA would otherwise merge the two barriers.
    sum_of_pass, logits, largest_of_pass = unshared(log_sum, problem.logits, largest)
    costs = negative_log_softmax(logits, largest_of_pass, sum_of_pass)
    # A negative target makes the loss NaN in any case. A class weight may be negative.
    nll = weighted_sum(mass, costs, axis, signed=problem.weight is not None)
    return RowTerms(nll, log_sum, largest, None, None), mass


def _log_sum(logits: Values, largest: Values, axis: ClassAxis) -> Values:
    """log(sum(exp(logits - largest))), for targets without a label."""
    total = axis.sum(shifted_exp(logits, largest))
    return log_sum_without_label(total, axis.sum(mask_by_floor(shifted_exp(*unshared(logits, largest)))))


def _softmax(logits: Values, largest: Values, log_sum: Values) -> Values:
    logits, largest, log_sum = _reread(logits, largest, log_sum)
    return shifted_exp(logits, largest) * jnp.exp(-log_sum)


def _fits_gradient_buffer(logits: Values) -> bool:
    """Whether the exponentials have the logits' dtype, so that they fit in the buffer that becomes the gradient."""
    return accumulator(logits.dtype) == logits.dtype


def _reread(logits: Values, *arrays: *Arrays) -> tuple[Values, *Arrays]:
    """The logits for a further pass over them.

    The barrier keeps XLA from storing a float32 copy of low-precision logits in the first pass and reading it in the
    second: that copy is twice as large as the logits.
    """
    return (logits, *arrays) if _fits_gradient_buffer(logits) else unshared(logits, *arrays)
