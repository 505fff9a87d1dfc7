"""The terms of `_ops/elementwise` fuse with the sum that follows on CPUs, where the plain forms do not.

Each test compiles the loss with the term and with a plain form of it, and compares the temporaries. It fails when XLA
fuses the plain form too: then the plain form is the better one.
"""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from compiled import compiled, temporaries

import jaxloss
from jaxloss._core.autodiff import along
from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import times
from jaxloss._losses import likelihood

SIZE = 1 << 18
ARRAY = 4 * SIZE  # bytes


def plain_log(count, log):
    return count * jnp.maximum(log, -limits(log.dtype).max)


def plain_quotient(error, var):
    return (error / 2) * (error / var)


def with_slopes(value, *slopes):
    """A function of two arrays with these derivatives, which hold the same expression as the value."""
    function = jax.custom_jvp(value)

    @partial(function.defjvp, symbolic_zeros=True)
    def _(primals, tangents):
        return function(*primals), along(tangents, *(partial(slope, *primals) for slope in slopes))

    return function


def plain_stirling(counts):
    above = counts > 1
    return jnp.where(above, jnp.log(jnp.where(above, counts, 1.0)), 0.0), jnp.where(above, 1.0, 0.0)


def plain_clamp(var, eps):
    return jnp.where(var < 0, jnp.nan, jnp.maximum(var, eps))


poisson = partial(jaxloss.poisson_nll_loss, full=False)
stirling = partial(jaxloss.poisson_nll_loss, full=True)
merged_log = with_slopes(plain_log, lambda _, log: plain_log(1, log), lambda count, _: count)
merged_quotient = with_slopes(plain_quotient, lambda e, v: e / v, lambda e, v: -2 * jnp.square(e / 2 / v))


@pytest.mark.parametrize(
    ("loss", "places", "name", "plain", "arrays", "saved"),
    [
        (poisson, (), "times_log", times, 2, 1),
        (poisson, (0,), "times_log", times, 2, 2),
        (poisson, (0, 1), "times_log", merged_log, 2, 2),
        (stirling, (), "stirling_logs", plain_stirling, 2, 2),
        (jaxloss.gaussian_nll_loss, (0,), "half_square_over", merged_quotient, 3, 1),
        (jaxloss.gaussian_nll_loss, (0, 1, 2), "half_square_over", merged_quotient, 3, 2),
        (jaxloss.gaussian_nll_loss, (), "clamped_variance", plain_clamp, 3, 1),
    ],
)
def test_a_term_saves_arrays_of_temporaries(monkeypatch, loss, places, name, plain, arrays, saved) -> None:
    given = [jax.ShapeDtypeStruct((SIZE,), "float32")] * arrays

    def memory() -> int:
        function = jax.value_and_grad(loss, places) if places else loss
        return temporaries(compiled(lambda *inputs: function(*inputs), *given))

    ours = memory()
    monkeypatch.setattr(likelihood, name, plain)
    assert memory() - ours >= saved * ARRAY
