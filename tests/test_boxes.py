"""Laws of the losses of boxes, and the boxes at which torchvision's are NaN or silently wrong."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

LOSSES = [
    jaxloss.box_iou_loss,
    jaxloss.generalized_box_iou_loss,
    jaxloss.distance_box_iou_loss,
    jaxloss.complete_box_iou_loss,
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
Fn = Callable[..., Any]


def boxes(seed: int) -> jax.Array:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 4, (50, 2))
    return jnp.asarray(np.concatenate([low, low + rng.gamma(2, 1, low.shape) + 0.1], -1))


@every_loss
def test_moving_and_scaling_both_boxes_changes_nothing(loss: Fn) -> None:
    a, b = boxes(0), boxes(1)
    value = loss(a, b, eps=0.0, reduction="none")
    for moved in (lambda x: x + jnp.array([[3.0, -7.0, 3.0, -7.0]]), lambda x: 1000 * x, lambda x: x / 1024):
        chex.assert_trees_all_close(loss(moved(a), moved(b), eps=0.0, reduction="none"), value, rtol=1e-10)


@every_loss
@pytest.mark.parametrize("form", ["xywh", "cxcywh"])
def test_every_format_names_the_same_boxes(loss: Fn, form: str) -> None:
    a, b = boxes(0), boxes(1)

    def converted(x: jax.Array) -> jax.Array:
        low, size = x[..., :2], x[..., 2:] - x[..., :2]
        return jnp.concatenate([low + (size / 2 if form == "cxcywh" else 0), size], -1)

    found = loss(converted(a), converted(b), box_format=form, reduction="none")
    chex.assert_trees_all_close(found, loss(a, b, reduction="none"), rtol=1e-12)


@every_loss
@pytest.mark.parametrize("eps", [0.0, 1e-7])
def test_equal_boxes_have_no_loss(loss: Fn, eps: float) -> None:
    chex.assert_trees_all_close(loss(boxes(0), boxes(0), eps=eps, reduction="none"), jnp.zeros(50), atol=1e-5)


def test_the_generalized_loss_of_a_box_inside_the_other_is_the_plain_one() -> None:
    outer, inner = jnp.array([0.0, 0.0, 8.0, 4.0]), jnp.array([1.0, 2.0, 3.0, 3.0])
    chex.assert_trees_all_close(
        jaxloss.generalized_box_iou_loss(inner, outer, eps=0.0), jaxloss.box_iou_loss(inner, outer, eps=0.0), rtol=1e-6
    )


@every_loss
def test_a_box_of_negative_size_is_nan_in_its_pair_only(loss: Fn) -> None:
    """torchvision's generalized loss of [2, 2, 0, 0] against [0, 0, 2, 2] is 0, as if it were right."""
    a = jnp.array([[2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.5]])
    b = jnp.array([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 2.0, 1.0]])
    for pair in ((a, b), (b, a)):
        losses, gradients = jax.vmap(jax.value_and_grad(loss, (0, 1)))(*pair)
        np.testing.assert_array_equal(np.isnan(losses), [True, False, True])
        for gradient in gradients:
            np.testing.assert_array_equal(np.isnan(gradient).any(-1), [True, False, True])


@every_loss
@pytest.mark.parametrize("eps", [0.0, 1e-7])
def test_boxes_without_an_area_have_finite_losses_and_gradients(loss: Fn, eps: float) -> None:
    """A side of length 0, both sides, both boxes, and boxes so small that the squares of their sides are 0."""
    point, flat, thin = [1.0, 1, 1, 1], [0.0, 1, 2, 1], [1.0, 0, 1, 2]
    small = [0.0, 0, 1e-30, 2e-30]
    cases = [(point, point), (flat, flat), (thin, flat), (point, [0.0, 0, 2, 2]), (small, small), (small, point)]
    with jax.enable_x64(False):
        a, b = (jnp.array([pair[i] for pair in cases], jnp.float32) for i in (0, 1))
        losses, gradients = jax.vmap(jax.value_and_grad(lambda a, b: loss(a, b, eps=eps), (0, 1)))(a, b)
        chex.assert_tree_all_finite((losses, gradients))
        np.testing.assert_array_equal(losses[:2], [1, 1])


def test_small_boxes_need_a_small_eps() -> None:
    """In units of the image a box of 5e-4 by 5e-4 has an area of the size of the default eps."""
    a, b = jnp.array([0.0, 0.0, 5e-4, 5e-4]), jnp.array([0.0, 0.0, 5e-4, 1e-3])
    np.testing.assert_allclose(jaxloss.box_iou_loss(a, b, eps=0.0), 0.5, rtol=1e-6)
    np.testing.assert_allclose(jaxloss.box_iou_loss(a, b), 1 - 2.5e-7 / (5e-7 + 1e-7), rtol=1e-6)


def test_the_losses_of_all_pairs_of_two_sets_by_two_maps() -> None:
    a, b = boxes(0)[:3], boxes(1)[:4]
    loss = jaxloss.GeneralizedBoxIoULoss(reduction="none")
    found = jax.vmap(jax.vmap(loss, (None, 0)), (0, None))(a, b)
    chex.assert_trees_all_close(found[2, 1], loss(a[2], b[1]))
    assert found.shape == (3, 4)


def test_the_domain_is_named_by_checked() -> None:
    with pytest.raises(ValueError, match=r"`predictions\[1, 2\]` is 0.0, but must be no less than"):
        jaxloss.checked(jaxloss.box_iou_loss)(
            jnp.array([[0.0, 0, 1, 1], [2.0, 0, 0, 1]]), jnp.array([[0.0, 0, 1, 1], [0.0, 0, 1, 1]])
        )
