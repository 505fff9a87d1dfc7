"""Distances and similarities of vectors, and the losses made of them."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Shaped

from jaxloss._core.arguments import broadcast_shape, filled, floats, mask, option
from jaxloss._core.domains import SIGN, expect
from jaxloss._core.elementwise import TINY, clamp_min
from jaxloss._core.objects import Loss
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import Mask, Reduction, Scalar, Values, Weight
from jaxloss._ops.vectors import cosine, distance

__all__ = [
    "CosineEmbeddingLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "cosine_embedding_loss",
    "cosine_similarity",
    "pairwise_distance",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


Distance = Callable[[Values, Values], Values]


def pairwise_distance(
    a: Float[ArrayLike, "..."],
    b: Float[ArrayLike, "..."],
    *,
    p: float = 2.0,
    eps: Scalar = 1e-6,
    keepdims: bool = False,
) -> Float[Array, "..."]:
    r"""The p-norm of the difference of two vectors, over the last axis.

    $$ d = \lVert a - b + \epsilon \rVert_p $$

    Args:
        a: vectors (..., D).
        b: vectors (..., D), or of a shape that broadcasts with that of `a`.
        p: any real number. 0 counts the components that differ, inf and -inf take the largest and the smallest.
        eps: added to every component of the difference.
        keepdims: whether the last axis stays, with size 1.

    Returns:
        The distances (...), in the inputs' dtype. The gradient at a distance of 0 is 0.

    Raises:
        ValueError: shapes that do not broadcast or have no axis.
        TypeError: vectors that are not real and floating.

    Examples:
        >>> a, b = jnp.array([[0.0, 0.0], [3.0, 0.0]]), jnp.array([3.0, 4.0])
        >>> print(jaxloss.pairwise_distance(a, b, eps=0.0))
        [5. 4.]

    Source: `torch.nn.PairwiseDistance`.
    """
    (like, _), dtype = floats(a=a, b=b)
    a, b = _aligned(a, b)
    if a.ndim == 0:
        raise ValueError("`a` and `b` have no axes, but a vector has one.")
    distances = distance(a, b, option("eps", eps, like), p)
    return (distances[..., None] if keepdims else distances).astype(dtype)


def cosine_similarity(
    a: Float[ArrayLike, "..."], b: Float[ArrayLike, "..."], *, axis: int = -1, eps: Scalar = 1e-8
) -> Float[Array, "..."]:
    r"""The cosine of the angle between two vectors.

    $$ \cos = \frac{a \cdot b}{\max(\lVert a \rVert, \epsilon) \max(\lVert b \rVert, \epsilon)} $$

    Args:
        a: vectors.
        b: vectors, of the same shape or one that broadcasts with it.
        axis: of the components, once the shapes are broadcast.
        eps: the least norm: a vector of zeros has a cosine of 0 with any other.

    Returns:
        The cosines, in the broadcast shape without `axis` and in the inputs' dtype.

    Raises:
        ValueError: shapes that do not broadcast or lack the axis.
        TypeError: vectors that are not real and floating.

    Examples:
        >>> print(f"{jaxloss.cosine_similarity(jnp.array([1.0, 0.0]), jnp.array([1.0, 1.0])):.4f}")
        0.7071

    Source: `torch.nn.CosineSimilarity`.
    """
    (like, _), dtype = floats(a=a, b=b)
    a, b = _aligned(a, b)
    if not -a.ndim <= axis < a.ndim:
        raise ValueError(f"`axis` is {axis}, but the vectors broadcast to {a.ndim} axes.")
    size = max(a.shape[axis], b.shape[axis])
    a, b = (jnp.repeat(x, size, axis) if x.shape[axis] < size else x for x in (a, b))
    cosines = cosine(a, b, option("eps", eps, like, at_least=0), 0.0, axis)
    return jnp.squeeze(cosines, axis).astype(dtype)


def cosine_embedding_loss(
    embeddings1: Float[ArrayLike, "..."],
    embeddings2: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    *,
    margin: Scalar = 0.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""How far the angle between two vectors is from closed, where they are alike, or from open, where they are not.

    $$ \ell = \begin{cases} 1 - \cos & y = 1 \\ \max(0, {\cos} - m) & y = -1 \end{cases} \qquad
       \cos = \frac{a \cdot b}{\sqrt{(\lVert a \rVert^2 + 10^{-12}) (\lVert b \rVert^2 + 10^{-12})}} $$

    Args:
        embeddings1: $a$, (N..., D).
        embeddings2: $b$, (N..., D), or of a shape that broadcasts with it, with as many axes.
        targets: $y$, (N...), 1 for alike or -1. Any other number has the loss 0, as in PyTorch.
        margin: $m$, the cosine, in [-1, 1], that unlike vectors may have.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where a pair is kept, (N...): see [`reduce`][jaxloss.reduce].
        sample_weight: how much each pair counts, (N...): see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses (N...). Vectors of zeros have a cosine of 0.

    Raises:
        ValueError: shapes that do not match.
        TypeError: embeddings that are not real and floating.

    Examples:
        >>> first, second = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([[0.0, 1.0], [1.0, 1.0]])
        >>> print(f"{jaxloss.cosine_embedding_loss(first, second, jnp.array([1, -1])):.4f}")
        0.8536

    Source: `torch.nn.CosineEmbeddingLoss`.
    """
    (a, b, targets), dtype = floats(embeddings1=embeddings1, embeddings2=embeddings2, targets=targets)
    shape = broadcast_shape(embeddings1=a, embeddings2=b)[:-1]
    if targets.shape != shape:
        raise ValueError(f"`targets` has shape {targets.shape}, but there is one pair of vectors for each of {shape}.")
    keep = mask(where, shape)
    first, second = (filled(jnp.asarray(x), keep, 0.0) for x in (embeddings1, embeddings2))
    targets = filled(targets, keep, 1.0)
    expect(SIGN, targets=targets)
    angle = cosine(first, second, jnp.zeros((), a.dtype), TINY, -1)[..., 0]
    apart = clamp_min(angle - option("margin", margin, a))
    losses = jnp.where(targets == 1, 1 - angle, jnp.where(targets == -1, apart, 0.0))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class CosineEmbeddingLoss(Loss, fn=cosine_embedding_loss):
    """[`cosine_embedding_loss`][jaxloss.cosine_embedding_loss] and its options as one value."""

    margin: Scalar = 0.0
    reduction: Reduction = static("mean")


def triplet_margin_loss(
    anchor: Float[ArrayLike, "..."],
    positive: Float[ArrayLike, "..."],
    negative: Float[ArrayLike, "..."],
    *,
    margin: Scalar = 1.0,
    p: float = 2.0,
    eps: Scalar = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""By how much an anchor fails to be closer to its positive than to its negative by the margin.

    $$ \ell = \max(0, d(a, p) - d(a, n) + m) $$

    Args:
        anchor: $a$, (N..., D).
        positive: $p$, (N..., D): vectors that should be near the anchors.
        negative: $n$, (N..., D): vectors that should be far from them. The three broadcast, with as many axes.
        margin: $m$, above 0, in the units of the distance.
        p: of the norm: see [`pairwise_distance`][jaxloss.pairwise_distance].
        eps: added to every component of a difference.
        swap: whether the positive's distance to the negative stands in where it is smaller than the anchor's.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where a triplet is kept, (N...): see [`reduce`][jaxloss.reduce].
        sample_weight: how much each triplet counts, (N...): see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses (N...). At equality with the margin the gradient passes, as in PyTorch.

    Raises:
        ValueError: shapes that do not broadcast, a margin that is not above 0.
        TypeError: vectors that are not real and floating.

    Examples:
        >>> anchor, positive, negative = jnp.zeros((1, 2)), jnp.array([[0.3, 0.4]]), jnp.array([[0.6, 0.8]])
        >>> print(f"{jaxloss.triplet_margin_loss(anchor, positive, negative):.4f}")
        0.5000

    Source: `torch.nn.TripletMarginLoss`; Balntas et al., "Learning Local Feature Descriptors with Triplets and
    Shallow Convolutional Neural Networks", 2016.
    """
    (like, *_), _ = floats(anchor=anchor, positive=positive, negative=negative)
    own = partial(distance, eps=option("eps", eps, like), p=p)
    return _triplet(anchor, positive, negative, own, margin, swap, reduction, where, sample_weight)


class TripletMarginLoss(Loss, fn=triplet_margin_loss):
    """[`triplet_margin_loss`][jaxloss.triplet_margin_loss] and its options as one value."""

    margin: Scalar = 1.0
    p: float = static(2.0)
    eps: Scalar = 1e-6
    swap: bool = static(False)
    reduction: Reduction = static("mean")


def triplet_margin_with_distance_loss(
    anchor: Float[ArrayLike, "..."],
    positive: Float[ArrayLike, "..."],
    negative: Float[ArrayLike, "..."],
    *,
    distance_function: Distance | None = None,
    margin: Scalar = 1.0,
    swap: bool = False,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""By how much an anchor fails to be closer to its positive than to its negative, by a distance of your own.

    $$ \ell = \max(0, d(a, p) - d(a, n) + m) $$

    Args:
        anchor: $a$, (N..., D), or whatever the distance takes.
        positive: $p$, like the anchors: what should be near them.
        negative: $n$, like the anchors: what should be far from them. The three broadcast, with as many axes.
        distance_function: takes two batches and returns a distance for each pair, of shape (N...);
            [`pairwise_distance`][jaxloss.pairwise_distance] if not given.
        margin: $m$, above 0, in the units of the distance.
        swap: whether the positive's distance to the negative stands in where it is smaller than the anchor's.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where a triplet is kept, in the shape of the distances: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each triplet counts, shaped alike: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses (N...). At equality with the margin the gradient passes, as in PyTorch.

    Raises:
        ValueError: shapes that do not broadcast, a margin that is not above 0, distances of a shape that does not
            begin that of the vectors.
        TypeError: vectors that are not real and floating.

    Examples:
        >>> anchor, positive, negative = jnp.zeros((1, 2)), jnp.array([[0.3, 0.4]]), jnp.array([[0.6, 0.8]])
        >>> manhattan = lambda a, b: jnp.abs(a - b).sum(-1)
        >>> loss = jaxloss.TripletMarginWithDistanceLoss(distance_function=manhattan)
        >>> print(f"{loss(anchor, positive, negative):.4f}")
        0.3000

    Source: `torch.nn.TripletMarginWithDistanceLoss`.
    """
    if distance_function is None:
        return triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=margin,
            swap=swap,
            reduction=reduction,
            where=where,
            sample_weight=sample_weight,
        )
    (like, *_), _ = floats(anchor=anchor, positive=positive, negative=negative)

    def own(a: Values, b: Values) -> Values:
        return distance_function(a.astype(like.dtype), b.astype(like.dtype))

    return _triplet(anchor, positive, negative, own, margin, swap, reduction, where, sample_weight)


class TripletMarginWithDistanceLoss(Loss, fn=triplet_margin_with_distance_loss):
    """[`triplet_margin_with_distance_loss`][jaxloss.triplet_margin_with_distance_loss] and its options as one value."""

    distance_function: Distance | None = static(None)
    margin: Scalar = 1.0
    swap: bool = static(False)
    reduction: Reduction = static("mean")


def _triplet(
    anchor: Float[ArrayLike, "..."],
    positive: Float[ArrayLike, "..."],
    negative: Float[ArrayLike, "..."],
    measure: Distance,
    margin: Scalar,
    swap: bool,
    reduction: Reduction,
    where: Mask | None,
    sample_weight: Weight | None,
) -> Float[Array, "..."]:
    (like, *_), dtype = floats(anchor=anchor, positive=positive, negative=negative)
    margin = option("margin", margin, like, above=0)
    vectors = [jnp.asarray(array) for array in (anchor, positive, negative)]
    common = broadcast_shape(anchor=vectors[0], positive=vectors[1], negative=vectors[2])
    shape = jax.eval_shape(measure, *[jax.ShapeDtypeStruct(common, like.dtype)] * 2).shape
    if shape != common[: len(shape)]:
        raise ValueError(
            f"`distance_function` returns shape {shape} for inputs of shape {common}, which must begin so."
        )
    keep = mask(where, shape)
    first, second, third = (filled(array, keep, 0.0) for array in vectors)
    near, far = measure(first, second), measure(first, third)
    if swap:
        far = jnp.minimum(far, measure(second, third))
    return reduce(clamp_min(near - far + margin), reduction, where, sample_weight, dtype=dtype)


def _aligned(a: Float[ArrayLike, "..."], b: Float[ArrayLike, "..."]) -> tuple[Values, Values]:
    """Both with as many axes, which broadcast by NumPy's rules."""
    a, b = jnp.asarray(a), jnp.asarray(b)
    try:
        ndim = len(jnp.broadcast_shapes(a.shape, b.shape))
    except ValueError:
        raise ValueError(f"`a` has shape {a.shape} and `b` has shape {b.shape}, which do not broadcast.") from None
    return jnp.expand_dims(a, range(ndim - a.ndim)), jnp.expand_dims(b, range(ndim - b.ndim))
