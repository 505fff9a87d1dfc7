"""The class axis, which may be split over the devices of a mesh. Every exchange between devices is in this file."""

from dataclasses import dataclass
from typing import TypeAlias, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Integer

from jaxloss._core.types import AnyArray

AxisName: TypeAlias = str | tuple[str, ...]
"""A mesh axis, or several that are one axis together."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class ClassAxis:
    """The axis of an array that holds the classes. With a mesh axis, each device holds an equal block of classes.

    A reduction over the classes keeps the axis with size 1. Its result is the same on all devices of the mesh axis.
    The sum over devices has the right derivative only if JAX tracks which arrays vary between devices. `shard_map`
    does so with `check_vma=True`.
    """

    number: int
    mesh: AxisName | None = None

    def sum(self, values: AnyArray) -> AnyArray:
        """The sum over all classes."""
        return self.all_reduce(jnp.sum(values, self.number, keepdims=True))

    def mean(self, values: AnyArray) -> AnyArray:
        """The mean over all classes, of numbers whose sum may overflow: each is divided before the sum."""
        return self.sum(values * (1 / self.class_count(values.shape[self.number])))

    def largest(self, values: AnyArray, initial: float | None = None) -> AnyArray:
        """The largest value over all classes, or `initial` if it is larger, without a derivative.

        The losses subtract it only to keep exponentials in range. Their results do not depend on it.
        """
        largest = lax.stop_gradient(jnp.max(values, self.number, keepdims=True, initial=initial))
        return largest if self.mesh is None else lax.pmax(largest, self.mesh)

    def all_reduce(self, values: AnyArray) -> AnyArray:
        """The sum over devices of the partial results for their classes."""
        return values if self.mesh is None else cast(AnyArray, lax.psum(values, self.mesh))

    def all_reduce_if_varying(self, values: AnyArray) -> AnyArray:
        """`all_reduce` for partial results; values that are the same on all devices are complete already."""
        return self.all_reduce(values) if self.names & varying(values) else values

    @property
    def names(self) -> frozenset[str]:
        """The names of the mesh axes that the classes are split over."""
        return frozenset({self.mesh} if isinstance(self.mesh, str) else self.mesh or ())

    def class_count(self, local: int) -> int:
        """The number of classes on all devices, where each device holds `local` classes."""
        return local if self.mesh is None else local * lax.axis_size(self.mesh)

    def first_class(self, local: int) -> Integer[Array, ""] | int:
        """The number of this device's first class, where each device holds `local` classes."""
        return 0 if self.mesh is None else local * lax.axis_index(self.mesh)


def class_axis(number: int, axis_name: AxisName | None, **arrays: AnyArray) -> ClassAxis:
    """The class axis, checked: on a mesh axis, every array must be split over that axis."""
    if axis_name is None:
        return ClassAxis(number)
    axis = ClassAxis(number, axis_name)
    # `axis_index` raises JAX's NameError for an unknown axis name.
    if axis.names - varying(lax.axis_index(axis_name)):
        raise ValueError(
            f"`axis_name` is {axis_name!r}, which is for `jax.shard_map` with `check_vma=True`, its default: elsewhere "
            "derivatives would be wrong."
        )
    for name, array in arrays.items():
        if axis.names - varying(array):
            raise ValueError(
                f"`{name}` is the same on all devices of the mesh axis {axis_name!r}, but should be split over it: "
                "name that axis in `in_specs`."
            )
    return axis


def varying(array: AnyArray | jax.ShapeDtypeStruct) -> frozenset[str]:
    """The mesh axes along which devices may hold different values, within `shard_map`."""
    shape = array if isinstance(array, jax.ShapeDtypeStruct) else jax.typeof(array)
    if hasattr(shape, "manual_axis_type"):
        manual = shape.manual_axis_type
        return frozenset() if manual is None else frozenset(manual.varying)
    # JAX before 0.10 has the set itself. A `ShapeDtypeStruct` that no `shard_map` made has None there.
    axes: frozenset[str] | None = getattr(shape, "vma", None)
    return frozenset() if axes is None else frozenset(axes)
