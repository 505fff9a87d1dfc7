"""InfoNCE, whose keys are a set of their own. Its page and its `__all__` are those of `contrastive`."""

from typing import Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Shaped

from jaxloss._core.arguments import Number, filled, floating, one_of
from jaxloss._core.class_axis import AxisName
from jaxloss._core.class_numbers import class_numbers
from jaxloss._core.logits import check_chunk_size
from jaxloss._core.program import program
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._core.vectors import Directions, embedding_arrays
from jaxloss._losses.contrastive_rows import (
    Pool,
    anchors,
    candidate_losses,
    decoupled_losses,
    fitting,
    with_negatives,
)
from jaxloss._ops.rows.reduced import kept, reduce_rows

Similarity: TypeAlias = Literal["cosine", "dot"]
Embeddings: TypeAlias = Float[ArrayLike, "examples width"]
Groups: TypeAlias = Integer[ArrayLike, "..."]


@program("negatives", "groups", "log_q", "key_where", integers=("targets", "groups"), temperature=Number(above=0))
def info_nce_loss(
    queries: Embeddings,
    keys: Float[ArrayLike, "candidates width"],
    targets: Shaped[ArrayLike, "examples"] | None = None,
    *,
    negatives: Float[ArrayLike, "examples negatives width"] | None = None,
    temperature: Scalar = 0.07,
    similarity: Similarity = "cosine",
    in_batch: bool = True,
    decoupled: bool = False,
    groups: Groups | None = None,
    log_q: Float[ArrayLike, "candidates"] | None = None,
    key_where: Bool[ArrayLike, "candidates"] | None = None,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Softmax cross-entropy of finding each query's own key among many keys, in nats.

    $$ \ell_i = -\log \frac{\exp(s_{i y_i} / \tau)}{\sum_{j \in C_i} \exp(s_{ij} / \tau)} $$

    $s_{ij}$ is the similarity of query $i$ and key $j$, $y_i$ the query's own key, $C_i$ its candidates and $\tau$ the
    temperature. The similarities of all pairs are never in memory, neither for the value nor for any derivative.

    Args:
        queries: Embeddings of the queries, shape (N, D).
        keys: Embeddings of the keys, shape (M, D). Keys past the first N are negatives of all queries: hard negatives,
            or a queue of earlier keys.
        targets: The number of each query's own key, integers of shape (N,). Without targets it is the query's own
            number, and M is at least N.
        negatives: Further negatives of each query alone, shape (N, K, D).
        temperature: $\tau$, a number above 0 that divides the similarities.
        similarity: `"cosine"`, or `"dot"` for the dot product. The cosine with a vector of zeros is 0.
        in_batch: Whether the other queries' keys are negatives. If not, the candidates are the own key, the keys from
            number N on, and `negatives`.
        decoupled: Whether the own key is left out of the sum in the denominator. The loss may then be negative.
        groups: Integers, shape (M,). Keys in the group of the own key are not negatives,
            such as copies of one example.
        log_q: The logarithm of each key's probability of being sampled, shape (M,). It is subtracted from the logits.
        key_where: True for the keys that take part, shape (M,). Others are padding.
        chunk_size: The number of queries in a chunk. The temporary memory is about M times this number, in float32.
            None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that queries and keys are split over. The candidates are then
            the keys of all devices, N queries own the N first keys of their device, and `targets` count from the first
            key of the first device. The result is that of the device's queries: add [`parts`][jaxloss.parts] with
            `jax.lax.psum`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the queries that take part, shape (N,). Without `targets` it masks their keys too, which are
            then nobody's negatives. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each query, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the queries, shape (N,), in float32 or wider. A query without a candidate has the
        loss 0 and does not count in the mean. A target out of range makes its loss NaN.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> queries, keys = jnp.eye(3), jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
        >>> print(f"{jaxloss.info_nce_loss(queries, keys, temperature=0.5):.4f}")
        0.3872

    Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018; decoupled, Yeh et
    al., "Decoupled Contrastive Learning", 2022.
    """
    one_of("similarity", similarity, ("cosine", "dot"))
    check_chunk_size(chunk_size)
    queries, keys = embedding_arrays(queries=queries, keys=keys)
    count, candidates = queries.shape[0], keys.shape[0]
    keep, key_keep = kept(where, (count,)), fitting("key_where", key_where, candidates)
    key_keep = jnp.ones(candidates, bool) if key_keep is None else key_keep
    if targets is None:
        if candidates < count:
            raise ValueError(
                f"`keys` has shape {keys.shape}, but without `targets` each of {count} queries owns a key."
            )
        key_keep &= jnp.concatenate([keep, jnp.ones(candidates - count, bool)])
    direct = Directions.of if similarity == "cosine" else Directions.as_they_are
    query, key = direct(filled(queries, keep, 0.0)), direct(filled(keys, key_keep, 0.0))
    negative = key_keep if in_batch else key_keep & (jnp.arange(candidates) >= count)
    log_q = None if log_q is None else filled(floating("log_q", log_q), key_keep, 0.0)
    pool = Pool.of(key, temperature, key_keep, negative, groups, log_q, axis_name)
    own = pool.numbers(count) if targets is None else class_numbers(targets)
    rows = anchors(query, keep, pool, own)
    if negatives is not None:
        rows = with_negatives(rows, filled(floating("negatives", negatives), keep, 0.0), direct, temperature)
    loss = decoupled_losses if decoupled else candidate_losses
    return reduce_rows([(rows, pool.shared)], loss, chunk_size, reduction, keep, sample_weight)
