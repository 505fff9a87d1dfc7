"""The formulas of cross-entropy: the loss as arithmetic on a row's terms, and the terms in plain JAX."""

import jax.numpy as jnp

from jaxloss._core.arguments import filled
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.dtypes import accumulator, limits
from jaxloss._core.elementwise import times
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy.problem import (
    Keep,
    LabelProblem,
    Options,
    Problem,
    RowTerms,
    Slopes,
    SoftProblem,
)

# The loss of a row ------------------------------------------------------------------------------------------------


def row_share(logits: Values, options: Options, axis: ClassAxis) -> Values | None:
    """The share of each class in label smoothing: 1 / C, or the class weights / C. None without smoothing."""
    if options.smoothing is None:
        return None
    classes = axis.class_count(logits.shape[axis.number])
    if options.weight is not None:
        return options.weight / classes
    return jnp.full((1,) * logits.ndim, 1 / classes, accumulator(logits.dtype))


def smoothed(losses: Values, terms: RowTerms, share: Values | None, options: Options, axis: ClassAxis) -> Values:
    """(1 - s) times the losses plus s times the mean of -log(softmax) over the classes, weighted by the share."""
    if options.smoothing is None or share is None or terms.gap is None:
        return losses
    # -log(softmax) is log_sum + (largest - logit). So its sum needs no exponential.
    uniform = terms.log_sum if options.weight is None else terms.log_sum * axis.sum(share)
    return times(1 - options.smoothing, losses) + times(options.smoothing, uniform + terms.gap)


def with_z_loss(losses: Values, terms: RowTerms, options: Options) -> Values:
    """The losses plus z_loss times the square of the log-normaliser."""
    if options.z_loss is None:
        return losses
    log_normalizer = terms.largest + terms.log_sum
    # The coefficient multiplies before the square is complete: the square of a large logarithm may overflow.
    return losses + options.z_loss * log_normalizer * log_normalizer


def fill_masked(terms: RowTerms, keep: Keep) -> RowTerms:
    """The terms with 0 in masked rows: their NaN must not reach the maths that follows."""
    rows = {name: filled(term, keep, 0.0) for name, term in terms._asdict().items() if term is not None}
    return terms._replace(**rows)


# What several implementations share -------------------------------------------------------------------------------


def largest_of(logits: Values, axis: ClassAxis) -> Values:
    """The largest logit of each row, in the dtype of the maths."""
    return axis.largest(logits).astype(accumulator(logits.dtype))


def shifted_exp(logits: Values, largest: Values) -> Values:
    """exp(logits - largest), in the dtype of the maths. None overflows, and that of the largest logit is 1."""
    return jnp.exp(logits.astype(largest.dtype) - largest)


def nll_and_log_sum(other_sum: Values, label_logit: Values) -> tuple[Values, Values]:
    """The terms of a row from the sum of the exponentials of all classes but the label's.

    The label's own exponential enters as exp - 1, and log1p adds the 1: log(1 + 1e-9) is 1e-9, where log(sum) is 0 in
    float32. So the loss keeps its digits where the label's class dominates.
    """
    log_sum = jnp.log1p(other_sum + jnp.expm1(label_logit))
    return log_sum - label_logit, log_sum


def label_slopes(problem: LabelProblem, exponentials: Values, other_sum: Values, label_logit: Values) -> Slopes:
    """softmax - one_hot, and softmax.

    At the label the first is minus the share of the other classes. It comes from their sum, without a subtraction from
    1, so that it keeps its digits where the label's class dominates.
    """
    label_exponential = jnp.exp(label_logit)
    total = other_sum + label_exponential
    at_label = problem.label.matches(problem.logits, problem.axis)
    slope = jnp.where(at_label, -other_sum, exponentials) / total
    return Slopes(slope, jnp.where(at_label, label_exponential, exponentials) / total)


def log_sum_without_label(total: Values, other_sum: Values) -> Values:
    """log(total), from the sum of the exponentials and from the sum without those above 3/4.

    Below a total of 3/2 exactly one exponential is above 3/4, that of the largest logit. The sum of the others keeps
    the digits that total - 1 would lose. From 3/2 on it would lose one bit.

    The largest exponential is not compared with 1. The compiler may form logits anew in each loop, and then fuse a
    product in them with the difference from the largest, so that the largest exponential is only close to 1.
    """
    return jnp.log1p(jnp.where(total < 1.5, other_sum, total - 1))


def target_mass(problem: SoftProblem) -> Values:
    """The weight of each class's -log(softmax): the targets, smoothed, times the class weights."""
    dtype = accumulator(problem.logits.dtype)
    mass = problem.targets.astype(dtype)
    if problem.smoothing is not None:
        classes = problem.axis.class_count(problem.logits.shape[problem.axis.number])
        mass = (1 - problem.smoothing) * mass + problem.smoothing / classes
    return mass if problem.weight is None else mass * problem.weight


def negative_log_softmax(logits: Values, largest: Values, log_sum: Values) -> Values:
    """-log(softmax), as the sum of two numbers that are not negative, so that no digits cancel."""
    return largest - logits.astype(largest.dtype) + log_sum


def soft_slopes(probabilities: Values, mass: Values, mass_sum: Values) -> Slopes:
    """The slopes from the softmax, the mass of the classes and its sum."""
    return Slopes(probabilities * mass_sum - mass, probabilities)


def softmax_tangent(probabilities: Values, logits_dot: Values, axis: ClassAxis) -> Values:
    """The tangent of the softmax.

    It is written in terms of the softmax alone, which is 0 in masked rows: a NaN in their logits cannot enter.
    """
    return probabilities * (logits_dot - axis.sum(probabilities * logits_dot))


def zero_if_weightless(weight: Values, cost: Values) -> Values:
    """The cost, and 0 where it is inf and has no weight: a class of mass 0 adds nothing, even if it is ruled out."""
    most = limits(cost.dtype).max  # the constant inf of `jnp.isinf` would stop a program under `jax.debug_infs`
    return jnp.where((weight == 0) & (cost > most), 0.0, cost)


def gap_terms(logits: Values, largest: Values) -> Values:
    """exp(-gap) * gap for the gap from the largest logit, the terms of the entropy; 0 for a logit of -inf."""
    gaps = largest - logits.astype(largest.dtype)
    # The exponential of a gap of inf is 0. A finite gap makes its product 0 too.
    return jnp.exp(-gaps) * jnp.minimum(gaps, limits(gaps.dtype).max)


def entropy_slope(logits: Values, largest: Values, log_sum: Values, entropy: Values) -> Values:
    """The derivative of the entropy in the logits: -p (log p + entropy), 0 at a logit of -inf."""
    costs = negative_log_softmax(logits, largest, log_sum)
    return jnp.exp(-costs) * (jnp.minimum(costs, limits(costs.dtype).max) - entropy)


# The reference ----------------------------------------------------------------------------------------------------


def reference(problem: Problem) -> RowTerms:
    """The terms by their definitions. The other implementations must equal it where no digits cancel."""
    axis, largest = problem.axis, largest_of(problem.logits, problem.axis)
    gaps = largest - problem.logits.astype(largest.dtype)
    log_sum = jnp.log(axis.sum(jnp.exp(-gaps)))
    if isinstance(problem, SoftProblem):
        mass = target_mass(problem)
        return RowTerms(axis.sum(mass * zero_if_weightless(mass, gaps + log_sum)), log_sum, largest, None, None)
    label_logit = problem.label.pick(problem.logits, axis).astype(largest.dtype) - largest
    share = problem.share
    gap = None if share is None else axis.sum(share * zero_if_weightless(jnp.broadcast_to(share, gaps.shape), gaps))
    return RowTerms(log_sum - label_logit, log_sum, largest, label_logit, gap)


def reference_and_slopes(problem: Problem) -> tuple[RowTerms, Slopes]:
    """The terms, and their slopes by their definitions."""
    terms = reference(problem)
    probabilities = jnp.exp(problem.logits.astype(terms.largest.dtype) - terms.largest - terms.log_sum)
    if isinstance(problem, SoftProblem):
        mass = target_mass(problem)
        return terms, soft_slopes(probabilities, mass, problem.axis.sum(mass))
    one_hot = problem.label.one_hot(problem.logits, problem.axis)
    bad = jnp.where(problem.label.in_range, 0.0, terms.nll)  # NaN for a label out of range
    return terms, Slopes(probabilities - one_hot.astype(probabilities.dtype) + bad, probabilities)
