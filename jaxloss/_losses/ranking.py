"""Losses of ranking: the scores of the items of a list against their relevance."""

from typing import Literal, TypeAlias

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, filled, floats, mask, one_of
from jaxloss._core.elementwise import clamp_min, log_sum_exp, sigmoid, softplus
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.ranking_lists import Lists, discount, lowest
from jaxloss._losses.ranking_pairs import (
    LambdaLoss,
    PairwiseHingeLoss,
    PairwiseLogisticLoss,
    lambda_loss,
    pairwise_hinge_loss,
    pairwise_logistic_loss,
)

__all__ = [
    "ApproxNDCGLoss",
    "CoSENTLoss",
    "LambdaLoss",
    "ListMLELoss",
    "ListNetLoss",
    "NegativeSamplingLoss",
    "PairwiseHingeLoss",
    "PairwiseLogisticLoss",
    "approx_ndcg_loss",
    "cosent_loss",
    "lambda_loss",
    "listmle_loss",
    "listnet_loss",
    "negative_sampling_loss",
    "pairwise_hinge_loss",
    "pairwise_logistic_loss",
]

Normalization: TypeAlias = Literal["softmax", "sum"] | None
"""How the targets of `listnet_loss` become probabilities."""


@program()
def listnet_loss(
    scores: Float[ArrayLike, "*lists items"],
    targets: Shaped[ArrayLike, "*lists items"],
    *,
    normalization: Normalization = "softmax",
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""ListNet: cross-entropy between the softmax of the scores and that of the targets.

    $$ \ell = -\sum_i p_i \log \frac{e^{s_i}}{\sum_j e^{s_j}} $$

    Also known as the softmax loss of ranking, with `normalization=None`.

    Args:
        scores: Scores $s$ of the items of each list, shape (..., L).
        targets: Relevance of the items, shape (..., L). At least 0 unless `normalization` is "softmax".
        normalization: The probabilities $p$ of the targets: `"softmax"` takes their softmax, `"sum"` divides them by
            their sum, and None takes them as they are.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the items that take part, shape (..., L). A masked item is in no list, pair or normaliser.
        sample_weight: The weight of each list, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (...). With `"sum"`, a list whose targets are all 0 has the loss 0. Bad
        targets make the loss of their list NaN.

    Raises:
        ValueError: The shapes differ, the lists are empty, or `normalization` is unknown.
        TypeError: The scores are not real and floating.

    Examples:
        >>> scores, targets = jnp.array([2.0, 1.0, 3.0]), jnp.array([1.0, 0.0, 0.0])
        >>> print(f"{jaxloss.listnet_loss(scores, targets, normalization=None):.4f}")
        1.4076

    Source: Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", 2007.
    """
    if normalization is not None:
        one_of("normalization", normalization, ("softmax", "sum"), " None takes the targets as they are.")
    lists = Lists.of(scores, targets, where, relevance=normalization != "softmax")
    probabilities = lists.targets
    if normalization == "softmax":
        probabilities = jnp.where(lists.keep, jnp.exp(lists.log_softmax(probabilities)), 0.0)
    elif normalization == "sum":
        total = jnp.sum(probabilities, -1, keepdims=True)
        probabilities = probabilities / jnp.where(total == 0, 1.0, total)
    losses = -jnp.sum(probabilities * lists.log_softmax(lists.scores), -1)
    return lists.reduce(losses, reduction, sample_weight)


class ListNetLoss(Loss, fn=listnet_loss):
    """Option object of [`listnet_loss`][jaxloss.listnet_loss]."""

    normalization: Normalization = static("softmax")
    reduction: Reduction = static("mean")


@program()
def listmle_loss(
    scores: Float[ArrayLike, "*lists items"],
    targets: Shaped[ArrayLike, "*lists items"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""ListMLE: minus the log-probability of the true order of the items.

    $$ \ell = \sum_i \Bigl( \log \sum_{j \ge i} e^{s_{(j)}} - s_{(i)} \Bigr) $$

    $s_{(i)}$ is the score of the item with the $i$-th greatest target. The items are drawn one after the other, each
    from the softmax of those that are left.

    Args:
        scores: Scores $s$ of the items of each list, shape (..., L).
        targets: Relevance of the items, shape (..., L). Only their order matters. Ties keep the order given.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the items that take part, shape (..., L). A masked item is in no list, pair or normaliser.
        sample_weight: The weight of each list, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (...). A target that is NaN makes the loss of its list NaN.

    Raises:
        ValueError: The shapes differ, or the lists are empty.
        TypeError: The scores are not real and floating.

    Examples:
        >>> print(f"{jaxloss.listmle_loss(jnp.array([0.0, 1.0]), jnp.array([0.0, 1.0])):.4f}")  # log(1 + exp(-1))
        0.3133

    Source: Xia et al., "Listwise Approach to Learning to Rank: Theory and Algorithm", 2008.
    """
    lists = Lists.of(scores, targets, where)
    scores, _ = lists.sorted_by_target()
    # Each term is the softplus of a difference to the items that follow. It is never negative, and it keeps its digits
    # where the item dominates.
    low = jnp.full((*scores.shape[:-1], 1), lowest(scores.dtype), scores.dtype)
    following = lax.cumlogsumexp(jnp.concatenate([scores[..., 1:], low], -1), scores.ndim - 1, reverse=True)
    kept = ~jnp.sort(~lists.keep, -1)
    terms = softplus(following - jnp.where(kept, scores, 0.0))
    return lists.reduce(jnp.sum(jnp.where(kept, terms, 0.0), -1), reduction, sample_weight)


class ListMLELoss(Loss, fn=listmle_loss):
    """Option object of [`listmle_loss`][jaxloss.listmle_loss]."""

    reduction: Reduction = static("mean")


@program(temperature=Number(above=0))
def approx_ndcg_loss(
    scores: Float[ArrayLike, "*lists items"],
    targets: Shaped[ArrayLike, "*lists items"],
    *,
    temperature: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""ApproxNDCG: 1 minus the NDCG of ranks that a sigmoid makes smooth.

    $$ \ell = 1 - \sum_i \frac{G_i}{\log_2(1 + r_i)} $$

    with the gains $G_i = (2^{y_i} - 1) / \text{IDCG}$ and the ranks
    $r_i = 1 + \sum_{j \ne i} \sigma((s_j - s_i) / T)$.

    Args:
        scores: Scores $s$ of the items of each list, shape (..., L).
        targets: Relevance $y$ of the items, shape (..., L), at least 0.
        temperature: $T$, above 0, in the units of the scores. The smaller, the closer the ranks are to the true ones.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the items that take part, shape (..., L). A masked item is in no list, pair or normaliser.
        sample_weight: The weight of each list, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (...). The losses lie in [0, 1]. A list without a relevant item has the
        loss 0, and the mean does not count it. A negative target makes the loss of its list NaN.

    Raises:
        ValueError: The shapes differ, the lists are empty, or `temperature` is not above 0.
        TypeError: The scores are not real and floating.

    Examples:
        >>> scores, targets = jnp.array([0.1, 0.2, 0.3]), jnp.array([3.0, 0.0, 1.0])
        >>> print(f"{jaxloss.approx_ndcg_loss(scores, targets, temperature=0.01):.4f}")
        0.4103

    Source: Qin et al., "A General Approximation Framework for Direct Optimization of Information Retrieval
    Measures", 2010.
    """
    lists = Lists.of(scores, targets, where, relevance=True)
    lead = lists.lead() / jnp.asarray(temperature, lists.scores.dtype)
    # The sum over all items has the term sigmoid(0) of the item itself, one half: 1/2 is left to add for a rank from 1.
    ranks = 0.5 + jnp.sum(jnp.where(lists.pairs(), sigmoid(-lead), 0.0), -1)
    gains = lists.gains()
    relevant = jnp.any(gains > 0, -1)
    # In an ideal order the sum is 1, and rounding may leave it above.
    losses = jnp.where(relevant, clamp_min(1 - jnp.sum(gains / discount(ranks), -1)), 0.0)
    return lists.reduce(losses, reduction, sample_weight, relevant.astype(losses.dtype))


class ApproxNDCGLoss(Loss, fn=approx_ndcg_loss):
    """Option object of [`approx_ndcg_loss`][jaxloss.approx_ndcg_loss]."""

    temperature: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(scale=Number(above=0))
def cosent_loss(
    scores: Float[ArrayLike, "*lists items"],
    targets: Shaped[ArrayLike, "*lists items"],
    *,
    scale: Scalar = 20.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""CoSENT: the items of a list with greater targets should have greater scores.

    $$ \ell = \log \Bigl( 1 + \sum_{y_i > y_j} e^{\alpha (s_j - s_i)} \Bigr) $$

    It is the loss of sentence embeddings whose scores are cosines. The list is then the batch, shape (N,).

    Args:
        scores: Scores $s$ of the items of each list, shape (..., L).
        targets: Similarities $y$, shape (..., L). Only their order matters.
        scale: $\alpha$, above 0. It multiplies the scores.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the items that take part, shape (..., L). A masked item is in no list, pair or normaliser.
        sample_weight: The weight of each list, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (...). The time is that of a sort, and no array of all pairs is made. A target
        that is NaN makes the loss of its list NaN.

    Raises:
        ValueError: The shapes differ, the lists are empty, or `scale` is not above 0.
        TypeError: The scores are not real and floating.

    Examples:
        >>> scores, targets = jnp.array([0.9, 0.8, 0.1]), jnp.array([1.0, 0.0, 0.0])
        >>> print(f"{jaxloss.cosent_loss(scores, targets):.4f}")
        0.1269

    Source: Huang et al., "CoSENT: Consistent Sentence Embedding via Similarity Ranking", 2024.
    """
    lists = Lists.of(scores, targets, where)
    lists = lists._replace(scores=lists.scores * jnp.asarray(scale, lists.scores.dtype))
    scores, targets = lists.sorted_by_target()
    kept, axis = ~jnp.sort(~lists.keep, -1), scores.ndim - 1
    low = jnp.full((*scores.shape[:-1], 1), lowest(scores.dtype), scores.dtype)
    following = jnp.concatenate([lax.cumlogsumexp(scores, axis, reverse=True), low], -1)
    # The items that are worse than an item begin where the run of targets equal to its own ends.
    place = lax.broadcasted_iota(int, targets.shape, axis) + 1
    ends = jnp.concatenate([targets[..., 1:] != targets[..., :-1], jnp.ones_like(kept[..., :1])], -1)
    ends |= kept & ~jnp.concatenate([kept[..., 1:], jnp.zeros_like(kept[..., :1])], -1)
    first_worse = lax.cummin(jnp.where(ends, place, targets.shape[-1]), axis, reverse=True)
    worse = jnp.take_along_axis(following, first_worse, -1)
    terms = jnp.where(kept, worse - jnp.where(kept, scores, 0.0), lowest(scores.dtype))
    return lists.reduce(softplus(log_sum_exp(terms)), reduction, sample_weight)


class CoSENTLoss(Loss, fn=cosent_loss):
    """Option object of [`cosent_loss`][jaxloss.cosent_loss]."""

    scale: Scalar = 20.0
    reduction: Reduction = static("mean")


@program()
def negative_sampling_loss(
    positive_scores: Float[ArrayLike, "*examples"],
    negative_scores: Float[ArrayLike, "*examples negatives"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative sampling: a true pair should have a high score and K sampled pairs should have low scores.

    $$ \ell = \log(1 + e^{-s^+}) + \sum_{k=1}^K \log(1 + e^{s^-_k}) $$

    Noise-contrastive estimation is the same loss of other scores: subtract $\log(K q)$ from each score, where q is the
    probability with which its item is sampled.

    Args:
        positive_scores: Scores $s^+$ of the true pairs, shape (...).
        negative_scores: Scores $s^-$ of the sampled pairs, shape (..., K).
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (...).

    Raises:
        ValueError: The shapes do not match.
        TypeError: The scores are not real and floating.

    Examples:
        >>> loss = jaxloss.negative_sampling_loss(jnp.array([0.0]), jnp.array([[0.0, 0.0]]))
        >>> print(f"{loss:.4f}")  # 3 log(2)
        2.0794

    Source: Mikolov et al., "Distributed Representations of Words and Phrases and their Compositionality", 2013.
    """
    (positive, negative), dtype = floats(positive_scores=positive_scores, negative_scores=negative_scores)
    if negative.shape[:-1] != positive.shape or negative.ndim == 0:
        raise ValueError(
            f"`negative_scores` has shape {negative.shape}, but for `positive_scores` {positive.shape} it must be "
            f"({', '.join([*map(str, positive.shape), 'K'])})."
        )
    keep = mask(where, positive.shape)
    positive, negative = filled(positive, keep, 0.0), filled(negative, keep, 0.0)
    losses = softplus(-positive) + jnp.sum(softplus(negative), -1)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class NegativeSamplingLoss(Loss, fn=negative_sampling_loss):
    """Option object of [`negative_sampling_loss`][jaxloss.negative_sampling_loss]."""

    reduction: Reduction = static("mean")
