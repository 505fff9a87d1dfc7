"""Counts of more elements than an int32 holds, in programs that never store the elements."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, temporaries

import jaxloss
from jaxloss._core.counts import exact_count
from jaxloss._core.reduction import Mean

SIDE = 50_000


@pytest.fixture(autouse=True)
def _int32():
    """JAX's default, in which integers have 32 bits."""
    with jax.enable_x64(False):
        yield


def part(shape: tuple[int, ...], loss: Any = jaxloss.l1_loss, **options: Any) -> Mean:
    """The unfinished mean of ones. XLA makes the ones in the loop that adds them, or drops them if no one adds them."""
    ones, zeros = (jnp.broadcast_to(jnp.float32(value), shape) for value in (1, 0))
    return jaxloss.parts(loss)(ones, zeros, **options)


@pytest.mark.parametrize(
    ("shape", "masked"), [((SIDE, SIDE), (SIDE, 1)), ((SIDE, SIDE), (1, 1)), ((SIDE**2,), (1,)), ((2, SIDE**2), (2, 1))]
)
@pytest.mark.parametrize("name", ["where", "sample_weight"])
def test_what_broadcasts_is_counted_past_int32(shape: tuple[int, ...], masked: tuple[int, ...], name: str) -> None:
    given = jnp.ones(masked, bool if name == "where" else "float32")
    weight = jax.jit(lambda given: part(shape, **{name: given}).weight)(given)
    np.testing.assert_allclose(weight, np.prod(shape, dtype=float), rtol=2e-7)


def test_rows_that_are_masked_are_not_counted() -> None:
    where = jnp.arange(SIDE)[:, None] % 5 != 2
    weight = jax.jit(lambda where: part((SIDE, SIDE), where=where).weight)(where)
    np.testing.assert_allclose(weight, 0.8 * SIDE**2, rtol=2e-7)


def test_elements_without_a_mask_are_counted() -> None:
    assert float(jax.jit(lambda: part((SIDE, SIDE)).weight)()) == SIDE**2


@pytest.mark.parametrize("masked", [False, True])
def test_batchmean_of_more_elements_than_int32_holds(masked: bool) -> None:
    where = {"where": jax.ShapeDtypeStruct((SIDE, 1), bool)} if masked else {}
    loss = partial(jaxloss.kl_div, reduction="batchmean")
    result = jax.eval_shape(loss, *[jax.ShapeDtypeStruct((SIDE, SIDE), "float32")] * 2, **where)
    assert result.shape == ()


def test_batchmean_divides_by_the_entries_that_are_kept() -> None:
    terms, where = jnp.full((4, 8), -0.5), jnp.arange(4)[:, None] < 3
    value = jaxloss.kl_div(terms, jnp.ones((4, 8)), where=where, reduction="batchmean")
    assert float(value) == 0.5 * 8


@pytest.mark.exhaustive
def test_mean_of_ones_is_one() -> None:
    where = jnp.ones((SIDE, 1), bool)
    mean = jax.jit(lambda where: part((SIDE, SIDE), where=where).value)(where)
    np.testing.assert_allclose(mean, 1, rtol=0.01)  # of the sum, which is in float32


def test_a_full_mask_is_counted_exactly_and_in_little_memory() -> None:
    def counted(first: Any) -> Any:
        return exact_count(jax.lax.broadcasted_iota(jnp.int32, (SIDE, SIDE), 1) >= first)

    program = compiled(counted, jnp.int32(0))
    assert temporaries(program) < 2**20
    assert float(program(jnp.int32(7))) == float(np.float32(SIDE * (SIDE - 7)))


@pytest.mark.parametrize("shape", [(), (0,), (7,), (300, 7)])
def test_exact_count_is_the_sum_of_a_small_mask(shape: tuple[int, ...]) -> None:
    keep = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3 != 1
    assert float(exact_count(jnp.asarray(keep))) == keep.sum()
