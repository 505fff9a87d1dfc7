"""The triplets of a batch, for `metric`: each example is an anchor, and its distances choose positives and negatives.

Distances are made of squared differences. Sums of squares minus a product would lose the digits of a small distance,
and would rank near examples by rounding.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.counts import is_known
from jaxloss._core.dtypes import accumulator, limits
from jaxloss._core.elementwise import hinge, root, softplus
from jaxloss._core.extended_range import power_of_2_over
from jaxloss._core.types import AnyArray, Values
from jaxloss._core.vectors import Directions
from jaxloss._ops.rows.mapped import map_chunks

TripletDistance: TypeAlias = Literal["euclidean", "squared", "cosine"]
Mining: TypeAlias = Literal["hard", "semihard", "all"]
Losses: TypeAlias = tuple[Float[Array, "anchors"], Float[Array, "anchors"]]
"""The losses of anchors, and how much each adds to the mean's denominator."""

Numbers: TypeAlias = Integer[Array, "anchors"]
Bools: TypeAlias = Bool[Array, "anchors examples"]

T = TypeVar("T")

DIFFERENCES = 2**22
"""The components of the differences of a chunk of anchors to all examples, which a gradient has in memory."""
TRIPLETS = 2**20
"""The triplets of a chunk, where each of them has a term in memory."""


class Examples(NamedTuple):
    """Arrays with one entry per example."""

    vectors: Float[Array, "examples width"]
    offset: Float[Array, "examples"]
    """A number that each of two examples adds to their distance."""
    targets: Integer[Array, "examples"]
    keep: Bool[Array, "examples"]
    number: Integer[Array, "examples"]


class Batch(NamedTuple):
    """The examples of a batch, and the unit of their distances."""

    examples: Examples
    unit: Float[Array, ""]
    """The power of 2 that multiplied the vectors. It keeps their squares in range."""
    distance: TripletDistance

    @classmethod
    def of(
        cls,
        embeddings: Values,
        targets: Integer[Array, "examples"],
        keep: Bool[Array, "examples"],
        distance: TripletDistance,
    ) -> "Batch":
        # Every example is compared with a NaN. A sort or an argmax could hide it.
        x = nan_unless(~jnp.any(jnp.isnan(embeddings)), embeddings.astype(accumulator(embeddings.dtype)))
        unit, offset = jnp.ones((), x.dtype), jnp.zeros(x.shape[0], x.dtype)
        if distance == "cosine":
            # 1 minus the cosine is half the squared distance of unit vectors, to the last digit of a small one. For
            # each vector of zeros, whose cosine is 0, that lacks a half.
            vectors, inverse_norm = Directions.of(x)
            x, offset = vectors * inverse_norm[:, None], jnp.where(inverse_norm == 0, 0.5, offset)
        else:
            tiny = limits(x.dtype).tiny
            unit = power_of_2_over(jnp.clip(jnp.max(jnp.abs(x), initial=0.0), tiny, 1 / tiny))
        return cls(Examples(x * unit, offset, targets, keep, jnp.arange(x.shape[0])), unit, distance)

    def distances(self, a: Examples, b: Examples) -> Values:
        """The distances of examples whose axes broadcast."""
        squares = jnp.sum(jnp.square(a.vectors - b.vectors), -1)
        if self.distance == "cosine":
            return squares / 2 + (a.offset + b.offset)
        if self.distance == "squared":
            return squares / self.unit / self.unit
        return root(squares) / self.unit

    def compared(self, anchors: Examples) -> "Compared":
        """The distances of some anchors to all examples."""
        a, b = Examples(*(x[:, None] for x in anchors)), Examples(*(x[None] for x in self.examples))
        same, both = a.targets == b.targets, a.keep & b.keep
        return Compared(self.distances(a, b), both & same & (a.number != b.number), both & ~same)

    def taken(self, numbers: Integer[Array, "examples"]) -> Examples:
        return Examples(*(jnp.take(x, numbers, 0, mode="clip") for x in self.examples))


class Compared(NamedTuple):
    """The distances of anchors to all examples, and which of the examples are their positives and negatives."""

    distances: Float[Array, "anchors examples"]
    positive: Bool[Array, "anchors examples"]
    negative: Bool[Array, "anchors examples"]

    @property
    def has_both(self) -> Bool[Array, "anchors"]:
        return jnp.any(self.positive, 1) & jnp.any(self.negative, 1)


def triplet_losses(batch: Batch, mining: Mining, margin: Values | None) -> Losses:
    """The loss of each anchor, and its count. Without a margin the loss of a triplet is the softplus of its gap."""
    keep = batch.examples.keep
    if is_known(keep.shape[0]) and keep.size == 0:  # no example is the farthest
        return jnp.zeros(keep.shape, batch.unit.dtype), jnp.zeros(keep.shape, batch.unit.dtype)
    if mining == "hard":
        return _hardest(batch, margin)
    if mining == "semihard":
        return _in_chunks(partial(_semihard, margin), batch)
    return _in_chunks(_all_smooth, batch, cubes=True) if margin is None else _in_chunks(partial(_all, margin), batch)


def _in_chunks(function: Callable[[Compared], T], batch: Batch, *, cubes: bool = False) -> T:
    """The results of a function of anchors, arrays with one entry per anchor, a chunk of anchors at a time.

    `cubes` says that the function forms the triplets of its anchors in memory.
    """

    def of_anchors(*anchors: AnyArray) -> T:
        return function(batch.compared(Examples(*anchors)))

    count, width = batch.examples.vectors.shape
    if not is_known(count) or not is_known(width):  # a symbolic number of anchors is one chunk
        return of_anchors(*batch.examples)
    size = DIFFERENCES // max(1, count * width)
    size = max(1, min(size, TRIPLETS // max(1, count**2)) if cubes else size)
    return of_anchors(*batch.examples) if count <= size else map_chunks(of_anchors, size, *batch.examples)


def _violations(gaps: Values, margin: Values | None) -> Values:
    """The losses of triplets whose positive is farther than the negative by these gaps."""
    return softplus(gaps) if margin is None else hinge(gaps + margin)


def _hardest(batch: Batch, margin: Values | None) -> Losses:
    """The farthest positive and the nearest negative. Only their distances have a gradient."""

    def mined(compared: Compared) -> tuple[Numbers, Numbers, Bool[Array, "anchors"]]:
        largest = limits(compared.distances.dtype).max
        farthest = jnp.argmax(jnp.where(compared.positive, compared.distances, -1.0), 1)
        nearest = jnp.argmin(jnp.where(compared.negative, compared.distances, largest), 1)
        return farthest, nearest, compared.has_both

    constant = batch._replace(examples=lax.stop_gradient(batch.examples))
    farthest, nearest, has_both = _in_chunks(mined, constant)
    far, near = (batch.distances(batch.examples, batch.taken(numbers)) for numbers in (farthest, nearest))
    return jnp.where(has_both, _violations(far - near, margin), 0.0), has_both.astype(far.dtype)


def _semihard(margin: Values | None, compared: Compared) -> Losses:
    """For each positive, the nearest negative that is farther than it, or the farthest negative if none is."""
    distances, negative, positive = _sorted(compared.distances, compared.negative, compared.positive)
    places = jnp.arange(distances.shape[1])[None]
    # A place past the end stands for no negative.
    following = lax.cummin(jnp.where(negative, places, places.size), 1, reverse=True)
    farthest = jnp.max(jnp.where(negative, places, 0), 1, keepdims=True, initial=0)
    chosen = jnp.where(following == places.size, farthest, following)
    gaps = distances - jnp.take_along_axis(distances, chosen, 1, mode="clip")
    used = positive & jnp.any(negative, 1, keepdims=True)
    return jnp.sum(jnp.where(used, _violations(gaps, margin), 0.0), 1), jnp.sum(used, 1, dtype=gaps.dtype)


def _all(margin: Values, compared: Compared) -> Losses:
    """The sum over all positives and negatives, without an array of them; the count is that of the losses above 0.

    A triplet's loss is the length of the interval from the negative's distance to the positive's plus the margin. So
    all distances are sorted on one line, and each gap between two neighbours belongs to the triplets whose negative is
    before it and whose positive is after it. No term is negative, so that the sum keeps its digits.
    """
    limit = jnp.where(compared.positive, compared.distances + margin, compared.distances)
    # A positive comes before a negative at the same place: the loss of the two is 0.
    places, positive, negative = _sorted(limit, compared.positive, compared.negative)
    dtype = places.dtype
    before = jnp.cumsum(negative, 1, dtype=dtype)
    after = jnp.sum(positive, 1, dtype=dtype, keepdims=True) - jnp.cumsum(positive, 1, dtype=dtype)
    lengths = places[:, 1:] - places[:, :-1]
    losses = jnp.sum(lengths * (before * after)[:, :-1], 1)
    return jnp.where(compared.has_both, losses, 0.0), jnp.sum(jnp.where(positive, before, 0.0), 1)


def _all_smooth(compared: Compared) -> Losses:
    """The sum over all positives and negatives of the softplus of their gap."""
    gaps = compared.distances[:, :, None] - compared.distances[:, None]
    used = compared.positive[:, :, None] & compared.negative[:, None]
    return jnp.sum(jnp.where(used, softplus(gaps), 0.0), (1, 2)), jnp.sum(used, (1, 2), dtype=gaps.dtype)


def _sorted(distances: Values, first: Bools, second: Bools) -> tuple[Values, Bools, Bools]:
    """The examples of each anchor by their distances, and those of neither kind at the end. `first` precede in ties."""
    last = limits(distances.dtype).max / 2  # the difference of two such numbers is finite
    distances = jnp.where(first | second, distances, last)
    kinds = jnp.where(first, 0, jnp.where(second, 1, 2))
    distances, kinds = lax.sort((distances, kinds), dimension=1, num_keys=2)
    return distances, kinds == 0, kinds == 1
