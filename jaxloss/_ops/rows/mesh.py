"""Tokens and classes split over a mesh: each device computes on its shards, and gradients are summed once."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import cast

import jax
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from jaxloss._core.class_axis import ClassAxis, varying
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy.problem import Options
from jaxloss._ops.rows.problem import Projection, Stats, Tokens

Leaf = Shaped[Array, "..."]


Names = tuple[str, ...]


Solve = Callable[[Tokens, Projection, Values | None], tuple[Values, Stats | None]]


def device_varying(
    tokens: Tokens, projection: Projection, weights: Values | None
) -> tuple[Tokens, Projection, Values | None]:
    """The same arrays, marked within `shard_map` as varying over the mesh axes of any of them.

    In the loop over chunks the gradient of a replicated array is then that of one device. JAX sums it over devices
    where the marked array leaves this function, once and not in each chunk. Along the axes of the classes only `hidden`
    is marked, because it is multiplied with the split classes. Other replicated arrays have the same gradient on all
    devices of those axes.
    """
    problem = tokens, projection, weights
    all_axes = frozenset[str]().union(*map(varying, jax.tree.leaves(problem)))

    def mark(axes: frozenset[str], leaf: Leaf) -> Leaf:
        missing = tuple(sorted(axes - varying(leaf)))
        return cast(Leaf, lax.pcast(leaf, missing, to="varying")) if missing else leaf

    tokens, projection, weights = jax.tree.map(partial(mark, all_axes - projection.axis.names), problem)
    return tokens._replace(hidden=mark(all_axes, tokens.hidden)), projection, weights


def on_mesh(
    solve: Solve, tokens: Tokens, projection: Projection, weights: Values | None
) -> tuple[Values, Stats | None]:
    """`solve` within `shard_map` over the explicit axes of a mesh. The types of the arrays say how they are split.

    Under `shard_map` gradients are summed over devices once, not in each chunk. Tokens keep their sharding, and classes
    keep theirs where they can. A kernel whose classes are split over an axis that splits tokens too is gathered along
    that axis, and a kernel that is split along its width is gathered along the width.
    """
    mesh = jax.typeof(tokens.hidden).sharding.mesh
    explicit = {name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind == AxisType.Explicit}
    if not explicit or AxisType.Manual in mesh.axis_types:
        return solve(tokens, projection, weights)
    batch = [_names(entry) for entry in jax.typeof(tokens.hidden).sharding.spec[:-1]]
    token_axes = {name for names in batch for name in names}
    kernel_names = [_names(entry) for entry in jax.typeof(projection.kernel).sharding.spec[1:]]
    *heads, classes = [tuple(name for name in names if name not in token_axes) for names in kernel_names]
    rows = [*batch, *heads]
    row_axes = tuple(name for names in rows for name in names)

    def on_device(tokens: Tokens, projection: Projection, weights: Values | None) -> tuple[Values, Stats | None]:
        value, stats = solve(
            tokens, projection._replace(axis=ClassAxis(projection.axis.number, classes or None)), weights
        )
        return value if weights is None or not row_axes else cast(Values, lax.psum(value, row_axes)), stats

    def reshard(leaf: Leaf, spec: PartitionSpec) -> Leaf:
        return jax.reshard(leaf, NamedSharding(mesh, spec))

    specs, out = _specs(tokens, projection, weights, batch, heads, classes), _spec(rows)
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=specs,
        out_specs=(out if weights is None else PartitionSpec(), out),
        axis_names=explicit,
    )(*jax.tree.map(reshard, (tokens, projection, weights), specs))


def _specs(
    tokens: Tokens,
    projection: Projection,
    weights: Values | None,
    batch: list[Names],
    heads: list[Names],
    classes: Names,
) -> object:
    """The partition specs of the arrays, in trees of the same types."""
    rows, replicated = [*batch, *heads], PartitionSpec()
    soft = tokens.targets.ndim > tokens.keep.ndim
    options = _like(
        Options,
        None if projection.options.weight is None else _spec([(), *((),) * len(heads), classes]),
        None if projection.options.smoothing is None else replicated,
        None if projection.options.z_loss is None else replicated,
    )
    bias, softcap = (
        None if projection.bias is None else _spec([*heads, classes]),
        None if projection.softcap is None else replicated,
    )
    return (
        _like(Tokens, _spec(batch), _spec([*rows, classes] if soft else rows), _spec(rows)),
        _like(Projection, _spec([(), *heads, classes]), bias, softcap, options, projection.axis),
        None if weights is None else _spec(rows),
    )


def _like(kind: Callable[..., object], *specs: object) -> object:
    """A named tuple of specs. `jax.tree.map` over arrays and specs needs the same type, whose fields are arrays."""
    return kind(*specs)


def _names(entry: str | Names | None) -> Names:
    """The mesh axes in one entry of a partition spec."""
    return (entry,) if isinstance(entry, str) else entry or ()


def _spec(entries: Iterable[Names]) -> PartitionSpec:
    return PartitionSpec(*(names or None for names in entries))
