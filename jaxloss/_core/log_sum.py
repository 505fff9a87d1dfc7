"""The logarithm of a sum of exponentials over a part of the classes."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import softplus
from jaxloss._core.types import Values


class LogSum(NamedTuple):
    """A logsumexp over a part of the classes, without their axis."""

    largest: Values
    """The largest logit, without a derivative."""
    excess: Values
    """The logsumexp minus the largest logit: at least 0."""
    some: Bool[Array, "..."]
    """Whether the part has any class. If not, the other two are 0 with a zero gradient."""

    @property
    def value(self) -> Values:
        return self.largest + self.excess

    @property
    def of_1_plus(self) -> Values:
        """log(1 + sum(exp(logits))): 0 for a part without a class."""
        return jnp.where(self.some, softplus(self.value), 0.0)


def masked_logsumexp(logits: Values, keep: Bool[Array, "..."], axis: ClassAxis) -> LogSum:
    """The logsumexp over the classes that `keep` marks.

    No infinity stands for a masked logit: `jax.debug_infs` would stop at it, and its derivatives are NaN.
    """
    lowest = -limits(logits.dtype).max / 2  # the difference of two such numbers is finite
    filled = jnp.where(keep, logits, lowest)
    largest = axis.largest(filled, initial=lowest)
    total = axis.sum(jnp.where(keep, jnp.exp(filled - largest), 0.0))
    some = total != 0  # NaN too
    excess = jnp.where(some, jnp.log(jnp.where(some, total, 1.0)), 0.0)
    found = LogSum(jnp.where(some, largest, 0.0), excess, some)
    return LogSum(*(jnp.squeeze(each, axis.number) for each in found))
