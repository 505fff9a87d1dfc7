"""The cross-entropy of each row of logits, before the reduction.

A call goes through these files: `problem` (arguments and results), `derivative` (masks and derivatives), one of the
platforms' files (`xla`, `xla_tpu`, `xla_cpu`), and `formula` (the loss from a row's terms).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.elementwise import times
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy import formula, xla, xla_cpu, xla_tpu
from jaxloss._ops.cross_entropy.derivative import label_weight, row_terms
from jaxloss._ops.cross_entropy.problem import (
    Engine,
    LabelProblem,
    Options,
    Probabilities,
    Problem,
    RowTerms,
    Slopes,
    SoftProblem,
)
from jaxloss._ops.platform import by_platform, choose, on_cpu

Implementation: TypeAlias = Literal["xla", "reference"]


def _xla_value(problem: Problem) -> RowTerms:
    return by_platform(xla_cpu.value, xla_tpu.value, xla.value, problem)


def _xla_value_and_slopes(problem: Problem) -> tuple[RowTerms, Slopes]:
    return by_platform(xla_cpu.value_and_slopes, xla_tpu.value_and_slopes, xla.value_and_slopes, problem)


def _takes_all(problem: Problem) -> None:
    """Refuse no problem."""


IMPLEMENTATIONS: Mapping[str, Engine] = {
    "xla": Engine(_takes_all, _xla_value, _xla_value_and_slopes),
    "reference": Engine(_takes_all, formula.reference, formula.reference_and_slopes),
}


class RowLosses(NamedTuple):
    """The loss of each row, and the terms that it was made from. Each array has a class axis of size 1."""

    losses: Values
    mean_count: Values | None
    """What each row adds to the mean's denominator; None stands for 1."""
    terms: RowTerms


def row_losses(
    logits: Values,
    target: Labels | Probabilities,
    options: Options,
    axis: ClassAxis,
    implementation: Implementation | None = None,
) -> RowLosses:
    """The loss of each row; 0 for masked rows."""
    mean_count = share = None
    if isinstance(target, Labels):
        share = formula.row_share(logits, options, axis)
        problem = LabelProblem(logits, target, share, axis)
    else:
        # Smoothing and weights are part of this problem, because a loss of soft targets has no label to add them to.
        problem = SoftProblem(logits, target.values, options.smoothing, options.weight, target.keep, axis)
    chosen = choose(implementation, IMPLEMENTATIONS, lambda each: each.refuses(problem))
    terms = row_terms(problem, chosen)
    losses = terms.nll
    if isinstance(target, Labels):
        if options.weight is not None:
            mean_count = target.zero_masked(label_weight(options.weight, target, axis))
            losses = times(mean_count, losses)  # a label of weight 0 that is ruled out costs nothing
        losses = formula.smoothed(losses, terms, share, options, axis)
    else:
        losses = nan_unless(_valid(target.values, losses, axis, chosen), losses)
    return RowLosses(formula.with_z_loss(losses, terms, options), mean_count, terms)


def _valid(targets: Values, losses: Values, axis: ClassAxis, engine: Engine) -> Bool[Array, "..."]:
    """Whether no target of a row is negative. Above 1 a probability is a valid weight."""

    def by_targets(targets: Values, losses: Values) -> Bool[Array, "..."]:
        # A reduction finds a negative probability without an array of booleans.
        return axis.largest(-targets) <= 0

    def by_losses(targets: Values, losses: Values) -> Bool[Array, "..."]:
        # These programs have made the loss NaN. The product with NaN makes all its gradients NaN too.
        return ~jnp.isnan(losses)

    targets, losses = lax.stop_gradient((targets, losses))
    if engine is not IMPLEMENTATIONS["xla"]:
        return by_targets(targets, losses)
    return on_cpu(by_targets, by_losses, targets, losses)
