"""Contrastive losses: each example has one right candidate, or several, among those of a batch."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.arguments import Number, filled, same_shape
from jaxloss._core.class_axis import AxisName
from jaxloss._core.logits import check_chunk_size
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._core.vectors import Directions, embedding_arrays
from jaxloss._losses.contrastive_info_nce import Embeddings, Groups, Similarity, info_nce_loss
from jaxloss._losses.contrastive_rows import (
    Labelled,
    Pool,
    anchors,
    candidate_losses,
    decoupled_losses,
    fitting,
    sigmoid_losses,
    supervised_losses,
)
from jaxloss._ops.rows.problem import Rows, Shared
from jaxloss._ops.rows.reduced import kept, reduce_rows

__all__ = [
    "CLIPLoss",
    "InfoNCELoss",
    "NTXentLoss",
    "SigLIPLoss",
    "SupConLoss",
    "clip_loss",
    "info_nce_loss",
    "nt_xent_loss",
    "siglip_loss",
    "supcon_loss",
]


@program("groups", integers=("groups",), temperature=Number(above=0))
def nt_xent_loss(
    embeddings1: Embeddings,
    embeddings2: Embeddings,
    *,
    temperature: Scalar = 0.07,
    decoupled: bool = False,
    groups: Groups | None = None,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Normalized temperature-scaled cross-entropy: two views of an example find each other among all views, in nats.

    $$ \ell_i = -\log \frac{\exp(\cos_{ij} / \tau)}{\sum_{k \ne i} \exp(\cos_{ik} / \tau)} $$

    $i$ and $j$ are the views of one example, and $k$ runs over the other $2N - 1$ views. The loss of a pair is the mean
    over its two views. The cosines of all pairs are never in memory. It is the loss of SimCLR.

    Args:
        embeddings1: Embeddings, shape (N, D).
        embeddings2: Embeddings of the same examples in the same order, shape (N, D).
        temperature: $\tau$, a number above 0 that divides the cosines.
        decoupled: Whether the other view is left out of the sum in the denominator. The loss may then be negative.
        groups: Integers, shape (N,). Pairs of one group are not negatives of each other, such as copies of one example.
        chunk_size: The number of rows of cosines in a chunk. None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the pairs are split over. All pairs are then candidates,
            and the result is that of the device's pairs: add [`parts`][jaxloss.parts] with `jax.lax.psum`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part, shape (N,). Masked pairs are nobody's negatives. See
            [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the pairs, shape (N,), in float32 or wider.

    Raises:
        ValueError: Shapes differ, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> views = jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> print(f"{jaxloss.nt_xent_loss(views, views, temperature=0.5):.4f}")
        0.2395

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020; decoupled, Yeh
    et al., "Decoupled Contrastive Learning", 2022.
    """
    check_chunk_size(chunk_size)
    (first, second), keep = _pairs(embeddings1, embeddings2, where)
    count = keep.shape[0]
    both = Directions(*(jnp.concatenate(pair) for pair in zip(first, second, strict=True)))
    groups = fitting("groups", groups, count)
    # The views of a device are consecutive among the views of all devices, first the one kind and then the other.
    twice = jnp.concatenate([keep, keep])
    groups = None if groups is None else jnp.concatenate([groups, groups])
    pool = Pool.of(both, temperature, twice, twice, groups, None, axis_name)
    numbers = pool.numbers(count)
    views = ((first, numbers, numbers + count), (second, numbers + count, numbers))
    terms = [(anchors(view, keep, pool, own, itself), pool.shared) for view, itself, own in views]
    loss = decoupled_losses if decoupled else candidate_losses
    return reduce_rows(terms, loss, chunk_size, reduction, keep, sample_weight)


@program("groups", integers=("groups",), temperature=Number(above=0))
def clip_loss(
    embeddings1: Embeddings,
    embeddings2: Embeddings,
    *,
    temperature: Scalar = 0.07,
    groups: Groups | None = None,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Symmetric softmax cross-entropy of finding the partner of an image among all texts, and of a text among images.

    $$ \ell_i = -\frac12 \log \frac{\exp(\cos_{ii} / \tau)}{\sum_j \exp(\cos_{ij} / \tau)}
    - \frac12 \log \frac{\exp(\cos_{ii} / \tau)}{\sum_j \exp(\cos_{ji} / \tau)} $$

    $\cos_{ij}$ is the cosine of image $i$ and text $j$, in nats. The cosines of all pairs are never in memory. To learn
    the temperature as CLIP does, learn its logarithm, or `temperature = 1 / jnp.minimum(jnp.exp(log_scale), 100)`.

    Args:
        embeddings1: Embeddings, shape (N, D).
        embeddings2: Embeddings of the same examples in the same order, shape (N, D).
        temperature: $\tau$, a number above 0 that divides the cosines.
        groups: Integers, shape (N,). Pairs of one group are not negatives of each other, such as copies of one example.
        chunk_size: The number of rows of cosines in a chunk. None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the pairs are split over. All pairs are then candidates,
            and the result is that of the device's pairs: add [`parts`][jaxloss.parts] with `jax.lax.psum`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part, shape (N,). Masked pairs are nobody's negatives. See
            [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the pairs, shape (N,), in float32 or wider.

    Raises:
        ValueError: Shapes differ, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> images, texts = jnp.eye(3), jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
        >>> print(f"{jaxloss.clip_loss(images, texts, temperature=0.5):.4f}")
        0.4081

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.
    """
    check_chunk_size(chunk_size)
    (first, second), keep = _pairs(embeddings1, embeddings2, where)
    groups = fitting("groups", groups, keep.shape[0])
    terms: list[tuple[Rows, Shared]] = []
    for row, column in ((first, second), (second, first)):
        pool = Pool.of(column, temperature, keep, keep, groups, None, axis_name)
        terms.append((anchors(row, keep, pool, pool.numbers(keep.shape[0])), pool.shared))
    return reduce_rows(terms, candidate_losses, chunk_size, reduction, keep, sample_weight)


@program("groups", integers=("groups",), temperature=Number(above=0), bias=Number())
def siglip_loss(
    embeddings1: Embeddings,
    embeddings2: Embeddings,
    *,
    temperature: Scalar = 0.1,
    bias: Scalar = -10.0,
    groups: Groups | None = None,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Sigmoid loss of image and text: for each pair of them, whether they belong together, in nats.

    $$ \ell_i = \sum_j \log\bigl(1 + \exp(-y_{ij} (\cos_{ij} / \tau + b))\bigr) $$

    $y_{ij}$ is 1 for $i = j$ and -1 otherwise. The cosines of all pairs are never in memory.

    Args:
        embeddings1: Embeddings, shape (N, D).
        embeddings2: Embeddings of the same examples in the same order, shape (N, D).
        temperature: $\tau$, a number above 0 that divides the cosines.
        bias: $b$, a number that is added to the logits. The default makes a random pair unlikely to belong together.
        groups: Integers, shape (N,). Pairs of one group have no term, such as copies of one example.
        chunk_size: The number of rows of cosines in a chunk. None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the pairs are split over. All pairs are then candidates,
            and the result is that of the device's pairs: add [`parts`][jaxloss.parts] with `jax.lax.psum`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part, shape (N,). Masked pairs are nobody's negatives. See
            [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the pairs, shape (N,), in float32 or wider.

    Raises:
        ValueError: Shapes differ, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> images, texts = jnp.eye(3), jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
        >>> print(f"{jaxloss.siglip_loss(images, texts):.4f}")
        1.4732

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023.
    """
    check_chunk_size(chunk_size)
    (first, second), keep = _pairs(embeddings1, embeddings2, where)
    groups = fitting("groups", groups, keep.shape[0])
    pool = Pool.of(second, temperature, keep, keep, groups, None, axis_name)
    rows = anchors(first, keep, pool, pool.numbers(keep.shape[0]))
    parameters = (pool.shared.parameters, jnp.asarray(bias, first.inverse_norm.dtype))
    shared = pool.shared._replace(parameters=parameters)
    return reduce_rows([(rows, shared)], sigmoid_losses, chunk_size, reduction, keep, sample_weight)


@program(integers=("targets",), temperature=Number(above=0))
def supcon_loss(
    embeddings: Embeddings,
    targets: Integer[ArrayLike, "examples"],
    *,
    temperature: Scalar = 0.07,
    ignore_index: int = -100,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Supervised contrastive loss: each example finds all examples of its class among all others, in nats.

    $$ \ell_i = -\frac{1}{|P_i|} \sum_{p \in P_i}
    \log \frac{\exp(\cos_{ip} / \tau)}{\sum_{j \ne i} \exp(\cos_{ij} / \tau)} $$

    $P_i$ are the other examples of the class. The cosines of all pairs are never in memory. For several views of each
    example, concatenate the views and repeat `targets`.

    Args:
        embeddings: Embeddings, shape (N, D).
        targets: Class numbers, integers of shape (N,). Any integer is a class.
        temperature: $\tau$, a number above 0 that divides the cosines.
        ignore_index: Examples with this class number are masked.
        chunk_size: The number of rows of cosines in a chunk. None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the examples are split over. All examples are then
            candidates, and the result is that of the device's examples: add [`parts`][jaxloss.parts] with
            `jax.lax.psum`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N,). Masked examples are nobody's candidates. See
            [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the examples, shape (N,), in float32 or wider. An example that is alone in its class
        has the loss 0 and does not count in the mean.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> embeddings = jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        >>> print(f"{jaxloss.supcon_loss(embeddings, jnp.array([0, 0, 1]), temperature=0.5):.4f}")
        0.4554

    Source: Khosla et al., "Supervised Contrastive Learning", 2020, the loss with the sum outside the logarithm.
    """
    check_chunk_size(chunk_size)
    batch = Labelled.of(embeddings, targets, temperature, ignore_index, axis_name, where)
    terms = [(batch.rows, batch.shared)]
    return reduce_rows(terms, supervised_losses, chunk_size, reduction, batch.keep, sample_weight)


class InfoNCELoss(Loss, fn=info_nce_loss):
    """Option object of [`info_nce_loss`][jaxloss.info_nce_loss]."""

    negatives: Float[ArrayLike, "examples negatives width"] | None = None
    temperature: Scalar = 0.07
    similarity: Similarity = static("cosine")
    in_batch: bool = static(True)
    decoupled: bool = static(False)
    groups: Groups | None = None
    log_q: Float[ArrayLike, "candidates"] | None = None
    key_where: Bool[ArrayLike, "candidates"] | None = None
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


class NTXentLoss(Loss, fn=nt_xent_loss):
    """Option object of [`nt_xent_loss`][jaxloss.nt_xent_loss]."""

    temperature: Scalar = 0.07
    decoupled: bool = static(False)
    groups: Groups | None = None
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


class CLIPLoss(Loss, fn=clip_loss):
    """Option object of [`clip_loss`][jaxloss.clip_loss]."""

    temperature: Scalar = 0.07
    groups: Groups | None = None
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


class SigLIPLoss(Loss, fn=siglip_loss):
    """Option object of [`siglip_loss`][jaxloss.siglip_loss]."""

    temperature: Scalar = 0.1
    bias: Scalar = -10.0
    groups: Groups | None = None
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


class SupConLoss(Loss, fn=supcon_loss):
    """Option object of [`supcon_loss`][jaxloss.supcon_loss]."""

    temperature: Scalar = 0.07
    ignore_index: int = static(-100)
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


def _pairs(
    embeddings1: Embeddings, embeddings2: Embeddings, where: Mask | None
) -> tuple[tuple[Directions, Directions], Bool[Array, "examples"]]:
    """Two sets of embeddings of the same examples, filled where masked, and the mask."""
    pair = embedding_arrays(embeddings1=embeddings1, embeddings2=embeddings2)
    same_shape(embeddings1=pair[0], embeddings2=pair[1])
    keep = kept(where, pair[0].shape[:1])
    first, second = (Directions.of(filled(array, keep, 0.0)) for array in pair)
    return (first, second), keep
