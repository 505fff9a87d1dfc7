"""Linear cross-entropy on a mesh: every device takes its own tokens and classes, and gradients are summed once."""

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
from jaxloss._ops.rows.problem import Head, Stats, Tokens

Leaf = Shaped[Array, "..."]


Names = tuple[str, ...]


Solve = Callable[[Tokens, Head, Values | None], tuple[Values, Stats | None]]


def spread(tokens: Tokens, head: Head, weights: Values | None) -> tuple[Tokens, Head, Values | None]:
    """In `shard_map`, the same arrays, of which each device has its own, as far as the loops over tokens know.

    Their gradients are then those of one device, and are summed over devices where they come out of this function:
    once, and not with every chunk. Along the classes that is for hidden, which meets them in a product; what else is
    the same on all devices there stays the same.
    """
    problem = tokens, head, weights
    everywhere = frozenset[str]().union(*map(varying, jax.tree.leaves(problem)))

    def over(names: frozenset[str], leaf: Leaf) -> Leaf:
        missing = tuple(sorted(names - varying(leaf)))
        return cast(Leaf, lax.pcast(leaf, missing, to="varying")) if missing else leaf

    tokens, head, weights = jax.tree.map(partial(over, everywhere - head.axis.names), problem)
    return tokens._replace(hidden=over(everywhere, tokens.hidden)), head, weights


def on_mesh(solve: Solve, tokens: Tokens, head: Head, weights: Values | None) -> tuple[Values, Stats | None]:
    """`solve`, in `shard_map` over the explicit axes of a mesh, as the types of the arrays say how these are split.

    Gradients are summed over devices once, not with every piece of tokens. Tokens stay where they are. So do classes,
    but for what is split over an axis that splits tokens too: that part of the kernel is gathered, and so is one split
    by its width.
    """
    mesh = jax.typeof(tokens.hidden).sharding.mesh
    explicit = {name for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind == AxisType.Explicit}
    if not explicit or AxisType.Manual in mesh.axis_types:
        return solve(tokens, head, weights)
    batch = [_names(entry) for entry in jax.typeof(tokens.hidden).sharding.spec[:-1]]
    taken = {name for names in batch for name in names}
    of_kernel = [_names(entry) for entry in jax.typeof(head.kernel).sharding.spec[1:]]
    *heads, classes = [tuple(name for name in names if name not in taken) for names in of_kernel]
    rows = [*batch, *heads]
    over_rows = tuple(name for names in rows for name in names)

    def on_device(tokens: Tokens, head: Head, weights: Values | None) -> tuple[Values, Stats | None]:
        value, stats = solve(tokens, head._replace(axis=ClassAxis(head.axis.number, classes or None)), weights)
        return value if weights is None or not over_rows else cast(Values, lax.psum(value, over_rows)), stats

    def placed(leaf: Leaf, spec: PartitionSpec) -> Leaf:
        return jax.reshard(leaf, NamedSharding(mesh, spec))

    specs, out = _specs(tokens, head, weights, batch, heads, classes), _spec(rows)
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=specs,
        out_specs=(out if weights is None else PartitionSpec(), out),
        axis_names=explicit,
    )(*jax.tree.map(placed, (tokens, head, weights), specs))


def _specs(
    tokens: Tokens, head: Head, weights: Values | None, batch: list[Names], heads: list[Names], classes: Names
) -> object:
    """How everything is split: a tree like that of the arrays."""
    rows, whole = [*batch, *heads], PartitionSpec()
    soft = tokens.targets.ndim > tokens.keep.ndim
    options = _like(
        Options,
        None if head.options.weight is None else _spec([(), *((),) * len(heads), classes]),
        None if head.options.smoothing is None else whole,
        None if head.options.z_loss is None else whole,
    )
    bias, softcap = None if head.bias is None else _spec([*heads, classes]), None if head.softcap is None else whole
    return (
        _like(Tokens, _spec(batch), _spec([*rows, classes] if soft else rows), _spec(rows)),
        _like(Head, _spec([(), *heads, classes]), bias, softcap, options, head.axis),
        None if weights is None else _spec(rows),
    )


def _like(kind: Callable[..., object], *specs: object) -> object:
    """A tuple of specs that has the type of the one of arrays, as trees that correspond must."""
    return kind(*specs)


def _names(entry: str | Names | None) -> Names:
    return (entry,) if isinstance(entry, str) else entry or ()


def _spec(entries: Iterable[Names]) -> PartitionSpec:
    return PartitionSpec(*(names or None for names in entries))
