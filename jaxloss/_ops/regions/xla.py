"""Sums over pixels and over classes for accelerators, where XLA fuses plain sums of the same arrays."""

import jax.numpy as jnp

from jaxloss._core.types import Values


def sums(terms: tuple[Values, ...], axes: tuple[int, ...]) -> tuple[Values, ...]:
    """The sums of several arrays over the same axes."""
    return tuple(jnp.sum(term, axes) for term in terms)


def class_sum(values: Values, axis: int) -> Values:
    """The sum over the classes, whose axis has the size 1 in the result."""
    return jnp.sum(values, axis, keepdims=True)
