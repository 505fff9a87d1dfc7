"""Chunks of rows, and sums over chunks."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Integer, Shaped

from jaxloss._core.class_axis import varying
from jaxloss._core.counts import is_known
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.rows.problem import Problem

T = TypeVar("T")


Index = Integer[Array, ""] | int


class Chunks(NamedTuple):
    """A division of rows into chunks of one size.

    Chunk i of n holds the rows i, i + n, i + 2n and so on. Where rows are split over devices, each device then holds a
    part of every chunk, and XLA gathers no rows. If no suitable number of chunks divides the number of rows, chunks are
    consecutive, and the last one starts early enough to have the same size: it overlaps the one before it.
    """

    rows: int
    chunk_count: int
    size: int

    @classmethod
    def of(cls, rows: int, chunk_size: int) -> "Chunks":
        """Chunks of at most `chunk_size` rows. A number of rows that is symbolic must be a multiple of that size."""
        if not is_known(rows):
            return cls(rows, rows // chunk_size, chunk_size)
        at_least_one = max(1, rows)
        # Up to twice as many chunks are accepted if their number divides the rows, because strided chunks need it.
        least = math.ceil(at_least_one / chunk_size)
        count = next((count for count in range(least, 2 * least) if at_least_one % count == 0), least)
        size = math.ceil(at_least_one / count)
        return cls(rows, math.ceil(at_least_one / size), size)

    @property
    def strided(self) -> bool:
        """Whether chunks divide the rows, so that they are strided and do not overlap."""
        return self.rows % self.size == 0

    def as_columns(self, leaf: Shaped[Array, "rows ..."]) -> Shaped[Array, "size chunks ..."]:
        """The array with strided chunk i as its column i."""
        return leaf.reshape(self.size, self.chunk_count, *leaf.shape[1:])

    def start(self, index: Index) -> Index:
        """The first row of a consecutive chunk."""
        return jnp.minimum(index * self.size, self.rows - self.size)

    def slice(self, tree: T, index: Index) -> T:
        """One chunk of per-row arrays."""
        if self.chunk_count == 1:
            return tree

        def sliced(leaf: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
            if self.strided:
                return lax.dynamic_slice_in_dim(self.as_columns(leaf), index, 1, 1)[:, 0]
            return lax.dynamic_slice_in_dim(leaf, self.start(index), self.size)

        return jax.tree.map(sliced, tree)

    def chunk(self, problem: Problem, index: Index) -> Problem:
        """One chunk of the problem. Rows that the chunk before it has counted in a sum are masked."""
        rows, weights = self.slice((problem.rows, problem.weights), index)
        if not self.strided and weights is not None:  # without a sum, `concatenate` drops the rows of the overlap
            uncounted = self.start(index) + jnp.arange(self.size) >= index * self.size
            uncounted = jnp.broadcast_to(jnp.expand_dims(uncounted, range(1, weights.ndim)), weights.shape)
            rows = rows._replace(keep=rows.keep & uncounted)
        return problem._replace(rows=rows.zero_masked(), weights=weights)

    def accumulate(
        self, chunk_terms: Callable[[Index], tuple[list[Values], T]], per_row: Sequence[tuple[int, ...] | None]
    ) -> tuple[list[Values], T]:
        """The terms of all chunks, and their per-row results.

        A term with None in `per_row` is summed over the chunks. Another is per row: each chunk writes its part into
        an array of the shape in `per_row`.
        """
        if self.chunk_count == 1:
            terms, results = chunk_terms(0)
            # Programs of several chunks sum in this dtype, and all platforms must agree in it.
            wide = [
                term.astype(accumulator(term.dtype)) if shape is None else term
                for term, shape in zip(terms, per_row, strict=True)
            ]
            return wide, results

        def step(sums: list[Values], index: Index) -> tuple[list[Values], T]:
            # JAX moves computations that no chunk changes out of the loop, such as the class iota, and stores them in
            # arrays of the logits' size. It moves nothing out of a `cond`. Both branches are the same, and XLA sees
            # that it always takes the first.
            terms, results = cast(tuple[list[Values], T], lax.cond(index * 0 == 0, chunk_terms, chunk_terms, index))
            return [self._add(*each, index) for each in zip(sums, terms, per_row, strict=True)], results

        terms, _ = jax.eval_shape(chunk_terms, 0)
        zeros = [_zeros(*each) for each in zip(terms, per_row, strict=True)]
        sums, results = lax.scan(step, zeros, jnp.arange(self.chunk_count))
        return sums, self.concatenate(results)

    def _add(self, total: Values, term: Values, per_row: tuple[int, ...] | None, index: Index) -> Values:
        if per_row is None:
            return total + term.astype(total.dtype)
        if self.strided:
            return lax.dynamic_update_slice_in_dim(self.as_columns(total), term[:, None], index, 1).reshape(total.shape)
        start = self.start(index)  # chunks may overlap: a term is 0 at the rows that its chunk masks
        term += lax.dynamic_slice_in_dim(total, start, self.size)
        return lax.dynamic_update_slice_in_dim(total, term, start, 0)

    def concatenate(self, results: T) -> T:
        """Per-row results in the order of the rows, from the results of each chunk."""
        overlap = self.chunk_count * self.size - self.rows

        def flat(chunks: Shaped[Array, "chunks size ..."]) -> Shaped[Array, "rows ..."]:
            if self.strided:
                return chunks.swapaxes(0, 1).reshape(self.rows, *chunks.shape[2:])
            return jnp.concatenate([chunks[:-1].reshape(-1, *chunks.shape[2:]), chunks[-1, overlap:]])

        return jax.tree.map(flat, results)


def in_whole_chunks(problem: Problem, chunk_size: int) -> Problem:
    """The problem with masked rows at its end, so that chunks of this size divide the number of rows."""
    rows = problem.rows.keep.shape[0]
    missing = -(-rows // chunk_size) * chunk_size - rows

    def padded(leaf: Shaped[Array, "rows ..."]) -> Shaped[Array, "more_rows ..."]:
        return jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1))

    per_row, weights = jax.tree.map(padded, (problem.rows, problem.weights))
    return problem._replace(rows=per_row, weights=weights)


def recomputed(function: Callable[[Index], T]) -> Callable[[Index], T]:
    """The function of a chunk's index, recomputed for a derivative. JAX would otherwise store the logits of all chunks.

    The loop keeps XLA from merging the two computations. So `prevent_cse`, which costs barriers, is off.
    """
    return jax.checkpoint(function, prevent_cse=False)  # pyright: ignore[reportUnknownVariableType]  # is not annotated


def _zeros(term: jax.ShapeDtypeStruct, shape: tuple[int, ...] | None) -> Values:
    """The start of a sum of terms, in float32 or wider. Given a shape, an array to write per-row terms into."""
    if shape is None:
        return _varying(jnp.zeros(term.shape, accumulator(term.dtype)), term)
    return _varying(jnp.zeros(shape, term.dtype), term)


def _varying(zeros: Values, term: jax.ShapeDtypeStruct) -> Values:
    """Zeros that vary over devices as the term does: within `shard_map` the type of a loop's state must not change."""
    axes = tuple(sorted(varying(term)))
    return cast(Values, lax.pcast(zeros, axes, to="varying")) if axes else zeros
