"""The logarithms that cross-entropy consists of, with all digits and with derivatives of every order.

`nll_and_log_sum` and `shifted_log_sum` subtract the largest logit of the row, so that no exponential overflows. They
leave one 1 out of the sum of the exponentials and give the rest to `log1p`: log(1 + 1e-9) is 1e-9, where log(sum) is 0
in float32. Masked rows have zero gradients of every order, whatever their logits are.

Memory traffic limits the speed, above all the first use of fresh memory. In float32 the exponentials stay in the buffer
that becomes the gradient. In bfloat16 and float16 they would need an array of twice the logits' size. There the
gradient computes them a second time, and `optimization_barrier` keeps XLA from sharing a float32 copy of the logits
between the two passes.
"""

from functools import partial
from typing import TypeAlias, TypeVarTuple, cast

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

Keep: TypeAlias = Bool[Array, "..."] | None


Arrays = TypeVarTuple("Arrays")


@custom_jvp(4, 5)
def nll_and_log_sum(
    logits: Values, largest: Values, label_logit: Values, label: Labels, axis: ClassAxis, stored: bool = False
) -> tuple[Values, Values]:
    """-log(softmax) at the label, and log(sum(exp(logits - largest))), over an axis (kept as 1).

    `label_logit` is the label's logit minus the largest. The derivative in `logits` includes that in `label_logit`, and
    `largest` has none. All operations have derivatives nevertheless: JAX 0.10 differentiates this function instead of
    its rule if a scan is in the rule of a function around it. `stored` says that the derivative reuses the
    exponentials, so that they are made in the form that it needs.
    """
    _, other_sum = _exponentials(logits, largest, label, axis, stored)
    # The select also keeps XLA's CPU from taking the logarithms of short rows one by one, in the loop of their sum.
    other_sum = jnp.where(label.in_range, other_sum, jnp.nan)
    log_sum = jnp.log1p(other_sum + jnp.expm1(label_logit))
    return log_sum - label_logit, log_sum


@nll_and_log_sum.defjvp
def _nll_and_log_sum_jvp(
    axis: ClassAxis,
    stored: bool,
    primals: tuple[Values, Values, Values, Labels],
    tangents: tuple[Values, Values, Values, object],
) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    logits, largest, label_logit, label = primals
    stored = _fits_gradient_buffer(logits)
    _, other_sum = _exponentials(logits, largest, label, axis, stored)
    slope, softmax = _slopes(*reread(logits, largest, label_logit, other_sum, label), axis)
    logits_dot = tangents[0].astype(slope.dtype)
    tangent = axis.sum(slope * logits_dot), axis.sum(softmax * logits_dot)
    return nll_and_log_sum(*primals, axis, stored), tangent


@custom_jvp(5)
def _slopes(
    logits: Values, largest: Values, label_logit: Values, other_sum: Values, label: Labels, axis: ClassAxis
) -> tuple[Values, Values]:
    """softmax - one_hot, and softmax.

    At the label the first is minus the share of the other classes. It comes from their sum, without a subtraction from
    1, so that it keeps its digits where the label's class dominates.
    """
    exponentials = _exponentials(logits, largest, label, axis, _fits_gradient_buffer(logits))[0]
    at_label_exponential = jnp.exp(label_logit)
    total = other_sum + at_label_exponential
    at_label = label.matches(logits, axis)
    slope = jnp.where(at_label, -other_sum, exponentials) / total
    softmax = jnp.where(at_label, at_label_exponential, exponentials) / total
    return filled(slope, label.keep, 0.0), filled(softmax, label.keep, 0.0)


@_slopes.defjvp
def _slopes_jvp(
    axis: ClassAxis,
    primals: tuple[Values, Values, Values, Values, Labels],
    tangents: tuple[Values, Values, Values, Values, object],
) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    slope, softmax = _slopes(*primals, axis)
    tangent = _softmax_tangent(softmax, tangents[0].astype(softmax.dtype), axis)
    return (slope, softmax), (tangent, tangent)


def _exponentials(
    logits: Values, largest: Values, label: Labels, axis: ClassAxis, stored: bool
) -> tuple[Values, Values]:
    """exp(logits - largest), and the sum of these over all classes but the label's."""
    exponentials, classes = _shifted_exp(logits, largest), logits.shape[axis.number]
    if stored:
        # The array is materialised for the derivative in any case. So a select costs no extra pass.
        exponentials = jnp.where(label.matches(logits, axis), 0.0, exponentials)
        return exponentials, axis.sum(exponentials)
    # An exponential is at most 1, and the distance is 0 at the label and at least 2 elsewhere. So the minimum is 0 at
    # the label and the exponential elsewhere, without ties. XLA's CPU fuses it with the sum; a select it does not.
    blocks = _row_blocks(classes) if axis.number == logits.ndim - 1 else 1
    if blocks == 1:
        return exponentials, axis.sum(jnp.minimum(exponentials, label.distance(exponentials, axis)))
    # The same sum over blocks of each row, of a length that XLA's CPU sums fast. Each block is a row, with the label
    # relative to its first class.
    starts = jnp.arange(blocks, dtype=label.numbers.dtype) * (classes // blocks)
    starts = jnp.expand_dims(starts, range(logits.ndim - 1))
    (rows,) = reread(logits.reshape(-1, classes // blocks))
    largest_of_rows = jnp.broadcast_to(largest, (*largest.shape[:-1], blocks)).reshape(-1, 1)
    label = label._replace(numbers=(label.local(classes, axis).numbers - starts).reshape(-1, 1))
    block_exponentials = _shifted_exp(rows, largest_of_rows)
    sums = jnp.sum(jnp.minimum(block_exponentials, label.distance(block_exponentials, ClassAxis(1))), 1)
    return exponentials, axis.sum(sums.reshape(*largest.shape[:-1], blocks))


def _row_blocks(classes: int) -> int:
    """The number of equal blocks to sum a row in: XLA's CPU takes 7 times as long per element past 32,768."""
    longest = 32768
    if classes <= longest or jax.default_backend() != "cpu":
        return 1
    return next((n for n in range(2, classes // 64) if classes % n == 0 and classes // n <= longest), 1)


def _shifted_exp(logits: Values, largest: Values) -> Values:
    return jnp.exp(logits.astype(largest.dtype) - largest)


def _fits_gradient_buffer(logits: Values) -> bool:
    """Whether the exponentials have the logits' dtype, so that they fit in the buffer that becomes the gradient."""
    return accumulator(logits.dtype) == logits.dtype


def reread(logits: Values, *arrays: *Arrays) -> tuple[Values, *Arrays]:
    """The logits for a further pass over them.

    The barrier keeps XLA from storing a float32 copy of low-precision logits in the first pass and reading it in the
    second: that copy is twice as large as the logits.
    """
    return (logits, *arrays) if _fits_gradient_buffer(logits) else lax.optimization_barrier((logits, *arrays))


def unshared(*arrays: *Arrays) -> tuple[*Arrays]:
    """The inputs of a further sum over the classes, which shares no intermediate result with the sums before it.

    XLA's CPU fuses the terms of one sum with it. Terms that two sums share it materialises: the exponentials, a float32
    copy of the logits, or the largest logits broadcast.
    """
    return cast(tuple[*Arrays], lax.optimization_barrier(arrays)) if jax.default_backend() == "cpu" else arrays


@custom_jvp(3)
def shifted_log_sum(logits: Values, largest: Values, keep: Keep, axis: ClassAxis) -> Values:
    """log(sum(exp(logits - largest))) over an axis (kept as 1), for targets that have no label to leave out."""
    exponentials = _shifted_exp(logits, largest)
    total = axis.sum(exponentials)
    # Below a total of 2 exactly one term is 1, that of the largest logit, and it must be left out of the sum. From 2 on
    # total - 1 loses no digits. x - floor(x) leaves the 1 out: XLA's CPU fuses it with the sum, and a select it does
    # not.
    exponentials = _shifted_exp(*unshared(logits, largest))
    other_sum = axis.sum(exponentials - jnp.floor(exponentials))
    return jnp.log1p(jnp.where(total < 2, other_sum, total - 1))


@shifted_log_sum.defjvp
def _shifted_log_sum_jvp(
    axis: ClassAxis, primals: tuple[Values, Values, Keep], tangents: tuple[Values, Values, object]
) -> tuple[Values, Values]:
    logits, largest, keep = primals
    log_sum = shifted_log_sum(*primals, axis)
    probabilities = softmax(logits, largest, log_sum, keep, axis)
    return log_sum, axis.sum(probabilities * tangents[0].astype(probabilities.dtype))


@jax.custom_jvp
def expected_nll(mass: Values, logits: Values, largest: Values, log_sum: Values, keep: Keep, axis: ClassAxis) -> Values:
    """The sum of mass * -log(softmax) over an axis (kept as 1), where 0 * inf is 0; 0 for masked examples.

    `log_sum` is log(sum(exp(logits - largest))). The derivative in `logits` includes that in `log_sum`, which has one
    all the same, for the reason that `nll_and_log_sum` gives.
    """
    # A select for 0 * inf does not fuse with the sum on XLA's CPU. A minimum does: costs are limited by a number that
    # is 0 where the mass is 0 and inf elsewhere. It takes three steps, because XLA would fold two products into one
    # that is finite for a small mass.
    most = limits(mass.dtype).max
    some = jnp.minimum(jnp.abs(mass) * most, 1.0)
    limit = jnp.minimum(some * most, most) * 2
    # The order of the arguments differs from that in `softmax`: XLA would otherwise merge the two barriers.
    log_sum, logits, largest = unshared(log_sum, logits, largest)
    costs = negative_log_softmax(logits, largest, log_sum)
    return filled(axis.sum(mass * jnp.minimum(costs, limit)), keep, 0.0)


@partial(expected_nll.defjvp, symbolic_zeros=True)
def _expected_nll_jvp(
    primals: tuple[Values, Values, Values, Values, Keep, ClassAxis],
    tangents: tuple[Tangent, Tangent, object, object, object, object],
) -> tuple[Values, Values]:
    mass, logits, largest, log_sum, keep, axis = primals

    def mass_slope() -> Values:
        costs = negative_log_softmax(logits, largest, log_sum)
        return filled(jnp.where((mass == 0) & jnp.isinf(costs), 0.0, costs), keep, 0.0)

    def logits_slope() -> Values:
        return softmax(logits, largest, log_sum, keep, axis) * axis.sum(mass) - filled(mass, keep, 0.0)

    mass_dot, logits_dot = tangents[:2]
    if not isinstance(logits_dot, SymbolicZero):
        logits_dot = logits_dot.astype(mass.dtype)
    return expected_nll(*primals), axis.sum(along((mass_dot, logits_dot), mass_slope, logits_slope))


def negative_log_softmax(logits: Values, largest: Values, log_sum: Values) -> Values:
    """-log(softmax), as the sum of two numbers that are not negative, so that no digits cancel."""
    return largest - logits.astype(largest.dtype) + log_sum


@custom_jvp(4)
def softmax(logits: Values, largest: Values, log_sum: Values, keep: Keep, axis: ClassAxis) -> Values:
    """The softmax from log(sum(exp(logits - largest))); 0 for masked examples.

    Its derivative is written in terms of the softmax alone. So nothing of the logits' size is stored until then.
    """
    logits, largest, log_sum = reread(logits, largest, log_sum)
    return filled(_shifted_exp(logits, largest) * jnp.exp(-log_sum), keep, 0.0)


@softmax.defjvp
def _softmax_jvp(
    axis: ClassAxis, primals: tuple[Values, Values, Values, Keep], tangents: tuple[Values, Values, Values, object]
) -> tuple[Values, Values]:
    probabilities = softmax(*primals, axis)
    return probabilities, _softmax_tangent(probabilities, tangents[0].astype(probabilities.dtype), axis)


def _softmax_tangent(probabilities: Values, logits_dot: Values, axis: ClassAxis) -> Values:
    # The softmax of a masked example is 0. So a NaN in its logits cannot enter this product.
    return probabilities * (logits_dot - axis.sum(probabilities * logits_dot))
