"""Logits: the linear map that makes them from hidden states, their soft cap and their temperature."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxloss._core.arguments import floating
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import ArrayLike, Like, Scalar, Values

Hidden = Float[ArrayLike, "*tokens width"]


Kernel = Float[ArrayLike, "width *heads_and_classes"]


class Scale(NamedTuple):
    """The numbers between a model's logits and those of the softmax. None means off."""

    softcap: Float[Array, ""] | None = None
    temperature: Float[Array, ""] | None = None

    @classmethod
    def of(cls, logits: Like, softcap: Scalar | None, temperature: Scalar) -> "Scale":
        """The numbers in the dtype of the maths. A temperature that is known to be 1 is off."""
        dtype, off = accumulator(logits.dtype), isinstance(temperature, int | float) and temperature == 1
        return cls(
            None if softcap is None else jnp.asarray(softcap, dtype),
            None if off else jnp.asarray(temperature, dtype),
        )

    def __call__(self, logits: Values) -> Values:
        """The logits, capped and then divided by the temperature."""
        if self.softcap is not None:
            logits = self.softcap * jnp.tanh(logits.astype(self.softcap.dtype) / self.softcap)
        if self.temperature is not None:
            logits = logits.astype(self.temperature.dtype) / self.temperature
        return logits


def with_bias(product: Values, bias: Float[Array, "*heads classes"] | None) -> Values:
    """The logits of a chunk of rows, from hidden @ kernel."""
    return product if bias is None else product + bias.astype(product.dtype)[None]


def check_chunk_size(chunk_size: int | None) -> None:
    """Raise for a chunk without a token."""
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"`chunk_size` is {chunk_size}, but a chunk has at least one token.")


def matched(
    hidden: Hidden, kernel: Kernel, bias: Float[ArrayLike, "..."] | None, prefix: str = ""
) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."] | None]:
    """The arrays of the linear map, with shapes that fit; hidden and kernel are promoted to one dtype.

    Messages name them with the prefix.
    """
    hidden, kernel = floating(f"{prefix}hidden", hidden), floating(f"{prefix}kernel", kernel)
    if hidden.ndim < 1 or kernel.ndim < 2 or hidden.shape[-1] != kernel.shape[0]:
        fix = f": use `{prefix}kernel.T`" if kernel.ndim == 2 and kernel.shape[1:] == hidden.shape[-1:] else ""
        raise ValueError(
            f"`{prefix}kernel` has shape {kernel.shape}, but for `{prefix}hidden` {hidden.shape} it must be "
            f"(width, classes) or (width, heads..., classes) with width "
            f"{hidden.shape[-1] if hidden.ndim else 'its last axis'}{fix}."
        )
    if 0 in kernel.shape:
        raise ValueError(
            f"`{prefix}kernel` has shape {kernel.shape}: the loss needs a class, and a width to tell them apart."
        )
    if bias is not None:
        bias = floating(f"{prefix}bias", bias)
        if bias.shape != kernel.shape[1:]:
            raise ValueError(
                f"`{prefix}bias` has shape {bias.shape}, but `{prefix}kernel` {kernel.shape} asks for "
                f"{kernel.shape[1:]}."
            )
    dtype = jnp.result_type(hidden, kernel)
    return hidden.astype(dtype), kernel.astype(dtype), bias
