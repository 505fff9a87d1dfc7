"""The parts of CTC's program that gain on TPUs only.

A TPU stores the operand of a gather, in another layout, and the result of its transpose. In a product with a one-hot
array the compiler fuses the comparison that makes this array, and whatever makes the values, with the product.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxloss._ops.ctc import xla
from jaxloss._ops.ctc.problem import LOG_ZERO, Classes, Emissions


def pick(values: Float[Array, "..."], classes: Classes, batch_axis: int) -> Emissions:
    """The value of each class in every frame, in the dtype of the maths; LOG_ZERO for those under it.

    A product of 0 and a number that is not finite is NaN. So NaN and inf are taken out first, and a second product
    says which classes have one.
    """
    if values.dtype == jnp.float16:  # in which LOG_ZERO is -inf
        values = values.astype(jnp.float32)
    bad = ~(values < jnp.inf)  # NaN too
    is_bad = xla.pick_by_product(bad.astype(jnp.bfloat16), classes, batch_axis) > 0
    numbers = jnp.maximum(jnp.where(bad, 0.0, values), LOG_ZERO)
    return jnp.where(is_bad, jnp.nan, xla.pick_by_product(numbers, classes, batch_axis))
