"""The axis of the classes, which may be split over the devices of a mesh: all that they exchange is here."""

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
    """Which axis of an array the classes are on; with a mesh axis, a device holds equally many consecutive ones.

    What is asked of all classes comes back with the axis kept as 1, the same on all devices of the mesh axis. A sum
    over devices has the derivative of a sum only if JAX tracks what varies between them, as `shard_map` does.
    """

    number: int
    mesh: AxisName | None = None

    def sum(self, values: AnyArray) -> AnyArray:
        return self.joined(jnp.sum(values, self.number, keepdims=True))

    def mean(self, values: AnyArray) -> AnyArray:
        """The mean of numbers whose sum may overflow."""
        return self.sum(values * (1 / self.classes(values.shape[self.number])))

    def largest(self, values: AnyArray) -> AnyArray:
        """Without a derivative."""
        largest = lax.stop_gradient(jnp.max(values, self.number, keepdims=True))
        return largest if self.mesh is None else lax.pmax(largest, self.mesh)

    def joined(self, values: AnyArray) -> AnyArray:
        """The sum over devices of what each has of its own classes."""
        return values if self.mesh is None else cast(AnyArray, lax.psum(values, self.mesh))

    def settled(self, values: AnyArray) -> AnyArray:
        """`joined`, if devices hold different values."""
        return self.joined(values) if self.names & varying(values) else values

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.mesh} if isinstance(self.mesh, str) else self.mesh or ())

    def classes(self, here: int) -> int:
        """How many classes there are, of which a device holds so many."""
        return here if self.mesh is None else here * lax.axis_size(self.mesh)

    def first(self, here: int) -> Integer[Array, ""] | int:
        """The number of a device's first class, as every device holds so many."""
        return 0 if self.mesh is None else here * lax.axis_index(self.mesh)


def class_axis(number: int, axis_name: AxisName | None, **arrays: AnyArray) -> ClassAxis:
    """The axis, where it can be summed over: each of the arrays must have its own share of it on every device."""
    if axis_name is None:
        return ClassAxis(number)
    axis = ClassAxis(number, axis_name)
    if axis.names - varying(lax.axis_index(axis_name)):  # which is a NameError of JAX's own if there is no such axis
        raise ValueError(
            f"`axis_name` is {axis_name!r}, which is for `jax.shard_map` with `check_vma=True`, its default: elsewhere "
            "derivatives would be wrong."
        )
    for name, array in arrays.items():
        if axis.names - varying(array):
            raise ValueError(
                f"`{name}` is the same on all devices of the mesh axis {axis_name!r}, but its classes should be split "
                "over it: name that axis in `in_specs`."
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
