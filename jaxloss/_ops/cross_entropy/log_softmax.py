"""The log-probabilities of all classes, with all digits and a gradient that stores no array of the logits' size."""

import jax.numpy as jnp

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy.xla import negative_log_softmax, shifted_log_sum, softmax, unshared


@custom_jvp(1)
def log_softmax(logits: Values, axis: ClassAxis) -> Values:
    """log(softmax) over an axis, in the dtype of the maths.

    Its derivative starts from the logits, so that no array of their size is stored between value and gradient. On CPUs
    a gather of the labels' classes also reads them from the logits.
    """
    logits, log_sum, largest = unshared(logits, *_log_sum_and_largest(logits, axis))
    return -negative_log_softmax(logits, largest, log_sum)


@log_softmax.defjvp
def _log_softmax_jvp(axis: ClassAxis, primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    (logits,) = primals
    log_sum, largest = _log_sum_and_largest(logits, axis)
    probabilities = softmax(*unshared(logits, largest, log_sum), None, axis)
    tangent = tangents[0].astype(probabilities.dtype)
    # No such logarithm is negative, so the condition is always False. The select is needed in the transpose: without
    # it, XLA's CPU fuses the sum of the cotangents with its users in one loop, which cannot write to the buffer of the
    # cotangents.
    mean = jnp.where(log_sum < 0, 0.0, axis.sum(probabilities * tangent))
    return log_softmax(logits, axis), tangent - mean


def _log_sum_and_largest(logits: Values, axis: ClassAxis) -> tuple[Values, Values]:
    """log(sum(exp(logits - largest))), and the largest logit."""
    largest = axis.largest(logits).astype(accumulator(logits.dtype))
    return shifted_log_sum(logits, largest, None, axis), largest
