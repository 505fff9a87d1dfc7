"""Class numbers: what they must be, which are ignored, and how they pick a class without a gather."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType
from jaxtyping import Array, ArrayLike, Bool, Float, Integer, Shaped

from jaxloss._numerics import custom_jvp, nan_unless
from jaxloss._reduce import filled, mask, real
from jaxloss._types import Mask

Values = Float[Array, "..."]


class Labels(NamedTuple):
    """Checked class numbers. Every array has the class axis, of size 1 but for `one_hot`.

    A label out of range has a one-hot of all classes and picks NaN: that reaches the gradient of all its logits, where
    a one-hot of no class would leave it finite.
    """

    numbers: Integer[Array, "..."]
    one_hot: Bool[Array, "..."]
    in_range: Bool[Array, "..."]
    keep: Bool[Array, "..."] | None

    def pick(self, values: Values, axis: int) -> Values:
        """Each example's value at its label, the class axis kept as 1; NaN, gradient included, out of range."""
        return nan_unless(self.in_range, _pick(values, self.numbers, self.one_hot, axis))

    def kept(self, values: Values) -> Values:
        """One value per example, 0 for those left out: what they hold must not reach the maths that follows."""
        return filled(values, self.keep, 0.0)


@custom_jvp(3)
def _pick(values: Values, numbers: Integer[Array, "..."], one_hot: Bool[Array, "..."], axis: int) -> Values:
    if AxisType.Explicit in jax.typeof(values).sharding.mesh.axis_types:
        return _one_of(values, one_hot, axis)  # a gather would have to be told the sharding of its result
    return jnp.take_along_axis(jnp.broadcast_to(values, one_hot.shape), numbers, axis, mode="clip")


@_pick.defjvp
def _pick_jvp(
    axis: int,
    primals: tuple[Values, Integer[Array, "..."], Bool[Array, "..."]],
    tangents: tuple[Values, object, object],
) -> tuple[Values, Values]:
    # The transpose of a gather is a scatter; that of a comparison with an iota fuses with the rest of the gradient.
    return _pick(*primals, axis), _one_of(tangents[0], primals[2], axis)


def _one_of(values: Values, one_hot: Bool[Array, "..."], axis: int) -> Values:
    return jnp.sum(jnp.where(one_hot, values, 0.0), axis, keepdims=True)


def labels(
    targets: Shaped[ArrayLike, "..."],
    like: Values,
    axis: int,
    where: Mask | None,
    *,
    name: str = "logits",
    ignore_index: int | None = None,
) -> Labels:
    """Check class numbers against the array they number the classes of, whose class axis is `axis`."""
    targets = class_numbers(targets)
    wanted = like.shape[:axis] + like.shape[axis + 1 :]
    if targets.shape != wanted:
        fix = ": for one-hot or soft targets use `targets.astype(float)`" if targets.shape == like.shape else ""
        raise ValueError(
            f"`targets` has shape {targets.shape}, but `{name}` {like.shape} without its class axis {axis} is "
            f"{wanted}{fix}."
        )
    keep = mask(where, wanted)
    info = jnp.iinfo(targets.dtype)
    if ignore_index is not None and info.min <= ignore_index <= info.max:
        counted = targets != jnp.asarray(ignore_index, targets.dtype)
        keep = counted if keep is None else keep & counted
    # A label that is not looked at must not make NaN of anything: class 0 stands in for it.
    numbers = jnp.expand_dims(filled(signed(targets), keep, 0), axis)
    iota = lax.broadcasted_iota(numbers.dtype, like.shape, axis)
    in_range = (numbers >= 0) & (numbers < like.shape[axis])
    return Labels(
        numbers, (iota == numbers) | ~in_range, in_range, None if keep is None else jnp.expand_dims(keep, axis)
    )


def class_numbers(targets: Shaped[ArrayLike, "..."]) -> Shaped[Array, "..."]:
    """Integers of any dtype."""
    targets = jnp.asarray(targets)
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(f"`targets` has dtype {targets.dtype}, but class numbers are integers: use `astype(int)`.")
    return targets


def signed(targets: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Class numbers in a dtype that holds any number of classes, and in which none wraps into range."""
    dtype = jnp.int64 if targets.dtype.itemsize == 8 else jnp.int32
    if jnp.issubdtype(targets.dtype, jnp.unsignedinteger) and targets.dtype.itemsize >= 4:
        targets = jnp.minimum(targets, jnp.asarray(jnp.iinfo(dtype).max, targets.dtype))
    return targets.astype(dtype)


def class_weight(weight: Shaped[ArrayLike, "classes"], like: Values, axis: int) -> Values:
    """One weight a class, shaped to multiply `like`."""
    weight = real("weight", weight)
    if weight.shape != (like.shape[axis],):
        raise ValueError(f"`weight` has shape {weight.shape}, but there are {like.shape[axis]} classes.")
    return jnp.expand_dims(weight.astype(like.dtype), [i for i in range(like.ndim) if i != axis])
