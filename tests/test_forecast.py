"""Relations between losses of forecasts and those of regression."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

PREDICTIONS, TARGETS = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7)))


@pytest.mark.parametrize(
    ("loss", "half_of"), [(jaxloss.quantile_loss, jaxloss.l1_loss), (jaxloss.expectile_loss, jaxloss.mse_loss)]
)
def test_the_middle_is_half_of_the_symmetric_loss(loss, half_of) -> None:
    for ours, wanted in zip(
        jax.value_and_grad(loss)(PREDICTIONS, TARGETS), jax.value_and_grad(half_of)(PREDICTIONS, TARGETS), strict=True
    ):
        np.testing.assert_allclose(2 * ours, wanted, rtol=1e-6)


def test_several_quantiles_are_each_quantile() -> None:
    quantiles = jnp.array([0.1, 0.5, 0.9])
    several = jnp.stack([PREDICTIONS] * 3, -1)
    together = jaxloss.quantile_loss(several, TARGETS, quantile=quantiles, reduction="none")
    for number, quantile in enumerate(quantiles):
        alone = jaxloss.quantile_loss(PREDICTIONS, TARGETS, quantile=quantile, reduction="none")
        np.testing.assert_allclose(together[:, number], alone, rtol=1e-6)


def test_the_best_constant_is_the_quantile() -> None:
    targets = jnp.arange(11.0)
    candidates = jnp.arange(11.0)

    def mean(constant: jax.Array) -> jax.Array:
        return jaxloss.quantile_loss(jnp.full(11, constant), targets, quantile=0.75)

    assert int(jnp.argmin(jax.vmap(mean)(candidates))) == 8  # the ninth of eleven: 0.75 of 11 is 8.25


def test_concordance_knows_shifts_and_scales_and_equality() -> None:
    def loss(series: jax.Array) -> float:
        return float(jaxloss.concordance_loss(series, TARGETS))

    assert loss(TARGETS) == 0
    np.testing.assert_allclose(loss(2 * TARGETS.mean() - TARGETS), 2, rtol=1e-6)
    assert loss(TARGETS + 1) > 0.1
    assert loss(3 * TARGETS) > 0.1
