"""Flax modules, for losses that hold parameters. Importing this file needs `flax`; importing jaxloss does not."""

import itertools
import operator
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import Initializer, lecun_normal, zeros
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Integer

from jaxloss._core.reduction import UnfinishedMean, reduce
from jaxloss._core.types import Mask, Reduction, Weight
from jaxloss._losses.adaptive import Cluster, Kernels, adaptive_log_prob, adaptive_losses, adaptive_predict

KERNEL_INIT = lecun_normal()
"""That of `nnx.Linear`."""


class AdaptiveLogSoftmaxOutput(NamedTuple):
    """What a call of [`AdaptiveLogSoftmaxWithLoss`][jaxloss.flax.AdaptiveLogSoftmaxWithLoss] returns."""

    output: Float[Array, "..."]
    """The log-probability of each target."""
    loss: Float[Array, "..."]
    """Minus these, reduced."""


class AdaptiveCluster(nnx.Module):
    """The parameters of a cluster of [`AdaptiveLogSoftmaxWithLoss`][jaxloss.flax.AdaptiveLogSoftmaxWithLoss]."""

    def __init__(self, down: nnx.Param[Array], up: nnx.Param[Array]) -> None:
        self.down = down
        self.up = up


class AdaptiveLogSoftmaxWithLoss(nnx.Module):
    r"""How surprised a softmax over very many classes is by the true one, in nats, where rare classes cost little.

    Classes are numbered from the most frequent to the rarest. The first `cutoffs[0]` of them are in the head; the
    others are in clusters that begin at the cutoffs. The head has an entry for each of its classes and one for each
    cluster, and a class $y$ of cluster $k$ has the log-probability

    $$ \log p(y) = \log p_\text{head}(k) + \log p_k(y) $$

    where $p_k$ is a softmax over the cluster's classes, of features projected to `in_features // div_value**k`.

    The cost is that of the head for every example, and that of a cluster for the examples whose target is in it: rows
    are sorted by cluster and taken a chunk at a time, and a chunk leaves out the clusters that none of its targets is
    in. Only one chunk's logits are in memory, in the backward pass too, which makes them a second time.

    Under `jax.vmap` nothing is left out. A batch that is split over devices is best given to `jax.shard_map`, where
    each device sorts its own rows: elsewhere a mesh of automatic axes gathers the batch to sort it, and on one of
    explicit axes all rows are one chunk.

    Args:
        in_features: D, the size of what it is given.
        n_classes: V.
        cutoffs: the first class of each cluster, increasing; the first of them is how many classes the head has.
        div_value: by how much each cluster has fewer features than the one before it.
        head_bias: whether the head has a bias.
        dtype: of the products; what `hidden` and the parameters promote to if None. They are summed in float32.
        param_dtype: of the parameters.
        kernel_init: makes the kernels.
        bias_init: makes the bias.
        chunk_size: how many rows are taken at a time; None is 256 on CPUs and 2048 elsewhere.
        rngs: of which `params` is used.

    Attributes:
        head: (D, cutoffs[0] + clusters), a parameter.
        bias: (cutoffs[0] + clusters,), a parameter, or None.
        tail: for each cluster two parameters, `down` of (D, size) and `up` of (size, classes).

    Raises:
        ValueError: cutoffs that do not increase or are not within 1 and V - 1, a cluster that is left no features.

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
        hidden: Float[ArrayLike, "..."],
        targets: Integer[ArrayLike, "..."],
        *,
        reduction: Reduction = "mean",
        where: Mask | None = None,
        sample_weight: Weight | None = None,
    ) -> AdaptiveLogSoftmaxOutput:
        """The log-probability of each target, and the loss, as PyTorch returns them.

        Args:
            hidden: (N..., D), floating.
            targets: class numbers (N...), integers of any dtype. None is ignored: use `where=targets != -100`.
            reduction: of the loss, `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
            where: True where an example is kept: see [`reduce`][jaxloss.reduce].
            sample_weight: how much each example counts in the loss: see [`reduce`][jaxloss.reduce].

        Returns:
            `output`, (N...), 0 where an example is left out; and `loss`, a scalar, or (N...). Both are at least
            float32. A target out of range makes its output, its loss and their gradients NaN.

        Raises:
            ValueError: shapes that do not match; the reduction that `jaxloss.parts` asks for, which is for
                [`loss`][jaxloss.flax.AdaptiveLogSoftmaxWithLoss.loss].
            TypeError: features that are not real and floating, targets that are not integers.
        """
        if isinstance(reduction, UnfinishedMean):
            raise ValueError("A call returns two arrays, of which there is no mean: use `jaxloss.parts(module.loss)`.")
        losses = self._losses(hidden, targets, where)
        return AdaptiveLogSoftmaxOutput(0 - losses, reduce(losses, reduction, where, sample_weight))

    def loss(
        self,
        hidden: Float[ArrayLike, "..."],
        targets: Integer[ArrayLike, "..."],
        *,
        reduction: Reduction = "mean",
        where: Mask | None = None,
        sample_weight: Weight | None = None,
    ) -> Float[Array, "..."]:
        """The `loss` of a call alone: what `jaxloss.parts` takes."""
        return reduce(self._losses(hidden, targets, where), reduction, where, sample_weight)

    def log_prob(self, hidden: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
        """The log-probabilities (N..., V) of all classes, at least float32. This is as large as it says."""
        return adaptive_log_prob(hidden, self._kernels(), dtype=self.dtype)

    def predict(self, hidden: Float[ArrayLike, "..."]) -> Integer[Array, "..."]:
        """The most probable class (N...), the first of equals. Clusters that cannot hold it are left out."""
        return adaptive_predict(hidden, self._kernels(), chunk_size=self.chunk_size, dtype=self.dtype)

    def _losses(
        self, hidden: Float[ArrayLike, "..."], targets: Integer[ArrayLike, "..."], where: Mask | None
    ) -> Float[Array, "..."]:
        kernels = self._kernels()
        return adaptive_losses(hidden, targets, kernels, where=where, chunk_size=self.chunk_size, dtype=self.dtype)

    def _kernels(self) -> Kernels:
        bias = None if self.bias is None else self.bias[...]
        tail = tuple(Cluster(cluster.down[...], cluster.up[...]) for cluster in self.tail)
        return Kernels(self.head[...], bias, tail)


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
    """How many features each cluster has."""
    sizes = [int(in_features // div_value**number) if div_value > 0 else 0 for number in range(1, clusters + 1)]
    if min(sizes) < 1:
        raise ValueError(
            f"`div_value` is {div_value}, which leaves the clusters {sizes} of {in_features} features: use a smaller "
            "one or fewer `cutoffs`."
        )
    return sizes
