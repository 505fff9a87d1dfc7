"""Linear cross-entropy in chunks of tokens: no derivative holds the logits of all tokens at once.

A scalar total is computed together with its gradient. A chunk's logits become their gradient in place, and the products
with the kernel and with hidden follow in the same step: three matrix products in all. The tangent of the total is the
inner product of that gradient with the inputs' tangents. Its transpose scales the gradient. Forward mode and higher
derivatives are those of plain JAX code. Unreduced losses take four products, because their logits are recomputed for
the gradient.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.rows.chunks import Chunks, Index, Problem, recomputed
from jaxloss._ops.rows.problem import Projection, Stats, Tokens, contract, project, token_losses


def unreduced(
    tokens: Tokens, projection: Projection, chunk_size: int | None
) -> tuple[Float[Array, "tokens *heads"], Stats | None]:
    """The loss of each token."""
    chunks = Chunks.of(tokens, projection, chunk_size)
    # The transposed loop adds up the chunks' gradients of the kernel in the dtype that the kernel has outside the loop.
    # So that is float32 or wider. XLA sees that the casts of the value cancel.
    dtype = projection.kernel.dtype
    projection = projection._replace(kernel=projection.kernel.astype(accumulator(dtype)))

    def chunk_losses(index: Index) -> tuple[Values, Stats | None]:
        chunk = chunks.slice(tokens, index).zero_masked()
        return token_losses(chunk, projection, project(chunk.hidden, projection.kernel.astype(dtype)))

    if chunks.chunk_count == 1:
        return chunk_losses(0)

    def step(no_state: None, index: Index) -> tuple[None, tuple[Values, Stats | None]]:
        return no_state, recomputed(chunk_losses)(index)

    return chunks.concatenate(lax.scan(step, None, jnp.arange(chunks.chunk_count))[1])


@custom_jvp(1)
def total(problem: Problem, chunk_size: int | None) -> tuple[Float[Array, ""], Stats | None]:
    """The sum of the losses times their weights."""
    chunks = Chunks.of(*problem[:2], chunk_size)

    def chunk_total(index: Index) -> tuple[list[Values], Stats | None]:
        chunk = chunks.chunk(problem, index)
        value, stats = _weighted_sum(project(chunk[0].hidden, chunk[1].kernel), chunk)
        return [value], stats

    (value,), stats = chunks.accumulate(chunk_total, [None])
    return value, stats


def _total_jvp(
    chunk_size: int | None, primals: tuple[Problem], tangents: tuple[object]
) -> tuple[tuple[Values, Stats | None], tuple[Values, Stats | None]]:
    dots: list[Values] = jax.tree.leaves(tangents, is_leaf=_is_zero)
    # Only leaves with a tangent get a gradient: that of the kernel costs a third of the time.
    active = tuple(position for position, dot in enumerate(dots) if not _is_zero(dot))
    value, stats, slopes = _total_and_gradient(*primals, active, chunk_size)
    axis = primals[0][1].axis
    tangent = jnp.zeros((), value.dtype)
    for slope, position in zip(slopes, active, strict=True):
        tangent += axis.all_reduce_if_varying(jnp.sum(slope * dots[position].astype(slope.dtype), dtype=tangent.dtype))
    stats_tangent = None if stats is None else Stats(*(jnp.zeros_like(each) for each in stats))
    return (value, stats), (tangent, stats_tangent)


total.defjvp(_total_jvp, symbolic_zeros=True)


def _total_and_gradient(
    problem: Problem, active: Sequence[int], chunk_size: int | None
) -> tuple[Values, Stats | None, list[Values]]:
    """The total, and its gradient in the active leaves of the problem."""
    chunks = Chunks.of(*problem[:2], chunk_size)
    leaves: list[Values] = jax.tree.leaves(problem)
    tokens, _, _ = problem
    shared = range(len(jax.tree.leaves(tokens)), len(leaves) - 1)
    per_token = [None if position in shared else leaves[position] for position in active]

    def chunk_total(index: Index) -> tuple[list[Values], Stats | None]:
        value, stats, slopes = _chunk_total_and_gradient(chunks.chunk(problem, index), active)
        return [value, *slopes], stats

    (value, *slopes), stats = chunks.accumulate(recomputed(chunk_total), [None, *per_token])
    return value, stats, slopes


def _chunk_total_and_gradient(chunk: Problem, active: Sequence[int]) -> tuple[Values, Stats | None, list[Values]]:
    """The total of one chunk, and its gradient in the active leaves.

    JAX differentiates in the product hidden @ kernel and in all leaves but these two. Their gradients are products with
    the gradient of the logits, written out: JAX's would have other dtypes and transposes.
    """
    tokens, projection, _ = chunk
    leaves: list[Values] = jax.tree.leaves(chunk)
    hidden, kernel = 0, len(jax.tree.leaves(tokens))  # the positions of the first leaves of tokens and projection
    rest = [position for position in active if position not in (hidden, kernel)]

    def total_of(product: Values, rest_leaves: list[Values]) -> tuple[Values, Stats | None]:
        changed = dict(zip(rest, rest_leaves, strict=True))
        replaced = [changed.get(position, leaf) for position, leaf in enumerate(leaves)]
        rebuilt: Problem = jax.tree.unflatten(jax.tree.structure(chunk), replaced)  # pyright: ignore[reportUnknownArgumentType]  # a tree's structure is not typed
        return _weighted_sum(product, rebuilt)

    # One forward pass serves the value and the gradient: both see the same logits.
    product = project(tokens.hidden, projection.kernel)
    differentiated = jax.value_and_grad(total_of, (0, 1), has_aux=True)
    results: tuple[tuple[Values, Stats | None], tuple[Values, list[Values]]]
    results = differentiated(product, [leaves[position] for position in rest])
    (value, stats), (product_slope, rest_slopes) = results
    product_slope = product_slope.astype(projection.kernel.dtype)
    slopes = dict(zip(rest, rest_slopes, strict=True))
    if hidden in active:
        heads = tuple(range(1, product.ndim))
        # The product is rounded afterwards: XLA's CPU would copy the kernel in float32 for a result in bfloat16.
        slope = contract(product_slope, projection.kernel, heads, heads, accumulator(projection.kernel.dtype))
        slopes[hidden] = slope.astype(tokens.hidden.dtype)
    if kernel in active:
        slopes[kernel] = contract(tokens.hidden, product_slope, (0,), (0,), accumulator(projection.kernel.dtype))
    return value, stats, [slopes[position] for position in active]


def _weighted_sum(product: Values, problem: Problem) -> tuple[Values, Stats | None]:
    """The sum of a chunk's losses times their weights."""
    tokens, projection, weights = problem
    each, stats = token_losses(tokens, projection, product)
    return jnp.sum(weights * each), stats


def _is_zero(dot: object) -> bool:
    return isinstance(dot, SymbolicZero)
