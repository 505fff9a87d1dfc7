"""Fenchel-Young losses: those of known maxima, their gradient, masks, parts and mistakes."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.scipy.special import logsumexp

import jaxloss

RNG = np.random.default_rng(0)
SCORES = jnp.asarray(RNG.normal(size=(4, 3)))
TARGETS = jnp.asarray(RNG.dirichlet(np.ones(3), 4))
KEEP = jnp.array([True, False, True, False])
soft = jaxloss.fenchel_young(logsumexp)


def test_the_log_sum_of_exponentials_makes_cross_entropy() -> None:
    for reduction in ("none", "mean", "sum"):
        ours, wanted = (loss(SCORES, TARGETS, reduction=reduction) for loss in (soft, jaxloss.cross_entropy))
        chex.assert_trees_all_close(ours, wanted, rtol=1e-6)


def test_the_gradient_is_the_prediction_minus_the_target() -> None:
    gradient = jax.grad(lambda scores: soft(scores, TARGETS, reduction="sum"))(SCORES)
    chex.assert_trees_all_close(gradient, jax.nn.softmax(SCORES) - TARGETS, rtol=1e-6, atol=1e-7)


def test_values_are_those_of_optax() -> None:
    def smoothed(vector: jax.Array) -> jax.Array:
        return logsumexp(2 * vector) / 2

    wanted = optax.losses.make_fenchel_young_loss(smoothed)(SCORES, TARGETS)
    chex.assert_trees_all_close(jaxloss.fenchel_young(smoothed)(SCORES, TARGETS, reduction="none"), wanted, rtol=1e-6)


def test_a_mask_is_as_dropping_and_hides_nan() -> None:
    dirty = jnp.where(KEEP[:, None], SCORES, jnp.nan)
    value, gradient = jax.value_and_grad(soft)(dirty, TARGETS, where=KEEP)
    chex.assert_trees_all_close(value, soft(SCORES[KEEP], TARGETS[KEEP]), rtol=1e-6)
    chex.assert_trees_all_equal(gradient[~KEEP], jnp.zeros((2, 3)))
    assert np.isfinite(gradient).all()


def test_parts_leading_axes_and_low_precision() -> None:
    part = jaxloss.parts(soft)(SCORES, TARGETS, where=KEEP, sample_weight=jnp.arange(1.0, 5))
    assert float(part.weight) == 4
    losses = soft(SCORES.reshape(2, 2, 3), TARGETS.reshape(2, 2, 3), reduction="none")
    chex.assert_trees_all_close(losses.reshape(4), soft(SCORES, TARGETS, reduction="none"), rtol=1e-6)
    chex.assert_shape(soft(SCORES[0], TARGETS[0], reduction="none"), ())
    half = SCORES.astype(jnp.bfloat16), TARGETS.astype(jnp.bfloat16)
    assert soft(*half, reduction="none").dtype == jnp.bfloat16
    assert soft(*half).dtype == jnp.float32


@pytest.mark.usefixtures("untyped")
def test_mistakes() -> None:
    words = "`targets` has shape (4, 2), but `scores` has shape (4, 3), and losses do not broadcast them."
    with pytest.raises(ValueError, match=re.escape(words)):
        soft(SCORES, TARGETS[:, :2])
    with pytest.raises(ValueError, match="has no axis -1"):
        soft(jnp.array(1.0), jnp.array(1.0))
    with pytest.raises(TypeError, match="`scores` has dtype int32, but must be real and floating"):
        soft(jnp.zeros((4, 3), jnp.int32), TARGETS)
