"""The logarithm that cross-entropy is made of, exact to its last digits and differentiable to every order.

`surprise` and `log_total` subtract the largest logit of the row, so that no exponential overflows, and leave one 1 out
of the sum, to which `log1p` adds it: log(1 + 1e-9) is 1e-9, where log(sum) is 0 in float32. Rows that are not kept have
no gradient, of any order, whatever they hold.

What limits them is memory traffic, above all on fresh memory. In float32 the exponentials stay in the buffer that
becomes the gradient. In bfloat16 and float16 they would be an array of twice the logits' size, so there they are
computed again from the logits, and `optimization_barrier` keeps XLA from sharing the float32 copy between both passes.
"""

from functools import partial
from typing import TypeVarTuple, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool

from jaxloss._core.arguments import filled
from jaxloss._core.autodiff import Tangent, along, custom_jvp
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.dtypes import accumulator, limits
from jaxloss._core.types import Values

Mask = Bool[Array, "..."] | None


Others = TypeVarTuple("Others")


@custom_jvp(4, 5)
def surprise(
    logits: Values, largest: Values, own: Values, label: Labels, axis: ClassAxis, shared: bool = False
) -> tuple[Values, Values]:
    """-log(softmax) at the label, and log(sum(exp(logits - largest))), over an axis (kept as 1).

    `own` is the label's logit less the largest. Its derivative is accounted for by that of `logits`; it should have one
    all the same, as JAX 0.10 differentiates what is below where a scan stands in another function's rule. The largest
    has none. `shared` says that the exponentials are kept for the derivative.
    """
    _, others = _others(logits, largest, label, axis, shared)
    # This select also keeps XLA's CPU from taking the logarithms of short rows one by one, in the loop of their sum.
    others = jnp.where(label.in_range, others, jnp.nan)
    log_sum = jnp.log1p(others + jnp.expm1(own))
    return log_sum - own, log_sum


@surprise.defjvp
def _surprise_jvp(
    axis: ClassAxis,
    shared: bool,
    primals: tuple[Values, Values, Values, Labels],
    tangents: tuple[Values, Values, Values, object],
) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    logits, largest, own, label = primals
    shared = _keeps(logits)
    _, others = _others(logits, largest, label, axis, shared)
    slope, softmax = _slopes(*again(logits, largest, own, others, label), axis)
    logits_dot = tangents[0].astype(slope.dtype)
    along = axis.sum(slope * logits_dot), axis.sum(softmax * logits_dot)
    return surprise(*primals, axis, shared), along


@custom_jvp(5)
def _slopes(
    logits: Values, largest: Values, own: Values, others: Values, label: Labels, axis: ClassAxis
) -> tuple[Values, Values]:
    """softmax - one_hot and softmax; the first without a subtraction, from the sum of the others."""
    powers = _others(logits, largest, label, axis, _keeps(logits))[0]
    of_label = jnp.exp(own)
    total = others + of_label
    at_label = label.at(logits, axis)
    slope = jnp.where(at_label, -others, powers) / total
    softmax = jnp.where(at_label, of_label, powers) / total
    return filled(slope, label.keep, 0.0), filled(softmax, label.keep, 0.0)


@_slopes.defjvp
def _slopes_jvp(
    axis: ClassAxis,
    primals: tuple[Values, Values, Values, Values, Labels],
    tangents: tuple[Values, Values, Values, Values, object],
) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    slope, softmax = _slopes(*primals, axis)
    along = _along_softmax(softmax, tangents[0].astype(softmax.dtype), axis)
    return (slope, softmax), (along, along)


def _others(logits: Values, largest: Values, label: Labels, axis: ClassAxis, shared: bool) -> tuple[Values, Values]:
    """The exponentials, and the sum of those of all classes but the label's."""
    powers, classes = _powers(logits, largest), logits.shape[axis.number]
    if shared:
        powers = jnp.where(label.at(logits, axis), 0.0, powers)
        return powers, axis.sum(powers)
    # No power exceeds 1, so that the smaller of it and the distance to the label is 0 at the label and the power
    # elsewhere, never a tie: unlike a select, XLA fuses that with the sum on CPUs too.
    blocks = _blocks(classes) if axis.number == logits.ndim - 1 else 1
    if blocks == 1:
        return powers, axis.sum(jnp.minimum(powers, label.distance(powers, axis)))
    # The same over rows of a length that XLA sums fast on CPUs, each with the label counted from its own start.
    starts = jnp.arange(blocks, dtype=label.numbers.dtype) * (classes // blocks)
    starts = jnp.expand_dims(starts, range(logits.ndim - 1))
    (pieces,) = again(logits.reshape(-1, classes // blocks))
    shifts = jnp.broadcast_to(largest, (*largest.shape[:-1], blocks)).reshape(-1, 1)
    label = label._replace(numbers=(label.here(classes, axis).numbers - starts).reshape(-1, 1))
    parts = _powers(pieces, shifts)
    partial = jnp.sum(jnp.minimum(parts, label.distance(parts, ClassAxis(1))), 1)
    return powers, axis.sum(partial.reshape(*largest.shape[:-1], blocks))


def _blocks(classes: int) -> int:
    """How many equal pieces to sum long rows in: on CPUs, XLA takes 7 times as long per element past 32,768."""
    longest = 32768
    if classes <= longest or jax.default_backend() != "cpu":
        return 1
    return next((n for n in range(2, classes // 64) if classes % n == 0 and classes // n <= longest), 1)


def _powers(logits: Values, largest: Values) -> Values:
    return jnp.exp(logits.astype(largest.dtype) - largest)


def _keeps(logits: Values) -> bool:
    """Whether the exponentials fit in the buffer that becomes the gradient."""
    return accumulator(logits.dtype) == logits.dtype


def again(logits: Values, *others: *Others) -> tuple[Values, *Others]:
    """The logits for a further pass over them, which shall not be served from a float32 copy made for the first."""
    return (logits, *others) if _keeps(logits) else lax.optimization_barrier((logits, *others))


def apart(*arrays: *Others) -> tuple[*Others]:
    """What a further sum over the classes is of, which on CPUs shall share nothing with those before it.

    There XLA fuses what a sum is of with the sum, but holds in memory what two of them share: the exponentials, a
    float32 copy, or the largest logits broadcast.
    """
    return cast(tuple[*Others], lax.optimization_barrier(arrays)) if jax.default_backend() == "cpu" else arrays


@custom_jvp(3)
def log_total(logits: Values, largest: Values, keep: Mask, axis: ClassAxis) -> Values:
    """log(sum(exp(logits - largest))) over an axis (kept as 1), where there is no label to leave out."""
    powers = _powers(logits, largest)
    total = axis.sum(powers)
    # Below a total of 2 there is one 1 to leave out; from there on subtracting it costs no digits. Taking off the floor
    # is a mask that XLA fuses with the sum on CPUs too, which it does not do to a select.
    powers = _powers(*apart(logits, largest))
    others = axis.sum(powers - jnp.floor(powers))
    return jnp.log1p(jnp.where(total < 2, others, total - 1))


@log_total.defjvp
def _log_total_jvp(
    axis: ClassAxis, primals: tuple[Values, Values, Mask], tangents: tuple[Values, Values, object]
) -> tuple[Values, Values]:
    logits, largest, keep = primals
    log_sum = log_total(*primals, axis)
    softmax = softmax_of(logits, largest, log_sum, keep, axis)
    return log_sum, axis.sum(softmax * tangents[0].astype(softmax.dtype))


@jax.custom_jvp
def expected(mass: Values, logits: Values, largest: Values, log_sum: Values, keep: Mask, axis: ClassAxis) -> Values:
    """The sum of mass * -log(softmax) over an axis (kept as 1), where 0 * inf is 0; 0 for examples left out.

    `log_sum` is log(sum(exp(logits - largest))); what is said of `own` above holds for it as well.
    """
    # Without a select, which XLA's CPU does not fuse with the sum: costs are cut at a number that is 0 where there is
    # no mass and inf elsewhere, reached in steps that XLA does not make one of.
    most = limits(mass.dtype).max
    some = jnp.minimum(jnp.abs(mass) * most, 1.0)
    limit = jnp.minimum(some * most, most) * 2
    log_sum, logits, largest = apart(log_sum, logits, largest)  # in another order than that of the gradient's pass
    costs = negative_log_softmax(logits, largest, log_sum)
    return filled(axis.sum(mass * jnp.minimum(costs, limit)), keep, 0.0)


@partial(expected.defjvp, symbolic_zeros=True)
def _expected_jvp(
    primals: tuple[Values, Values, Values, Values, Mask, ClassAxis],
    tangents: tuple[Tangent, Tangent, object, object, object, object],
) -> tuple[Values, Values]:
    mass, logits, largest, log_sum, keep, axis = primals

    def of_mass() -> Values:
        costs = negative_log_softmax(logits, largest, log_sum)
        return filled(jnp.where((mass == 0) & jnp.isinf(costs), 0.0, costs), keep, 0.0)

    def of_logits() -> Values:
        return softmax_of(logits, largest, log_sum, keep, axis) * axis.sum(mass) - filled(mass, keep, 0.0)

    of_mass_dot, of_logits_dot = tangents[:2]
    if not isinstance(of_logits_dot, SymbolicZero):
        of_logits_dot = of_logits_dot.astype(mass.dtype)
    return expected(*primals), axis.sum(along((of_mass_dot, of_logits_dot), of_mass, of_logits))


def negative_log_softmax(logits: Values, largest: Values, log_sum: Values) -> Values:
    """-log(softmax), as the sum of two numbers that are not negative."""
    return largest - logits.astype(largest.dtype) + log_sum


@custom_jvp(4)
def softmax_of(logits: Values, largest: Values, log_sum: Values, keep: Mask, axis: ClassAxis) -> Values:
    logits, largest, log_sum = again(logits, largest, log_sum)
    return filled(_powers(logits, largest) * jnp.exp(-log_sum), keep, 0.0)


@softmax_of.defjvp
def _softmax_jvp(
    axis: ClassAxis, primals: tuple[Values, Values, Values, Mask], tangents: tuple[Values, Values, Values, object]
) -> tuple[Values, Values]:
    softmax = softmax_of(*primals, axis)
    return softmax, _along_softmax(softmax, tangents[0].astype(softmax.dtype), axis)


def _along_softmax(softmax: Values, logits_dot: Values, axis: ClassAxis) -> Values:
    # In terms of the softmax alone, which is 0 where nothing is kept: what the logits hold there cannot enter.
    return softmax * (logits_dot - axis.sum(softmax * logits_dot))
