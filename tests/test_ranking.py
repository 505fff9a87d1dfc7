"""Laws of lists: padding, and the order of the items."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

SCORES = np.array([[0.5, -1.0, 2.0, 0.25], [1.5, 0.75, -0.5, 1.0]])
TARGETS = np.array([[1.0, 0.0, 3.0, 2.0], [0.0, 2.0, 1.0, 3.0]])  # no ties, whose order counts
LOSSES = [
    jaxloss.ListNetLoss(),
    jaxloss.ListNetLoss(normalization="sum"),
    jaxloss.ListMLELoss(),
    jaxloss.ApproxNDCGLoss(),
    jaxloss.PairwiseLogisticLoss(),
    jaxloss.PairwiseHingeLoss(),
    jaxloss.LambdaLoss(k=2),
    jaxloss.LambdaLoss(weighting="ndcg1"),
    jaxloss.CoSENTLoss(),
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)


def results(loss: Any, scores: np.ndarray, targets: np.ndarray, **options: Any) -> Any:
    def run(scores: Any) -> Any:
        means = jax.value_and_grad(loss)(scores, targets, **options)
        return (
            replace(loss, reduction="none")(scores, targets, **options),
            means,
            jaxloss.parts(loss)(scores, targets, **options),
        )

    return jax.jit(run)(scores)


@every_loss
def test_padding_changes_nothing(loss: Callable[..., Any]) -> None:
    """Padding between the items too, and a list of padding alone."""
    kept = np.array([True, False, True, True, False, True])
    scores, targets = np.full((3, 6), np.nan), np.full((3, 6), np.nan)
    scores[:2, kept], targets[:2, kept] = SCORES, TARGETS
    where = np.zeros((3, 6), bool)
    where[:2, kept] = True
    wanted, (mean, gradient), part = results(loss, SCORES, TARGETS)
    padded, (padded_mean, padded_gradient), padded_part = results(loss, scores, targets, where=where)
    chex.assert_trees_all_close(padded, jnp.append(wanted, 0.0), rtol=1e-14)
    chex.assert_trees_all_close((padded_mean, padded_part), (mean, part), rtol=1e-14)
    chex.assert_trees_all_close(padded_gradient[:2, kept], gradient, rtol=1e-12, atol=1e-15)
    assert not padded_gradient[~where].any()


@every_loss
def test_the_order_of_the_items_does_not_matter(loss: Callable[..., Any]) -> None:
    order = np.array([2, 0, 3, 1])
    (_, (mean, gradient), _), (_, (other, moved), _) = (
        results(loss, SCORES, TARGETS),
        results(loss, SCORES[:, order], TARGETS[:, order]),
    )
    chex.assert_trees_all_close((other, moved), (mean, gradient[:, order]), rtol=1e-12, atol=1e-15)


def test_ties_keep_the_order_given() -> None:
    scores = jnp.array([1.0, 2.0])
    wanted = jnp.log(1 + jnp.exp(1.0))
    chex.assert_trees_all_close(jaxloss.listmle_loss(scores, jnp.zeros(2)), wanted, rtol=1e-14)


def test_lists_without_a_pair_or_a_relevant_item_are_not_counted() -> None:
    zeros = np.stack([TARGETS[0], np.zeros(4)])
    for loss in (jaxloss.approx_ndcg_loss, jaxloss.pairwise_logistic_loss, jaxloss.lambda_loss):
        chex.assert_trees_all_close(loss(SCORES, zeros), loss(SCORES[:1], zeros[:1]), rtol=1e-14)


def test_a_negative_relevance_is_nan_in_its_list_only() -> None:
    targets = TARGETS.copy()
    targets[1, 2] = -1.0
    for loss in (jaxloss.approx_ndcg_loss, jaxloss.lambda_loss, partial(jaxloss.listnet_loss, normalization="sum")):
        losses = loss(SCORES, targets, reduction="none")
        assert np.isfinite(losses[0])
        assert np.isnan(losses[1])


def test_gains_of_great_relevances_do_not_overflow() -> None:
    value, gradient = jax.value_and_grad(jaxloss.lambda_loss)(jnp.array([0.0, 1.0]), jnp.array([5000.0, 0.0]))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
