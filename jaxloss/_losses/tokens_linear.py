"""Log-probabilities and entropies of tokens from hidden states. Their page and their `__all__` are those of tokens."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.arguments import Number, mask
from jaxloss._core.class_axis import AxisName, ClassAxis, class_axis
from jaxloss._core.class_numbers import Labels, token_labels
from jaxloss._core.dtypes import accumulator
from jaxloss._core.logits import Hidden, Kernel, Scale, check_chunk_size, matched, with_bias
from jaxloss._core.program import program
from jaxloss._core.types import ArrayLike, Like, Mask, Scalar, Values
from jaxloss._ops.cross_entropy.entropy import entropies
from jaxloss._ops.cross_entropy.label_log_probs import label_log_probs, several_log_probs
from jaxloss._ops.rows import Implementation, solve
from jaxloss._ops.rows.problem import Problem, RowLoss, Rows, Shared


class LogProbAndEntropy(NamedTuple):
    """The results of [`linear_token_log_probs_and_entropy`][jaxloss.linear_token_log_probs_and_entropy].

    Masked tokens have 0 in both.

    Attributes:
        log_prob: The log-probability of the target, in the shape of the targets.
        entropy: The entropy of the token's distribution in nats, one number for each token and head.
    """

    log_prob: Float[Array, "..."]
    entropy: Float[Array, "..."]


linear_program = program(
    "bias", integers=("targets",), temperature=Number(above=0, off=1), logit_softcap=Number(above=0)
)


@linear_program
def linear_token_log_probs(
    hidden: Hidden,
    kernel: Kernel,
    targets: Integer[ArrayLike, "..."],
    *,
    bias: Float[ArrayLike, "*heads_and_classes"] | None = None,
    ignore_index: int = -100,
    temperature: Scalar = 1.0,
    logit_softcap: Scalar | None = None,
    chunk_size: int | None = None,
    implementation: Implementation | None = None,
    axis_name: AxisName | None = None,
    where: Mask | None = None,
) -> Float[Array, "..."]:
    """Log-probability of each target under a linear map of hidden states, without the logits of all tokens in memory.

    It equals [`token_log_probs`][jaxloss.token_log_probs] of `hidden @ kernel + bias`. Neither the value nor any
    derivative holds the logits of more than one chunk of tokens. Preference and policy losses take these
    log-probabilities.

    Value and gradient take four matrix products: the chunks of logits are computed a second time for the gradient. Only
    if one chunk holds all tokens, the logits are stored, and three products are enough.

    Args:
        hidden: Hidden states of the tokens, shape (N..., D).
        kernel: The weights of the linear map, shape (D, V), as in `nnx.Linear`; or (D, H..., V) for several heads.
        targets: Class numbers (indices from 0), shape (N...) or (N..., H...), integers of any dtype. With one more axis
            of size K at the end, each token has K classes.
        bias: A number added to each logit, shape (V,) or (H..., V).
        ignore_index: Targets with this class number are masked, in addition to those that `where` masks.
        temperature: A number above 0 that divides the logits, after the soft cap.
        logit_softcap: A number c above 0. The logits become c tanh(logits / c).
        chunk_size: The number of tokens in a chunk. The temporary memory is about V times this number, in float32, and
            one gradient of the kernel in float32. None picks a size for the platform.
        implementation: `"xla"` works in chunks. `"reference"` materialises all logits, to compare with. None picks one.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over, as in
            [`linear_cross_entropy`][jaxloss.linear_cross_entropy].
        where: True for the tokens that take part, shape (N...) or (N..., H...).

    Returns:
        The log-probabilities in nats, in the shape of `targets`. Masked targets have 0, with a gradient of 0. A target
        out of range makes its value and the gradient of its token NaN. The dtype is float32 for low-precision inputs
        too, because log-probabilities are subtracted and exponentiated.

    Raises:
        ValueError: Shapes do not match, an option is out of range, or the implementation is unknown.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> hidden, kernel = jnp.eye(3), jnp.array([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0]])
        >>> log_probs = jaxloss.linear_token_log_probs(hidden, kernel, jnp.array([0, 1, -100]))
        >>> print(" ".join(f"{each:.4f}" for each in log_probs))
        -0.1269 -0.3133 0.0000

    Source: logits that are never stored, Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", 2025.
    """
    check_chunk_size(chunk_size)
    head = _Head.of(hidden, kernel, bias, temperature, logit_softcap, axis_name)
    numbers = _Targets.of(token_labels(targets, head.logits, head.axis, where, ignore_index))
    return head.solve(_log_probs, numbers, numbers.any_kept(head.logits), chunk_size, implementation)


@linear_program
def linear_token_entropy(
    hidden: Hidden,
    kernel: Kernel,
    *,
    bias: Float[ArrayLike, "*heads_and_classes"] | None = None,
    temperature: Scalar = 1.0,
    logit_softcap: Scalar | None = None,
    chunk_size: int | None = None,
    implementation: Implementation | None = None,
    axis_name: AxisName | None = None,
    where: Mask | None = None,
) -> Float[Array, "..."]:
    """Entropy of each token's distribution under a linear map of hidden states, without all logits in memory.

    It equals [`token_entropy`][jaxloss.token_entropy] of `hidden @ kernel + bias`. The arguments are those of
    [`linear_token_log_probs`][jaxloss.linear_token_log_probs].

    Args:
        hidden: Hidden states of the tokens, shape (N..., D).
        kernel: The weights of the linear map, shape (D, V), or (D, H..., V) for several heads.
        bias: A number added to each logit, shape (V,) or (H..., V).
        temperature: A number above 0 that divides the logits, after the soft cap.
        logit_softcap: A number c above 0. The logits become c tanh(logits / c).
        chunk_size: The number of tokens in a chunk. None picks a size for the platform.
        implementation: `"xla"` works in chunks. `"reference"` materialises all logits, to compare with. None picks one.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over.
        where: True for the tokens that take part, shape (N...) or (N..., H...). The others have 0.

    Returns:
        The entropies in nats, shape (N...) or (N..., H...), in float32 for low-precision inputs too.

    Raises:
        ValueError: Shapes do not match, an option is out of range, or the implementation is unknown.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> hidden, kernel = jnp.eye(3), jnp.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        >>> print(jaxloss.linear_token_entropy(hidden, kernel).round(4))
        [0.3653 0.5822 0.6931]
    """
    check_chunk_size(chunk_size)
    head = _Head.of(hidden, kernel, bias, temperature, logit_softcap, axis_name)
    keep = mask(where, head.logits.shape[:-1])
    keep = jnp.broadcast_to(True if keep is None else keep, head.logits.shape[:-1])
    return head.solve(_entropies, None, keep, chunk_size, implementation)


@linear_program
def linear_token_log_probs_and_entropy(
    hidden: Hidden,
    kernel: Kernel,
    targets: Integer[ArrayLike, "..."],
    *,
    bias: Float[ArrayLike, "*heads_and_classes"] | None = None,
    ignore_index: int = -100,
    temperature: Scalar = 1.0,
    logit_softcap: Scalar | None = None,
    chunk_size: int | None = None,
    implementation: Implementation | None = None,
    axis_name: AxisName | None = None,
    where: Mask | None = None,
) -> LogProbAndEntropy:
    """Log-probability of each target and entropy of each token's distribution, from one pass over the logits.

    The arguments are those of [`linear_token_log_probs`][jaxloss.linear_token_log_probs]. An entropy bonus needs both
    results, and both have derivatives.

    Returns:
        A [`LogProbAndEntropy`][jaxloss.LogProbAndEntropy]. A token whose targets are all masked has the entropy 0.

    Raises:
        ValueError: Shapes do not match, an option is out of range, or the implementation is unknown.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> hidden, kernel = jnp.eye(2), jnp.array([[2.0, 0.0], [0.0, 0.0]])
        >>> both = jaxloss.linear_token_log_probs_and_entropy(hidden, kernel, jnp.array([0, 1]))
        >>> print(both.log_prob.round(4), both.entropy.round(4))
        [-0.1269 -0.6931] [0.3653 0.6931]
    """
    check_chunk_size(chunk_size)
    head = _Head.of(hidden, kernel, bias, temperature, logit_softcap, axis_name)
    numbers = _Targets.of(token_labels(targets, head.logits, head.axis, where, ignore_index))
    keep = numbers.any_kept(head.logits)
    both = head.solve(_log_probs_and_entropies, numbers, keep, chunk_size, implementation)
    log_probs = both[..., :-1] if numbers.several(head.logits) else both[..., 0]
    return LogProbAndEntropy(log_probs, both[..., -1])


class _Parameters(NamedTuple):
    """The parameters between the product hidden @ kernel and the logits."""

    bias: Float[Array, "*heads classes"] | None
    scale: Scale

    def logits(self, product: Values) -> Values:
        return self.scale(with_bias(product, self.bias))


class _Head(NamedTuple):
    """The checked arrays of the linear map, with the shape of the logits that it would make."""

    hidden: Values
    kernel: Values
    parameters: _Parameters
    logits: Like
    axis: ClassAxis
    """The class axis of the logits, their last."""

    @classmethod
    def of(
        cls,
        hidden: Hidden,
        kernel: Kernel,
        bias: Float[ArrayLike, "..."] | None,
        temperature: Scalar,
        logit_softcap: Scalar | None,
        axis_name: AxisName | None,
    ) -> "_Head":
        hidden, kernel, bias = matched(hidden, kernel, bias)
        shape = (*hidden.shape[:-1], *kernel.shape[1:])
        logits = jax.ShapeDtypeStruct(shape, accumulator(hidden.dtype))
        parameters = _Parameters(bias, Scale.of(logits, logit_softcap, temperature))
        return cls(hidden, kernel, parameters, logits, class_axis(len(shape) - 1, axis_name, kernel=kernel))

    def solve(
        self,
        row_values: RowLoss[None],
        data: "_Targets | None",
        keep: Bool[Array, "..."],
        chunk_size: int | None,
        implementation: Implementation | None,
    ) -> Values:
        """The values of all rows, computed in chunks of rows."""
        axis = ClassAxis(self.kernel.ndim - 1, self.axis.mesh)
        problem = Problem(Rows(self.hidden, data, keep), Shared(self.kernel, self.parameters, axis), None)
        return solve(problem, row_values, chunk_size, implementation)[0]


class _Targets(NamedTuple):
    """Class numbers of each row, with a last axis of size 1 for the classes, and before it K if a row has several."""

    numbers: Integer[Array, "..."]
    keep: Bool[Array, "..."]

    @classmethod
    def of(cls, label: Labels) -> "_Targets":
        return cls(label.numbers, jnp.broadcast_to(True if label.keep is None else label.keep, label.numbers.shape))

    def several(self, logits: Like) -> bool:
        """Whether a row has several classes."""
        return self.numbers.ndim > len(logits.shape)

    def any_kept(self, logits: Like) -> Bool[Array, "..."]:
        """Whether a row has a target that is not masked."""
        keep = self.keep[..., 0]
        return jnp.any(keep, -1) if self.several(logits) else keep

    def label(self, logits: Values, axis: ClassAxis) -> Labels:
        """The checked class numbers of a chunk."""
        in_range = (self.numbers >= 0) & (self.numbers < axis.class_count(logits.shape[-1]))
        return Labels(self.numbers, in_range, self.keep)


def _log_probs(
    product: Values, targets: _Targets, keep: Bool[Array, "..."], parameters: _Parameters, axis: ClassAxis
) -> tuple[Values, None]:
    """The log-probability of each target, from hidden @ kernel."""
    logits = parameters.logits(product)
    label = targets.label(logits, axis)
    if targets.several(logits):
        return several_log_probs(logits, label, axis), None
    return label_log_probs(logits, label, axis)[..., 0], None


def _entropies(
    product: Values, data: None, keep: Bool[Array, "..."], parameters: _Parameters, axis: ClassAxis
) -> tuple[Values, None]:
    """The entropy of each row, from hidden @ kernel."""
    return entropies(parameters.logits(product), keep[..., None], axis)[..., 0], None


def _log_probs_and_entropies(
    product: Values, targets: _Targets, keep: Bool[Array, "..."], parameters: _Parameters, axis: ClassAxis
) -> tuple[Values, None]:
    """The log-probabilities of a row's targets and then its entropy, along one more axis."""
    log_probs, _ = _log_probs(product, targets, keep, parameters, axis)
    entropy, _ = _entropies(product, None, keep, parameters, axis)
    log_probs = log_probs if targets.several(product) else log_probs[..., None]
    return jnp.concatenate([log_probs, entropy[..., None]], -1), None
