"""Class numbers: what they must be, which are ignored, and how they pick a class."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Integer, Shaped

from jaxloss._core.arguments import filled, mask, real
from jaxloss._core.autodiff import custom_jvp, nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.domains import Domain, within
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Like, Mask, Values


class Labels(NamedTuple):
    """Checked class numbers, of all classes there are. Every array has the class axis, of size 1.

    A label out of range has a one-hot of all classes and picks NaN: that reaches the gradient of all its logits, where
    a one-hot of no class would leave it finite.
    """

    numbers: Integer[Array, "..."]
    in_range: Bool[Array, "..."]
    keep: Bool[Array, "..."] | None

    def here(self, classes: int, axis: ClassAxis) -> "Labels":
        """Numbered from the first of the classes that a device holds so many of; others are not among them."""
        if axis.mesh is None:
            return self
        return self._replace(numbers=self.numbers - jnp.asarray(axis.first(classes), self.numbers.dtype))

    def one_hot(self, like: Values, axis: ClassAxis) -> Bool[Array, "..."]:
        """Whether a class of the array is the label: a comparison, which XLA fuses with what it selects."""
        return self.at(like, axis) | ~self.in_range

    def at(self, like: Values, axis: ClassAxis) -> Bool[Array, "..."]:
        """The one-hot where it does not matter what a label out of range has, as all that follows is NaN anyway."""
        numbers = self.here(like.shape[axis.number], axis).numbers
        return _classes(like, axis, numbers.dtype) == numbers

    def distance(self, like: Values, axis: ClassAxis) -> Values:
        """0 at the label, and at least 2 elsewhere, in arithmetic that XLA fuses with a sum on CPUs too."""
        classes, dtype = like.shape[axis.number], like.dtype
        if classes > 2**24:  # where float32 skips integers
            return jnp.where(self.one_hot(like, axis), jnp.zeros((), dtype), 2)
        numbers = self.here(classes, axis).numbers
        return jnp.abs(2 * _classes(like, axis, dtype) - 2 * numbers.astype(dtype))

    def pick(self, values: Values, axis: ClassAxis) -> Values:
        """Each example's value at its label, the class axis kept as 1; NaN, gradient included, out of range."""
        return nan_unless(self.in_range, _pick(values, self, axis))

    def kept(self, values: Values) -> Values:
        """One value per example, 0 for those left out: what they hold must not reach the maths that follows."""
        return filled(values, self.keep, 0.0)


@custom_jvp(2)
def _pick(values: Values, label: Labels, axis: ClassAxis) -> Values:
    kinds = jax.typeof(values).sharding.mesh.axis_types
    if AxisType.Explicit not in kinds:
        return _gathered(values, label, axis)
    if AxisType.Manual in kinds:  # where JAX has no `auto_axes`
        return _one_of(values, label, axis)
    # A gather would have to be told how its result is split: as the sum that has the same value.
    split = jax.eval_shape(partial(_one_of, axis=axis), values, label).sharding
    gather = cast(
        Callable[[Values, Labels], Values],
        jax.sharding.auto_axes(partial(_gathered, axis=axis), out_sharding=split),
    )
    return gather(values, label)


def _gathered(values: Values, label: Labels, axis: ClassAxis) -> Values:
    shape, classes = jnp.broadcast_shapes(values.shape, label.numbers.shape), values.shape[axis.number]
    numbers = label.here(classes, axis).numbers
    picked = jnp.take_along_axis(jnp.broadcast_to(values, shape), numbers, axis.number, mode="clip")
    if axis.mesh is None:
        return picked
    return axis.joined(jnp.where((numbers >= 0) & (numbers < classes), picked, 0.0))


@_pick.defjvp
def _pick_jvp(
    axis: ClassAxis, primals: tuple[Values, Labels], tangents: tuple[Values, object]
) -> tuple[Values, Values]:
    # The transpose of a gather is a scatter; that of a comparison with an iota fuses with the rest of the gradient.
    values, label = primals
    return _pick(values, label, axis), _one_of(tangents[0], label, axis)


def _one_of(values: Values, label: Labels, axis: ClassAxis) -> Values:
    return axis.sum(jnp.where(label.one_hot(values, axis), values, 0.0))


def _classes(like: Values, axis: ClassAxis, dtype: DTypeLike) -> Shaped[Array, "..."]:
    """The numbers of the array's classes, split over the devices as they are on a mesh with explicit axes."""
    shape, sharding = [1] * like.ndim, jax.typeof(like).sharding
    shape[axis.number] = like.shape[axis.number]
    split = None
    if AxisType.Explicit in sharding.mesh.axis_types:
        spec = [name if i == axis.number else None for i, name in enumerate(sharding.spec)]
        split = NamedSharding(sharding.mesh, PartitionSpec(*spec))
    return lax.broadcasted_iota(dtype, shape, axis.number, out_sharding=split)


def labels(
    targets: Shaped[ArrayLike, "..."],
    like: Like,
    axis: ClassAxis,
    where: Mask | None,
    *,
    name: str = "logits",
    ignore_index: int | None = None,
) -> Labels:
    """Check class numbers against the array they number the classes of, whose class axis is `axis`."""
    targets, number, classes = class_numbers(targets), axis.number, axis.classes(like.shape[axis.number])
    wanted = like.shape[:number] + like.shape[number + 1 :]
    if targets.shape != wanted:
        fix = ": for one-hot or soft targets use `targets.astype(float)`" if targets.shape == like.shape else ""
        raise ValueError(
            f"`targets` has shape {targets.shape}, but `{name}` {like.shape} without its class axis {number} is "
            f"{wanted}{fix}."
        )
    keep = mask(where, wanted)
    info = jnp.iinfo(targets.dtype)
    if ignore_index is not None and info.min <= ignore_index <= info.max:
        counted = targets != jnp.asarray(ignore_index, targets.dtype)
        keep = counted if keep is None else keep & counted
    # A label that is not looked at must not make NaN of anything: class 0 stands in for it.
    numbers = filled(signed(targets), keep, 0)
    in_range = within(_class_number(classes, ignore_index), targets=numbers)
    keep = None if keep is None else jnp.expand_dims(keep, number)
    return Labels(jnp.expand_dims(numbers, number), jnp.expand_dims(in_range, number), keep)


def _class_number(classes: int, ignore_index: int | None) -> Domain:
    other = "" if ignore_index is None or 0 <= ignore_index < classes else f", or {ignore_index}"
    return Domain(f"a class number from 0 to {classes - 1}{other}", lambda n: (n >= 0) & (n < classes))


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


def class_weight(weight: Shaped[ArrayLike, "classes"], like: Like, axis: int) -> Values:
    """One weight a class, shaped to multiply `like`, in the dtype of the maths."""
    weight = real("weight", weight)
    if weight.shape != (like.shape[axis],):
        raise ValueError(f"`weight` has shape {weight.shape}, but there are {like.shape[axis]} classes.")
    return jnp.expand_dims(weight.astype(accumulator(like.dtype)), [i for i in range(like.ndim) if i != axis])
