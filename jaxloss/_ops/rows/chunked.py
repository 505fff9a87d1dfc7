"""The losses of rows in chunks: no derivative holds the logits of all rows at once.

A scalar total is computed together with its gradient. A chunk's logits become their gradient in place, and the products
with the kernel and with hidden follow in the same step: three matrix products in all. Unreduced losses take four
products, because their logits are recomputed for the gradient.

The platforms differ in the size of the chunks and in one product. Their files name both.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxloss._core.dtypes import accumulator, has_small_range
from jaxloss._core.types import Values
from jaxloss._ops.rows.chunks import Chunks, Index, recomputed
from jaxloss._ops.rows.formula import contract, narrowed, project, row_losses, weighted_sum
from jaxloss._ops.rows.problem import Problem, RowLoss, Stats


class Tuning(NamedTuple):
    """The choices that depend on the platform."""

    chunk_rows: Callable[[int, int, int], int]
    """The default rows of a chunk, for a number of rows, a width of their hidden states, and the logits per row."""
    kernel_gradient: Callable[[Values, Values], Values]
    """The product over the rows of a chunk's hidden states and of the gradient of its logits."""
    gradient_rows: Callable[[Values, Values], int] | None = None
    """The default rows of a chunk of a total with its gradient, for hidden and kernel; None stands for `chunk_rows`."""
    logits_rows: int | None = None
    """The most rows whose logits are in memory at once, where their gradients are narrower and those of all rows of a
    chunk are in memory. None stands for all rows of a chunk."""


def has_narrow_gradients(kernel: Values) -> bool:
    """Whether the gradients of the logits, in the kernel's dtype, take less memory than the logits."""
    return kernel.dtype != accumulator(kernel.dtype)


def losses(problem: Problem, loss: RowLoss[Stats], chunks: Chunks) -> tuple[Values, Stats]:
    """The loss of each row."""
    # The transposed loop adds up the chunks' gradients of the kernel in the dtype that the kernel has outside the loop.
    # So that is float32 or wider. XLA sees that the casts of the value cancel.
    dtype = problem.shared.kernel.dtype
    wide = problem.shared.kernel.astype(accumulator(dtype))

    def chunk_losses(wide: Values, index: Index) -> tuple[Values, Stats]:
        chunk = chunks.chunk(problem, index)
        return row_losses(project(chunk.rows.hidden, wide.astype(dtype)), chunk, loss)

    if chunks.chunk_count == 1:  # its logits are stored for the gradient, which saves a product
        return chunk_losses(wide, 0)

    def step(no_state: None, index: Index) -> tuple[None, tuple[Values, Stats]]:
        return no_state, recomputed(partial(chunk_losses, wide))(index)

    return chunks.concatenate(lax.scan(step, None, jnp.arange(chunks.chunk_count))[1])


def total(problem: Problem, loss: RowLoss[Stats], chunks: Chunks) -> tuple[Values, Stats]:
    """The sum of the losses times their weights."""

    def chunk_total(index: Index) -> tuple[list[Values], Stats]:
        chunk = chunks.chunk(problem, index)
        value, stats = weighted_sum(project(chunk.rows.hidden, chunk.shared.kernel), chunk, loss)
        return [value], stats

    (value,), stats = chunks.accumulate(chunk_total, [None])
    return value, stats


def total_and_gradient(
    problem: Problem,
    loss: RowLoss[Stats],
    chunks: Chunks,
    tuning: Tuning,
    active: Sequence[int],
) -> tuple[Values, Stats, list[Values]]:
    """The total, and its gradient in the active leaves of the problem."""
    leaves: list[Values] = jax.tree.leaves(problem)
    # The gradient of a shared leaf is a sum over chunks. That of a per-row leaf is written chunk by chunk.
    shared = range(len(jax.tree.leaves(problem.rows)), len(leaves) - 1)
    per_row = [None if position in shared else leaves[position].shape for position in active]

    def chunk_total(index: Index) -> tuple[list[Values], Stats]:
        value, stats, slopes = _chunk_total_and_gradient(chunks.chunk(problem, index), loss, tuning, active)
        return [value, *slopes], stats

    (value, *slopes), stats = chunks.accumulate(recomputed(chunk_total), [None, *per_row])
    return value, stats, slopes


def _chunk_total_and_gradient(
    chunk: Problem,
    loss: RowLoss[Stats],
    tuning: Tuning,
    active: Sequence[int],
) -> tuple[Values, Stats, list[Values]]:
    """The total of one chunk, and its gradient in the active leaves.

    JAX differentiates in the product hidden @ kernel and in all leaves but these two. Their gradients are products with
    the gradient of the logits, written out: JAX's would have other dtypes and transposes.
    """
    hidden, kernel = chunk.rows.hidden, chunk.shared.kernel
    at_hidden, at_kernel = 0, len(jax.tree.leaves(chunk.rows))  # the positions of the first leaves of rows and shared
    rest = [position for position in active if position not in (at_hidden, at_kernel)]
    (value, product_slope, scale, rest_slopes), stats = _logits_gradients(chunk, loss, tuning, rest)
    slopes = dict(zip(rest, rest_slopes, strict=True))
    if at_hidden in active:
        heads = tuple(range(1, product_slope.ndim))
        # The product is rounded afterwards: XLA's CPU would copy the kernel in float32 for a result in bfloat16.
        slope = contract(product_slope, kernel, heads, heads, accumulator(kernel.dtype))
        # Scaled slopes stay in float32 until the cotangent has multiplied them.
        slopes[at_hidden] = slope.astype(hidden.dtype) if scale is None else slope * scale.reshape(-1, 1)
    if at_kernel in active:
        slopes[at_kernel] = _kernel_slope(hidden, product_slope, scale, tuning)
    return value, stats, [slopes[position] for position in active]


class _LogitsGradients(NamedTuple):
    """The total of a chunk, and its gradient in the logits and in the leaves but hidden and kernel."""

    value: Values
    logits: Values
    scale: Values | None
    """The number that divided the gradients of each row's logits; None stands for 1."""
    rest: list[Values]


def _logits_gradients(
    chunk: Problem, loss: RowLoss[Stats], tuning: Tuning, rest: Sequence[int]
) -> tuple[_LogitsGradients, Stats]:
    """The gradients of a chunk's logits, from smaller chunks if not all of its logits may be in memory at once."""
    size = tuning.logits_rows
    rows = chunk.rows.hidden.shape[0]
    if size is None or rows <= size or not has_narrow_gradients(chunk.shared.kernel):
        return _logits_gradients_at_once(chunk, loss, rest)
    at_once = partial(_logits_gradients_at_once, loss=loss, rest=rest)
    parts = Chunks.of(rows, size)
    shapes, _ = jax.eval_shape(at_once, chunk)
    if shapes.scale is not None and not parts.strided:  # the scales of rows in two parts would be added
        return at_once(chunk)

    def terms(index: Index) -> tuple[list[Values], Stats]:
        found, stats = at_once(parts.chunk(chunk, index))
        return jax.tree.leaves(found), stats

    leaves: list[Values] = jax.tree.leaves(chunk)
    shared = range(len(jax.tree.leaves(chunk.rows)), len(leaves) - 1)
    of_logits = [array.shape for array in (shapes.logits, shapes.scale) if array is not None]
    per_row = [None, *of_logits, *(None if position in shared else leaves[position].shape for position in rest)]
    found, stats = parts.accumulate(recomputed(terms), per_row)
    return jax.tree.unflatten(jax.tree.structure(shapes), found), stats  # pyright: ignore[reportUnknownArgumentType]  # a tree's structure is not typed


def _logits_gradients_at_once(
    chunk: Problem, loss: RowLoss[Stats], rest: Sequence[int]
) -> tuple[_LogitsGradients, Stats]:
    leaves: list[Values] = jax.tree.leaves(chunk)

    def total_of(product: Values, rest_leaves: list[Values]) -> tuple[Values, Stats]:
        changed = dict(zip(rest, rest_leaves, strict=True))
        replaced = [changed.get(position, leaf) for position, leaf in enumerate(leaves)]
        return weighted_sum(product, jax.tree.unflatten(jax.tree.structure(chunk), replaced), loss)  # pyright: ignore[reportUnknownArgumentType]  # a tree's structure is not typed

    # One forward pass serves the value and the gradient: both see the same logits.
    product = project(chunk.rows.hidden, chunk.shared.kernel)
    differentiated = jax.value_and_grad(total_of, (0, 1), has_aux=True)
    results: tuple[tuple[Values, Stats], tuple[Values, list[Values]]]
    results = differentiated(product, [_wide_range(leaves[position]) for position in rest])
    (value, stats), (slopes, rest_slopes) = results
    # Rounded to the inputs' dtype, so that both products multiply arrays of one dtype.
    return _LogitsGradients(value, *narrowed(slopes, chunk.shared.kernel.dtype), rest_slopes), stats


def _kernel_slope(hidden: Values, product_slope: Values, scale: Values | None, tuning: Tuning) -> Values:
    """The kernel's gradient from narrowed slopes and the scale of each row."""
    if scale is None:
        return tuning.kernel_gradient(hidden, product_slope)
    # The product sums over the rows, so that their scales must join a factor: the one that is smaller than the logits.
    largest = jnp.max(scale)
    scaled = hidden * (scale / largest).reshape(-1, 1).astype(hidden.dtype)
    return tuning.kernel_gradient(scaled, product_slope) * largest


def _wide_range(leaf: Values) -> Values:
    """The leaf in a dtype that can hold its gradient before the cotangent has multiplied it."""
    return leaf.astype(accumulator(leaf.dtype)) if has_small_range(leaf.dtype) else leaf
