"""The parts of CTC's program that gain on CPUs only."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxloss._ops.ctc import xla
from jaxloss._ops.ctc.problem import Classes, Emissions

FEW_CLASSES = 128
"""Up to this number of classes a product with one-hot labels is faster than a scatter."""


def pick(values: Float[Array, "..."], classes: Classes, batch_axis: int) -> Emissions:
    """The values of some classes in every frame, by a product with their one-hot form if the classes are few.

    It is meant to be transposed. The transpose of a gather is a scatter, which a CPU performs element by element. The
    transpose of a product is a product.
    """
    if values.shape[2] > FEW_CLASSES:
        return xla.pick(values, classes, batch_axis)
    numbers = jnp.arange(values.shape[2], dtype=classes.dtype)
    one_hot = (classes[:, :, None] == numbers[None, None]).astype(values.dtype)
    form = "ntc,nsc->tns" if batch_axis == 0 else "tnc,nsc->tns"
    return jnp.einsum(form, values, one_hot, precision="highest")
