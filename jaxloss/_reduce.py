"""Reduction, masks and weights: written once, used by every loss."""

import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float, Real, Shaped

from jaxloss._checked import Domain, expect
from jaxloss._pytree import register_pytree
from jaxloss._types import Mask, Reduction, Weight

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
    known(reduction)
    keep = mask(where, shape)
    weight = None
    if sample_weight is not None:
        weight = fitted("sample_weight", real("sample_weight", sample_weight), shape)
        weight = filled(weight.astype(losses.dtype), keep, 0.0)
        losses = losses * weight
    losses = filled(losses, keep, 0.0)
    expect(NUMBER, losses=losses)
    if reduction == "none":
        return losses.astype(dtype)
    total = jnp.sum(losses)
    if reduction == "sum":
        return total
    if count is not None:
        count = (count if count.ndim == 0 else fitted("count", count, shape)).astype(losses.dtype)
    mean = Mean(total, _counted(shape, keep, weight, count).astype(total.dtype))
    return mean.value if reduction == "mean" else jnp.stack([mean.total, mean.weight])


def known(reduction: str) -> None:
    """Refuse a reduction that there is none of."""
    if reduction not in ("none", "mean", "sum", "parts"):
        raise ValueError(f"`reduction` is {reduction!r}; it must be 'none', 'mean' or 'sum'.")


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


def floating(name: str, array: Shaped[ArrayLike, "..."]) -> Float[Array, "..."]:
    """An array, which must be real and floating."""
    array = jnp.asarray(array)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"`{name}` has dtype {array.dtype}, but must be real and floating: "
            f"use `{name}.{'real' if jnp.iscomplexobj(array) else 'astype(jnp.float32)'}`."
        )
    return array


def real(name: str, array: Shaped[ArrayLike, "..."]) -> Real[Array, "..."]:
    """An array, which must not be complex."""
    array = jnp.asarray(array)
    if jnp.iscomplexobj(array):
        raise TypeError(f"`{name}` has dtype {array.dtype}, but must be real: use `{name}.real`.")
    return array


def accumulator(dtype: DTypeLike) -> DTypeLike:
    """The dtype of the maths and of the sums: at least float32."""
    return jnp.float32 if jnp.dtype(dtype).itemsize < 4 else dtype


def filled(array: Shaped[Array, "..."], keep: Bool[Array, "..."] | None, value: float) -> Shaped[Array, "..."]:
    """`array` where kept, else `value`; trailing axes that the mask lacks are kept or filled whole.

    Filling the inputs, and not only the losses, is what keeps a NaN under the mask out of the gradient.
    """
    if keep is None:
        return array
    keep = jnp.expand_dims(keep, range(keep.ndim, array.ndim))
    return jnp.where(keep, array, jnp.asarray(value, array.dtype))


def mask(where: Mask | None, shape: tuple[int, ...]) -> Bool[Array, "..."] | None:
    """`where` as an array, checked against the shape of the unreduced loss."""
    if where is None:
        return None
    where = jnp.asarray(where)
    if where.dtype != jnp.bool_:
        raise TypeError(
            f"`where` has dtype {where.dtype}, but a mask is bool: use `where != 0` to keep elements, or "
            "`sample_weight` to weigh them."
        )
    return fitted("where", where, shape)


def fitted(name: str, array: Shaped[ArrayLike, "..."], shape: tuple[int, ...]) -> Shaped[Array, "..."]:
    """`array`, which must have `shape` or broadcast to it with as many axes."""
    array = jnp.asarray(array)
    if array.ndim == len(shape) and all(have in (1, want) for have, want in zip(array.shape, shape, strict=True)):
        return array
    raise ValueError(
        f"`{name}` has shape {array.shape}, but this loss has one value per element of {shape}"
        + _hint(name, array, shape)
    )


def _hint(name: str, array: Shaped[Array, "..."], shape: tuple[int, ...]) -> str:
    """What to type instead, if axes of size 1 would make `array` fit."""
    missing = len(shape) - array.ndim
    if missing < 0 and array.shape == shape + (1,) * -missing:
        return f": use `{name}[{', '.join(['...'] + ['0'] * -missing)}]`."
    if missing > 0 and array.ndim > 0:
        if array.shape == shape[: array.ndim]:
            return f": use `{name}[{', '.join(['...'] + ['None'] * missing)}]`."
        if array.shape == shape[missing:]:
            return f": use `{name}[{', '.join(['None'] * missing)}]`."
    return "."
