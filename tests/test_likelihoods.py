"""Likelihoods whose options make them a simpler distribution, in float32, where a plain formula loses all digits."""

import chex
import jax
import jax.numpy as jnp
import pytest
from compiled import jit

import jaxloss


@pytest.mark.parametrize("total_count", [1e8, 1e12, 1e20])
def test_a_negative_binomial_of_a_large_count_is_a_poisson(total_count: float) -> None:
    log_means, counts = jnp.float32([[1.1, 3.0, -2.0]]), jnp.float32([[2.0, 30.0, 0.0]])

    def negative_binomial(log_means: jax.Array) -> jax.Array:
        count = jnp.full_like(log_means, total_count)
        return jaxloss.negative_binomial_nll_loss(log_means, counts, count, reduction="sum")

    def poisson(log_means: jax.Array) -> jax.Array:
        losses = jaxloss.poisson_nll_loss(log_means, counts, reduction="sum")
        return losses + jnp.sum(jax.scipy.special.gammaln(counts + 1))

    found, wanted = (jit(jax.value_and_grad(loss))(log_means) for loss in (negative_binomial, poisson))
    chex.assert_trees_all_close(found, wanted, rtol=2e-6, atol=2e-6)


def test_a_student_t_of_many_degrees_of_freedom_is_a_gaussian() -> None:
    predictions, targets, scale = jnp.float32([0.0, 1.0, -3.0]), jnp.float32([0.5, -1.5, 4.0]), jnp.float32([1, 2, 0.5])

    def student(predictions: jax.Array) -> jax.Array:
        return jaxloss.student_t_nll_loss(predictions, targets, scale, jnp.full_like(scale, 1e12))

    def gaussian(predictions: jax.Array) -> jax.Array:
        return jaxloss.gaussian_nll_loss(predictions, targets, scale**2, full=True)

    found, wanted = (jit(jax.value_and_grad(loss))(predictions) for loss in (student, gaussian))
    chex.assert_trees_all_close(found, wanted, rtol=2e-6)
