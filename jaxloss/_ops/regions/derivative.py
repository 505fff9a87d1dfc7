"""The softmax over the classes and the sums over the pixels, with derivatives made once for all platforms."""

from functools import partial

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from jaxloss._core.arguments import filled
from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.types import Values
from jaxloss._ops.platform import on_cpu
from jaxloss._ops.regions import xla, xla_cpu


@custom_jvp(2)
def softmax(x: Values, keep: Bool[Array, "..."] | None, axis: int) -> Values:
    """The softmax, 0 where masked.

    Filled logits would be a copy of them, so that the result is filled. It is a factor of its own derivative: masked
    logits have the gradient 0. `jax.nn.softmax` makes a constant -inf, at which `jax.debug_infs` stops.
    """
    exponentials = jnp.exp(x - jnp.max(x, axis, keepdims=True))
    return filled(exponentials / jnp.sum(exponentials, axis, keepdims=True), keep, 0.0)


@softmax.defjvp
def _softmax_jvp(
    axis: int, primals: tuple[Values, Bool[Array, "..."] | None], tangents: tuple[Values, object]
) -> tuple[Values, Values]:
    probabilities = softmax(*primals, axis)
    mean = jnp.sum(probabilities * tangents[0], axis, keepdims=True)
    return probabilities, probabilities * _minus_mean(tangents[0], mean, axis)


def _minus_mean(tangents: Values, mean: Values, axis: int) -> Values:
    """The tangents minus one mean for each pixel, with a sum over the classes of the platform as its transpose.

    JAX would transpose the broadcast of the mean to `jnp.sum`, whose terms XLA stores on CPUs: see `xla_cpu.py`. The
    difference solves a triangular system of equations, and JAX takes the transpose of a solution from its caller.
    """

    def system(of: tuple[Values, Values]) -> tuple[Values, Values]:
        return of[0] + of[1], of[1]

    def solve(_: object, of: tuple[Values, Values]) -> tuple[Values, Values]:
        return of[0] - of[1], of[1]

    def transposed(_: object, of: tuple[Values, Values]) -> tuple[Values, Values]:
        total = on_cpu(partial(xla_cpu.class_sum, axis=axis), partial(xla.class_sum, axis=axis), of[0])
        return of[0], of[1] - total

    difference, mean = lax.custom_linear_solve(system, (tangents, mean), solve, transposed)
    # The select uses the second solution, and XLA removes it. Without a use JAX raises in a second derivative.
    return jnp.where(jnp.zeros((), bool), mean, difference)


@custom_jvp(1)
def sums(terms: tuple[Values, ...], axes: tuple[int, ...]) -> tuple[Values, ...]:
    """The sums of several arrays over the same axes."""
    return on_cpu(partial(xla_cpu.sums, axes=axes), partial(xla.sums, axes=axes), terms)


@sums.defjvp
def _sums_jvp(
    axes: tuple[int, ...], primals: tuple[tuple[Values, ...]], tangents: tuple[tuple[Values, ...]]
) -> tuple[tuple[Values, ...], tuple[Values, ...]]:
    return sums(*primals, axes), tuple(jnp.sum(tangent, axes) for tangent in tangents[0])
