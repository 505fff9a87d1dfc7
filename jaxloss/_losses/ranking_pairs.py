"""Ranking losses of the pairs of a list. Their page and their `__all__` are those of ranking."""

from typing import Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, one_of
from jaxloss._core.elementwise import hinge, softplus
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._losses.ranking_lists import Lists, discount, sum_of_pairs

Weighting: TypeAlias = Literal["ndcg2pp", "ndcg2", "lambdarank", "ndcg1"] | None
"""The weight of a pair in `lambda_loss`."""


@program(sigma=Number(above=0))
def pairwise_logistic_loss(
    scores: Float[ArrayLike, "*lists items"],
    targets: Shaped[ArrayLike, "*lists items"],
    *,
    sigma: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""RankNet: the logistic loss of each pair of items with different targets.

    $$ \ell = \sum_{y_i > y_j} \log \bigl(1 + e^{-\sigma (s_i - s_j)}\bigr) $$

    Args:
        scores: Scores $s$ of the items of each list, shape (..., L).
        targets: Relevance $y$ of the items, shape (..., L). Only their order matters.
        sigma: $\sigma$, above 0. It multiplies the difference of two scores.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the items that take part, shape (..., L). A masked item is in no list, pair or normaliser.
        sample_weight: The weight of each list, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (...), each the sum over the pairs of a list. The mean divides by the number of
        pairs of all lists. A list without a pair has the loss 0. A target that is NaN makes the loss of its list NaN.

    Raises:
        ValueError: The shapes differ, the lists are empty, or `sigma` is not above 0.
        TypeError: The scores are not real and floating.

    Examples:
        >>> scores, targets = jnp.array([2.0, 1.0, 3.0]), jnp.array([1.0, 0.0, 0.0])
        >>> print(f"{jaxloss.pairwise_logistic_loss(scores, targets):.4f}")
        0.8133

    Source: Burges et al., "Learning to Rank using Gradient Descent", 2005.
    """
    lists = Lists.of(scores, targets, where)
    losses = softplus(-jnp.asarray(sigma, lists.scores.dtype) * lists.lead())
    total, pairs = sum_of_pairs(lists.better(), losses)
    return lists.reduce(total, reduction, sample_weight, pairs)


class PairwiseLogisticLoss(Loss, fn=pairwise_logistic_loss):
    """Option object of [`pairwise_logistic_loss`][jaxloss.pairwise_logistic_loss]."""

    sigma: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(margin=Number())
def pairwise_hinge_loss(
    scores: Float[ArrayLike, "*lists items"],
    targets: Shaped[ArrayLike, "*lists items"],
    *,
    margin: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Hinge loss of each pair of items with different targets.

    $$ \ell = \sum_{y_i > y_j} \max(0,\; m - (s_i - s_j)) $$

    Args:
        scores: Scores $s$ of the items of each list, shape (..., L).
        targets: Relevance $y$ of the items, shape (..., L). Only their order matters.
        margin: $m$, the lead from which a pair has no loss, in the units of the scores.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the items that take part, shape (..., L). A masked item is in no list, pair or normaliser.
        sample_weight: The weight of each list, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (...), each the sum over the pairs of a list. The mean divides by the number of
        pairs of all lists. A list without a pair has the loss 0. A target that is NaN makes the loss of its list NaN.

    Raises:
        ValueError: The shapes differ, the lists are empty, or `margin` is not a number.
        TypeError: The scores are not real and floating.

    Examples:
        >>> scores, targets = jnp.array([2.0, 1.0, 3.0]), jnp.array([1.0, 0.0, 0.0])
        >>> print(jaxloss.pairwise_hinge_loss(scores, targets))
        1.0

    Source: Herbrich et al., "Large Margin Rank Boundaries for Ordinal Regression", 2000.
    """
    lists = Lists.of(scores, targets, where)
    losses = hinge(jnp.asarray(margin, lists.scores.dtype) - lists.lead())
    total, pairs = sum_of_pairs(lists.better(), losses)
    return lists.reduce(total, reduction, sample_weight, pairs)


class PairwiseHingeLoss(Loss, fn=pairwise_hinge_loss):
    """Option object of [`pairwise_hinge_loss`][jaxloss.pairwise_hinge_loss]."""

    margin: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(mu=Number(at_least=0), sigma=Number(above=0))
def lambda_loss(
    scores: Float[ArrayLike, "*lists items"],
    targets: Shaped[ArrayLike, "*lists items"],
    *,
    weighting: Weighting = "ndcg2pp",
    k: int | None = None,
    mu: Scalar = 10.0,
    sigma: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""LambdaLoss: the logistic loss of each pair of items, weighted by its effect on the NDCG.

    $$ \ell = \sum_{y_i > y_j} w_{ij} \log_2 \bigl(1 + e^{-\sigma (s_i - s_j)}\bigr) $$

    The weights are made of the gains $G_i = (2^{y_i} - 1) / \text{IDCG}$ and of the discounts
    $D(r) = \log_2(1 + r)$ of the ranks by the current scores. They are constants in the gradient.

    Args:
        scores: Scores $s$ of the items of each list, shape (..., L).
        targets: Relevance $y$ of the items, shape (..., L), at least 0.
        weighting: The weight $w_{ij}$. `"ndcg2"` is $|1 / D(|r_i - r_j|) - 1 / D(|r_i - r_j| + 1)|\,|G_i - G_j|$.
            `"lambdarank"` is $|1 / D(r_i) - 1 / D(r_j)|\,|G_i - G_j|$. `"ndcg2pp"` is `mu` times the first plus the
            second. `"ndcg1"` is $G_i / D(r_i)$ for all pairs, also those of equal targets and of an item with itself.
            None is 1.
        k: Only pairs with an item among the first k ranks count, and the ideal DCG is of the first k items. None takes
            all.
        mu: A number, at least 0, of `"ndcg2pp"`.
        sigma: $\sigma$, above 0. It multiplies the difference of two scores.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the items that take part, shape (..., L). A masked item is in no list, pair or normaliser.
        sample_weight: The weight of each list, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (...), each the sum over the pairs of a list. The mean divides by the number of
        pairs of all lists. A list without a pair has the loss 0. A negative
        target makes the loss of its list NaN.

    Raises:
        ValueError: The shapes differ, the lists are empty, or an option is out of range.
        TypeError: The scores are not real and floating.

    Examples:
        >>> scores, targets = jnp.array([2.0, 1.0, 3.0]), jnp.array([1.0, 0.0, 0.0])
        >>> print(f"{jaxloss.lambda_loss(scores, targets, weighting='lambdarank'):.4f}")
        0.3792

    Source: Wang et al., "The LambdaLoss Framework for Ranking Metric Optimization", 2018.
    """
    if weighting is not None:
        one_of("weighting", weighting, ("ndcg2pp", "ndcg2", "lambdarank", "ndcg1"), " None weighs all pairs equally.")
    if k is not None and k < 1:
        raise ValueError(f"`k` is {k}, but must be at least 1, or None for all ranks.")
    lists = Lists.of(scores, targets, where, relevance=True)
    ranks, pairs = lists.ranks(), lists.pairs(k) if weighting == "ndcg1" else lists.better(k)
    bits = softplus(-jnp.asarray(sigma, ranks.dtype) * lists.lead()) / jnp.log(jnp.asarray(2.0, ranks.dtype))
    weights = 1.0 if weighting is None else _weights(weighting, lists.gains(k), ranks, jnp.asarray(mu, ranks.dtype))
    total, count = sum_of_pairs(pairs, weights * bits)
    return lists.reduce(total, reduction, sample_weight, count)


class LambdaLoss(Loss, fn=lambda_loss):
    """Option object of [`lambda_loss`][jaxloss.lambda_loss]."""

    weighting: Weighting = static("ndcg2pp")
    k: int | None = static(None)
    mu: Scalar = 10.0
    sigma: Scalar = 1.0
    reduction: Reduction = static("mean")


def _weights(weighting: Weighting, gains: Values, ranks: Values, mu: Values) -> Values:
    """The weight of items i and j, at [..., i, j]."""
    if weighting == "ndcg1":
        return (gains / discount(ranks))[..., :, None]
    change = jnp.abs(gains[..., :, None] - gains[..., None, :])
    of_ranks = jnp.abs(1 / discount(ranks)[..., :, None] - 1 / discount(ranks)[..., None, :])
    if weighting == "lambdarank":
        return of_ranks * change
    # Two items differ by at least one rank. An item has no pair with itself, and 1 keeps its division finite.
    apart = jnp.maximum(jnp.abs(ranks[..., :, None] - ranks[..., None, :]), 1)
    of_distance = 1 / discount(apart) - 1 / discount(apart + 1)
    return (of_distance if weighting == "ndcg2" else mu * of_distance + of_ranks) * change
