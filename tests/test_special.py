"""Functions whose plain forms lose all digits, and their derivatives, against 100 digits."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from compiled import jit

from jaxloss._core.elementwise import exp_excess, log1mexp
from jaxloss._core.special import log1p_square, log_gamma_rest, log_gamma_step

mpmath.mp.dps = 100
NEAR = [1e-15, 1e-10, 1e-4, 0.02, 0.25, 0.49, 0.51, 0.69, 0.7, 3.0, 17.0, 80.0]
POSITIVE = [1e-10, 0.02, 0.5, 1.0, 2.5, 7.9, 8.0, 8.1, 100.0, 1e6, 1e12]
MINUS = [-x for x in NEAR]

FUNCTIONS = {
    "log1mexp": (log1mexp, lambda x: mpmath.log1p(-mpmath.exp(x)), MINUS),
    "exp_excess": (exp_excess, lambda x: mpmath.exp(x) - 1 - x, NEAR + MINUS),
    "log1p_square": (log1p_square, lambda x: mpmath.log1p(x * x), [*NEAR, *MINUS, 1e10, -1e15]),
    "log_gamma_rest": (log_gamma_rest, lambda z: mpmath.loggamma(z) - z * mpmath.log(z) + z, POSITIVE),
    "log_gamma_step": (
        lambda z: log_gamma_step(z, jnp.asarray(0.5, z.dtype)),
        lambda z: mpmath.loggamma(z + 0.5) - mpmath.loggamma(z) - mpmath.log(z) / 2,
        POSITIVE,
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_special_function_keeps_its_digits(name: str, dtype: str) -> None:
    function, truth, points = FUNCTIONS[name]
    points = np.asarray(points, dtype)
    values, slopes = jit(jax.vmap(jax.value_and_grad(function)))(jnp.asarray(points))
    wanted = np.array([float(truth(mpmath.mpf(float(x)))) for x in points])
    # The rest and the step pass through 0, so that part of their tolerance is absolute: terms up to 16 add up to it.
    eps = float(np.finfo(dtype).eps)
    floor = 32 * eps if "gamma" in name else 0.0
    np.testing.assert_allclose(np.float64(values), wanted, rtol=8 * eps, atol=floor)
    slope = np.array([float(mpmath.diff(truth, mpmath.mpf(float(x)), h=mpmath.mpf(10) ** -45)) for x in points])
    np.testing.assert_allclose(np.float64(slopes), slope, rtol=32 * eps, atol=2 * floor)


def test_edges_of_the_special_functions() -> None:
    infinity, zero = jnp.array(jnp.inf), jnp.array(0.0)
    assert exp_excess(infinity) == exp_excess(-infinity) == log1p_square(-infinity) == jnp.inf
    assert log1mexp(-infinity) == 0
    assert jax.grad(log1mexp)(-infinity) == 0
    assert jax.grad(exp_excess)(zero) == exp_excess(zero) == log1p_square(zero) == 0
