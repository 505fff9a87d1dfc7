"""Reduction, masks and weights: written once, used by every loss."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float, Real

from jaxloss._core.arguments import filled, fitted, floating, mask, real
from jaxloss._core.domains import Domain, expect
from jaxloss._core.dtypes import accumulator
from jaxloss._core.pytree import register_pytree
from jaxloss._core.types import Mask, Reduction, Values, Weight

NUMBER = Domain("a number: an argument is not one there", lambda x: ~jnp.isnan(x))


@register_pytree
@dataclass(frozen=True)
class Mean:
    """A mean, unfinished: what was summed, and how much it weighs.

    Parts of a mean add (`a + b`, `sum(parts)`, `jax.lax.psum(part, axis_name)`), and `.value` divides once, at the
    end. So the mean over micro-batches, evaluation batches or devices is the mean over all their elements, however
    many of them each part holds.

    Attributes:
        total: the weighted sum of the losses.
        weight: the sum of the weights; the number of elements if there are none.
        rest: of a sum of losses (`a + 0.5 * b`), the means of the further terms, each with a weight of its own.

    Examples:
        >>> halves = Mean(jnp.array(6.0), jnp.array(3.0)) + Mean(jnp.array(2.0), jnp.array(1.0))
        >>> print(halves.value)
        2.0
    """

    total: Float[Array, "..."]
    weight: Float[Array, "..."]
    rest: "Mean | None" = None

    def __add__(self, other: "Mean") -> "Mean":
        return jax.tree.map(jnp.add, self, other)

    def __radd__(self, other: object) -> "Mean":
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum() starts at 0

    @property
    def value(self) -> Float[Array, "..."]:
        """total / weight; 0, with a zero gradient, where nothing was counted."""
        empty = (self.weight == 0) & (self.total == 0)
        value = jnp.where(empty, 0.0, self.total / jnp.where(empty, 1.0, self.weight))
        return value if self.rest is None else value + self.rest.value


def reduce(
    losses: Float[ArrayLike, "..."],
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
    *,
    count: Real[Array, "..."] | None = None,
    dtype: DTypeLike | None = None,
) -> Float[Array, "..."]:
    r"""Turn one loss per element into the result: the last line of every loss, and of your own.

    $$ \text{mean} = \frac{\sum_{i \in \text{where}} w_i \ell_i}{\sum_{i \in \text{where}} w_i c_i} $$

    Args:
        losses: one value per element, any shape.
        reduction: `"mean"`; `"sum"`; or `"none"`, which is 0 where masked, so that its sum is `"sum"`.
        where: True where an element is kept; the shape of `losses`, or broadcasting to it with as many axes. What it
            leaves out may be NaN, in value and in gradient, if the inputs were filled under the mask as well.
        sample_weight: how much each element counts, $w$; shaped like `where`.
        count: how much each element adds to the mean's denominator before its weight, $c$, shaped like `where`; 1 if
            not given. Class weights are the example: cross-entropy's mean divides by the weights of the labels.
        dtype: of the result of `"none"`; that of `losses` if not given.

    Returns:
        An array like `losses`, or a scalar. Low-precision losses are summed in float32 and the sums stay float32.
        A mean over nothing is 0 with a zero gradient.

    Raises:
        ValueError: an unknown reduction, or a shape that does not fit.
        TypeError: losses that are not real and floating, a mask that is not boolean, weights that are complex.

    Examples:
        >>> losses = jnp.array([1.0, 2.0, jnp.nan])
        >>> print(reduce(losses, where=jnp.array([True, True, False])))
        1.5
    """
    losses = floating("losses", losses)
    dtype = losses.dtype if dtype is None else dtype
    losses = losses.astype(accumulator(losses.dtype))
    shape = losses.shape
    check_reduction(reduction)
    keep = mask(where, shape)
    weight = element_weights(shape, losses.dtype, keep, sample_weight)
    if weight is not None:
        losses = losses * weight
    losses = filled(losses, keep, 0.0)
    expect(NUMBER, losses=losses)
    if reduction == "none":
        return losses.astype(dtype)
    return reduce_total(jnp.sum(losses), shape, reduction, keep, weight, count=count)


def reduce_total(
    total: Float[Array, ""],
    shape: tuple[int, ...],
    reduction: Reduction,
    keep: Bool[Array, "..."] | None,
    sample_weight: Real[Array, "..."] | None,
    *,
    count: Real[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """The result from the weighed sum of the losses: the last line of `reduce`, and the only place that divides.

    A loss that computes the sum itself, chunk by chunk, ends here; `shape` is that of its unreduced losses.
    """
    if reduction == "sum":
        return total
    if count is not None:
        count = (count if count.ndim == 0 else fitted("count", count, shape)).astype(total.dtype)
    mean = Mean(total, _counted(shape, keep, sample_weight, count).astype(total.dtype))
    return jnp.stack([mean.total, mean.weight]) if isinstance(reduction, UnfinishedMean) else mean.value


def element_weights(
    shape: tuple[int, ...], dtype: DTypeLike, keep: Bool[Array, "..."] | None, sample_weight: Weight | None
) -> Values | None:
    """`sample_weight`, checked, in the dtype of the sums; 0 where masked. None if there is none."""
    if sample_weight is None:
        return None
    weight = fitted("sample_weight", real("sample_weight", sample_weight), shape)
    return filled(weight.astype(dtype), keep, 0.0)


def check_reduction(reduction: str) -> None:
    """Raise for an unknown reduction."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"`reduction` is {reduction!r}; it must be 'none', 'mean' or 'sum'.")


class UnfinishedMean(str):
    """The reduction that `parts` asks for: "mean" to everyone but `reduce_total`, which leaves the division out.

    It is equal to "mean", so that a loss treats it as one and a type checker at run time accepts it. `jax.jit` tells
    static arguments of different types apart, so that the programs of the two are not mixed up.
    """


def unfinished_mean(loss: Callable[..., object], *args: object, **kwargs: object) -> Mean:
    """The mean of a loss that passes its `reduction` to `reduce`, before the division."""
    pair = loss(*args, **kwargs, reduction=UnfinishedMean("mean"))
    if not isinstance(pair, jax.Array) or pair.shape != (2,):
        raise TypeError(f"`parts` needs a loss that returns what `jaxloss.reduce` returns, but {loss} does not.")
    return Mean(pair[0], pair[1])


def legacy_reduction(size_average: bool | None = None, reduce: bool | None = None) -> Literal["none", "mean", "sum"]:
    """The `reduction` that PyTorch's deprecated pair of flags stands for; a flag that is not given is True.

    Examples:
        >>> print(legacy_reduction(size_average=False), legacy_reduction(reduce=False))
        sum none
    """
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def _counted(
    shape: tuple[int, ...], keep: Bool[Array, "..."] | None, *weights: Real[Array, "..."] | None
) -> Real[Array, ""]:
    """The mean's denominator: the sum of the product of the weights over what is kept."""
    size = math.prod(shape)
    given = [weight for weight in weights if weight is not None]
    if given:
        summed = filled(math.prod(given[1:], start=given[0]), keep, 0.0)
    elif keep is not None:
        summed = keep  # counted in integers: a float32 sum of ones stops at 2**24
    else:
        return jnp.asarray(float(size))
    return jnp.sum(summed) * (size // max(summed.size, 1))  # each one stands for all it broadcasts to
