"""Laws of the losses of images and of ordered classes that no other loss has."""

from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(2, 16, 12, 2))
OTHERS = np.clip(IMAGES + 0.25 * RNG.normal(size=IMAGES.shape), 0, 1)
SSIM = partial(jaxloss.ssim_loss, window_size=3)
MS_SSIM = partial(jaxloss.ms_ssim_loss, window_size=3, scale_weights=(0.5, 0.25))
two_images = pytest.mark.parametrize("loss", [SSIM, MS_SSIM], ids=["ssim_loss", "ms_ssim_loss"])
close = partial(chex.assert_trees_all_close, rtol=1e-12, atol=1e-13)


@two_images
def test_equal_images_have_no_loss(loss: Callable[..., Any]) -> None:
    losses, gradient = jax.jit(jax.value_and_grad(loss))(IMAGES, IMAGES)
    close((losses, gradient), (0.0, np.zeros_like(IMAGES)))


@two_images
def test_the_range_scales_with_the_images(loss: Callable[..., Any]) -> None:
    close(loss(255 * IMAGES, 255 * OTHERS, data_range=255.0), loss(IMAGES, OTHERS))


@two_images
@pytest.mark.parametrize("level", [0.0, 0.75, 200.3])
def test_flat_images_are_finite(loss: Callable[..., Any], level: float) -> None:
    # In float32 the variance of a flat image of 200.3 is a difference of large numbers, and may be negative.
    flat = np.full(IMAGES.shape, level, np.float32)
    for other in (flat, IMAGES.astype(np.float32)):
        losses, gradient = jax.jit(jax.value_and_grad(loss))(flat, other)
        assert 0 <= losses <= 2
        assert np.isfinite(gradient).all()


def test_images_of_opposite_contrast_have_a_finite_gradient() -> None:
    losses, gradient = jax.jit(jax.value_and_grad(MS_SSIM))(IMAGES, 1 - IMAGES)
    assert 0 <= losses <= 1
    assert np.isfinite(gradient).all()


def test_total_variation_counts_steps() -> None:
    step = np.zeros((4, 6, 1))
    step[:, 3:] = 2.0
    # Four rows step by 2, and a constant changes nothing.
    for image in (step, step - 7):
        assert jaxloss.total_variation_loss(image) == 8
        assert jaxloss.total_variation_loss(image, normalize=True) == pytest.approx(8 / (4 * 5))
    close(jax.grad(jaxloss.total_variation_loss)(jnp.ones((4, 6, 1))), jnp.zeros((4, 6, 1)))


@pytest.mark.parametrize("loss", [jaxloss.coral_loss, jaxloss.corn_loss])
def test_two_grades_are_yes_and_no(loss: Callable[..., Any]) -> None:
    logits, grades = RNG.normal(size=(5, 1)), np.array([0, 1, 1, 0, 1])
    wanted = jaxloss.binary_cross_entropy_with_logits(logits[:, 0], grades * 1.0)
    close(loss(logits, grades), wanted)


def test_the_mean_of_corn_is_that_of_the_tasks() -> None:
    logits, grades = RNG.normal(size=(4, 3)), np.array([0, 1, 2, 3])
    # An example takes part in the tasks up to its grade: 1, 2, 3 and 3 tasks.
    losses = jaxloss.corn_loss(logits, grades, reduction="none")
    close(jaxloss.corn_loss(logits, grades), losses.sum() / 9)
