"""Metric learning: embeddings of one class should lie near each other, and those of different classes far apart."""

from typing import Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Shaped

from jaxloss._core.arguments import Number, filled, one_of
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.domains import PROBABILITY, within
from jaxloss._core.elementwise import hinge, times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._core.vectors import VectorPairs, embedding_arrays, labelled
from jaxloss._losses.metric_triplets import Batch, Mining, TripletDistance, triplet_losses
from jaxloss._ops import vectors

__all__ = [
    "BatchTripletLoss",
    "ContrastiveLoss",
    "batch_triplet_loss",
    "contrastive_loss",
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
