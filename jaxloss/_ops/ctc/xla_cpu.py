"""The parts of CTC's program that gain on CPUs only."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxloss._core.counts import is_known
from jaxloss._ops.ctc import xla
from jaxloss._ops.ctc.problem import Classes, Emissions

FEW_CLASSES = 128
"""Up to this number of classes a product with one-hot labels takes the place of a scatter."""


def pick(values: Float[Array, "..."], classes: Classes, batch_axis: int) -> Emissions:
    """The values of some classes in every frame, by a product with their one-hot form if the classes are few.

    It is meant to be transposed. The transpose of a gather is a scatter, which needs its updates in an array of their
    own and adds them one by one. The transpose of a product is a product. With JAX 0.10.2 the gradient's temporaries
    are 12 % less for 500 frames, 16 sequences, 50 labels and 32 classes, and its time is 6 % less. For 200 frames, 8
    sequences, 30 labels and 128 classes they are 36 % and 6 % less.
    """
    if not is_known(values.shape[2]) or values.shape[2] > FEW_CLASSES:
        return xla.pick(values, classes, batch_axis)
    numbers = jnp.arange(values.shape[2], dtype=classes.dtype)
    one_hot = (classes[:, :, None] == numbers[None, None]).astype(values.dtype)
    # The highest precision, because a pick by a rounded product would not be the derivative of the gather.
    form = "ntc,nsc->tns" if batch_axis == 0 else "tnc,nsc->tns"
    return jnp.einsum(form, values, one_hot, precision="highest")
