"""Chunks of tokens, and sums over chunks."""

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
from jaxloss._ops.rows.problem import Projection, Tokens

T = TypeVar("T")


Index = Integer[Array, ""] | int


Problem = tuple[Tokens, Projection, Values]
"""Tokens, the linear map, and the weight of each loss in the total."""


class Chunks(NamedTuple):
    """A division of the tokens into chunks of one size.

    Chunk i of n holds the tokens i, i + n, i + 2n and so on. Where tokens are split over devices, each device then
    holds a part of every chunk, and XLA gathers no tokens. If no suitable number of chunks divides the number of
    tokens, chunks are consecutive, and the last one starts early enough to have the same size: it overlaps the one
    before it.
    """

    tokens: int
    chunk_count: int
    size: int

    @classmethod
    def of(cls, tokens: Tokens, projection: Projection, chunk_size: int | None) -> "Chunks":
        rows = max(1, tokens.hidden.shape[0])
        size = cls.default_size(math.prod(projection.kernel.shape[1:])) if chunk_size is None else chunk_size
        # Up to twice as many chunks are accepted if their number divides the tokens, because strided chunks need it.
        least = math.ceil(rows / size)
        count = next((count for count in range(least, 2 * least) if rows % count == 0), least)
        size = math.ceil(rows / count)
        return cls(tokens.hidden.shape[0], math.ceil(rows / size), size)

    @staticmethod
    def default_size(classes: int) -> int:
        """Default chunk: large enough that reading and writing the kernel's gradient once per chunk is negligible."""
        enough, budget = (512, 128 * 2**20) if jax.default_backend() == "cpu" else (4096, 2 * 2**30)
        return min(max(enough, budget // (4 * classes)), 2 * enough)

    @property
    def strided(self) -> bool:
        """Whether chunks divide the tokens, so that they are strided and do not overlap."""
        return self.tokens % self.size == 0

    def as_columns(self, leaf: Shaped[Array, "tokens ..."]) -> Shaped[Array, "size chunks ..."]:
        """The array with strided chunk i as its column i."""
        return leaf.reshape(self.size, self.chunk_count, *leaf.shape[1:])

    def start(self, index: Index) -> Index:
        """The first token of a consecutive chunk."""
        return jnp.minimum(index * self.size, self.tokens - self.size)

    def slice(self, tree: T, index: Index) -> T:
        """One chunk of per-token arrays."""
        if self.chunk_count == 1:
            return tree

        def sliced(leaf: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
            if self.strided:
                return lax.dynamic_slice_in_dim(self.as_columns(leaf), index, 1, 1)[:, 0]
            return lax.dynamic_slice_in_dim(leaf, self.start(index), self.size)

        return jax.tree.map(sliced, tree)

    def chunk(self, problem: Problem, index: Index) -> Problem:
        """One chunk of the problem. Tokens that the chunk before it has counted are masked."""
        tokens, projection, weights = problem
        tokens, weights = self.slice((tokens, weights), index)
        if not self.strided:
            uncounted = self.start(index) + jnp.arange(self.size) >= index * self.size
            uncounted = jnp.broadcast_to(jnp.expand_dims(uncounted, range(1, weights.ndim)), weights.shape)
            tokens = tokens._replace(keep=tokens.keep & uncounted)
        return tokens.zero_masked(), projection, weights

    def accumulate(
        self, chunk_terms: Callable[[Index], tuple[list[Values], T]], per_token: Sequence[Values | None]
    ) -> tuple[list[Values], T]:
        """The terms of all chunks, and their per-token results.

        A term with None in `per_token` is summed over the chunks. Another is per token: each chunk writes its part into
        an array of the shape in `per_token`.
        """
        if self.chunk_count == 1:
            return chunk_terms(0)

        def step(sums: list[Values], index: Index) -> tuple[list[Values], T]:
            # JAX moves computations that no chunk changes out of the loop, such as the class iota, and stores them in
            # arrays of the logits' size. It moves nothing out of a `cond`. Both branches are the same, and XLA sees
            # that it always takes the first.
            terms, results = cast(tuple[list[Values], T], lax.cond(index * 0 == 0, chunk_terms, chunk_terms, index))
            return [self._add(*each, index) for each in zip(sums, terms, per_token, strict=True)], results

        terms, _ = jax.eval_shape(chunk_terms, 0)
        zeros = [
            _zeros(term, None if like is None else like.shape) for term, like in zip(terms, per_token, strict=True)
        ]
        sums, results = lax.scan(step, zeros, jnp.arange(self.chunk_count))
        return sums, self.concatenate(results)

    def _add(self, total: Values, term: Values, per_token: Values | None, index: Index) -> Values:
        if per_token is None:
            return total + term.astype(total.dtype)
        if self.strided:
            return lax.dynamic_update_slice_in_dim(self.as_columns(total), term[:, None], index, 1).reshape(total.shape)
        start = self.start(index)  # chunks may overlap: a term is 0 at the tokens that its chunk masks
        term += lax.dynamic_slice_in_dim(total, start, self.size)
        return lax.dynamic_update_slice_in_dim(total, term, start, 0)

    def concatenate(self, results: T) -> T:
        """Per-token results in the order of the tokens, from the results of each chunk."""
        overlap = self.chunk_count * self.size - self.tokens

        def flat(chunks: Shaped[Array, "chunks size ..."]) -> Shaped[Array, "tokens ..."]:
            if self.strided:
                return chunks.swapaxes(0, 1).reshape(self.tokens, *chunks.shape[2:])
            return jnp.concatenate([chunks[:-1].reshape(-1, *chunks.shape[2:]), chunks[-1, overlap:]])

        return jax.tree.map(flat, results)


def recomputed(function: Callable[[Index], T]) -> Callable[[Index], T]:
    """The function of a chunk's index, recomputed for a derivative. JAX would otherwise store the logits of all chunks.

    The loop keeps XLA from merging the two computations. So `prevent_cse`, which costs barriers, is off.
    """
    return jax.checkpoint(function, prevent_cse=False)  # pyright: ignore[reportUnknownVariableType]  # is not annotated


def _zeros(term: jax.ShapeDtypeStruct, shape: tuple[int, ...] | None) -> Values:
    """The start of a sum of terms, in float32 or wider. Given a shape, an array to write per-token terms into."""
    if shape is None:
        return _varying(jnp.zeros(term.shape, accumulator(term.dtype)), term)
    return _varying(jnp.zeros(shape, term.dtype), term)


def _varying(zeros: Values, term: jax.ShapeDtypeStruct) -> Values:
    """Zeros that vary over devices as the term does: within `shard_map` the type of a loop's state must not change."""
    axes = tuple(sorted(varying(term)))
    return cast(Values, lax.pcast(zeros, axes, to="varying")) if axes else zeros
