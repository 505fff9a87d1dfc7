"""The derivatives of CTC, made once for every implementation.

The derivative of the loss by an emission is minus its posterior, which an implementation gives. The derivative of the
posteriors is that of the formula in logarithms. So no implementation needs derivatives of its own.
"""

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxloss._core.autodiff import custom_jvp, nan_unless
from jaxloss._core.dtypes import accumulator
from jaxloss._ops.ctc import formula, xla, xla_cpu, xla_tpu
from jaxloss._ops.ctc.problem import Classes, Emissions, Engine, PerSequence, Problem
from jaxloss._ops.platform import by_platform


def losses(problem: Problem, engine: Engine) -> PerSequence:
    """The loss of every sequence; NaN, derivatives included, where a value is out of its domain."""
    return nan_unless(problem.valid, _value(problem, engine))


@custom_jvp(1)
def _value(problem: Problem, engine: Engine) -> PerSequence:
    return engine.value(problem)


@_value.defjvp
def _value_jvp(engine: Engine, primals: tuple[Problem], tangents: tuple[Problem]) -> tuple[PerSequence, PerSequence]:
    # The value comes from the same lattice as the posteriors. So the forward recursion runs once.
    value, posteriors = _value_and_posteriors(*primals, engine)
    return value, -jnp.sum(posteriors * tangents[0].emissions, (0, 2))


@custom_jvp(1)
def _value_and_posteriors(problem: Problem, engine: Engine) -> tuple[PerSequence, Emissions]:
    return engine.value_and_posteriors(problem)


@_value_and_posteriors.defjvp
def _value_and_posteriors_jvp(
    engine: Engine, primals: tuple[Problem], tangents: tuple[Problem]
) -> tuple[tuple[PerSequence, Emissions], tuple[PerSequence, Emissions]]:
    # JAX could differentiate the lattice, but it would store the posteriors of all frames once for every frame. Inside
    # a scan JAX 0.10 differentiates the lattice nevertheless, so that the lattice's derivative must be correct as well.
    (problem,), tangent = primals, tangents[0].emissions

    def total(emissions: Emissions) -> Float[Array, ""]:
        return jnp.sum(formula.value(problem._replace(emissions=emissions)))

    def posteriors(emissions: Emissions) -> Emissions:
        return -cast(Emissions, jax.grad(total)(emissions))

    value, found = _value_and_posteriors(problem, engine)
    found_tangent = jax.jvp(posteriors, (problem.emissions,), (tangent,))[1]
    return (value, found), (-jnp.sum(found * tangent, (0, 2)), found_tangent)


@custom_jvp(2)
def pick(values: Float[Array, "..."], classes: Classes, batch_axis: int) -> Emissions:
    """The value of each class in every frame, in the dtype of the maths."""
    elsewhere, on_tpus = (partial(file.pick, batch_axis=batch_axis) for file in (xla, xla_tpu))
    return by_platform(elsewhere, on_tpus, elsewhere, values, classes)


@pick.defjvp
def _pick_jvp(
    batch_axis: int, primals: tuple[Float[Array, "..."], Classes], tangents: tuple[Float[Array, "..."], object]
) -> tuple[Emissions, Emissions]:
    values, classes = primals
    # The cast comes first, so that the transpose adds the posteriors of one class in the dtype of the maths.
    tangent = tangents[0].astype(accumulator(values.dtype))
    # The tangent is linear. JAX transposes the choice of the platform, but never differentiates it.
    choices = (partial(each, batch_axis=batch_axis) for each in (xla_cpu.pick_tangent, xla.pick_by_product, xla.pick))
    return pick(values, classes, batch_axis), by_platform(*choices, tangent, classes)
