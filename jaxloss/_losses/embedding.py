"""Distances and similarities of vectors, and losses of embeddings."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, broadcast_shape, filled, floats, mask, option, same_features
from jaxloss._core.domains import SIGN, expect
from jaxloss._core.elementwise import TINY, clamp_min
from jaxloss._core.objects import Loss
from jaxloss._core.program import keyword_options, program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._core.vectors import VectorPairs
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


@program(eps=Number())
def pairwise_distance(
    a: Float[ArrayLike, "*#shape"],
    b: Float[ArrayLike, "*#shape"],
    *,
    p: float = 2.0,
    eps: Scalar = 1e-6,
    keepdims: bool = False,
) -> Float[Array, "..."]:
    r"""Distance between vectors: the p-norm of their difference over the last axis.

    $$ d = \lVert a - b + \epsilon \rVert_p $$

    Args:
        a: Vectors, shape (..., D).
        b: Vectors, shape (..., D), or any shape that broadcasts with the shape of `a`.
        p: The order of the norm, any real number. 0 counts the components that differ. inf and -inf give the largest
            and the smallest magnitude.
        eps: A number added to every component of the difference.
        keepdims: Whether the last axis remains, with size 1.

    Returns:
        The distances, shape (...), in the inputs' dtype. The gradient at a distance of 0 is 0.

    Raises:
        ValueError: The shapes do not broadcast, or have no axis.
        TypeError: The vectors are not real and floating.

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
    distances = distance(a, b, jnp.asarray(eps, like.dtype), p)
    return (distances[..., None] if keepdims else distances).astype(dtype)


@program(eps=Number(at_least=0))
def cosine_similarity(
    a: Float[ArrayLike, "*#shape"], b: Float[ArrayLike, "*#shape"], *, axis: int = -1, eps: Scalar = 1e-8
) -> Float[Array, "..."]:
    r"""Cosine of the angle between two vectors.

    $$ \cos = \frac{a \cdot b}{\max(\lVert a \rVert, \epsilon) \max(\lVert b \rVert, \epsilon)} $$

    Args:
        a: Vectors, any shape. Numbers are vectors of one component.
        b: Vectors, in the same shape or one that broadcasts with it.
        axis: The axis of the components in the broadcast shape.
        eps: The least norm. It makes the cosine of a vector of zeros with any other 0.

    Returns:
        The cosines, in the broadcast shape without `axis` and in the inputs' dtype.

    Raises:
        ValueError: The shapes do not broadcast, or lack the axis.
        TypeError: The vectors are not real and floating.

    Examples:
        >>> print(f"{jaxloss.cosine_similarity(jnp.array([1.0, 0.0]), jnp.array([1.0, 1.0])):.4f}")
        0.7071

    Source: `torch.nn.CosineSimilarity`.
    """
    (like, _), dtype = floats(a=a, b=b)
    a, b = map(jnp.atleast_1d, _aligned(a, b))
    if not -a.ndim <= axis < a.ndim:
        raise ValueError(f"`axis` is {axis}, but the vectors broadcast to {a.ndim} axes.")
    size = jnp.broadcast_shapes(a.shape, b.shape)[axis]
    a, b = (x if x.shape[axis] == size else jnp.repeat(x, size, axis) for x in (a, b))
    cosines = cosine(a, b, jnp.asarray(eps, like.dtype), 0.0, axis)
    return jnp.squeeze(cosines, axis).astype(dtype)


@program(margin=Number())
def cosine_embedding_loss(
    embeddings1: Float[ArrayLike, "*#batch #width"],
    embeddings2: Float[ArrayLike, "*#batch #width"],
    targets: Shaped[ArrayLike, "*batch"],
    *,
    margin: Scalar = 0.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Cosine loss of vector pairs: similar pairs should have a cosine of 1, dissimilar pairs at most the margin.

    $$ \ell = \begin{cases} 1 - \cos & y = 1 \\ \max(0, {\cos} - m) & y = -1 \end{cases} \qquad
       \cos = \frac{a \cdot b}{\sqrt{(\lVert a \rVert^2 + 10^{-12}) (\lVert b \rVert^2 + 10^{-12})}} $$

    Args:
        embeddings1: First vectors $a$, shape (N..., D).
        embeddings2: Second vectors $b$, shape (N..., D). The batch axes N... of both arrays broadcast, and there are
            equally many of them.
        targets: Labels $y$, 1 for similar pairs and -1 for dissimilar pairs, shape (N...). Any other number has the
            loss 0, as in PyTorch, and [`checked`][jaxloss.checked] raises for it.
        margin: The largest cosine $m$ at which dissimilar vectors have no loss, in [-1, 1].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). Vectors of zeros have a cosine of 0.

    Raises:
        ValueError: Shapes do not match.
        TypeError: The embeddings are not real and floating.

    Examples:
        >>> first, second = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([[0.0, 1.0], [1.0, 1.0]])
        >>> print(f"{jaxloss.cosine_embedding_loss(first, second, jnp.array([1, -1])):.4f}")
        0.8536

    Source: `torch.nn.CosineEmbeddingLoss`.
    """
    first, second, targets, dtype = VectorPairs.of(embeddings1, embeddings2, targets, where)
    expect(SIGN, targets=targets)
    cosines = cosine(first, second, jnp.zeros((), targets.dtype), TINY, -1)[..., 0]
    dissimilar = clamp_min(cosines - jnp.asarray(margin, targets.dtype))
    losses = jnp.where(targets == 1, 1 - cosines, jnp.where(targets == -1, dissimilar, 0.0))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class CosineEmbeddingLoss(Loss, fn=cosine_embedding_loss):
    """Option object of [`cosine_embedding_loss`][jaxloss.cosine_embedding_loss]."""

    margin: Scalar = 0.0
    reduction: Reduction = static("mean")


@program(margin=Number(above=0), eps=Number())
def triplet_margin_loss(
    anchor: Float[ArrayLike, "*#batch #width"],
    positive: Float[ArrayLike, "*#batch #width"],
    negative: Float[ArrayLike, "*#batch #width"],
    *,
    margin: Scalar = 1.0,
    p: float = 2.0,
    eps: Scalar = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Triplet loss: an anchor should be closer to its positive than to its negative by the margin.

    $$ \ell = \max(0, d(a, p) - d(a, n) + m) $$

    Args:
        anchor: Anchors $a$, shape (N..., D).
        positive: Positives $p$, shape (N..., D): vectors that should be close to the anchors.
        negative: Negatives $n$, shape (N..., D): vectors that should be far from the anchors. The three arrays have the
            same number of axes, and their batch axes N... broadcast.
        margin: The margin $m$, above 0, in the units of the distance.
        p: The order of the norm. See [`pairwise_distance`][jaxloss.pairwise_distance].
        eps: A number added to every component of a difference.
        swap: Whether the distance from the positive to the negative replaces the anchor's where it is smaller.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the triplets that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each triplet, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). Where the distances differ by exactly the margin, the gradient is the
        one of a positive loss, as in PyTorch.

    Raises:
        ValueError: The batch axes do not broadcast, the widths D differ, or the margin is not above 0.
        TypeError: The vectors are not real and floating.

    Examples:
        >>> anchor, positive, negative = jnp.zeros((1, 2)), jnp.array([[0.3, 0.4]]), jnp.array([[0.6, 0.8]])
        >>> print(f"{jaxloss.triplet_margin_loss(anchor, positive, negative):.4f}")
        0.5000

    Source: `torch.nn.TripletMarginLoss`; Balntas et al., "Learning Local Feature Descriptors with Triplets and Shallow
    Convolutional Neural Networks", 2016.
    """
    (like, *_), _ = floats(anchor=anchor, positive=positive, negative=negative)
    norm = partial(distance, eps=jnp.asarray(eps, like.dtype), p=p)
    return _triplet(anchor, positive, negative, norm, margin, swap, reduction, where, sample_weight)


class TripletMarginLoss(Loss, fn=triplet_margin_loss):
    """Option object of [`triplet_margin_loss`][jaxloss.triplet_margin_loss]."""

    margin: Scalar = 1.0
    p: float = static(2.0)
    eps: Scalar = 1e-6
    swap: bool = static(False)
    reduction: Reduction = static("mean")


@keyword_options
def triplet_margin_with_distance_loss(
    anchor: Float[ArrayLike, "*#shape"],
    positive: Float[ArrayLike, "*#shape"],
    negative: Float[ArrayLike, "*#shape"],
    *,
    distance_function: Distance | None = None,
    margin: Scalar = 1.0,
    swap: bool = False,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Triplet loss with any distance function: an anchor should be closer to its positive than to its negative.

    $$ \ell = \max(0, d(a, p) - d(a, n) + m) $$

    Args:
        anchor: Anchors $a$, shape (N..., D), or any shape that the distance function takes.
        positive: Positives $p$, shaped like the anchors: examples that should be close to the anchors.
        negative: Negatives $n$, shaped like the anchors: examples that should be far from the anchors. The three arrays
            have the same number of axes. They broadcast along the axes of the distances, and along no other.
        distance_function: A function that takes two batches and returns one distance per pair, shape (N...). If None,
            it is [`pairwise_distance`][jaxloss.pairwise_distance].
        margin: The margin $m$, above 0, in the units of the distance.
        swap: Whether the distance from the positive to the negative replaces the anchor's where it is smaller.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the triplets that take part, in the distances' shape. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each triplet, in the distances' shape. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). Where the distances differ by exactly the margin, the gradient is the
        one of a positive loss, as in PyTorch.

    Raises:
        ValueError: The shapes do not broadcast, or differ in an axis that the distances lack; the margin is not above
            0; or the distances' shape is not the beginning of the vectors' shape.
        TypeError: The vectors are not real and floating.

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
    margin = option("margin", margin, like, above=0)

    def widened(a: Values, b: Values) -> Values:
        """The given distance, in the dtype of the maths: float32 for low-precision vectors."""
        return distance_function(a.astype(like.dtype), b.astype(like.dtype))

    return _triplet(anchor, positive, negative, widened, margin, swap, reduction, where, sample_weight)


class TripletMarginWithDistanceLoss(Loss, fn=triplet_margin_with_distance_loss):
    """Option object of [`triplet_margin_with_distance_loss`][jaxloss.triplet_margin_with_distance_loss]."""

    distance_function: Distance | None = static(None)
    margin: Scalar = 1.0
    swap: bool = static(False)
    reduction: Reduction = static("mean")


def _triplet(
    anchor: Float[ArrayLike, "*#shape"],
    positive: Float[ArrayLike, "*#shape"],
    negative: Float[ArrayLike, "*#shape"],
    measure: Distance,
    margin: Scalar,
    swap: bool,
    reduction: Reduction,
    where: Mask | None,
    sample_weight: Weight | None,
) -> Float[Array, "..."]:
    """The triplet loss for any distance, shared by both public functions."""
    (like, *_), dtype = floats(anchor=anchor, positive=positive, negative=negative)
    vectors = [jnp.asarray(array) for array in (anchor, positive, negative)]
    common = broadcast_shape(anchor=vectors[0], positive=vectors[1], negative=vectors[2])
    shape = jax.eval_shape(measure, *[jax.ShapeDtypeStruct(common, like.dtype)] * 2).shape
    if shape != common[: len(shape)]:
        raise ValueError(
            f"`distance_function` returns shape {shape} for inputs of shape {common}, but must return one distance per "
            f"pair, such as {common[:-1]}."
        )
    same_features(len(common) - len(shape), anchor=vectors[0], positive=vectors[1], negative=vectors[2])
    keep = mask(where, shape)
    first, second, third = (filled(array, keep, 0.0) for array in vectors)
    near, far = measure(first, second), measure(first, third)
    if swap:
        far = jnp.minimum(far, measure(second, third))
    return reduce(clamp_min(near - far + jnp.asarray(margin, like.dtype)), reduction, where, sample_weight, dtype=dtype)


def _aligned(a: Float[ArrayLike, "*#shape"], b: Float[ArrayLike, "*#shape"]) -> tuple[Values, Values]:
    """Give two arrays the same number of axes, by NumPy's rules, and check that they broadcast."""
    a, b = jnp.asarray(a), jnp.asarray(b)
    try:
        ndim = len(jnp.broadcast_shapes(a.shape, b.shape))
    except ValueError:
        raise ValueError(f"`a` has shape {a.shape} and `b` has shape {b.shape}, which do not broadcast.") from None
    return jnp.expand_dims(a, range(ndim - a.ndim)), jnp.expand_dims(b, range(ndim - b.ndim))
