"""The entropy of the softmax of each row of logits, with a gradient that is formed from the logits and a few numbers.

With the gaps g = largest - logit, their exponentials e = exp(-g) and the sum S of the exponentials, the entropy is
log(S) + sum(e * g) / S. Both terms are not negative, so that no digits cancel.
"""

import jax.numpy as jnp

from jaxloss._core.arguments import filled
from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy import xla, xla_cpu
from jaxloss._ops.cross_entropy.log_softmax import log_softmax
from jaxloss._ops.cross_entropy.problem import Keep
from jaxloss._ops.platform import on_cpu


def entropies(logits: Values, keep: Keep, axis: ClassAxis) -> Values:
    """The entropy of each row in nats, 0 where masked, with a class axis of size 1."""
    # The fill is outside the custom derivative, so that a NaN cotangent of a masked row does not meet its zero slope.
    return filled(_entropies(logits, keep, axis), keep, 0.0)


@custom_jvp(2)
def _entropies(logits: Values, keep: Keep, axis: ClassAxis) -> Values:
    return on_cpu(xla_cpu.entropy, xla.entropy, logits, axis)


@_entropies.defjvp
def _entropies_jvp(
    axis: ClassAxis, primals: tuple[Values, Keep], tangents: tuple[Values, object]
) -> tuple[Values, Values]:
    entropy, slope = _entropies_and_slopes(*primals, axis)
    return entropy, axis.sum(slope * tangents[0].astype(slope.dtype))


@custom_jvp(2)
def _entropies_and_slopes(logits: Values, keep: Keep, axis: ClassAxis) -> tuple[Values, Values]:
    """The entropies, and their slopes: minus p (log p + entropy), 0 in masked rows."""
    entropy, slope = on_cpu(xla_cpu.entropy_and_slope, xla.entropy_and_slope, logits, axis)
    # A select and not a product: the slope of a masked row may be NaN.
    return entropy, filled(slope, keep, 0.0)


@_entropies_and_slopes.defjvp
def _entropies_and_slopes_jvp(
    axis: ClassAxis, primals: tuple[Values, Keep], tangents: tuple[Values, object]
) -> tuple[tuple[Values, Values], tuple[Values, Values]]:
    logits, keep = primals
    entropy, slope = _entropies_and_slopes(logits, keep, axis)
    log_probs = log_softmax(filled(logits, keep, 0.0), axis)
    probabilities = jnp.exp(log_probs)
    costs = jnp.where(probabilities > 0, -log_probs, 0.0)  # p log p is 0 at a probability of 0
    tangent = filled(tangents[0].astype(slope.dtype), keep, 0.0)
    centred = tangent - axis.sum(probabilities * tangent)
    entropy_dot = axis.sum(slope * tangent)
    slope_dot = probabilities * (centred * (costs - filled(entropy, keep, 0.0) - 1) - entropy_dot)
    return (entropy, slope), (entropy_dot, filled(slope_dot, keep, 0.0))
