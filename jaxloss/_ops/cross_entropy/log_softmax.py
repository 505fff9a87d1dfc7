"""The log-probabilities of all classes, exact and with a gradient that holds no array of the logits' size."""

import jax.numpy as jnp

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy.xla import apart, log_total, negative_log_softmax, softmax_of


@custom_jvp(1)
def normalized(logits: Values, axis: ClassAxis) -> Values:
    """log(softmax) over an axis, in the dtype of the maths.

    Its derivative starts again from the logits, so that nothing of their size is held until then; and on CPUs a gather
    of the labels' classes takes them from the logits.
    """
    logits, log_sum, largest = apart(logits, *_normalizer(logits, axis))
    return -negative_log_softmax(logits, largest, log_sum)


@normalized.defjvp
def _normalized_jvp(axis: ClassAxis, primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    (logits,) = primals
    log_sum, largest = _normalizer(logits, axis)
    softmax = softmax_of(*apart(logits, largest, log_sum), None, axis)
    tangent = tangents[0].astype(softmax.dtype)
    # No such logarithm is negative. The select is there for its transpose: without it, XLA's CPU makes one loop of the
    # cotangents' sum and of what follows, which cannot write to where the cotangents are.
    mean = jnp.where(log_sum < 0, 0.0, axis.sum(softmax * tangent))
    return normalized(logits, axis), tangent - mean


def _normalizer(logits: Values, axis: ClassAxis) -> tuple[Values, Values]:
    """log(sum(exp(logits - largest))) and the largest."""
    largest = axis.largest(logits).astype(accumulator(logits.dtype))
    return log_total(logits, largest, None, axis), largest
