"""Reduction, masks and weights: one mechanism for every loss."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Real

from jaxloss._core.arguments import filled, fitted, floating, mask, one_of, real
from jaxloss._core.counts import exact_count, fits_integers, float_size, repeats
from jaxloss._core.domains import Domain, expect
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import times
from jaxloss._core.pytree import register_pytree
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight

NUMBER = Domain("a number: an argument is not one there", lambda x: ~jnp.isnan(x))


@register_pytree
@dataclass(frozen=True)
class Mean:
    """An unfinished mean: the weighed sum and the sum of the weights.

    Parts of a mean add up (`a + b`, `sum(parts)`, `jax.lax.psum(part, axis_name)`), and `.value` divides once, at the
    end. The mean over micro-batches, evaluation batches or devices is therefore the mean over all their elements, even
    if the parts hold different numbers of elements.

    Attributes:
        total: the weighted sum of the losses.
        weight: the sum of the weights. It is the number of elements if there are no weights.
        rest: the means of the further terms, each with its weight, if the loss is a sum (`a + 0.5 * b`).

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
        return self if isinstance(other, int | float) and other == 0 else NotImplemented  # sum() starts at 0

    def __sub__(self, other: "Mean") -> "Mean":
        return jax.tree.map(jnp.subtract, self, other)

    def __mul__(self, scale: Scalar) -> "Mean":
        """The mean times a number: the weights stay as they are."""
        total, rest = jnp.asarray(self.total), None if self.rest is None else self.rest * scale
        return Mean(total * jnp.asarray(scale, total.dtype), self.weight, rest)

    __rmul__ = __mul__

    def __truediv__(self, scale: Scalar) -> "Mean":
        return self * (1 / jnp.asarray(scale, jnp.asarray(self.total).dtype))

    def __repr__(self) -> str:
        shown = {"total": self.total, "weight": self.weight, "rest": self.rest}
        given = (f"{name}={_shown(value)}" for name, value in shown.items() if value is not None)
        return f"Mean({', '.join(given)})"

    @property
    def value(self) -> Float[Array, "..."]:
        """total / weight. It is 0, with a zero gradient, if no element was counted."""
        # The division is guarded on both sides: 0 / 0 in the branch not taken would make the gradient NaN.
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
    r"""Reduce one loss per element to the result. Every loss ends in this call, and so does a loss of your own.

    $$ \text{mean} = \frac{\sum_{i \in \text{where}} w_i \ell_i}{\sum_{i \in \text{where}} w_i c_i} $$

    Args:
        losses: one value per element, any shape.
        reduction: `"mean"`, `"sum"` or `"none"`. The unreduced losses are 0 where masked, so that they add up to
            `"sum"`.
        where: True where an element takes part. It has the shape of `losses`, or broadcasts to it with as many axes. A
            masked element may be NaN. Its gradient is 0 if the inputs were filled under the mask too.
        sample_weight: the weight of each element, $w$, shaped like `where`.
        count: the contribution of each element to the mean's denominator before its weight, $c$, shaped like `where`.
            The default is 1. In cross-entropy it is the class weight of the label.
        dtype: the dtype of the unreduced losses. The default is the dtype of `losses`.

    Returns:
        An array like `losses`, or a scalar. Losses of low precision are summed in float32, and the sums stay float32.
        A mean over no element is 0 with a zero gradient.

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
        losses = times(weight, losses)
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
    """Reduce the weighed sum of the losses to the result. No other function divides.

    `reduce` ends in this call, and so does a loss that computes the sum itself, chunk by chunk. `shape` is the shape of
    the unreduced losses.
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
    """Check `sample_weight`, and return it in the dtype of the sums, 0 where masked; None if it is not given."""
    if sample_weight is None:
        return None
    weight = fitted("sample_weight", real("sample_weight", sample_weight), shape)
    return filled(weight.astype(dtype), keep, 0.0)


def _shown(value: object) -> str:
    """A number as it can be typed, and any other value by its repr."""
    if isinstance(value, Tracer) or not isinstance(value, jax.Array) or value.ndim > 0:
        return f"{value!r}"
    return repr(float(value))


def check_reduction(reduction: str, *more: str) -> None:
    """Raise for an unknown reduction. A loss may have more of them than the usual three."""
    hint = ""
    if reduction in (None, "elementwise_mean", True, False):
        hint = " For the flags of old PyTorch code use `jaxloss.legacy_reduction(size_average, reduce)`."
    one_of("reduction", reduction, ("none", "mean", "sum", *more), hint)


class UnfinishedMean(str):
    """The reduction that `parts` passes to a loss. `reduce_total` recognises it and leaves out the division.

    It is equal to "mean", so that a loss treats it as a mean and a type checker at run time accepts it. `jax.jit`
    distinguishes static arguments by their type too, so that it does not mix up the programs of the two.
    """


def unfinished_mean(loss: Callable[..., object], *args: object, **kwargs: object) -> Mean:
    """The mean, before the division, of a loss that passes its `reduction` to `reduce`."""
    pair = loss(*args, **kwargs, reduction=UnfinishedMean("mean"))
    if not isinstance(pair, jax.Array) or pair.shape != (2,):
        raise TypeError(f"`parts` needs a loss that returns what `jaxloss.reduce` returns, but {loss} does not.")
    return Mean(pair[0], pair[1])


def legacy_reduction(size_average: bool | None = None, reduce: bool | None = None) -> Literal["none", "mean", "sum"]:
    """Translate PyTorch's deprecated pair of flags to a `reduction`. A flag that is not given is True.

    Examples:
        >>> print(legacy_reduction(size_average=False), legacy_reduction(reduce=False))
        sum none
    """
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def _counted(
    shape: tuple[int, ...],
    keep: Bool[Array, "..."] | None,
    sample_weight: Real[Array, "..."] | None,
    count: Real[Array, "..."] | None,
) -> Real[Array, ""]:
    """The mean's denominator: the product of weights and counts, summed over the elements that take part."""
    if count is not None and count.ndim == 0:
        return count * _counted(shape, keep, sample_weight, None).astype(count.dtype)
    given = [weight for weight in (sample_weight, count) if weight is not None]
    if given:
        summed = filled(math.prod(given[1:], start=given[0]), keep, 0.0)
        # An entry of size 1 stands for the whole axis.
        return jnp.sum(summed) * float_size(repeats(summed.shape, shape), summed.dtype)
    if keep is None:
        return jnp.asarray(float_size(shape))
    # Elements are counted in integers, because a float32 sum of ones stops at 2**24.
    if fits_integers(shape):
        return jnp.sum(keep) * math.prod(repeats(keep.shape, shape))
    return exact_count(keep) * float_size(repeats(keep.shape, shape))
