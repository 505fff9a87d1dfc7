"""Linear cross-entropy in pieces of tokens: the logits of all tokens never exist at once, in no derivative.

A scalar total is computed together with its gradient: a piece's logits become their own gradient in place, and its
products with the kernel and with hidden follow at once, three matrix products in all. The tangent of the total is the
inner product of that gradient with the inputs' tangents: transposed, it scales the gradient; forward mode and higher
derivatives are those of plain JAX code. Losses that are not summed take four products: their logits are computed again.
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
from jaxloss._ops.rows.chunks import Cut, Index, Problem, recomputed
from jaxloss._ops.rows.problem import Head, Stats, Tokens, contract, losses, project


def unreduced(tokens: Tokens, head: Head, chunk_size: int | None) -> tuple[Float[Array, "tokens *heads"], Stats | None]:
    """The losses, one by one."""
    cut = Cut.of(tokens, head, chunk_size)
    # In this dtype the pieces' gradients of the kernel add up. XLA sees that the casts cancel.
    dtype = head.kernel.dtype
    head = head._replace(kernel=head.kernel.astype(accumulator(dtype)))

    def of_piece(index: Index) -> tuple[Values, Stats | None]:
        piece = cut.window(tokens, index).cleared()
        return losses(piece, head, project(piece.hidden, head.kernel.astype(dtype)))

    if cut.number == 1:
        return of_piece(0)

    def step(nothing: None, index: Index) -> tuple[None, tuple[Values, Stats | None]]:
        return nothing, recomputed(of_piece)(index)

    return cut.joined(lax.scan(step, None, jnp.arange(cut.number))[1])


@custom_jvp(1)
def total(problem: Problem, chunk_size: int | None) -> tuple[Float[Array, ""], Stats | None]:
    """The sum of the losses times their weights."""
    cut = Cut.of(*problem[:2], chunk_size)

    def of_piece(index: Index) -> tuple[list[Values], Stats | None]:
        piece = cut.piece(problem, index)
        value, stats = _weighed(project(piece[0].hidden, piece[1].kernel), piece)
        return [value], stats

    (value,), stats = cut.accumulated(of_piece, [None])
    return value, stats


def _total_jvp(
    chunk_size: int | None, primals: tuple[Problem], tangents: tuple[object]
) -> tuple[tuple[Values, Stats | None], tuple[Values, Stats | None]]:
    dots: list[Values] = jax.tree.leaves(tangents, is_leaf=_is_zero)
    wanted = tuple(position for position, dot in enumerate(dots) if not _is_zero(dot))
    value, stats, slopes = _total_and_gradient(*primals, wanted, chunk_size)
    axis = primals[0][1].axis
    along = jnp.zeros((), value.dtype)
    for slope, position in zip(slopes, wanted, strict=True):
        along += axis.settled(jnp.sum(slope * dots[position].astype(slope.dtype), dtype=along.dtype))
    still = None if stats is None else Stats(*(jnp.zeros_like(each) for each in stats))
    return (value, stats), (along, still)


total.defjvp(_total_jvp, symbolic_zeros=True)


def _total_and_gradient(
    problem: Problem, wanted: Sequence[int], chunk_size: int | None
) -> tuple[Values, Stats | None, list[Values]]:
    """The total, and its gradient in the wanted leaves of the problem."""
    cut = Cut.of(*problem[:2], chunk_size)
    leaves: list[Values] = jax.tree.leaves(problem)
    tokens, _, _ = problem
    shared = range(len(jax.tree.leaves(tokens)), len(leaves) - 1)
    whole = [None if position in shared else leaves[position] for position in wanted]

    def of_piece(index: Index) -> tuple[list[Values], Stats | None]:
        value, stats, slopes = _piece_and_gradient(cut.piece(problem, index), wanted)
        return [value, *slopes], stats

    (value, *slopes), stats = cut.accumulated(recomputed(of_piece), [None, *whole])
    return value, stats, slopes


def _piece_and_gradient(piece: Problem, wanted: Sequence[int]) -> tuple[Values, Stats | None, list[Values]]:
    tokens, head, _ = piece
    leaves: list[Values] = jax.tree.leaves(piece)
    hidden, kernel = 0, len(jax.tree.leaves(tokens))  # the first leaf of the tokens, and that of the head
    others = [position for position in wanted if position not in (hidden, kernel)]

    def of_product(product: Values, given: list[Values]) -> tuple[Values, Stats | None]:
        changed = dict(zip(others, given, strict=True))
        replaced = [changed.get(position, leaf) for position, leaf in enumerate(leaves)]
        rebuilt: Problem = jax.tree.unflatten(jax.tree.structure(piece), replaced)  # pyright: ignore[reportUnknownArgumentType]  # a tree's structure is not typed
        return _weighed(product, rebuilt)

    # The forward pass of the value and of the gradient is one: both see the same logits.
    product = project(tokens.hidden, head.kernel)
    differentiated = jax.value_and_grad(of_product, (0, 1), has_aux=True)
    found: tuple[tuple[Values, Stats | None], tuple[Values, list[Values]]]
    found = differentiated(product, [leaves[position] for position in others])
    (value, stats), (along_product, along_others) = found
    along_product = along_product.astype(head.kernel.dtype)
    slopes = dict(zip(others, along_others, strict=True))
    if hidden in wanted:
        heads = tuple(range(1, product.ndim))
        # Rounded after the product: XLA's CPU would copy the kernel in float32 for a result in bfloat16.
        slope = contract(along_product, head.kernel, heads, heads, accumulator(head.kernel.dtype))
        slopes[hidden] = slope.astype(tokens.hidden.dtype)
    if kernel in wanted:
        slopes[kernel] = contract(tokens.hidden, along_product, (0,), (0,), accumulator(head.kernel.dtype))
    return value, stats, [slopes[position] for position in wanted]


def _weighed(product: Values, problem: Problem) -> tuple[Values, Stats | None]:
    tokens, head, weights = problem
    each, stats = losses(tokens, head, product)
    return jnp.sum(weights * each), stats


def _is_zero(dot: object) -> bool:
    return isinstance(dot, SymbolicZero)
