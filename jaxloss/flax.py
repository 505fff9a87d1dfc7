"""Flax modules, for losses that hold parameters. Importing this file needs `flax`; importing jaxloss does not.

The import also makes Flax know the option objects and `Mean`: `flax.serialization` saves and restores them, in a train
state too, and a module of `nnx` may have them as attributes.
"""

import copy
import itertools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
from flax import nnx, serialization
from jax.nn.initializers import Initializer, lecun_normal, zeros
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer

from jaxloss._core.pytree import leaf_names, on_registration
from jaxloss._core.reduction import UnfinishedMean, reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Weight
from jaxloss._losses.adaptive import Cluster, Kernels, adaptive_log_prob, adaptive_losses, adaptive_predict

T = TypeVar("T")

KERNEL_INIT = lecun_normal()
"""The initializer of `nnx.Linear`."""


class AdaptiveLogSoftmaxOutput(NamedTuple):
    """The result of calling [`AdaptiveLogSoftmaxWithLoss`][jaxloss.flax.AdaptiveLogSoftmaxWithLoss]."""

    output: Float[Array, "*batch"]
    """The log-probability of each target."""
    loss: Float[Array, "..."]
    """The negative log-probabilities, reduced."""


class AdaptiveCluster(nnx.Module):
    """The parameters of a cluster of [`AdaptiveLogSoftmaxWithLoss`][jaxloss.flax.AdaptiveLogSoftmaxWithLoss]."""

    def __init__(self, down: nnx.Param[Array], up: nnx.Param[Array]) -> None:
        self.down = down
        self.up = up


class AdaptiveLogSoftmaxWithLoss(nnx.Module):
    r"""Softmax cross-entropy over very many classes, in nats, at a low cost for rare classes.

    Classes are numbered from the most frequent to the rarest. The first `cutoffs[0]` classes are in the head. The
    others are in clusters that begin at the cutoffs. The head has an entry for each of its classes and one for each
    cluster. A class $y$ of cluster $k$ has the log-probability

    $$ \log p(y) = \log p_\text{head}(k) + \log p_k(y) $$

    where $p_k$ is a softmax over the cluster's classes, of features projected to `in_features // div_value**k`.

    Every example costs the head. Only examples with a target in a cluster cost that cluster: rows are sorted by cluster
    and taken in chunks, and a chunk skips the clusters without a target in it. Only one chunk's logits are in memory.
    The backward pass recomputes them chunk by chunk.

    Under `jax.vmap` no cluster is skipped. If a batch is split over devices, it is best passed through `jax.shard_map`,
    where each device sorts its own rows. Otherwise a mesh of automatic axes gathers the batch to sort it, and on a mesh
    of explicit axes all rows are one chunk.

    Args:
        in_features: The number of features D of the hidden states.
        n_classes: The number of classes V.
        cutoffs: The first class of each cluster, increasing. The first cutoff is the number of classes in the head.
        div_value: The factor by which each cluster has fewer features than the previous one.
        head_bias: Whether the head has a bias.
        dtype: The dtype of the products. None promotes `hidden` and the parameters. Sums are in float32.
        param_dtype: The dtype of the parameters.
        kernel_init: The initializer of the kernels.
        bias_init: The initializer of the bias.
        chunk_size: The number of rows in a chunk. None is 256 on CPUs and 2048 elsewhere.
        rngs: The random streams. The stream `params` is used.

    Attributes:
        head: A parameter, shape (D, cutoffs[0] + clusters).
        bias: A parameter, shape (cutoffs[0] + clusters,), or None.
        tail: Two parameters for each cluster, `down` of (D, size) and `up` of (size, classes).

    Raises:
        ValueError: The cutoffs do not increase or are not within 1 and V - 1, or a cluster would have no features.

    Examples:
        >>> from flax import nnx
        >>> from jaxloss.flax import AdaptiveLogSoftmaxWithLoss
        >>> softmax = AdaptiveLogSoftmaxWithLoss(16, 1000, [20, 200], rngs=nnx.Rngs(0))
        >>> hidden, targets = jnp.zeros((3, 16)), jnp.array([7, 150, 999])
        >>> log_probs, loss = softmax(hidden, targets)
        >>> print(f"{log_probs[1]:.4f} {loss:.4f}")
        -8.2840 7.0502

    Source: `torch.nn.AdaptiveLogSoftmaxWithLoss`; Grave et al., "Efficient softmax approximation for GPUs", 2017.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        *,
        div_value: float = 4.0,
        head_bias: bool = False,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        kernel_init: Initializer = KERNEL_INIT,
        bias_init: Initializer = zeros,
        chunk_size: int | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        bounds = _bounds(cutoffs, n_classes)
        sizes = _sizes(in_features, div_value, len(bounds) - 1)
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"`chunk_size` is {chunk_size}, but must be at least 1, or None.")

        def kernel(rows: int, columns: int) -> nnx.Param[Array]:
            return nnx.Param(kernel_init(rngs.params(), (rows, columns), param_dtype))

        entries, counts = bounds[0] + len(sizes), [end - start for start, end in itertools.pairwise(bounds)]
        self.head = kernel(in_features, entries)
        self.bias = nnx.Param(bias_init(rngs.params(), (entries,), param_dtype)) if head_bias else None
        pairs = [(kernel(in_features, size), kernel(size, count)) for size, count in zip(sizes, counts, strict=True)]
        self.tail = nnx.List([AdaptiveCluster(down, up) for down, up in pairs])
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = tuple(bounds[:-1])
        self.dtype = dtype
        self.chunk_size = chunk_size

    def __call__(
        self,
        hidden: Float[ArrayLike, "*batch features"],
        targets: Integer[ArrayLike, "*batch"],
        *,
        reduction: Reduction = "mean",
        where: Mask | None = None,
        sample_weight: Weight | None = None,
    ) -> AdaptiveLogSoftmaxOutput:
        """The log-probability of each target, and the loss, as PyTorch returns them.

        Args:
            hidden: Hidden states, shape (N..., D), floating.
            targets: Class numbers (indices from 0), shape (N...), integers of any dtype. No class number is ignored:
                use `where=targets != -100`.
            reduction: `"mean"`, `"sum"` or `"none"`, for the loss. See [`reduce`][jaxloss.reduce].
            where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
            sample_weight: The weight of each example in the loss. See [`reduce`][jaxloss.reduce].

        Returns:
            `output`, shape (N...), 0 where an example is masked; and `loss`, a scalar, or (N...). Both are at least
            float32. A target out of range makes its output, its loss and their gradients NaN.

        Raises:
            ValueError: Shapes do not match, or `jaxloss.parts` is applied to the module instead of to
                [`loss`][jaxloss.flax.AdaptiveLogSoftmaxWithLoss.loss].
            TypeError: The hidden states are not real and floating, or the targets are not integers.
        """
        if isinstance(reduction, UnfinishedMean):
            raise ValueError(
                "A call returns two arrays, and only the loss has a mean: use `jaxloss.parts(module.loss)`."
            )
        losses = self._losses(hidden, targets, where)
        return AdaptiveLogSoftmaxOutput(0 - losses, reduce(losses, reduction, where, sample_weight))

    def loss(
        self,
        hidden: Float[ArrayLike, "*batch features"],
        targets: Integer[ArrayLike, "*batch"],
        *,
        reduction: Reduction = "mean",
        where: Mask | None = None,
        sample_weight: Weight | None = None,
    ) -> Float[Array, "..."]:
        """The `loss` of a call without its output, as a function for `jaxloss.parts`."""
        return reduce(self._losses(hidden, targets, where), reduction, where, sample_weight)

    def log_prob(self, hidden: Float[ArrayLike, "*batch features"]) -> Float[Array, "*batch classes"]:
        """The log-probabilities of all classes, shape (N..., V), at least float32. The whole array is in memory."""
        return adaptive_log_prob(hidden, self._kernels(), dtype=self.dtype)

    def predict(self, hidden: Float[ArrayLike, "*batch features"]) -> Integer[Array, "*batch"]:
        """The most probable class, shape (N...), or the first of equals. Clusters that cannot hold it are skipped."""
        return adaptive_predict(hidden, self._kernels(), chunk_size=self.chunk_size, dtype=self.dtype)

    def _losses(
        self, hidden: Float[ArrayLike, "*batch features"], targets: Integer[ArrayLike, "*batch"], where: Mask | None
    ) -> Float[Array, "*batch"]:
        kernels = self._kernels()
        return adaptive_losses(hidden, targets, kernels, where=where, chunk_size=self.chunk_size, dtype=self.dtype)

    def _kernels(self) -> Kernels:
        bias = None if self.bias is None else self.bias[...]
        tail = tuple(Cluster(cluster.down[...], cluster.up[...]) for cluster in self.tail)
        return Kernels(self.head[...], bias, tail)


def _introduce(cls: type[T]) -> None:
    """Make Flax know a class of frozen pytrees. Options that are part of the program are not saved."""

    def to_state(tree: T) -> dict[str, object]:
        return {name: serialization.to_state_dict(getattr(tree, name)) for name in leaf_names(cls)}

    def from_state(tree: T, state: dict[str, Any]) -> T:
        if state.keys() != set(leaf_names(cls)):
            raise ValueError(
                f"The state of a {cls.__name__} has the fields {leaf_names(cls)}, but this one has {sorted(state)}."
            )
        restored = copy.copy(tree)
        for name, saved in state.items():
            value = serialization.from_state_dict(getattr(tree, name), saved, name=name)
            object.__setattr__(restored, name, value)  # the class is frozen
        return restored

    serialization.register_serialization_state(cls, to_state, from_state, override=True)
    nnx.register_data_type(cls)


on_registration(_introduce)


def _bounds(cutoffs: Sequence[int], n_classes: int) -> list[int]:
    """The first class of each cluster, and the number of classes."""
    bounds = [operator.index(bound) for bound in (*cutoffs, n_classes)]
    if len(bounds) == 1 or any(start >= end for start, end in itertools.pairwise([0, *bounds])):
        raise ValueError(
            f"`cutoffs` is {bounds[:-1]}, but must be one or more increasing numbers between 1 and `n_classes` - 1, "
            f"{n_classes - 1}."
        )
    return bounds


def _sizes(in_features: int, div_value: float, clusters: int) -> list[int]:
    """The number of features of each cluster."""
    sizes = [int(in_features // div_value**number) if div_value > 0 else 0 for number in range(1, clusters + 1)]
    if min(sizes) < 1:
        raise ValueError(
            f"`div_value` is {div_value}, which leaves the clusters {sizes} of {in_features} features: use a smaller "
            "one or fewer `cutoffs`."
        )
    return sizes
