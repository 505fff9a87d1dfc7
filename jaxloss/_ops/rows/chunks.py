"""Tokens cut into chunks, and sums over chunks."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Integer, Shaped

from jaxloss._core.class_axis import varying
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.rows.problem import Head, Tokens

T = TypeVar("T")


Index = Integer[Array, ""] | int


Problem = tuple[Tokens, Head, Values]
"""With what to weigh each loss by."""


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


def recomputed(of_piece: Callable[[Index], T]) -> Callable[[Index], T]:
    """With nothing kept for a derivative but the number of the piece: its logits would all be kept otherwise."""
    return jax.checkpoint(of_piece, prevent_cse=False)  # pyright: ignore[reportUnknownVariableType]  # is not annotated


def _zeros(term: jax.ShapeDtypeStruct, shape: tuple[int, ...] | None) -> Values:
    """Where a sum of terms begins: in float32 or better, or in the dtype of one that is put together."""
    if shape is None:
        return _varying(jnp.zeros(term.shape, accumulator(term.dtype)), term)
    return _varying(jnp.zeros(shape, term.dtype), term)


def _varying(zeros: Values, term: jax.ShapeDtypeStruct) -> Values:
    """In `shard_map` a loop's state must be told that it will differ from device to device, as its terms do."""
    axes = tuple(sorted(varying(term)))
    return cast(Values, lax.pcast(zeros, axes, to="varying")) if axes else zeros
