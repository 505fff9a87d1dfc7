"""Losses of signals: padding, signals of any size, and silent ones."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(2, 3, 7))
VALID = np.arange(7) < np.array([[7], [4], [5]])
every_loss = pytest.mark.parametrize("loss", [jaxloss.si_sdr_loss, jaxloss.snr_loss], ids=lambda loss: loss.__name__)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@every_loss
def test_padding_is_as_dropping_and_a_signal_without_samples_does_not_count(loss) -> None:
    valid = VALID & np.array([[True], [True], [False]])
    x, t = (np.where(valid, signals, np.nan) for signals in (X, T))
    value, gradient = jax.jit(jax.value_and_grad(lambda x: loss(x, t, valid)))(x)
    wanted = [loss(X[i][VALID[i]], T[i][VALID[i]]) for i in range(2)]
    chex.assert_trees_all_close(value, np.mean(wanted), **CLOSE)
    slope = jax.grad(loss)(X[1][:4], T[1][:4]) / 2
    chex.assert_trees_all_close(gradient[1], np.pad(slope, (0, 3)), **CLOSE)
    assert not np.any(gradient[2])
    assert float(jaxloss.parts(loss)(x, t, valid).weight) == 2


@every_loss
def test_signals_of_any_size(loss) -> None:
    x, t = X.astype("float32"), T.astype("float32")
    run = jax.jit(jax.value_and_grad(loss))
    wanted, slope = run(8 * x, 8 * t)  # so large that `eps` does not matter
    value, gradient = run(x * np.float32(1e30), t * np.float32(1e30))
    chex.assert_trees_all_close(value, wanted, rtol=1e-5)
    chex.assert_trees_all_close(gradient * np.float32(1e30), 8 * slope, rtol=1e-4, atol=1e-4)


def test_the_sizes_of_prediction_and_target_may_differ() -> None:
    value = jaxloss.si_sdr_loss(X.astype("float32") * np.float32(1e-2), T.astype("float32") * np.float32(1e25))
    chex.assert_trees_all_close(value, jaxloss.si_sdr_loss(100 * X, 100 * T), rtol=1e-3)


@every_loss
def test_a_silent_target_has_80_decibels_and_no_gradient(loss) -> None:
    value, gradient = jax.value_and_grad(loss)(jnp.asarray(X), np.zeros_like(T))
    chex.assert_trees_all_close(value, 80.0, rtol=1e-6)
    chex.assert_trees_all_equal(gradient, jnp.zeros_like(X))


@pytest.mark.usefixtures("untyped")
def test_a_mask_of_another_kind_names_itself() -> None:
    with pytest.raises(TypeError, match="`valid` has dtype int32, but a mask is bool: use `valid != 0`."):
        jaxloss.snr_loss(X, T, VALID.astype("int32"))
