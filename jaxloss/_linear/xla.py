"""Linear cross-entropy in pieces of tokens: the logits of all tokens never exist at once, in no derivative.

A scalar total is computed together with its gradient: a piece's logits become their own gradient in place, and its
products with the kernel and with hidden follow at once, three matrix products in all. The tangent of the total is the
inner product of that gradient with the inputs' tangents: transposed, it scales the gradient; forward mode and higher
derivatives are those of plain JAX code. Losses that are not summed take four products: their logits are computed again.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Integer, Shaped

from jaxloss._linear.problem import Head, Stats, Tokens, contract, losses, project
from jaxloss._numerics import custom_jvp
from jaxloss._reduce import accumulator

T = TypeVar("T")
Values = Float[Array, "..."]
Index = Integer[Array, ""] | int
Problem = tuple[Tokens, Head, Values]
"""With what to weigh each loss by."""


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
        return nothing, _recomputed(of_piece)(index)

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

    (value, *slopes), stats = cut.accumulated(_recomputed(of_piece), [None, *whole])
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


class Cut(NamedTuple):
    """Tokens cut into pieces of one size.

    Piece i of n is tokens i, i + n, i + 2n...: where tokens are split over devices, each has its share of every piece,
    and XLA gathers none. If no number of pieces divides the tokens, pieces are of consecutive ones, and the last begins
    early enough to be whole.
    """

    tokens: int
    number: int
    size: int

    @classmethod
    def of(cls, tokens: Tokens, head: Head, chunk_size: int | None) -> "Cut":
        count = max(1, tokens.hidden.shape[0])
        size = cls.default_size(math.prod(head.kernel.shape[1:])) if chunk_size is None else chunk_size
        least = math.ceil(count / size)
        number = next((number for number in range(least, 2 * least) if count % number == 0), least)
        size = math.ceil(count / number)
        return cls(tokens.hidden.shape[0], math.ceil(count / size), size)

    @staticmethod
    def default_size(classes: int) -> int:
        """Tokens at a time: so many that the kernel's gradient, read and written with each piece, does not matter."""
        enough, budget = (512, 128 * 2**20) if jax.default_backend() == "cpu" else (4096, 2 * 2**30)
        return min(max(enough, budget // (4 * classes)), 2 * enough)

    @property
    def even(self) -> bool:
        return self.tokens % self.size == 0

    def folded(self, leaf: Shaped[Array, "tokens ..."]) -> Shaped[Array, "size pieces ..."]:
        return leaf.reshape(self.size, self.number, *leaf.shape[1:])

    def start(self, index: Index) -> Index:
        """The first token of a piece of consecutive ones."""
        return jnp.minimum(index * self.size, self.tokens - self.size)

    def window(self, tree: T, index: Index) -> T:
        """The tokens of a piece."""
        if self.number == 1:
            return tree

        def sliced(leaf: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
            if self.even:
                return lax.dynamic_slice_in_dim(self.folded(leaf), index, 1, 1)[:, 0]
            return lax.dynamic_slice_in_dim(leaf, self.start(index), self.size)

        return jax.tree.map(sliced, tree)

    def piece(self, problem: Problem, index: Index) -> Problem:
        """A piece, in which what an earlier one has counted is left out."""
        tokens, head, weights = problem
        tokens, weights = self.window((tokens, weights), index)
        if not self.even:
            fresh = self.start(index) + jnp.arange(self.size) >= index * self.size
            fresh = jnp.broadcast_to(jnp.expand_dims(fresh, range(1, weights.ndim)), weights.shape)
            tokens = tokens._replace(keep=tokens.keep & fresh)
        return tokens.cleared(), head, weights

    def accumulated(
        self, of_piece: Callable[[Index], tuple[list[Values], T]], whole: Sequence[Values | None]
    ) -> tuple[list[Values], T]:
        """The pieces' values added up; where `whole` is given, each in the place of its tokens in an array like it."""
        if self.number == 1:
            return of_piece(0)

        def step(sums: list[Values], index: Index) -> tuple[list[Values], T]:
            # Both branches are the same, and XLA sees that it is always the first. JAX does not: it would otherwise
            # move what no piece depends on, such as the numbers of the classes, out of the loop, in arrays of the
            # logits' size.
            terms, found = cast(tuple[list[Values], T], lax.cond(index * 0 == 0, of_piece, of_piece, index))
            return [self._added(*each, index) for each in zip(sums, terms, whole, strict=True)], found

        terms, _ = jax.eval_shape(of_piece, 0)
        zeros = [_zeros(term, None if like is None else like.shape) for term, like in zip(terms, whole, strict=True)]
        sums, found = lax.scan(step, zeros, jnp.arange(self.number))
        return sums, self.joined(found)

    def _added(self, total: Values, term: Values, whole: Values | None, index: Index) -> Values:
        if whole is None:
            return total + term.astype(total.dtype)
        if self.even:
            return lax.dynamic_update_slice_in_dim(self.folded(total), term[:, None], index, 1).reshape(total.shape)
        start = self.start(index)  # pieces overlap: what is left out of one is 0 there
        term += lax.dynamic_slice_in_dim(total, start, self.size)
        return lax.dynamic_update_slice_in_dim(total, term, start, 0)

    def joined(self, found: T) -> T:
        """What was found of every token, from what was found in every piece."""
        twice = self.number * self.size - self.tokens

        def flat(pieces: Shaped[Array, "pieces size ..."]) -> Shaped[Array, "tokens ..."]:
            if self.even:
                return pieces.swapaxes(0, 1).reshape(self.tokens, *pieces.shape[2:])
            return jnp.concatenate([pieces[:-1].reshape(-1, *pieces.shape[2:]), pieces[-1, twice:]])

        return jax.tree.map(flat, found)


def _recomputed(of_piece: Callable[[Index], T]) -> Callable[[Index], T]:
    """With nothing kept for a derivative but the number of the piece: its logits would all be kept otherwise."""
    return jax.checkpoint(of_piece, prevent_cse=False)  # pyright: ignore[reportUnknownVariableType]  # is not annotated


def _zeros(term: jax.ShapeDtypeStruct, shape: tuple[int, ...] | None) -> Values:
    """Where a sum of terms begins: in float32 or better, or in the dtype of one that is put together."""
    if shape is None:
        return _varying(jnp.zeros(term.shape, accumulator(term.dtype)), term)
    return _varying(jnp.zeros(shape, term.dtype), term)


def _varying(zeros: Values, term: jax.ShapeDtypeStruct) -> Values:
    """In `shard_map` a loop's state must be told that it will differ from device to device, as its terms do."""
    manual = term.manual_axis_type
    varying: tuple[str, ...] = () if manual is None else tuple(manual.varying)
    return cast(Values, lax.pcast(zeros, varying, to="varying")) if varying else zeros


def _is_zero(dot: object) -> bool:
    return isinstance(dot, SymbolicZero)
