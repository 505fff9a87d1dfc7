"""Vectors whose cosines are taken from one matrix product."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Integer, Shaped

from jaxloss._core.arguments import broadcast_shape, filled, floating, floats, mask, same_features
from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.class_numbers import class_numbers, not_ignored
from jaxloss._core.dtypes import accumulator, limits
from jaxloss._core.elementwise import ratio
from jaxloss._core.extended_range import power_of_2_over
from jaxloss._core.types import ArrayLike, Mask, Values


class Directions(NamedTuple):
    """Vectors, and the numbers that make them unit vectors.

    The numbers multiply the product of two sets of vectors. So vectors of low precision are multiplied as they came,
    and no unit vector is rounded to their dtype.
    """

    vectors: Float[Array, "vectors width"]
    inverse_norm: Float[Array, "vectors"]
    """In float32 or wider. It is 0 for a vector of zeros, whose cosine with any vector is then 0, as is its slope."""

    @classmethod
    def of(cls, vectors: Values) -> "Directions":
        """Multiply each vector by a power of 2 that takes its largest component near 1, so that products are finite."""
        if vectors.size == 0:
            return cls.as_they_are(vectors)
        vectors = near_one(vectors)
        squares = jnp.sum(jnp.square(vectors.astype(accumulator(vectors.dtype))), -1)
        zero = squares == 0
        return cls(vectors, jnp.where(zero, 0.0, 1 / jnp.sqrt(jnp.where(zero, 1.0, squares))))

    @classmethod
    def as_they_are(cls, vectors: Values) -> "Directions":
        """Vectors for dot products: nothing divides them."""
        return cls(vectors, jnp.ones(vectors.shape[0], accumulator(vectors.dtype)))


def near_one(vectors: Values) -> Values:
    """The vectors over the last axis, each times a power of 2 that takes its largest component near 1."""
    dtype = accumulator(vectors.dtype)
    largest = jnp.max(jnp.abs(vectors.astype(dtype)), -1, keepdims=True)
    # The product with a normal power of 2 is exact. XLA may compute the squares of these products as products of
    # squares, so that the square of the power stays finite: it multiplies a vector of zeros too.
    tiny = limits(vectors.dtype).tiny
    least = max(tiny, limits(dtype).tiny ** 0.5)
    return vectors * power_of_2_over(jnp.clip(largest, least, 1 / tiny)).astype(vectors.dtype)


@custom_jvp(1)
def directed(vectors: Values, axis: int) -> tuple[Values, Values]:
    """The vectors over an axis, and 1 / |v| in float32 or wider, which is 0 for a vector of zeros.

    It is for functions of the vectors' directions. Such a function does not change along a vector. So the derivative
    takes the lengths for constants, and removes the part along the vector from the vectors' tangent. The derivative of
    the lengths would take a pass over all products with the vectors, which would stay in memory for it.
    """
    return vectors, _inverse_norm(vectors, axis)


@directed.defjvp
def _directed_jvp(
    axis: int, primals: tuple[Values], tangents: tuple[Values]
) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    (vectors,), (dot,) = primals, tangents
    inverse_norm = _inverse_norm(vectors, axis)
    # This factor is 1. Its derivative is that of the lengths, which second derivatives need.
    one = ratio(inverse_norm, lax.stop_gradient(inverse_norm), empty=1.0)
    unit = vectors.astype(one.dtype) * jnp.expand_dims(inverse_norm, axis)
    across = dot.astype(one.dtype)
    across = (across - unit * jnp.sum(unit * across, axis, keepdims=True)) * jnp.expand_dims(one, axis)
    return directed(vectors, axis), (across.astype(vectors.dtype), jnp.zeros_like(one))


def _inverse_norm(vectors: Values, axis: int) -> Values:
    """1 / |v| without an array of the vectors' size.

    One of three powers of 2 multiplies each vector, which are enough for the squares to stay in range. An exact power
    of 2 comes from bits, and XLA's CPU would store the product with it before the sum.
    """
    vectors = vectors.astype(accumulator(vectors.dtype))
    far = -round(math.log2(limits(vectors.dtype).tiny)) * 5 // 7  # 90 for float32
    largest = jnp.max(jnp.abs(vectors), axis)
    long, short = largest > 2.0 ** (far // 2), (largest < 2.0 ** (-far // 2)) & (largest > 0)
    power = jnp.where(long, 2.0**-far, jnp.where(short, 2.0**far, 1.0)).astype(vectors.dtype)
    squares = jnp.sum(jnp.square(vectors * jnp.expand_dims(power, axis)), axis)
    zero = squares == 0
    return power * jnp.where(zero, 0.0, 1 / jnp.sqrt(jnp.where(zero, 1.0, squares)))


def embedding_arrays(**arrays: Float[ArrayLike, "..."]) -> list[Values]:
    """Arrays of embeddings, (examples, width), checked and promoted to one dtype."""
    converted = {name: floating(name, array) for name, array in arrays.items()}
    (first, like), *_ = converted.items()
    for name, array in converted.items():
        if array.ndim != 2:
            raise ValueError(
                f"`{name}` has shape {array.shape}, but must be (examples, width): use jax.vmap for several batches."
            )
        if array.shape[1] != like.shape[1]:
            raise ValueError(f"`{name}` has shape {array.shape}, but `{first}` {like.shape} has another width.")
    dtype = jnp.result_type(*converted.values())
    return [array.astype(dtype) for array in converted.values()]


class VectorPairs(NamedTuple):
    """Pairs of vectors with one target each, filled where masked."""

    first: Values
    """In the dtype of the input: a copy in the dtype of the maths would be as large."""
    second: Values
    targets: Values
    """In the dtype of the maths."""
    dtype: jnp.dtype
    """The dtype of the unreduced loss."""

    @classmethod
    def of(
        cls,
        embeddings1: Float[ArrayLike, "..."],
        embeddings2: Float[ArrayLike, "..."],
        targets: Shaped[ArrayLike, "..."],
        where: Mask | None,
    ) -> "VectorPairs":
        """Check the shapes: the batch axes of the vectors broadcast, and the targets have the broadcast shape."""
        (a, b, targets), dtype = floats(embeddings1=embeddings1, embeddings2=embeddings2, targets=targets)
        shape = broadcast_shape(embeddings1=a, embeddings2=b)[:-1]
        if targets.shape != shape:
            raise ValueError(
                f"`targets` has shape {targets.shape}, but there is one pair of vectors for each of {shape}."
            )
        same_features(1, embeddings1=a, embeddings2=b)
        keep = mask(where, shape)
        first, second = (filled(jnp.asarray(x), keep, 0.0) for x in (embeddings1, embeddings2))
        return cls(first, second, filled(targets, keep, 1.0), dtype)


def labelled(
    targets: Shaped[ArrayLike, "..."], examples: int, ignore_index: int, where: Mask | None
) -> tuple[Integer[Array, "examples"], Bool[Array, "examples"]]:
    """Class numbers of embeddings, which may be any integers, and the mask of the examples that take part."""
    targets = class_numbers(targets)
    if targets.shape != (examples,):
        raise ValueError(f"`targets` has shape {targets.shape}, but there are {examples} embeddings.")
    keep, taken = mask(where, targets.shape), not_ignored(targets, ignore_index)
    whole = jnp.ones(targets.shape, bool)
    return targets, (whole if keep is None else keep) & (whole if taken is None else taken)
