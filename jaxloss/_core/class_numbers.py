"""Class numbers: their checks, their mask, and the choice of a value at the label."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Integer, Shaped

from jaxloss._core.arguments import filled, mask, real
from jaxloss._core.autodiff import custom_jvp, nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.counts import is_known
from jaxloss._core.domains import Domain, within
from jaxloss._core.dtypes import accumulator
from jaxloss._core.integers import NO_INTEGER
from jaxloss._core.types import ArrayLike, Like, Mask, Values


class Labels(NamedTuple):
    """Checked class numbers, counted over the classes of all devices. Every array has the class axis, of size 1.

    A label out of range picks NaN and has a one-hot that is True for all classes. So the gradient of all logits of its
    example is NaN too. A one-hot without a True would leave a finite gradient.
    """

    numbers: Integer[Array, "..."]
    in_range: Bool[Array, "..."]
    keep: Bool[Array, "..."] | None

    def local(self, classes: int, axis: ClassAxis) -> "Labels":
        """Labels relative to this device's first class. A number outside 0 to classes - 1 is on another device."""
        if axis.mesh is None:
            return self
        return self._replace(numbers=self.numbers - jnp.asarray(axis.first_class(classes), self.numbers.dtype))

    def one_hot(self, like: Values, axis: ClassAxis) -> Bool[Array, "..."]:
        """Whether a class is the label; True for all classes if the label is out of range.

        It is a comparison with an iota: XLA fuses it with its user and stores no array of that size.
        """
        return self.matches(like, axis) | ~self.in_range

    def matches(self, like: Values, axis: ClassAxis) -> Bool[Array, "..."]:
        """Whether a class is the label; False for all classes if the label is out of range.

        It is one operation cheaper than `one_hot`. It is for formulas that are NaN for such a label for another reason.
        """
        numbers = self.local(like.shape[axis.number], axis).numbers
        return _class_iota(like, axis, numbers.dtype) == numbers

    def distance(self, like: Values, axis: ClassAxis) -> Values:
        """0 at the label and at least 2 at every other class: |2 * class - 2 * label|.

        A minimum with it is a mask made of arithmetic. XLA's CPU fuses that with a sum, and a select it does not.
        """
        classes, dtype = like.shape[axis.number], like.dtype
        if not is_known(classes) or classes > 2**24:  # float32 does not represent every integer past this one
            return jnp.where(self.one_hot(like, axis), jnp.zeros((), dtype), 2)
        numbers = self.local(classes, axis).numbers
        return jnp.abs(2 * _class_iota(like, axis, dtype) - 2 * numbers.astype(dtype))

    def pick(self, values: Values, axis: ClassAxis) -> Values:
        """Each example's value at its label, with a class axis of size 1.

        For a label out of range the value is NaN, and so is its gradient.
        """
        return nan_unless(self.in_range, _pick(values, self, axis))

    def select(self, values: Values, axis: ClassAxis) -> Values:
        """`pick` by a comparison with each class. A small array, such as weights, is then broadcast without memory."""
        return nan_unless(self.in_range, _select_and_sum(values, self, axis))

    def gather_several(self, values: Values, axis: ClassAxis) -> Values:
        """The values of K classes of each row, whose class axis is the last. Without NaN for a label out of range.

        The gradient is a scatter into one array of the values' size. That of `pick` compares all classes with each of
        the K. XLA's CPU stores these comparisons: for 32 classes, 32 arrays of the values' size.
        """
        if AxisType.Explicit in jax.typeof(values).sharding.mesh.axis_types:
            return _pick(values[..., None, :], self, ClassAxis(values.ndim, axis.mesh))[..., 0]
        classes = values.shape[axis.number]
        numbers = self.local(classes, axis).numbers[..., 0]
        picked = jnp.take_along_axis(values, numbers, -1, mode="clip")
        if axis.mesh is None:
            return picked
        return axis.all_reduce(jnp.where((numbers >= 0) & (numbers < classes), picked, 0.0))

    def zero_masked(self, values: Values) -> Values:
        """One value per example, with 0 for masked examples: their NaN must not reach the maths that follows."""
        return filled(values, self.keep, 0.0)


@custom_jvp(2)
def _pick(values: Values, label: Labels, axis: ClassAxis) -> Values:
    """`Labels.pick` for labels in range."""
    kinds = jax.typeof(values).sharding.mesh.axis_types
    if AxisType.Explicit not in kinds:
        return _gather(values, label, axis)
    if AxisType.Manual in kinds:  # JAX has no `auto_axes` within `shard_map`
        return _select_and_sum(values, label, axis)
    # On a mesh with explicit axes a gather needs the sharding of its result. It is that of the equal sum.
    split = jax.eval_shape(partial(_select_and_sum, axis=axis), values, label).sharding
    gather = cast(
        Callable[[Values, Labels], Values],
        jax.sharding.auto_axes(partial(_gather, axis=axis), out_sharding=split),
    )
    return gather(values, label)


def _gather(values: Values, label: Labels, axis: ClassAxis) -> Values:
    """The value at the label by a gather, which reads no other class."""
    shape, classes = jnp.broadcast_shapes(values.shape, label.numbers.shape), values.shape[axis.number]
    numbers = label.local(classes, axis).numbers
    if values.size == classes:  # one value a class: a TPU would store the array of all examples and classes
        picked = jnp.take(values.reshape(classes), numbers, mode="clip")
    else:
        picked = jnp.take_along_axis(jnp.broadcast_to(values, shape), numbers, axis.number, mode="clip")
    if axis.mesh is None:
        return picked
    # Only the device that holds the label's class contributes to the sum.
    return axis.all_reduce(jnp.where((numbers >= 0) & (numbers < classes), picked, 0.0))


@_pick.defjvp
def _pick_jvp(
    axis: ClassAxis, primals: tuple[Values, Labels], tangents: tuple[Values, object]
) -> tuple[Values, Values]:
    # The transpose of a gather is a scatter, which needs an array of its input's size. The transpose of a comparison
    # with an iota fuses with the rest of the gradient.
    values, label = primals
    return _pick(values, label, axis), _select_and_sum(tangents[0], label, axis)


def _select_and_sum(values: Values, label: Labels, axis: ClassAxis) -> Values:
    """The value at the label by a comparison and a sum over the classes."""
    return axis.sum(jnp.where(label.one_hot(values, axis), values, 0.0))


def _class_iota(like: Values, axis: ClassAxis, dtype: DTypeLike) -> Shaped[Array, "..."]:
    """The numbers 0, 1, 2... along the class axis, of size 1 on the others.

    On a mesh with explicit axes they are split as the array's classes are, because JAX refuses to compare arrays with
    different shardings.
    """
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
    """Class numbers, checked against the shape and the classes of `like`, the array of logits."""
    targets, number = jnp.asarray(targets), axis.number
    if targets.dtype == jnp.bool_ and targets.shape == like.shape:
        raise TypeError(f"`targets` has dtype bool, but class numbers are integers{_one_hot_fix(name, number)}.")
    targets = class_numbers(targets)
    classes = axis.class_count(like.shape[number])
    wanted = like.shape[:number] + like.shape[number + 1 :]
    if targets.shape != wanted:
        raise ValueError(
            f"`targets` has shape {targets.shape}, but `{name}` {like.shape} without its class axis {number} is "
            f"{wanted}{_fix(targets.shape, wanted, like.shape, name, number)}."
        )
    keep = mask(where, wanted)
    taken = not_ignored(targets, ignore_index)
    if taken is not None:
        keep = taken if keep is None else keep & taken
    # A masked label may be out of range and must make nothing NaN: class 0 replaces it.
    numbers = filled(signed(targets), keep, 0)
    in_range = within(_class_number(classes, ignore_index), targets=numbers)
    keep = None if keep is None else jnp.expand_dims(keep, number)
    return Labels(jnp.expand_dims(numbers, number), jnp.expand_dims(in_range, number), keep)


def _fix(given: tuple[int, ...], wanted: tuple[int, ...], logits: tuple[int, ...], name: str, axis: int) -> str:
    """The end of the message for labels of another shape: the expression that fits, if one is known."""
    if given == logits:
        return _one_hot_fix(name, axis)
    if given == (*wanted, 1):
        return f": use `targets[{':, ' if len(wanted) == 1 else '..., '}0]`"
    axes = [other for other in range(1, len(logits)) if given == logits[:other] + logits[other + 1 :]]
    has_option = name in ("logits", "log_probs")
    return f": use `axis={axes[0]}`" if axes and has_option else ""


def _one_hot_fix(name: str, axis: int) -> str:
    """The end of the message for one-hot labels. Losses of logits take them as probabilities, and others do not."""
    if name in ("logits", "hidden @ kernel"):
        return ": for one-hot or soft targets use `targets.astype(float)`"
    return f": for one-hot targets use `targets.argmax({axis})`"


def token_labels(
    targets: Shaped[ArrayLike, "..."], like: Like, axis: ClassAxis, where: Mask | None, ignore_index: int
) -> Labels:
    """Class numbers of tokens, checked: one for each token, or K along a further axis at the end.

    The arrays of K class numbers have the axes of the tokens, then K and 1.
    """
    targets = class_numbers(targets)
    tokens = like.shape[: axis.number] + like.shape[axis.number + 1 :]
    if targets.ndim != len(tokens) + 1 or targets.shape[:-1] != tokens:
        return labels(targets, like, axis, where, ignore_index=ignore_index)
    if targets.shape[-1] == 0:
        raise ValueError(f"`targets` has shape {targets.shape}: its last axis is empty, and a token needs a class.")
    keep = mask(where, tokens)
    keep = None if keep is None else keep[..., None]
    several = jax.ShapeDtypeStruct((*targets.shape, like.shape[axis.number]), like.dtype)
    return labels(targets, several, ClassAxis(targets.ndim, axis.mesh), keep, ignore_index=ignore_index)


def listed_labels(
    name: str, numbers: Shaped[Array, "..."], keep: Bool[Array, "..."] | None, like: Like, axis: ClassAxis
) -> Labels:
    """K class numbers of each row, in the last axis, checked against the classes of `like`. `keep` masks rows.

    The arrays of the result have the axes of the rows, then K and 1.
    """
    keep = None if keep is None else keep[..., None]
    numbers = filled(signed(numbers), keep, 0)
    within_range = _class_number(axis.class_count(like.shape[axis.number]), None)
    in_range = within(within_range, **{name: numbers})
    return Labels(numbers[..., None], in_range[..., None], None if keep is None else keep[..., None])


def _class_number(classes: int, ignore_index: int | None) -> Domain:
    """The domain of class numbers; its words name `ignore_index` where that is not a class."""
    other = "" if ignore_index is None or 0 <= ignore_index < classes else f", or {ignore_index}"
    return Domain(f"a class number from 0 to {classes - 1}{other}", lambda n: (n >= 0) & (n < classes))


def class_numbers(targets: Shaped[ArrayLike, "..."], *, name: str = "targets") -> Shaped[Array, "..."]:
    """Targets as an array, which must hold integers of any dtype."""
    targets = jnp.asarray(targets)
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(f"`{name}` has dtype {targets.dtype}, but class numbers are integers: use `astype(int)`.")
    return targets


def signed(targets: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Class numbers in a signed dtype that holds any number of classes.

    A large unsigned number is clipped first: a plain cast would wrap it to a negative one, or into range.
    """
    dtype = jnp.int64 if targets.dtype.itemsize == 8 else jnp.int32
    if jnp.issubdtype(targets.dtype, jnp.unsignedinteger) and targets.dtype.itemsize >= 4:
        targets = jnp.minimum(targets, jnp.asarray(jnp.iinfo(dtype).max, targets.dtype))
    return targets.astype(dtype)


def not_ignored(targets: Shaped[Array, "..."], ignore_index: int | None) -> Bool[Array, "..."] | None:
    """Whether a class number is another one than `ignore_index`; None if no class number of the dtype is that one."""
    info = jnp.iinfo(targets.dtype)
    if ignore_index is None or ignore_index == NO_INTEGER or not info.min <= ignore_index <= info.max:
        return None
    return targets != jnp.asarray(ignore_index, targets.dtype)


def class_weight(weight: Shaped[ArrayLike, "classes"], like: Like, axis: int, *, name: str = "weight") -> Values:
    """One number a class, shaped to multiply `like`, in the dtype of the maths."""
    weight = real(name, weight)
    if weight.shape != (like.shape[axis],):
        raise ValueError(f"`{name}` has shape {weight.shape}, but there are {like.shape[axis]} classes.")
    return jnp.expand_dims(weight.astype(accumulator(like.dtype)), [i for i in range(like.ndim) if i != axis])
