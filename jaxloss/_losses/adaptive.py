"""Adaptive softmax: frequent classes in a head, rare ones in clusters that only their own examples pay for.

The loss is a sum of cross-entropies. The first is over the head, whose entries are the frequent classes and the
clusters. An example whose class is in a cluster adds the cross-entropy within that cluster. The examples of a cluster
are known when the program runs, not while it is traced, so a slice of them would have no static size. Instead all
examples are sorted by cluster and computed in chunks, and each chunk skips the clusters that have none of its rows. So
at most two chunks per cluster also hold rows of another cluster, and memory holds the logits of one chunk at a time.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.arguments import filled, floating, mask
from jaxloss._core.class_numbers import class_numbers, signed
from jaxloss._core.dtypes import accumulator
from jaxloss._core.program import program
from jaxloss._core.types import ArrayLike, Mask, Values
from jaxloss._losses.classification import cross_entropy, log_softmax
from jaxloss._ops.rows.mapped import in_chunks, map_chunks

T = TypeVar("T")


Numbers = Integer[Array, "..."]


class Cluster(NamedTuple):
    """A cluster's parameters: a projection to fewer features, and the map from those to logits."""

    down: Float[Array, "features size"]
    up: Float[Array, "size classes"]


class Kernels(NamedTuple):
    """The parameters, in Flax's layout. Their shapes say where the clusters begin."""

    head: Float[Array, "features entries"]
    bias: Float[Array, "entries"] | None
    tail: tuple[Cluster, ...]

    @property
    def cutoffs(self) -> list[int]:
        """The first class of each cluster, and the number of classes."""
        frequent = self.head.shape[1] - len(self.tail)
        return list(itertools.accumulate((cluster.up.shape[1] for cluster in self.tail), initial=frequent))


@program(integers=("targets",))
def adaptive_losses(
    hidden: Float[ArrayLike, "..."],
    targets: Integer[ArrayLike, "..."],
    kernels: Kernels,
    *,
    where: Mask | None = None,
    chunk_size: int | None = None,
    dtype: DTypeLike | None = None,
) -> Values:
    """The negative log-likelihood of each target; 0 where masked."""
    hidden, kernels = _checked(hidden, kernels, dtype)
    targets = class_numbers(targets)
    batch = hidden.shape[:-1]
    if targets.shape != batch:
        raise ValueError(
            f"`targets` has shape {targets.shape}, but `hidden` {hidden.shape} without its last axis is {batch}."
        )
    keep = mask(where, batch)
    # A masked row becomes a zero row of class 0. So no chunk computes a cluster for it, and its NaN does not reach the
    # kernels' gradients, which are products over the rows.
    hidden, targets = filled(hidden, keep, 0.0), filled(signed(targets), keep, 0)
    arrays = kernels, hidden, targets, keep
    # Sorting would move rows between devices, and on a mesh with explicit axes it needs the sharding of its result.
    if AxisType.Explicit in jax.typeof(hidden).sharding.mesh.axis_types:
        return _losses(*arrays)
    return in_chunks(_sorted_losses, math.prod(batch), chunk_size, *arrays)


@program()
def adaptive_log_prob(
    hidden: Float[ArrayLike, "..."], kernels: Kernels, *, dtype: DTypeLike | None = None
) -> Float[Array, "..."]:
    """The log-probabilities of all classes."""
    hidden, kernels = _checked(hidden, kernels, dtype)
    frequent, clusters = _head_log_probs(kernels, hidden)
    within = [_tail_log_probs(cluster, hidden) + clusters[..., i, None] for i, cluster in enumerate(kernels.tail)]
    return jnp.concatenate([frequent, *within], -1)


@program()
def adaptive_predict(
    hidden: Float[ArrayLike, "..."],
    kernels: Kernels,
    *,
    chunk_size: int | None = None,
    dtype: DTypeLike | None = None,
) -> Numbers:
    """The most probable class of each row."""
    hidden, kernels = _checked(hidden, kernels, dtype)
    if AxisType.Explicit in jax.typeof(hidden).sharding.mesh.axis_types:
        return _predicted(kernels, hidden)
    return in_chunks(_chunked_predictions, math.prod(hidden.shape[:-1]), chunk_size, kernels, hidden)


def _sorted_losses(
    size: int | None, kernels: Kernels, hidden: Values, targets: Numbers, keep: Bool[Array, "..."] | None
) -> Values:
    """The losses in chunks of rows that are sorted by cluster; all at once if the size is None."""
    if size is None:
        return _losses(kernels, hidden, targets, keep)
    rows, labels, batch = hidden.reshape(-1, hidden.shape[-1]), targets.ravel(), targets.shape
    keep_rows = jnp.ones(labels.shape, bool) if keep is None else jnp.broadcast_to(keep, batch).ravel()
    order = jnp.argsort(_clusters(labels, kernels))
    losses = map_chunks(partial(_losses, kernels), size, rows[order], labels[order], keep_rows[order])
    return losses[jnp.argsort(order)].reshape(batch)


def _chunked_predictions(size: int | None, kernels: Kernels, hidden: Values) -> Numbers:
    """The predictions in chunks of rows; all at once if the size is None."""
    if size is None:
        return _predicted(kernels, hidden)
    rows = hidden.reshape(-1, hidden.shape[-1])
    return map_chunks(partial(_predicted, kernels), size, rows).reshape(hidden.shape[:-1])


def _losses(kernels: Kernels, hidden: Values, targets: Numbers, keep: Bool[Array, "..."] | None) -> Values:
    cutoffs, clusters = kernels.cutoffs, _clusters(targets, kernels)
    entries = jnp.where(clusters == 0, targets, cutoffs[0] - 1 + clusters)
    # A target out of range becomes the entry -1: cross-entropy makes NaN of it. The default of `ignore_index` is -100.
    entries = jnp.where((targets < 0) | (targets >= cutoffs[-1]), -1, entries)
    losses = cross_entropy(_head_logits(kernels, hidden), entries, where=keep, reduction="none")

    def with_cluster(number: int, losses: Values) -> Values:
        logits = _tail_logits(kernels.tail[number - 1], hidden)
        cluster_targets = targets - cutoffs[number - 1]
        return losses + cross_entropy(logits, cluster_targets, where=clusters == number, reduction="none")

    for number in range(1, len(kernels.tail) + 1):
        losses = _if_any(clusters == number, partial(with_cluster, number), losses)
    return losses


def _predicted(kernels: Kernels, hidden: Values) -> Numbers:
    frequent, clusters = _head_log_probs(kernels, hidden)

    def with_cluster(i: int, best: tuple[Values, Numbers]) -> tuple[Values, Numbers]:
        log_probs = _tail_log_probs(kernels.tail[i], hidden) + clusters[..., i, None]
        largest, label = jnp.max(log_probs, -1), kernels.cutoffs[i] + jnp.argmax(log_probs, -1)
        return jnp.maximum(best[0], largest), jnp.where(largest > best[0], label, best[1])

    best = jnp.max(frequent, -1), jnp.argmax(frequent, -1)
    for i in range(len(kernels.tail)):
        # A class is at most as probable as its cluster: the cluster matters only where it beats the best class so far.
        best = _if_any(clusters[..., i] > best[0], partial(with_cluster, i), best)
    return best[1]


def _if_any(rows: Bool[Array, "..."], function: Callable[[T], T], value: T) -> T:
    """`function(value)` if any row needs it, else `value`.

    The branch is real control flow: a skipped cluster costs nothing.
    """

    def unchanged(value: T) -> T:
        return value

    return lax.cond(jnp.any(rows), function, unchanged, value)  # pyright: ignore[reportUnknownVariableType]  # untyped


def _clusters(targets: Numbers, kernels: Kernels) -> Numbers:
    """The cluster of each target, counted from 1; 0 for a frequent class. A target out of range gets a number too."""
    return sum(((targets >= cutoff).astype(targets.dtype) for cutoff in kernels.cutoffs), jnp.zeros_like(targets))


def _head_logits(kernels: Kernels, hidden: Values) -> Values:
    logits = _dot(hidden, kernels.head)
    return logits if kernels.bias is None else logits + jnp.expand_dims(kernels.bias, range(logits.ndim - 1))


def _head_log_probs(kernels: Kernels, hidden: Values) -> tuple[Values, Values]:
    """The log-probabilities of the frequent classes, and those of the clusters."""
    log_probs = log_softmax(_head_logits(kernels, hidden))
    return log_probs[..., : kernels.cutoffs[0]], log_probs[..., kernels.cutoffs[0] :]


def _tail_logits(cluster: Cluster, hidden: Values) -> Values:
    return _dot(_dot(hidden, cluster.down).astype(hidden.dtype), cluster.up)


def _tail_log_probs(cluster: Cluster, hidden: Values) -> Values:
    """The log-probabilities of a cluster's classes, given the cluster."""
    return log_softmax(_tail_logits(cluster, hidden))


def _dot(hidden: Values, kernel: Values) -> Values:
    """hidden @ kernel with factors in the dtype of `hidden`, summed in float32 or wider."""
    contracted = (((hidden.ndim - 1,), (0,)), ((), ()))
    wide = accumulator(hidden.dtype)
    return lax.dot_general(hidden, kernel.astype(hidden.dtype), contracted, preferred_element_type=wide)


def _checked(hidden: Float[ArrayLike, "..."], kernels: Kernels, dtype: DTypeLike | None) -> tuple[Values, Kernels]:
    """`hidden` in the dtype of the products, and the kernels in that of the sums.

    The kernels' gradient is a sum over chunks in the dtype of the kernels.
    """
    hidden = floating("hidden", hidden)
    features = kernels.head.shape[0]
    if hidden.shape[-1:] != (features,):
        raise ValueError(f"`hidden` has shape {hidden.shape}, but its last axis must be `in_features`, {features}.")
    dtype = jnp.result_type(hidden, *jax.tree.leaves(kernels)) if dtype is None else dtype

    def widened(kernel: Values) -> Values:
        return kernel.astype(accumulator(dtype))

    return hidden.astype(dtype), jax.tree.map(widened, kernels)
