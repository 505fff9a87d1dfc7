"""The log-probabilities of all classes, with all digits and a gradient that stores no array of the logits' size."""

import jax.numpy as jnp

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy import xla, xla_cpu
from jaxloss._ops.cross_entropy.formula import softmax_tangent
from jaxloss._ops.platform import on_cpu


@custom_jvp(1)
def log_softmax(logits: Values, axis: ClassAxis) -> Values:
    """log(softmax) over an axis, in the dtype of the maths.

    Its derivative starts from the logits, so that no array of their size is stored between value and gradient. On CPUs
    a gather of the labels' classes also reads them from the logits.
    """
    return on_cpu(xla_cpu.log_softmax, xla.log_softmax, logits, axis)


@log_softmax.defjvp
def _log_softmax_jvp(axis: ClassAxis, primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    log_probabilities, probabilities, not_negative = _log_softmax_and_softmax(*primals, axis)
    tangent = tangents[0].astype(probabilities.dtype)
    # The condition is always False, and only XLA's CPU does not see that. The select is needed in the transpose: that
    # compiler would otherwise fuse the sum of the cotangents with its users in one loop, which cannot write to the
    # buffer of the cotangents.
    mean = jnp.where(not_negative < 0, 0.0, axis.sum(probabilities * tangent))
    return log_probabilities, tangent - mean


@custom_jvp(1)
def _log_softmax_and_softmax(logits: Values, axis: ClassAxis) -> tuple[Values, Values, Values]:
    return on_cpu(xla_cpu.log_softmax_and_softmax, xla.log_softmax_and_softmax, logits, axis)


@_log_softmax_and_softmax.defjvp
def _log_softmax_and_softmax_jvp(
    axis: ClassAxis, primals: tuple[Values], tangents: tuple[Values]
) -> tuple[tuple[Values, Values, Values], tuple[Values, Values, Values]]:
    results = _log_softmax_and_softmax(*primals, axis)
    _, probabilities, not_negative = results
    tangent = tangents[0].astype(probabilities.dtype)
    log_tangent = tangent - axis.sum(probabilities * tangent)
    return results, (log_tangent, softmax_tangent(probabilities, tangent, axis), jnp.zeros_like(not_negative))
