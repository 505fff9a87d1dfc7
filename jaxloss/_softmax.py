"""The logarithm that cross-entropy is made of, exact to its last digits and differentiable to every order.

Both functions take logits less the largest of their row, so that no exponential overflows, and leave one 1 out of the
sum, to which `log1p` adds it: log(1 + 1e-9) is 1e-9, where log(sum) is 0 in float32. Both materialise no array but the
exponentials, which XLA turns into the gradient in place. Rows that are not kept have no gradient, of any order,
whatever they hold.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxloss._labels import Labels
from jaxloss._numerics import custom_jvp
from jaxloss._reduce import filled

Values = Float[Array, "..."]
Mask = Bool[Array, "..."] | None


@custom_jvp(3)
def surprise(shifted: Values, own: Values, label: Labels, axis: int) -> tuple[Values, Values]:
    """-log(softmax) at the label, and log(sum(exp(shifted))), over an axis (kept as 1).

    `own` is the shifted logit of the label; its derivative is accounted for by that of `shifted`.
    """
    _, others = _others(shifted, label, axis)
    log_sum = jnp.log1p(others + jnp.expm1(own))
    return log_sum - own, log_sum


@surprise.defjvp
def _surprise_jvp(
    axis: int, primals: tuple[Values, Values, Labels], tangents: tuple[Values, Values, object]
) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    slope, softmax = _slopes(*primals, axis)
    along = jnp.sum(slope * tangents[0], axis, keepdims=True), jnp.sum(softmax * tangents[0], axis, keepdims=True)
    return surprise(*primals, axis), along


@custom_jvp(3)
def _slopes(shifted: Values, own: Values, label: Labels, axis: int) -> tuple[Values, Values]:
    """softmax - one_hot and softmax; the first without a subtraction, from the sum of the others."""
    powers, others = _others(shifted, label, axis)
    of_label = jnp.exp(own)
    total = others + of_label
    slope = jnp.where(label.one_hot, -others, powers) / total
    softmax = jnp.where(label.one_hot, of_label, powers) / total
    return filled(slope, label.keep, 0.0), filled(softmax, label.keep, 0.0)


@_slopes.defjvp
def _slopes_jvp(
    axis: int, primals: tuple[Values, Values, Labels], tangents: tuple[Values, Values, object]
) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    slope, softmax = _slopes(*primals, axis)
    along = _along_softmax(softmax, tangents[0], axis)
    return (slope, softmax), (along, along)


def _others(shifted: Values, label: Labels, axis: int) -> tuple[Values, Values]:
    """The exponentials with 0 for the label's, and their sum."""
    powers = jnp.where(label.one_hot, 0.0, jnp.exp(shifted))
    return powers, jnp.sum(powers, axis, keepdims=True)


@custom_jvp(2)
def log_total(shifted: Values, keep: Mask, axis: int) -> Values:
    """log(sum(exp(shifted))) over an axis (kept as 1), where there is no label to leave out."""
    powers = jnp.exp(shifted)
    total = jnp.sum(powers, axis, keepdims=True)
    # Below a total of 2 there is one 1 to leave out; from there on subtracting it costs no digits. Taking off the floor
    # is a mask that XLA fuses with the sum on CPUs too, which it does not do to a select.
    others = jnp.sum(powers - jnp.floor(powers), axis, keepdims=True)
    return jnp.log1p(jnp.where(total < 2, others, total - 1))


@log_total.defjvp
def _log_total_jvp(axis: int, primals: tuple[Values, Mask], tangents: tuple[Values, object]) -> tuple[Values, Values]:
    return log_total(*primals, axis), jnp.sum(_softmax(*primals, axis) * tangents[0], axis, keepdims=True)


@custom_jvp(2)
def _softmax(shifted: Values, keep: Mask, axis: int) -> Values:
    return filled(jnp.exp(shifted) * jnp.exp(-log_total(shifted, keep, axis)), keep, 0.0)


@_softmax.defjvp
def _softmax_jvp(axis: int, primals: tuple[Values, Mask], tangents: tuple[Values, object]) -> tuple[Values, Values]:
    softmax = _softmax(*primals, axis)
    return softmax, _along_softmax(softmax, tangents[0], axis)


def _along_softmax(softmax: Values, shifted_dot: Values, axis: int) -> Values:
    # In terms of the softmax alone, which is 0 where nothing is kept: what the logits hold there cannot enter.
    return softmax * (shifted_dot - jnp.sum(softmax * shifted_dot, axis, keepdims=True))
