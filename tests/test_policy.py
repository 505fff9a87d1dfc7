"""Losses of policies and preferences at their edges: constants, clipped ratios, certain tokens, empty completions."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

RNG = np.random.default_rng(0)
LOG_PROBS, OLD, REFERENCE = (jnp.asarray(RNG.normal(size=(4, 5)) - 2) for _ in range(3))
ADVANTAGES = jnp.array([1.0, -0.5, 2.0, -1.0])
LENGTHS = np.array([5, 2, 0, 3])
KEEP = jnp.asarray(np.arange(5) < LENGTHS[:, None])


# Constants ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [jaxloss.PPOLoss(), jaxloss.GRPOLoss(), jaxloss.GRPOLoss(surrogate="cispo")], ids=repr)
def test_equal_policies_have_the_gradient_of_the_policy_gradient(loss: jaxloss.Loss) -> None:
    """The old log-probabilities may be the new ones: they are constants, and the gradient is not 0."""
    plain = jax.grad(jaxloss.policy_gradient_loss)(LOG_PROBS, ADVANTAGES)
    chex.assert_trees_all_close(jax.grad(lambda x: loss(x, x, ADVANTAGES))(LOG_PROBS), plain, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "arrays", "constants"),
    [
        (jaxloss.ppo_loss, (LOG_PROBS, OLD, ADVANTAGES), (1, 2)),
        (jaxloss.GRPOLoss(beta=0.5), (LOG_PROBS, OLD, ADVANTAGES, REFERENCE), (1, 2, 3)),
        (jaxloss.policy_gradient_loss, (LOG_PROBS, ADVANTAGES), (1,)),
        (jaxloss.ppo_value_loss, (LOG_PROBS, OLD, REFERENCE), (1, 2)),
        (jaxloss.kl_estimate, (LOG_PROBS, REFERENCE), (1,)),
        (jaxloss.dpo_loss, (LOG_PROBS, OLD, REFERENCE, 2 * REFERENCE), (2, 3)),
        (lambda *arrays: jaxloss.kto_loss(*arrays, KEEP), (LOG_PROBS, REFERENCE), (1,)),
    ],
)
def test_constants_have_no_gradient(loss: Any, arrays: tuple[Any, ...], constants: tuple[int, ...]) -> None:
    slopes = jax.grad(loss, tuple(range(len(arrays))))(*arrays)
    assert [i for i, slope in enumerate(slopes) if not np.any(slope)] == list(constants)


def test_the_gradient_of_cispo_is_the_clipped_ratio_times_the_advantage() -> None:
    ratio = np.minimum(np.exp(LOG_PROBS - OLD), 1.5)
    assert (ratio == 1.5).any()
    loss = jaxloss.GRPOLoss(surrogate="cispo", epsilon_high=0.5, reduction="sum")
    wanted = -ratio * np.asarray(ADVANTAGES)[:, None]
    chex.assert_trees_all_close(jax.grad(loss)(LOG_PROBS, OLD, ADVANTAGES), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "number"),
    [
        (jaxloss.PPOLoss(delta=2.0), 3),
        (jaxloss.PPOValueLoss(), 3),
        (jaxloss.PolicyGradientLoss(), 2),
        (jaxloss.KLEstimate(), 2),
        *((jaxloss.GRPOLoss(beta=0.5, surrogate=surrogate), 4) for surrogate in ("clip", "cispo", "sapo")),
    ],
    ids=repr,
)
def test_a_nan_in_any_array_is_nan_in_its_token_alone(loss: Any, number: int) -> None:
    for position in range(number):
        arrays = [jnp.array([-1.0, -1.5, -2.0]) - shift for shift in (0.0, 0.25, -0.5, 0.75)[:number]]
        arrays[position] = arrays[position].at[1].set(jnp.nan)
        losses = dataclasses.replace(loss, reduction="none")(*arrays)
        assert np.isnan(losses).tolist() == [False, True, False]


# Ratios -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("surrogate", ["clip", "cispo", "sapo"])
@pytest.mark.parametrize("advantage", [2.0, 0.0, -2.0])
@pytest.mark.parametrize("log_ratio", [2e3, -2e3])
def test_a_ratio_that_overflows_or_vanishes_has_no_nan(
    log_ratio: float, advantage: float, surrogate: Any, dtype: str
) -> None:
    def loss(log_probs: Any) -> Any:
        arrays = jnp.zeros(1, dtype), jnp.full(1, advantage, dtype)
        return jaxloss.grpo_loss(log_probs, *arrays, surrogate=surrogate, delta=4.0, reduction="sum")

    value, slope = jax.value_and_grad(loss)(jnp.full(1, log_ratio, dtype))
    curvature = jax.grad(lambda x: jnp.sum(jax.grad(loss)(x)))(jnp.full(1, log_ratio, dtype))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    assert np.isfinite(curvature).all()
    wanted = {
        "clip": -advantage
        * (1.2 if advantage > 0 else 4.0 if log_ratio > 0 else 0.8)
        * (log_ratio > 0 or advantage < 0),
        "cispo": -advantage * (1.2 if log_ratio > 0 else 0.0) * log_ratio,
        "sapo": -4 * advantage * ((log_ratio > 0) or 1 / (1 + np.e))
        if advantage > 0
        else -4 / 1.05 * advantage * ((log_ratio > 0) or 1 / (1 + np.exp(1.05))),
    }
    chex.assert_trees_all_close(float(value), wanted[surrogate], rtol=1e-6)
    if surrogate != "cispo":
        assert slope == 0


def test_clipped_ratios_have_exactly_no_gradient() -> None:
    log_probs, advantages = jnp.log(jnp.array([1.3, 0.7, 1.3, 0.7])), jnp.array([1.0, 1.0, -1.0, -1.0])
    slope = jax.grad(jaxloss.PPOLoss(reduction="sum"))(log_probs, jnp.zeros(4), advantages)
    chex.assert_trees_all_close(slope, jnp.array([0.0, -0.7, 1.3, 0.0]), rtol=1e-12)
    assert slope[0] == slope[3] == 0


def test_delta_bounds_the_loss_of_negative_advantages_alone() -> None:
    log_probs, advantages = jnp.log(jnp.array([5.0, 5.0])), jnp.array([1.0, -1.0])
    losses = [
        jaxloss.ppo_loss(log_probs, jnp.zeros(2), advantages, delta=delta, reduction="none") for delta in (None, 3.0)
    ]
    chex.assert_trees_all_close(losses, [jnp.array([-1.2, 5.0]), jnp.array([-1.2, 3.0])], rtol=1e-12)


def test_the_ratio_of_a_sequence_is_the_geometric_mean_over_its_unmasked_tokens() -> None:
    junk = jnp.where(KEEP, LOG_PROBS, jnp.nan)
    losses = jaxloss.grpo_loss(junk, OLD, ADVANTAGES, ratio="sequence", where=KEEP, epsilon=1.0, reduction="none")
    total = np.sum(np.where(KEEP, LOG_PROBS - OLD, 0), 1)
    ratio = np.exp(total / np.maximum(LENGTHS, 1))
    wanted = -np.minimum(ratio * ADVANTAGES, np.clip(ratio, 0, 2) * ADVANTAGES)
    chex.assert_trees_all_close(losses, jnp.where(KEEP, wanted[:, None], 0), rtol=1e-12)


# Means --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregation", ["token", "sequence", "fixed"])
def test_an_empty_completion_does_not_count(aggregation: Any) -> None:
    losses = np.where(KEEP, -np.asarray(ADVANTAGES)[:, None] * LOG_PROBS, 0)
    length = 8.0 if aggregation == "fixed" else None
    wanted = {
        "token": losses.sum() / float(LENGTHS.sum()),
        "sequence": (losses.sum(1) / np.maximum(LENGTHS, 1)).sum() / 3,
        "fixed": losses.sum() / (8 * 3),
    }
    loss = jaxloss.PolicyGradientLoss(aggregation=aggregation, length=length)
    chex.assert_trees_all_close(loss(LOG_PROBS, ADVANTAGES, where=KEEP), wanted[aggregation], rtol=1e-12)
    # The count of a micro-batch is in its part: their sum is the mean of the batch.
    part = jaxloss.parts(loss)
    halves = [part(LOG_PROBS[rows], ADVANTAGES[rows], where=KEEP[rows]) for rows in (slice(0, 1), slice(1, 4))]
    chex.assert_trees_all_close(sum(halves).value, wanted[aggregation], rtol=1e-12)
    count = float(LENGTHS.sum()) if aggregation == "token" else 3.0
    chex.assert_trees_all_close(part(LOG_PROBS, ADVANTAGES, where=KEEP).weight, count, rtol=1e-12)


@pytest.mark.parametrize("aggregation", ["sequence", "fixed"])
def test_the_aggregation_changes_the_mean_alone(aggregation: Any) -> None:
    length = 8.0 if aggregation == "fixed" else None
    for reduction in ("none", "sum"):
        plain, aggregated = (
            jaxloss.policy_gradient_loss(LOG_PROBS, ADVANTAGES, where=KEEP, reduction=reduction, **options)
            for options in ({}, {"aggregation": aggregation, "length": length})
        )
        chex.assert_trees_all_equal(aggregated, plain)


def test_weights_of_sequences_weigh_their_means() -> None:
    weights = jnp.array([1.0, 2.0, 5.0, 3.0])
    mean = jaxloss.policy_gradient_loss(
        LOG_PROBS, ADVANTAGES, aggregation="sequence", where=KEEP, sample_weight=weights[:, None]
    )
    each = [jaxloss.policy_gradient_loss(LOG_PROBS[i], ADVANTAGES[i], where=KEEP[i]) for i in (0, 1, 3)]
    chex.assert_trees_all_close(mean, (each[0] + 2 * each[1] + 3 * each[2]) / 6, rtol=1e-12)


def test_an_advantage_of_an_empty_completion_may_be_nan() -> None:
    nan = ADVANTAGES.at[2].set(jnp.nan)
    for loss in (jaxloss.GRPOLoss(aggregation="sequence"), jaxloss.GRPOLoss(ratio="sequence")):
        found, wanted = (
            jax.value_and_grad(lambda x, a=advantages, loss=loss: loss(x, OLD, a, where=KEEP))(LOG_PROBS)
            for advantages in (nan, ADVANTAGES)
        )
        chex.assert_trees_all_equal(found, wanted)


# Preferences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("chosen", "rejected", "loss", "slopes"),
    [
        (0.0, -1.0, 0.0, (-1 / (np.e - 1), 0.0)),  # a certain completion: minus the odds of the other one
        (-1e-9, -1.0, 1e-9 / (np.e - 1), (-1 / (np.e - 1), None)),
        (-1.0, 0.0, np.inf, (-1 / (1 - np.exp(-1)), np.inf)),
        (-np.inf, -1.0, np.inf, (-1.0, 1 / (1 - np.exp(-1)))),
        (-1.0, -np.inf, 0.0, (0.0, 0.0)),
        (-2.0, -2.0, np.log(2), (-0.5 / (1 - np.exp(-2)), 0.5 / (1 - np.exp(-2)))),
    ],
)
def test_odds_are_exact_at_certainty(
    chosen: float, rejected: float, loss: float, slopes: tuple[float | None, ...], dtype: str
) -> None:
    arrays = jnp.full(1, chosen, dtype), jnp.full(1, rejected, dtype)
    function = jaxloss.ORPOLoss(beta=1.0, sft_weight=0.0, reduction="sum")
    value, found = jax.value_and_grad(function, (0, 1))(*arrays)
    chex.assert_trees_all_close(float(value), loss, rtol=1e-6)
    for slope, wanted in zip(found, slopes, strict=True):
        assert wanted is None or np.allclose(float(slope[0]), wanted, rtol=1e-6)


def test_a_probability_above_1_is_nan_there_only() -> None:
    chosen, rejected = jnp.array([-1.0, 0.5, -1.0]), jnp.array([-2.0, -2.0, 0.25])
    function = jaxloss.ORPOLoss(reduction="none")
    losses, slopes = function(chosen, rejected), jax.grad(lambda *x: function(*x).sum(), (0, 1))(chosen, rejected)
    for array in (losses, *slopes):
        assert np.isnan(array).tolist() == [False, True, True]


def test_a_completion_is_desirable_or_not() -> None:
    log_probs, reference = jnp.array([1.0, 2.0, 3.0]), jnp.zeros(3)
    losses = jaxloss.kto_loss(log_probs, reference, jnp.array([1.0, 0.0, 0.5]), reduction="none")
    assert np.isnan(losses).tolist() == [False, False, True]
    by_bool = jaxloss.kto_loss(log_probs[:2], reference[:2], jnp.array([True, False]), reduction="none")
    chex.assert_trees_all_equal(losses[:2], by_bool)


def test_the_reference_point_is_a_constant_of_at_least_0() -> None:
    arrays = jnp.array([1.0, -2.0]), jnp.zeros(2), jnp.array([True, False])
    assert jaxloss.kto_loss(*arrays, reference_point=-1.0) == jaxloss.kto_loss(*arrays)
    assert jaxloss.kto_loss(*arrays, reference_point=1.0) != jaxloss.kto_loss(*arrays)
    assert jax.grad(lambda point: jaxloss.kto_loss(*arrays, reference_point=point))(1.0) == 0


def test_alpha_divergence_is_smooth_at_the_reverse_kl() -> None:
    arrays = [jnp.array([x, -x]) for x in (1.0, 0.5, 0.25, -0.75)]

    def loss(alpha: Any) -> Any:
        return jaxloss.dpo_loss(*arrays, divergence="alpha", alpha=alpha)

    chex.assert_trees_all_close(loss(1.0), jaxloss.dpo_loss(*arrays), rtol=1e-12)
    step = 1e-5
    slope = (loss(1 + step) - loss(1 - step)) / (2 * step)
    chex.assert_trees_all_close(jax.grad(loss)(1.0), slope, rtol=1e-8)


@pytest.mark.parametrize(
    ("loss_type", "smoothing"), [("robust", 0.5), ("exo_pair", 0.0), ("exo_pair", 1.0), ("hinge", 0.1), ("ipo", 0.1)]
)
def test_traced_smoothing_out_of_the_range_of_its_loss_is_nan(loss_type: Any, smoothing: float) -> None:
    arrays = [jnp.ones(2)] * 4
    loss = jax.jit(lambda smoothing: jaxloss.dpo_loss(*arrays, loss_type=loss_type, label_smoothing=smoothing))
    assert np.isnan(loss(smoothing))
    assert np.isfinite(loss(0.25 if loss_type in ("robust", "exo_pair") else 0.0))


def test_a_traced_beta_of_0_needs_no_reference() -> None:
    call = jax.jit(lambda loss: loss(LOG_PROBS, OLD, ADVANTAGES))
    chex.assert_trees_all_close(call(jaxloss.GRPOLoss()), jaxloss.ppo_loss(LOG_PROBS, OLD, ADVANTAGES), rtol=1e-12)
    assert np.isnan(call(jaxloss.GRPOLoss(beta=0.5)))


def test_a_margin_of_a_masked_pair_may_be_nan() -> None:
    keep, margin = jnp.array([True, False]), jnp.array([0.5, jnp.nan])
    value, slope = jax.value_and_grad(
        lambda m: jaxloss.bradley_terry_loss(jnp.ones(2), jnp.zeros(2), margin=m, where=keep)
    )(margin)
    chex.assert_trees_all_close(value, jnp.logaddexp(0.0, -0.5), rtol=1e-12)
    assert slope[1] == 0
