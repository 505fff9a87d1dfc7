"""Lists of items, as the ranking losses take them: their masks, orders and pairs."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Integer, Shaped

from jaxloss._core.arguments import aligned, has_axis, mask
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.domains import NOT_NEGATIVE, within
from jaxloss._core.dtypes import limits
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Values, Weight
from jaxloss._ops.cross_entropy.log_softmax import log_softmax


class Lists(NamedTuple):
    """Scores and targets of the items of lists, shape (..., L), filled with 0 where masked."""

    scores: Values
    targets: Values
    keep: Bool[Array, "..."]
    """True for the items that take part, in the shape of the scores."""
    valid: Bool[Array, "..."]
    """True for the lists whose kept scores and targets are all in their domains, shape (...)."""
    where: Bool[Array, "..."] | None
    """True for the lists that keep an item, shape (...); None if no item is masked."""
    dtype: DTypeLike
    """The dtype of the unreduced loss."""

    @classmethod
    def of(
        cls,
        scores: Float[ArrayLike, "*lists items"],
        targets: Shaped[ArrayLike, "*lists items"],
        where: Mask | None,
        *,
        relevance: bool = False,
    ) -> "Lists":
        """Check the arrays. Targets that are a relevance are at least 0."""
        (first, second), dtype = aligned(where, scores=scores, targets=targets)
        has_axis("scores", first)
        keep = mask(where, first.shape)
        in_domain = within(NOT_NEGATIVE, targets=second) if relevance else ~jnp.isnan(second)
        valid = jnp.all(in_domain & ~jnp.isnan(first), -1)
        return cls(
            nan_unless(valid[..., None], first),  # and with them the gradient, which no pair may reach
            second,
            jnp.broadcast_to(True if keep is None else keep, first.shape),
            valid,
            None if keep is None else jnp.any(keep, -1),
            dtype,
        )

    def reduce(
        self,
        losses: Values,
        reduction: Reduction,
        sample_weight: Weight | None,
        count: Values | None = None,
    ) -> Values:
        """Reduce one loss for each list. A comparison hides a NaN, so that bad lists are made NaN by hand."""
        losses = nan_unless(self.valid, losses)
        return reduce(losses, reduction, self.where, sample_weight, count=count, dtype=self.dtype)

    def order(self, keys: Values) -> Integer[Array, "..."]:
        """The places of the items by falling key: ties stay in the order given, and masked items come last."""
        return jnp.lexsort((-keys, ~self.keep), axis=-1)

    def ranks(self) -> Values:
        """The rank of each item by its score, from 1. Masked items come last."""
        ranks = jnp.argsort(self.order(self.scores), axis=-1) + 1
        return ranks.astype(self.scores.dtype)

    def sorted_by_target(self) -> tuple[Values, Values]:
        """Scores and targets in the order of the targets. Masked items come last, and their scores are `lowest`."""
        order = self.order(self.targets)
        scores = jnp.where(self.keep, self.scores, lowest(self.scores.dtype))
        return jnp.take_along_axis(scores, order, -1), jnp.take_along_axis(self.targets, order, -1)

    def log_softmax(self, values: Values) -> Values:
        """The logarithm of the softmax over the items that take part, 0 for the others."""
        filled = jnp.where(self.keep, values, lowest(values.dtype))
        return jnp.where(self.keep, log_softmax(filled, ClassAxis(values.ndim - 1)), 0.0)

    def pairs(self, k: int | None = None) -> Bool[Array, "..."]:
        """True at [..., i, j] if both items take part, and one of them is among the first k by score."""
        both = self.keep[..., :, None] & self.keep[..., None, :]
        if k is None:
            return both
        top = self.ranks() <= k
        return both & (top[..., :, None] | top[..., None, :])

    def better(self, k: int | None = None) -> Bool[Array, "..."]:
        """The pairs in which item i has a greater target than item j."""
        return self.pairs(k) & (self.targets[..., :, None] > self.targets[..., None, :])

    def lead(self) -> Values:
        """The score of item i minus that of item j, at [..., i, j]."""
        return self.scores[..., :, None] - self.scores[..., None, :]

    def gains(self, k: int | None = None) -> Values:
        """The gain 2**target - 1 of each item over the ideal DCG of its list, at `k` or of all items.

        A list without a relevant item has gains of 0.
        """
        targets = jnp.where(self.keep, self.targets, 0.0)
        # All gains of a list are divided by 2 to its greatest target. So they do not overflow.
        greatest = jnp.max(targets, -1, keepdims=True)
        gains = jnp.exp2(targets - greatest) * -jnp.expm1(-targets * jnp.log(jnp.asarray(2.0, targets.dtype)))
        ideal = jnp.flip(jnp.sort(gains, -1), -1)
        places = lax.broadcasted_iota(ideal.dtype, ideal.shape, ideal.ndim - 1) + 1
        discounted = ideal / discount(places)
        best = jnp.sum(discounted if k is None else jnp.where(places <= k, discounted, 0.0), -1, keepdims=True)
        return gains / jnp.where(best == 0, 1.0, best)


def discount(ranks: Values) -> Values:
    """The discount log2(1 + rank) of the DCG."""
    return jnp.log1p(ranks) / jnp.log(jnp.asarray(2.0, ranks.dtype))


def lowest(dtype: DTypeLike) -> float:
    """A finite number that stands for minus infinity: arithmetic with infinities makes NaN."""
    return -limits(dtype).max / 4


def sum_of_pairs(pairs: Bool[Array, "..."], losses: Values) -> tuple[Values, Values]:
    """The losses of the pairs of each list added up, and the number of pairs."""
    total = jnp.sum(jnp.where(pairs, losses, 0.0), (-2, -1))
    return total, jnp.sum(pairs, (-2, -1), dtype=total.dtype)
