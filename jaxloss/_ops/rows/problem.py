"""The arguments of a linear cross-entropy, and the losses of a chunk of tokens whose logits fit in memory."""

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
from jaxloss._ops.cross_entropy import row_losses
from jaxloss._ops.cross_entropy.problem import Options, Probabilities


class Tokens(NamedTuple):
    """The per-token arrays. Chunks are taken along the first axis."""

    hidden: Float[Array, "tokens width"]
    targets: Integer[Array, "tokens *heads"] | Float[Array, "tokens *heads classes"]
    """Class numbers, 0 where ignored, or probabilities."""
    keep: Bool[Array, "tokens *heads"]

    def zero_masked(self) -> "Tokens":
        """The tokens with zeros under the mask.

        Masked hidden states may be NaN. The kernel's gradient is a product over the tokens, where 0 * NaN is NaN.
        """
        used = jnp.any(self.keep, tuple(range(1, self.keep.ndim)))
        return self._replace(hidden=filled(self.hidden, used, 0.0), targets=filled(self.targets, self.keep, 0))


class Projection(NamedTuple):
    """The linear map from hidden states to logits and the options of the loss, which all tokens share."""

    kernel: Float[Array, "width *heads classes"]
    bias: Float[Array, "*heads classes"] | None
    softcap: Float[Array, ""] | None
    options: Options
    axis: ClassAxis
    """The class axis in a chunk of logits."""


class Stats(NamedTuple):
    """Further numbers of each token, in float32 or wider; 0 for masked tokens. They have no derivative."""

    log_prob: Float[Array, "..."]
    correct: Float[Array, "..."]
    log_sum: Float[Array, "..."]


def token_losses(
    tokens: Tokens, projection: Projection, product: Values
) -> tuple[Float[Array, "tokens *heads"], Stats | None]:
    """The loss of each token, 0 where masked, from hidden @ kernel."""
    logits = product
    if projection.bias is not None:
        logits = logits + projection.bias.astype(logits.dtype)[None]
    if projection.softcap is not None:
        logits = projection.softcap * jnp.tanh(logits / projection.softcap)
    keep = tokens.keep[..., None]
    if jnp.issubdtype(tokens.targets.dtype, jnp.floating):
        target = Probabilities(tokens.targets, keep)
    else:
        numbers = tokens.targets[..., None]
        target = Labels(numbers, (numbers >= 0) & (numbers < projection.axis.class_count(logits.shape[-1])), keep)
    rows = row_losses(logits, target, projection.options, projection.axis)
    stats = None
    if isinstance(target, Labels) and rows.label_logit is not None:
        log_prob, log_sum = rows.label_logit - rows.log_sum, rows.largest + rows.log_sum
        # `label_logit` is relative to the largest logit: it is 0 if no class has a larger one.
        correct = (rows.label_logit >= 0).astype(log_prob.dtype)
        masked = (jnp.squeeze(target.zero_masked(each), -1) for each in (log_prob, correct, log_sum))
        stats = Stats(*map(lax.stop_gradient, masked))
    return jnp.squeeze(rows.losses, -1), stats


def project(hidden: Values, kernel: Values) -> Values:
    """hidden @ kernel over the width, in float32 or wider. The kernel is not transposed, because that copies it."""
    return contract(hidden, kernel, (hidden.ndim - 1,), (0,), accumulator(kernel.dtype))


@custom_jvp(2, 3, 4)
def contract(a: Values, b: Values, over_a: tuple[int, ...], over_b: tuple[int, ...], dtype: DTypeLike) -> Values:
    """The matrix product of two arrays over one list of axes each, accumulated and returned in `dtype`."""
    if (a.ndim, over_a) == (2, (0,)) and _faster_transposed(a):
        # The barrier and the axis of size 1 make XLA transpose in memory. Without them it would fold the transpose into
        # the product, which would read the array in the slow order.
        a, over_a = lax.squeeze(lax.optimization_barrier(a.T[None]), (0,)), (1,)
    return lax.dot_general(a, b, ((over_a, over_b), ((), ())), preferred_element_type=jnp.dtype(dtype))


def _faster_transposed(a: Values) -> bool:
    """Whether a copy of `a` with the contracted axis last costs less than it saves in the product on XLA's CPU."""
    return jax.default_backend() == "cpu" and (a.shape[1] <= 1024 or a.dtype == jnp.bfloat16)


@contract.defjvp
def _contract_jvp(
    over_a: tuple[int, ...],
    over_b: tuple[int, ...],
    dtype: DTypeLike,
    primals: tuple[Values, Values],
    tangents: tuple[Values, Values],
) -> tuple[Values, Values]:
    # The tangent is in the inputs' dtype. So its transposes are products of two low-precision arrays, not of a float32
    # and a low-precision one.
    (a, b), (a_dot, b_dot) = primals, tangents
    low = a.dtype
    tangent = contract(a_dot, b, over_a, over_b, low) + contract(a, b_dot, over_a, over_b, low)
    return contract(a, b, over_a, over_b, dtype), tangent.astype(dtype)
