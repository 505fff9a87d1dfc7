"""Soft-DTW and the forward sum: small and large gamma, digits over long series, lengths, and CTC."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

import jaxloss


def two_series(rng: np.random.Generator, frames: int, others: int, dtype: str = "float64"):
    return tuple(rng.normal(size=(size, 2)).cumsum(0).astype(dtype) / size**0.5 for size in (frames, others))


def hard(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Dynamic time warping: the cost of the best alignment, and its gradient in the first series."""
    costs = ((x[:, None] - y[None]) ** 2).sum(-1)
    total = np.full((len(x) + 1, len(y) + 1), np.inf)
    total[0, 0] = 0
    for i, j in np.ndindex(*costs.shape):
        total[i + 1, j + 1] = costs[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    gradient, i, j = np.zeros_like(x), len(x), len(y)
    while i and j:
        gradient[i - 1] += 2 * (x[i - 1] - y[j - 1])
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda cell: total[cell])
    return total[-1, -1], gradient


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_as_gamma_goes_to_0_the_loss_is_dynamic_time_warping(dtype):
    x, y = two_series(np.random.default_rng(0), 40, 30, dtype)
    value, gradient = hard(x.astype("float64"), y.astype("float64"))
    slopes = jax.jit(jax.value_and_grad(lambda x, gamma: jaxloss.soft_dtw_loss(x, y, gamma=gamma), (0, 1)))
    for gamma in (1e-12, 1e-30):
        found, (by_x, by_gamma) = slopes(x, gamma)
        np.testing.assert_allclose(found, value, rtol=2e-6 if dtype == "float32" else 1e-10)
        np.testing.assert_allclose(by_x, gradient, rtol=1e-5, atol=1e-5)
        assert abs(by_gamma) < 1e-3  # minus the entropy of one path


def test_the_gradient_in_gamma_is_minus_the_entropy_of_the_paths():
    x = jnp.zeros((4, 1))  # 63 paths, all without a cost
    value, slope = jax.value_and_grad(lambda gamma: jaxloss.soft_dtw_loss(x, x, gamma=gamma))(0.25)
    np.testing.assert_allclose([value, slope], [-0.25 * np.log(63), -np.log(63)], rtol=1e-12)


def test_the_gradient_in_float32_keeps_its_digits_over_200_frames():
    x, y = two_series(np.random.default_rng(1), 200, 150, "float32")
    gradient = jax.jit(jax.grad(jaxloss.soft_dtw_loss))
    np.testing.assert_allclose(gradient(x, y), gradient(x.astype(float), y.astype(float)), rtol=0, atol=1e-4)


def test_frames_past_the_end_are_not_read():
    x, y = two_series(np.random.default_rng(2), 6, 5)
    value, gradient = jax.value_and_grad(jaxloss.soft_dtw_loss)(x[:4], y[:3])
    spoilt = [np.concatenate([series[:length], np.full((2, 2), np.nan)]) for series, length in ((x, 4), (y, 3))]
    found, slopes = jax.value_and_grad(jaxloss.soft_dtw_loss)(*spoilt, 4, 3)
    np.testing.assert_allclose(found, value, rtol=1e-12)
    np.testing.assert_allclose(slopes, np.pad(gradient, ((0, 2), (0, 0))), rtol=1e-12)


def test_costs_that_overflow_are_walls():
    # The second frames are far from all other frames, but equal: one alignment has a finite cost.
    x = jnp.array([[0.0], [1e25], [1.0]], "float32")
    value, slopes = jax.value_and_grad(jaxloss.soft_dtw_loss)(x, x + jnp.array([[0.5], [0.0], [0.0]], "float32"))
    np.testing.assert_allclose([value, *slopes[:, 0]], [0.25, -1, 0, 0], rtol=1e-6)
    value, slopes = jax.value_and_grad(jaxloss.soft_dtw_loss)(x, x[:1])
    assert value == np.inf
    np.testing.assert_array_equal(slopes, 0)


@pytest.mark.parametrize(("lengths", "words"), [((0, 5), "`input_lengths[0]` is 0"), ((6, 9), "`target_lengths[0]`")])
def test_lengths_out_of_range_are_nan_and_named_by_checked(lengths, words):
    series = two_series(np.random.default_rng(3), 6, 5)
    value, gradient = jax.value_and_grad(jaxloss.soft_dtw_loss)(*series, *lengths)
    assert np.isnan(value)
    assert np.isnan(gradient).all()
    with pytest.raises(checkify.JaxRuntimeError) as error:
        jaxloss.checked(jaxloss.soft_dtw_loss)(*series, *lengths)
    assert words in str(error.value)


def test_the_forward_sum_is_ctc_of_the_scores_with_a_blank():
    scores = np.random.default_rng(4).normal(size=(2, 7, 3))
    frames, tokens = np.array([7, 5]), np.array([3, 2])
    losses = jaxloss.forward_sum_loss(scores, frames, tokens, blank_log_prob=0.5, reduction="none")
    for n in range(2):
        used = np.pad(scores[n, :, : tokens[n]], ((0, 0), (1, 0)), constant_values=0.5)
        labels = np.arange(1, tokens[n] + 1)
        wanted = jaxloss.ctc_loss(jax.nn.log_softmax(used), labels, frames[n], tokens[n], reduction="none")
        np.testing.assert_allclose(losses[n], wanted, rtol=1e-12)


def test_tokens_and_frames_past_the_end_are_not_read():
    scores = np.random.default_rng(5).normal(size=(1, 7, 4))
    spoilt = np.array(scores)
    spoilt[:, 5:], spoilt[:, :, 3:] = np.nan, np.nan
    gradient = jax.value_and_grad(lambda x: jaxloss.forward_sum_loss(x, [5], [3]))
    for wanted, found in zip(gradient(scores), gradient(spoilt), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
