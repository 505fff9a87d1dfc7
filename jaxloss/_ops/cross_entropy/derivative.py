"""The derivatives of the terms, once for all implementations.

`row_terms` has the tangent <slopes, tangent of the logits>. An implementation computes the terms and slopes together,
and the slopes' own rule differentiates their formula. So an implementation needs no derivative, and forward mode,
reverse mode and all their combinations hold for each.

Masks are applied in this file and nowhere else in the op: terms of masked rows are 0, and so are their slopes. A filled
copy of the logits would cost as much memory as their gradient.
"""

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxloss._core.arguments import filled
from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy.formula import (
    fill_masked,
    negative_log_softmax,
    soft_slopes,
    softmax_tangent,
    target_mass,
    zero_if_weightless,
)
from jaxloss._ops.cross_entropy.problem import (
    Engine,
    LabelProblem,
    Problem,
    RowTerms,
    Slopes,
    SoftProblem,
)
from jaxloss._ops.platform import by_platform


def row_terms(problem: Problem, engine: Engine) -> RowTerms:
    """The terms of each row; 0 for masked rows, whose slopes are 0 to every order."""
    # The fill is outside the custom derivative, so that a NaN cotangent of a masked row does not meet its zero slope.
    return fill_masked(_row_terms(problem, engine), problem.keep)


@custom_jvp(1)
def _row_terms(problem: Problem, engine: Engine) -> RowTerms:
    return engine.value(problem)


@partial(_row_terms.defjvp, symbolic_zeros=True)
def _row_terms_jvp(engine: Engine, primals: tuple[Problem], tangents: tuple[Problem]) -> tuple[RowTerms, RowTerms]:
    (problem,), (dots,) = primals, tangents
    terms, slopes = _terms_and_slopes(problem, engine)
    return terms, _terms_tangent(problem, dots, terms, slopes)


@custom_jvp(1)
def _terms_and_slopes(problem: Problem, engine: Engine) -> tuple[RowTerms, Slopes]:
    terms, slopes = engine.value_and_slopes(problem)
    # A select and not a product: the slopes of a masked row may be NaN.
    return terms, Slopes(*(filled(slope, problem.keep, 0.0) for slope in slopes))


@partial(_terms_and_slopes.defjvp, symbolic_zeros=True)
def _terms_and_slopes_jvp(
    engine: Engine, primals: tuple[Problem], tangents: tuple[Problem]
) -> tuple[tuple[RowTerms, Slopes], tuple[RowTerms, Slopes]]:
    (problem,), (dots,) = primals, tangents
    terms, slopes = _terms_and_slopes(problem, engine)
    # The slopes of labels are the softmax and the softmax minus a constant. So both have the softmax's tangent.
    probabilities = slopes.log_sum
    probabilities_dot = jnp.zeros_like(probabilities)
    if not _is_zero(dots.logits):
        probabilities_dot = softmax_tangent(probabilities, dots.logits.astype(probabilities.dtype), problem.axis)
    slopes_dot = Slopes(probabilities_dot, probabilities_dot)
    if isinstance(problem, SoftProblem):
        # The nll's slope also contains the mass, which has a tangent if the targets or the options have one.
        mass, mass_dot = _mass_and_tangent(problem, cast(SoftProblem, dots))
        mass, mass_dot = (filled(each, problem.keep, 0.0) for each in (mass, mass_dot))

        def slopes_of(probabilities: Values, mass: Values) -> Slopes:
            return soft_slopes(probabilities, mass, problem.axis.sum(mass))

        slopes_dot = cast(Slopes, jax.jvp(slopes_of, (probabilities, mass), (probabilities_dot, mass_dot))[1])
    return (terms, slopes), (_terms_tangent(problem, dots, terms, slopes), slopes_dot)


def _terms_tangent(problem: Problem, dots: Problem, terms: RowTerms, slopes: Slopes) -> RowTerms:
    """The tangent of the terms. Arguments without a tangent add no operation to the program."""
    axis, logits_dot = problem.axis, dots.logits
    nll: list[Values] = []
    log_sum: list[Values] = []
    gap: list[Values] = []
    if not _is_zero(logits_dot):
        # The sums are in the dtype of the maths. Transposed, the cast rounds the gradient once, at its end.
        logits_dot = logits_dot.astype(terms.nll.dtype)
        nll.append(axis.sum(slopes.nll * logits_dot))
        log_sum.append(axis.sum(slopes.log_sum * logits_dot))
    if isinstance(problem, SoftProblem):
        nll += _target_tangent(problem, cast(SoftProblem, dots), terms)
    else:
        gap += _gap_tangent(problem, cast(LabelProblem, dots), terms)
    return RowTerms(
        _sum_like(terms.nll, nll),
        _sum_like(terms.log_sum, log_sum),
        jnp.zeros_like(terms.largest),
        None if terms.label_logit is None else jnp.zeros_like(terms.label_logit),
        None if terms.gap is None else _sum_like(terms.gap, gap),
    )


def _target_tangent(problem: SoftProblem, dots: SoftProblem, terms: RowTerms) -> list[Values]:
    """The tangent of the nll in the targets, the smoothing and the class weights."""
    if all(map(_is_zero, (dots.targets, dots.smoothing, dots.weight))):
        return []
    mass, mass_dot = _mass_and_tangent(problem, dots)
    costs = zero_if_weightless(mass, negative_log_softmax(problem.logits, terms.largest, terms.log_sum))
    return [problem.axis.sum(filled(costs, problem.keep, 0.0) * mass_dot)]


def _gap_tangent(problem: LabelProblem, dots: LabelProblem, terms: RowTerms) -> list[Values]:
    """The tangent of the gap in the logits and in the share of the classes."""
    share, axis = problem.share, problem.axis
    if share is None:
        return []
    tangents: list[Values] = []
    if not _is_zero(dots.logits):
        tangents.append(-axis.sum(share * dots.logits.astype(share.dtype)))
    if dots.share is not None and not _is_zero(dots.share):
        gaps = terms.largest - problem.logits.astype(terms.largest.dtype)
        gaps = zero_if_weightless(jnp.broadcast_to(share, gaps.shape), gaps)
        tangents.append(axis.sum(filled(gaps, problem.keep, 0.0) * dots.share))
    return tangents


def _mass_and_tangent(problem: SoftProblem, dots: SoftProblem) -> tuple[Values, Values]:
    """The mass of the classes, and its tangent along those of the targets, the smoothing and the class weights."""
    tangents = {name: getattr(dots, name) for name in ("targets", "smoothing", "weight")}
    active = {name: dot for name, dot in tangents.items() if not _is_zero(dot)}
    if not active:  # `jax.jvp` needs an argument that has a tangent
        mass = target_mass(problem)
        return mass, jnp.zeros_like(mass)

    def mass_of(values: dict[str, Values]) -> Values:
        return target_mass(problem._replace(**values))

    return jax.jvp(mass_of, ({name: getattr(problem, name) for name in active},), (active,))


def _sum_like(term: Values, tangents: list[Values]) -> Values:
    return sum(tangents[1:], start=tangents[0]) if tangents else jnp.zeros_like(term)


def _is_zero(dot: object) -> bool:
    """Whether an argument is absent, or has a tangent that is 0 whatever the values are."""
    return dot is None or isinstance(dot, SymbolicZero)


@custom_jvp(2)
def label_weight(weight: Values, label: Labels, axis: ClassAxis) -> Values:
    """The class weight of each row's label. On TPUs a gather would store the weights of all rows and classes."""
    return by_platform(partial(_picked, axis), partial(_selected, axis), partial(_picked, axis), weight, label)


@label_weight.defjvp
def _label_weight_jvp(
    axis: ClassAxis, primals: tuple[Values, Labels], tangents: tuple[Values, object]
) -> tuple[Values, Values]:
    weight, label = primals
    return label_weight(weight, label, axis), label.select(tangents[0], axis)


def _picked(axis: ClassAxis, weight: Values, label: Labels) -> Values:
    return label.pick(weight, axis)


def _selected(axis: ClassAxis, weight: Values, label: Labels) -> Values:
    return label.select(weight, axis)
