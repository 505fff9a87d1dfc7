"""Losses of sources in any order: against all permutations one by one, with masks, options and mistakes."""

import itertools
import re
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(2, 4, 3, 8))
KEEP = np.array([True, False, True, True])
invariant = jaxloss.permutation_invariant(jaxloss.si_sdr_loss)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def enumerated(loss: Any, x: np.ndarray, t: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """The least mean loss of one mixture, and its permutation."""
    losses = {
        order: float(np.mean([loss(x[place], t[source]) for source, place in enumerate(order)]))
        for order in itertools.permutations(range(len(t)))
    }
    best = min(losses, key=lambda order: losses[order])
    return losses[best], best


def squared(x: np.ndarray, t: np.ndarray) -> float:
    return float(np.mean((x - t) ** 2))


def test_each_mixture_has_its_best_permutation() -> None:
    wanted = [enumerated(jaxloss.si_sdr_loss, *mixture) for mixture in zip(X, T, strict=True)]
    chex.assert_trees_all_close(invariant(X, T, reduction="none"), np.array([loss for loss, _ in wanted]), **CLOSE)
    orders = jaxloss.best_permutation(jaxloss.si_sdr_loss)(X, T)
    chex.assert_trees_all_equal(orders, np.array([order for _, order in wanted], np.int32))
    assert len(set(map(tuple, np.asarray(orders)))) > 1  # they differ
    aligned = jnp.take_along_axis(jnp.asarray(X), orders[..., None], -2)
    chex.assert_trees_all_close(jaxloss.si_sdr_loss(aligned, T), invariant(X, T), **CLOSE)


def test_numbers_of_a_source_are_averaged_and_the_axis_may_be_any() -> None:
    wanted = np.array([enumerated(squared, *mixture)[0] for mixture in zip(X, T, strict=True)])
    losses = jaxloss.permutation_invariant(jaxloss.mse_loss)(X, T, reduction="none")
    chex.assert_trees_all_close(losses, wanted, **CLOSE)
    images = X.reshape(4, 3, 2, 4), T.reshape(4, 3, 2, 4)
    by_images = jaxloss.permutation_invariant(jaxloss.mse_loss, axis=1)(*images, reduction="none")
    chex.assert_trees_all_close(by_images, wanted, **CLOSE)


def test_the_gradient_is_that_of_the_best_permutation() -> None:
    orders = jaxloss.best_permutation(jaxloss.si_sdr_loss)(X, T)

    def aligned_loss(x: jax.Array) -> jax.Array:
        return jaxloss.si_sdr_loss(jnp.take_along_axis(x, orders[..., None], -2), T)

    @jax.jit
    def gradients(x: jax.Array) -> Any:
        return jax.grad(invariant)(x, T), jax.grad(aligned_loss)(x)

    chex.assert_trees_all_close(*gradients(jnp.asarray(X)), **CLOSE)


def test_of_equal_permutations_the_first_has_the_gradient() -> None:
    same = np.broadcast_to(X[:1, :1], (1, 2, 8))
    gradient = jax.grad(jaxloss.permutation_invariant(jaxloss.mse_loss))(jnp.asarray(same), T[:1, :2])
    chex.assert_trees_all_close(gradient, 2 * (same - T[:1, :2]) / 16, **CLOSE)
    chex.assert_trees_all_equal(jaxloss.best_permutation(jaxloss.mse_loss)(same, T[:1, :2])[0], np.array([0, 1]))


def test_a_mask_is_as_dropping_and_hides_nan() -> None:
    dirty = jnp.where(KEEP[:, None, None], X, jnp.nan)
    value, gradient = jax.value_and_grad(invariant)(dirty, T, where=KEEP)
    chex.assert_trees_all_close(value, invariant(X[KEEP], T[KEEP]), **CLOSE)
    chex.assert_trees_all_equal(gradient[~KEEP], jnp.zeros((1, 3, 8)))
    assert np.isfinite(gradient).all()
    part = jaxloss.parts(invariant)(X, T, where=KEEP, sample_weight=np.arange(1.0, 5))
    assert float(part.weight) == 8


def test_a_nan_is_a_nan_of_its_mixture() -> None:
    dirty = X.copy()
    dirty[1, 2, 0] = np.nan
    losses = invariant(dirty, T, reduction="none")
    chex.assert_trees_all_equal(np.isnan(losses), ~KEEP)


def test_arrays_after_the_targets_belong_to_them() -> None:
    valid = RNG.uniform(size=T.shape) < 0.7
    losses = jax.jit(lambda *arrays: invariant(*arrays, reduction="none"))(X, T, valid)
    found = [
        enumerated(lambda x, both: jaxloss.si_sdr_loss(x, both[0], both[1] > 0), x, np.stack([t, v], 1))[0]
        for x, t, v in zip(X, T, valid, strict=True)
    ]
    chex.assert_trees_all_close(losses, np.array(found), **CLOSE)


def test_option_objects_and_sums_of_them() -> None:
    one, other = jaxloss.SISDRLoss(zero_mean=False, reduction="sum"), jaxloss.SNRLoss()
    plain = jaxloss.permutation_invariant(
        lambda x, t, reduction: jaxloss.si_sdr_loss(x, t, zero_mean=False, reduction=reduction)
    )
    chex.assert_trees_all_close(jaxloss.permutation_invariant(one)(X, T), plain(X, T), **CLOSE)
    summed = jaxloss.permutation_invariant(one + 2.0 * other)(X, T, reduction="none")
    wanted = [enumerated(lambda x, t: one(x, t) + 2.0 * other(x, t), *mixture)[0] for mixture in zip(X, T, strict=True)]
    chex.assert_trees_all_close(summed, np.array(wanted), **CLOSE)


def test_class_numbers_and_low_precision() -> None:
    logits, labels = RNG.normal(size=(4, 2, 5, 3)), RNG.integers(0, 3, (4, 2, 5))
    losses = jaxloss.permutation_invariant(jaxloss.cross_entropy, axis=1)(logits, labels, reduction="none")
    wanted = [enumerated(jaxloss.cross_entropy, *mixture)[0] for mixture in zip(logits, labels, strict=True)]
    chex.assert_trees_all_close(losses, np.array(wanted), **CLOSE)
    half = jnp.asarray(X, jnp.bfloat16), jnp.asarray(T, jnp.bfloat16)
    assert invariant(*half, reduction="none").dtype == jnp.bfloat16
    # The losses of pairs are not rounded before they are averaged.
    wide = invariant(*(array.astype(jnp.float32) for array in half))
    assert invariant(*half).dtype == jnp.float32
    chex.assert_trees_all_close(invariant(*half), wide, rtol=1e-6)


@pytest.mark.usefixtures("untyped")
def test_mistakes() -> None:
    with pytest.raises(ValueError, match=re.escape("needs a loss with a number for each source, but")):
        jaxloss.permutation_invariant(jaxloss.si_sdr_loss, axis=-1)(X[..., :2], T[..., :2])
    with pytest.raises(TypeError, match="`predictions` has dtype int32, but must be real and floating"):
        invariant(jnp.zeros((4, 3, 8), jnp.int32), T)
    with pytest.raises(ValueError, match="`array` has shape"):
        invariant(X, T, np.ones((4, 2, 8), bool))
    with pytest.raises(ValueError, match="`predictions` has shape \\(8,\\), which has no axis -2"):
        invariant(X[0, 0], T[0, 0])
