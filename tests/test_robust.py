"""Relations between robust losses: the general loss has them as special cases, and its alpha is traced and learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

ERRORS = jnp.array([0.0, 1e-6, 1e-3, 0.3, -1.0, 2.5, -40.0, 1e4])


def losses(loss, **options):
    """The losses of the errors, and their gradients."""

    def unreduced(x):
        return loss(x, jnp.zeros_like(x), reduction="none", **options)

    return unreduced(ERRORS), jax.grad(lambda x: unreduced(x).sum())(ERRORS)


@pytest.mark.parametrize(
    ("alpha", "special"),
    [
        (2.0, lambda *arrays, **options: 0.5 * jaxloss.mse_loss(*arrays, **options)),
        (1.0, jaxloss.pseudo_huber_loss),
        (0.0, jaxloss.cauchy_loss),
        (-2.0, jaxloss.geman_mcclure_loss),
        (-1e9, jaxloss.welsch_loss),
    ],
)
def test_the_general_loss_has_the_others_as_special_cases(alpha, special) -> None:
    for general, other in zip(losses(jaxloss.robust_loss, alpha=alpha), losses(special), strict=True):
        # 2e-6, because b has a floor of 1e-6 in float32 at alpha = 2
        np.testing.assert_allclose(general, other, rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize("alpha", [-3.0, -1e-3, 0.0, 1e-3, 0.7, 1.9])
def test_the_derivative_in_alpha_is_that_of_the_formula(alpha: float) -> None:
    def loss(alpha):
        return jaxloss.robust_loss(jnp.array(3.0), jnp.array(0.5), alpha=alpha)

    def formula(alpha):
        b, z = abs(alpha - 2), 2.5**2
        return np.log1p(z / 2) if alpha == 0 else b * np.expm1(np.log1p(z / b) * alpha / 2) / alpha

    wanted = (formula(alpha + 1e-5) - formula(alpha - 1e-5)) / 2e-5
    # The difference quotient has about 10 digits, and float32 has 7.
    np.testing.assert_allclose(jax.grad(loss)(alpha), wanted, rtol=2e-5)


def test_alpha_is_mapped_over() -> None:
    alphas = jnp.array([2.0, 0.0, -2.0])
    mapped = jax.vmap(lambda alpha: jaxloss.robust_loss(ERRORS, jnp.zeros_like(ERRORS), alpha=alpha))(alphas)
    each = [jaxloss.robust_loss(ERRORS, jnp.zeros_like(ERRORS), alpha=float(alpha)) for alpha in alphas]
    np.testing.assert_allclose(mapped, each, rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "bound"),
    [
        (jaxloss.geman_mcclure_loss, 2.0),
        (jaxloss.welsch_loss, 1.0),
        (jaxloss.tukey_biweight_loss, 4.685**2 / 6),
        (jaxloss.log_cosh_loss, np.inf),
        (jaxloss.pseudo_huber_loss, np.inf),
        (jaxloss.charbonnier_loss, np.inf),
        (jaxloss.cauchy_loss, np.inf),
    ],
)
def test_an_infinite_error_has_the_bound_and_no_nan(loss, bound) -> None:
    value, slope = jax.value_and_grad(loss)(jnp.array(-jnp.inf), jnp.array(0.0))
    np.testing.assert_allclose(value, bound, rtol=1e-6)
    assert slope in (-1, 0)
