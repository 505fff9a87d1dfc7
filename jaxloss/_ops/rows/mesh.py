"""Rows and classes split over a mesh: each device computes on its shards, and gradients are summed once."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from jaxloss._core.class_axis import ClassAxis, varying
from jaxloss._core.types import Values
from jaxloss._ops.rows.problem import Problem, Rows, Shared, Stats

Leaf = Shaped[Array, "..."]


Names = tuple[str, ...]


Solve: TypeAlias = Callable[[Problem], tuple[Values, Stats]]


def device_varying(problem: Problem) -> Problem:
    """The same arrays, marked within `shard_map` as varying over the mesh axes of any of them.

    In the loop over chunks the gradient of a replicated array is then that of one device. JAX sums it over devices
    where the marked array leaves this function, once and not in each chunk. Along the axes of the classes only `hidden`
    is marked, because it is multiplied with the split classes. Other replicated arrays have the same gradient on all
    devices of those axes.
    """
    all_axes = frozenset[str]().union(*map(varying, jax.tree.leaves(problem)))

    def mark(axes: frozenset[str], leaf: Leaf) -> Leaf:
        missing = tuple(sorted(axes - varying(leaf)))
        return cast(Leaf, lax.pcast(leaf, missing, to="varying")) if missing else leaf

    marked = jax.tree.map(partial(mark, all_axes - problem.shared.axis.names), problem)
    return marked._replace(rows=marked.rows._replace(hidden=mark(all_axes, marked.rows.hidden)))


def on_mesh(solve: Solve[Stats], problem: Problem) -> tuple[Values, Stats]:
    """`solve` within `shard_map` over the explicit axes of a mesh. The types of the arrays say how they are split.

    Under `shard_map` gradients are summed over devices once, not in each chunk. Rows keep their sharding, and classes
    keep theirs where they can. A kernel whose classes are split over an axis that splits rows too is gathered along
    that axis, and a kernel that is split along its width is gathered along the width.
    """
    rows, shared, weights = problem
    mesh = jax.typeof(rows.hidden).sharding.mesh
    explicit = {name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind == AxisType.Explicit}
    if not explicit or AxisType.Manual in mesh.axis_types:
        return solve(problem)
    batch = [_names(entry) for entry in jax.typeof(rows.hidden).sharding.spec[:-1]]
    # Each device multiplies its rows with its classes. A mesh axis can split one of them only, and rows come first.
    batch_axes = {name for names in batch for name in names}
    kernel_names = [_names(entry) for entry in jax.typeof(shared.kernel).sharding.spec[1:]]
    *heads, classes = [tuple(name for name in names if name not in batch_axes) for names in kernel_names]
    row_names = [*batch, *heads]
    row_axes = tuple(name for names in row_names for name in names)

    # The loss learns from `axis` that it sees a part of the classes, and sums over devices itself.
    def on_device(problem: Problem) -> tuple[Values, Stats]:
        axis = ClassAxis(problem.shared.axis.number, classes or None)
        value, stats = solve(problem._replace(shared=problem.shared._replace(axis=axis)))
        return value if weights is None or not row_axes else cast(Values, lax.psum(value, row_axes)), stats

    def reshard(leaf: Leaf, spec: PartitionSpec) -> Leaf:
        return jax.reshard(leaf, NamedSharding(mesh, spec))

    specs, out = _specs(problem, batch, heads, classes), _spec(row_names)
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(specs,),
        out_specs=(out if weights is None else PartitionSpec(), out),
        axis_names=explicit,
    )(jax.tree.map(reshard, problem, specs))


def _specs(problem: Problem, batch: list[Names], heads: list[Names], classes: Names) -> Problem:
    """The partition specs of the arrays, in a tree of the same type."""
    kernel, row_names = problem.shared.kernel, [*batch, *heads]

    def data_spec(leaf: Leaf) -> PartitionSpec:
        """The axes of the rows come first. A further axis of floating numbers for the classes is split as they are."""
        further, values = leaf.shape[len(row_names) :], jnp.issubdtype(leaf.dtype, jnp.floating)
        return _spec([*row_names, *(classes if values and size == kernel.shape[-1] else () for size in further)])

    def parameter_spec(leaf: Leaf) -> PartitionSpec:
        """The last axes are those of the kernel. One of size 1 is for all heads, or for all rows."""
        names = [(), *heads, classes][-leaf.ndim :] if leaf.ndim else []
        return _spec(() if size == 1 else each for size, each in zip(leaf.shape, names, strict=True))

    rows = Rows(_spec(batch), jax.tree.map(data_spec, problem.rows.data), _spec(row_names))  # pyright: ignore[reportArgumentType]  # a tree of specs has the type of the tree of arrays
    parameters = jax.tree.map(parameter_spec, problem.shared.parameters)
    shared = Shared(_spec([(), *heads, classes]), parameters, problem.shared.axis)  # pyright: ignore[reportArgumentType]  # as for the rows
    weights = None if problem.weights is None else _spec(row_names)
    return Problem(rows, shared, weights)  # pyright: ignore[reportArgumentType]  # as for the rows


def _names(entry: str | Names | None) -> Names:
    """The mesh axes in one entry of a partition spec."""
    return (entry,) if isinstance(entry, str) else entry or ()


def _spec(entries: Iterable[Names]) -> PartitionSpec:
    return PartitionSpec(*(names or None for names in entries))
