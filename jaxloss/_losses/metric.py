"""Metric learning: embeddings of one class should lie near each other, and those of different classes far apart."""

from typing import Literal, TypeAlias, cast

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Shaped

from jaxloss._core.arguments import Number, filled, one_of
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import AxisName
from jaxloss._core.domains import PROBABILITY, within
from jaxloss._core.elementwise import hinge, times
from jaxloss._core.logits import check_chunk_size
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._core.vectors import VectorPairs, embedding_arrays, labelled
from jaxloss._losses.contrastive_rows import Candidates, Labelled
from jaxloss._losses.metric_rows import Circle, MultiSimilarity, circle_losses, multi_similarity_losses
from jaxloss._losses.metric_triplets import Batch, Mining, TripletDistance, triplet_losses
from jaxloss._ops import vectors
from jaxloss._ops.rows.reduced import reduce_rows

__all__ = [
    "BatchTripletLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "MultiSimilarityLoss",
    "batch_triplet_loss",
    "circle_loss",
    "contrastive_loss",
    "multi_similarity_loss",
]

PairDistance: TypeAlias = Literal["euclidean", "cosine"]


@program(margin=Number(at_least=0), eps=Number())
def contrastive_loss(
    embeddings1: Float[ArrayLike, "*#batch #width"],
    embeddings2: Float[ArrayLike, "*#batch #width"],
    targets: Shaped[ArrayLike, "*batch"],
    *,
    margin: Scalar = 1.0,
    distance: PairDistance = "euclidean",
    eps: Scalar = 1e-6,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Contrastive loss of vector pairs: half the squared distance of a similar pair, and of a dissimilar pair's gap.

    $$ \ell = \frac{y}{2} d^2 + \frac{1 - y}{2} \max(0, m - d)^2, \qquad d = \lVert a - b + \epsilon \rVert $$

    A similar pair should have the distance 0. A dissimilar pair should have at least the margin as its distance.

    Args:
        embeddings1: First vectors $a$, shape (N..., D).
        embeddings2: Second vectors $b$, shape (N..., D). The batch axes N... of both arrays broadcast, and there are
            equally many of them.
        targets: Labels $y$, 1 for similar pairs and 0 for dissimilar pairs, or numbers between, shape (N...). The
            paper's label is $1 - y$.
        margin: The distance $m$, at least 0, from which on a dissimilar pair has no loss.
        distance: `"euclidean"`, or `"cosine"` for 1 minus the cosine. The cosine of a vector of zeros is 0.
        eps: A number added to every component of the difference. The cosine does not use it.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A target outside [0, 1] makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: The embeddings are not real and floating.

    Examples:
        >>> first, second = jnp.zeros((2, 2)), jnp.array([[0.6, 0.8], [0.3, 0.4]])
        >>> print(f"{jaxloss.contrastive_loss(first, second, jnp.array([1, 0])):.4f}")
        0.3125

    Source: Hadsell et al., "Dimensionality Reduction by Learning an Invariant Mapping", 2006.
    """
    one_of("distance", distance, ("euclidean", "cosine"))
    first, second, targets, dtype = VectorPairs.of(embeddings1, embeddings2, targets, where)
    targets = nan_unless(within(PROBABILITY, targets=targets), targets)
    offset = jnp.asarray(eps, targets.dtype)
    if distance == "cosine":
        distances = 1 - vectors.cosine(first, second, jnp.zeros_like(offset), 0.0, -1)[..., 0]
    else:
        distances = vectors.distance(first, second, offset, 2.0)
    gap = hinge(jnp.asarray(margin, targets.dtype) - distances)
    losses = (times(targets, jnp.square(distances)) + times(1 - targets, jnp.square(gap))) / 2
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class ContrastiveLoss(Loss, fn=contrastive_loss):
    """Option object of [`contrastive_loss`][jaxloss.contrastive_loss]."""

    margin: Scalar = 1.0
    distance: PairDistance = static("euclidean")
    eps: Scalar = 1e-6
    reduction: Reduction = static("mean")


@program(integers=("targets",), margin=Number(at_least=0))
def batch_triplet_loss(
    embeddings: Float[ArrayLike, "examples width"],
    targets: Integer[ArrayLike, "examples"],
    *,
    margin: Scalar = 1.0,
    mining: Mining = "hard",
    distance: TripletDistance = "euclidean",
    soft: bool = False,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Triplet loss with positives and negatives from the batch: each example is an anchor.

    $$ \ell_i = \sum_{(p, n)} \max(0, d_{ip} - d_{in} + m) $$

    A positive $p$ is another example of the anchor's class, and a negative $n$ is an example of another class. The
    choice of the pairs $(p, n)$ has no gradient.

    - `"hard"`: the farthest positive and the nearest negative. The mean is over anchors that have both.
    - `"semihard"`: each positive, with the nearest negative that is farther than it, or with the farthest negative if
      none is. The mean is over these pairs.
    - `"all"`: each positive with each negative. The mean is over the triplets whose loss is above 0. For another mean
      divide the result of `reduction="sum"`. The triplets are never in memory: the distances are sorted.

    Args:
        embeddings: Embeddings, shape (N, D).
        targets: Class numbers, integers of shape (N,). Any integer is a class.
        margin: The margin $m$, at least 0, in the units of the distance.
        mining: `"hard"`, `"semihard"` or `"all"`.
        distance: `"euclidean"`, `"squared"` for its square, or `"cosine"` for 1 minus the cosine. The cosine of a
            vector of zeros is 0.
        soft: Whether the loss of a triplet is $\log(1 + e^{d_{ip} - d_{in}})$, without a margin. With `"all"` the mean
            is then over all triplets, and the triplets of a few anchors are in memory at once.
        ignore_index: Examples with this class number are masked.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N,). Masked examples are no anchors, no positives and no
            negatives. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each anchor, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the anchors, shape (N,). An anchor without a positive or a negative has the loss 0
        and does not count in the mean.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> embeddings, targets = jnp.array([[0.0], [2.0], [3.0]]), jnp.array([0, 0, 1])
        >>> print(jaxloss.batch_triplet_loss(embeddings, targets))
        1.0

    Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", 2017; semi-hard, Schroff et
    al., "FaceNet", 2015.
    """
    one_of("mining", mining, ("hard", "semihard", "all"))
    one_of("distance", distance, ("euclidean", "squared", "cosine"))
    (embeddings,) = embedding_arrays(embeddings=embeddings)
    targets, keep = labelled(targets, embeddings.shape[0], ignore_index, where)
    batch = Batch.of(filled(embeddings, keep, 0.0), targets, keep, distance)
    losses, count = triplet_losses(batch, mining, None if soft else jnp.asarray(margin, batch.unit.dtype))
    return reduce(losses, reduction, keep, sample_weight, count=count, dtype=embeddings.dtype)


class BatchTripletLoss(Loss, fn=batch_triplet_loss):
    """Option object of [`batch_triplet_loss`][jaxloss.batch_triplet_loss]."""

    margin: Scalar = 1.0
    mining: Mining = static("hard")
    distance: TripletDistance = static("euclidean")
    soft: bool = static(False)
    ignore_index: int = static(-100)
    reduction: Reduction = static("mean")


@program(
    integers=("targets",),
    alpha=Number(above=0),
    beta=Number(above=0),
    base=Number(),
    epsilon=Number(),
)
def multi_similarity_loss(
    embeddings: Float[ArrayLike, "examples width"],
    targets: Integer[ArrayLike, "examples"],
    *,
    alpha: Scalar = 2.0,
    beta: Scalar = 50.0,
    base: Scalar = 0.5,
    epsilon: Scalar | None = 0.1,
    ignore_index: int = -100,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Multi-similarity loss: logarithms of sums over the pairs of an anchor, hard pairs first.

    $$ \ell_i = \frac{1}{\alpha} \log\Bigl(1 + \sum_{p} e^{-\alpha ({\cos_{ip}} - \lambda)}\Bigr)
    + \frac{1}{\beta} \log\Bigl(1 + \sum_{n} e^{\beta ({\cos_{in}} - \lambda)}\Bigr) $$

    A positive $p$ is another example of the anchor's class, and a negative $n$ is an example of another class. With
    `epsilon` the sums have only the positives whose cosine is below that of the nearest negative plus $\epsilon$, and
    the negatives whose cosine is above that of the farthest positive minus $\epsilon$. This choice has no gradient.
    The cosines of all pairs are never in memory.

    Args:
        embeddings: Embeddings, shape (N, D).
        targets: Class numbers, integers of shape (N,). Any integer is a class.
        alpha: The factor $\alpha$, above 0, of the positives' cosines.
        beta: The factor $\beta$, above 0, of the negatives' cosines.
        base: The cosine $\lambda$ that positives should exceed and negatives should not.
        epsilon: The margin $\epsilon$ of the choice of pairs. None takes all pairs. Otherwise an anchor without a
            positive or a negative has the loss 0.
        ignore_index: Examples with this class number are masked.
        chunk_size: The number of rows of cosines in a chunk. None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the examples are split over. All examples are then
            candidates, and the result is that of the device's examples: add [`parts`][jaxloss.parts] with
            `jax.lax.psum`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N,). Masked examples are no anchors, no positives and no
            negatives. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each anchor, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the anchors, shape (N,), in float32 or wider. Every anchor counts in the mean.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> embeddings = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> print(f"{jaxloss.multi_similarity_loss(embeddings, jnp.array([0, 0, 1])):.4f}")
        0.1997

    Source: Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning", 2019.
    """
    check_chunk_size(chunk_size)
    batch = Labelled.of(embeddings, targets, 1.0, ignore_index, axis_name, where)
    candidates = cast(Candidates, batch.shared.parameters)
    dtype = candidates.inverse_norm.dtype
    alpha, beta, base = (jnp.asarray(number, dtype) for number in (alpha, beta, base))
    slack = None if epsilon is None else jnp.asarray(epsilon, dtype)
    parameters = MultiSimilarity(candidates, alpha, beta, base, slack)
    terms = [(batch.rows, batch.shared._replace(parameters=parameters))]
    return reduce_rows(terms, multi_similarity_losses, chunk_size, reduction, batch.keep, sample_weight)


class MultiSimilarityLoss(Loss, fn=multi_similarity_loss):
    """Option object of [`multi_similarity_loss`][jaxloss.multi_similarity_loss]."""

    alpha: Scalar = 2.0
    beta: Scalar = 50.0
    base: Scalar = 0.5
    epsilon: Scalar | None = 0.1
    ignore_index: int = static(-100)
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


@program(integers=("targets",), margin=Number(), gamma=Number(above=0))
def circle_loss(
    embeddings: Float[ArrayLike, "examples width"],
    targets: Integer[ArrayLike, "examples"],
    *,
    margin: Scalar = 0.4,
    gamma: Scalar = 80.0,
    ignore_index: int = -100,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Circle loss: each pair of an anchor has a weight that grows with the distance of its cosine from the optimum.

    $$ \ell_i = \log\Bigl(1 + \sum_{n} e^{\gamma [\cos_{in} + m]_+ ({\cos_{in}} - m)}
    \sum_{p} e^{-\gamma [1 + m - \cos_{ip}]_+ ({\cos_{ip}} - 1 + m)}\Bigr) $$

    A positive $p$ is another example of the anchor's class, and a negative $n$ is an example of another class. The
    brackets $[x]_+ = \max(0, x)$ are weights: they have no gradient. The cosines of all pairs are never in memory.

    Args:
        embeddings: Embeddings, shape (N, D).
        targets: Class numbers, integers of shape (N,). Any integer is a class.
        margin: The margin $m$. Positives should exceed the cosine $1 - m$, and negatives should stay below $m$. The
            default is for retrieval. The paper has 0.25 for faces.
        gamma: The scale $\gamma$, above 0. The paper has 256 for faces.
        ignore_index: Examples with this class number are masked.
        chunk_size: The number of rows of cosines in a chunk. None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the examples are split over. All examples are then
            candidates, and the result is that of the device's examples: add [`parts`][jaxloss.parts] with
            `jax.lax.psum`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N,). Masked examples are no anchors, no positives and no
            negatives. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each anchor, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the anchors, shape (N,), in float32 or wider. An anchor without a positive or a
        negative has the loss 0 and does not count in the mean.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> embeddings = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> print(f"{jaxloss.circle_loss(embeddings, jnp.array([0, 0, 1]), gamma=8.0):.4f}")
        2.0533

    Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", 2020.
    """
    check_chunk_size(chunk_size)
    batch = Labelled.of(embeddings, targets, 1.0, ignore_index, axis_name, where)
    candidates = cast(Candidates, batch.shared.parameters)
    margin, gamma = (jnp.asarray(number, candidates.inverse_norm.dtype) for number in (margin, gamma))
    terms = [(batch.rows, batch.shared._replace(parameters=Circle(candidates, margin, gamma)))]
    return reduce_rows(terms, circle_losses, chunk_size, reduction, batch.keep, sample_weight)


class CircleLoss(Loss, fn=circle_loss):
    """Option object of [`circle_loss`][jaxloss.circle_loss]."""

    margin: Scalar = 0.4
    gamma: Scalar = 80.0
    ignore_index: int = static(-100)
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")
