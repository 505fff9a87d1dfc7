"""What a linear cross-entropy is made of, and the loss of a piece of it that fits in memory."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.arguments import filled
from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy import entropy
from jaxloss._ops.cross_entropy.problem import Options, Probabilities


class Tokens(NamedTuple):
    """What there is one of for every token: cut into pieces along the first axis."""

    hidden: Float[Array, "tokens width"]
    targets: Integer[Array, "tokens *heads"] | Float[Array, "tokens *heads classes"]
    """Class numbers, 0 where ignored, or probabilities."""
    keep: Bool[Array, "tokens *heads"]

    def cleared(self) -> "Tokens":
        """With zeros in what is left out, which may be NaN and would meet the kernel's gradient in a product."""
        used = jnp.any(self.keep, tuple(range(1, self.keep.ndim)))
        return self._replace(hidden=filled(self.hidden, used, 0.0), targets=filled(self.targets, self.keep, 0))


class Head(NamedTuple):
    """What all tokens share."""

    kernel: Float[Array, "width *heads classes"]
    bias: Float[Array, "*heads classes"] | None
    softcap: Float[Array, ""] | None
    options: Options
    axis: ClassAxis
    """Of the classes, in the logits."""


class Stats(NamedTuple):
    """What else one wants to know of a token, in float32; 0 for tokens left out. It has no derivative."""

    log_prob: Float[Array, "..."]
    correct: Float[Array, "..."]
    log_sum: Float[Array, "..."]


def losses(tokens: Tokens, head: Head, product: Values) -> tuple[Float[Array, "tokens *heads"], Stats | None]:
    """The loss of every token, 0 for those left out, from hidden @ kernel."""
    logits = product
    if head.bias is not None:
        logits = logits + head.bias.astype(logits.dtype)[None]
    if head.softcap is not None:
        logits = head.softcap * jnp.tanh(logits / head.softcap)
    keep = tokens.keep[..., None]
    if jnp.issubdtype(tokens.targets.dtype, jnp.floating):
        target = Probabilities(tokens.targets, keep)
    else:
        numbers = tokens.targets[..., None]
        target = Labels(numbers, (numbers >= 0) & (numbers < head.axis.classes(logits.shape[-1])), keep)
    found = entropy(logits, target, head.options, head.axis)
    stats = None
    if isinstance(target, Labels) and found.own is not None:
        log_prob, log_sum = found.own - found.log_sum, found.largest + found.log_sum
        correct = (found.own >= 0).astype(log_prob.dtype)
        kept = (jnp.squeeze(target.kept(each), -1) for each in (log_prob, correct, log_sum))
        stats = Stats(*map(lax.stop_gradient, kept))
    return jnp.squeeze(found.losses, -1), stats


def project(hidden: Values, kernel: Values) -> Values:
    """hidden @ kernel over the width, in float32 or better; the kernel is not transposed, as that would be a copy."""
    return contract(hidden, kernel, (hidden.ndim - 1,), (0,), accumulator(kernel.dtype))


@custom_jvp(2, 3, 4)
def contract(a: Values, b: Values, over_a: tuple[int, ...], over_b: tuple[int, ...], dtype: DTypeLike) -> Values:
    """A matrix product over the named axes, accumulated and returned in `dtype`."""
    if (a.ndim, over_a) == (2, (0,)) and _faster_transposed(a):
        # Transposed in memory: without the axis of size 1, XLA would only call its rows columns.
        a, over_a = lax.squeeze(lax.optimization_barrier(a.T[None]), (0,)), (1,)
    return lax.dot_general(a, b, ((over_a, over_b), ((), ())), preferred_element_type=jnp.dtype(dtype))


def _faster_transposed(a: Values) -> bool:
    """Whether XLA multiplies faster, by more than a copy takes, if `a` is contracted over its last axis."""
    return jax.default_backend() == "cpu" and (a.shape[1] <= 1024 or a.dtype == jnp.bfloat16)


@contract.defjvp
def _contract_jvp(
    over_a: tuple[int, ...],
    over_b: tuple[int, ...],
    dtype: DTypeLike,
    primals: tuple[Values, Values],
    tangents: tuple[Values, Values],
) -> tuple[Values, Values]:
    # In the inputs' dtype, so that what it transposes to are products of two low-precision arrays, not of a mixed pair.
    (a, b), (a_dot, b_dot) = primals, tangents
    low = a.dtype
    along = contract(a_dot, b, over_a, over_b, low) + contract(a, b_dot, over_a, over_b, low)
    return contract(a, b, over_a, over_b, dtype), along.astype(dtype)
