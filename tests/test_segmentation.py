"""Laws of the losses of regions that no other loss has."""

from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import numpy as np
import pytest
from variants import variants

import jaxloss

RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(3, 4, 5, 4)), RNG.integers(0, 4, (3, 4, 5))
MASK = np.asarray(RNG.integers(0, 2, (3, 4, 5)), bool)
VALID = RNG.random((3, 4, 5)) < 0.6
LOSSES = {
    "dice_loss": jaxloss.dice_loss,
    "jaccard_loss": jaxloss.jaccard_loss,
    "tversky_loss": jaxloss.tversky_loss,
    "focal_tversky_loss": jaxloss.focal_tversky_loss,
    "generalized_dice_loss": jaxloss.generalized_dice_loss,
    "lovasz_softmax_loss": jaxloss.lovasz_softmax_loss,
    "lovasz_hinge_loss": jaxloss.lovasz_hinge_loss,
}
close = partial(chex.assert_trees_all_close, rtol=1e-12, atol=1e-13)
USUAL = ("dice_loss", "lovasz_softmax_loss")
every_loss = pytest.mark.parametrize("name", variants(LOSSES, lambda name: name in USUAL))
of_classes = pytest.mark.parametrize(
    "name", variants([name for name in LOSSES if name != "lovasz_hinge_loss"], lambda name: name in USUAL)
)


def arrays(name: str) -> tuple[np.ndarray, np.ndarray]:
    return (LOGITS[..., 0], MASK) if name == "lovasz_hinge_loss" else (LOGITS, LABELS)


@partial(jax.jit, static_argnums=0)
def run(loss: Callable[..., Any], *given: Any) -> tuple[Any, Any, Any]:
    """The losses, the mean and the gradient of the mean."""
    mean, gradient = jax.value_and_grad(loss)(*given)
    return loss(*given, reduction="none"), mean, gradient


@every_loss
def test_all_pixels_valid_changes_nothing(name: str) -> None:
    given = arrays(name)
    close(run(LOSSES[name], *given, np.ones(VALID.shape, bool)), run(LOSSES[name], *given))


@of_classes
def test_valid_pixels_equal_those_that_are_not_ignored(name: str) -> None:
    ignored = np.where(VALID, LABELS, 255)
    spoilt = np.where(VALID[..., None], LOGITS, np.nan)
    wanted = run(LOSSES[name], LOGITS, LABELS, VALID)
    close(run(partial(LOSSES[name], ignore_index=255), spoilt, ignored), wanted)
    assert not np.any(np.asarray(wanted[2])[~VALID])


@every_loss
def test_pixels_that_are_not_valid_are_as_if_cut_out(name: str) -> None:
    logits, targets = arrays(name)
    valid = np.zeros(VALID.shape, bool)
    valid[:, 1:3, :4] = True
    spoilt = np.where(valid.reshape(valid.shape + (1,) * (logits.ndim - 3)), logits, np.nan)
    losses, mean, _ = run(LOSSES[name], spoilt, targets, valid)
    close((losses, mean), run(LOSSES[name], logits[:, 1:3, :4], targets[:, 1:3, :4])[:2])


@every_loss
def test_the_order_of_pixels_does_not_matter(name: str) -> None:
    order = np.random.default_rng(1).permutation(20)
    given = [array.reshape(3, 20, *array.shape[3:]) for array in arrays(name)]
    losses, mean, gradient = run(LOSSES[name], *given)
    permuted = run(LOSSES[name], *(array[:, order] for array in given))
    close(permuted, (losses, mean, gradient[:, order]))


@every_loss
def test_a_pooled_batch_is_one_image(name: str) -> None:
    given = arrays(name)
    losses, mean, gradient = run(partial(LOSSES[name], pixel_axes=(0, 1, 2)), *given)
    one = run(LOSSES[name], *(array.reshape(1, 60, *array.shape[3:]) for array in given))
    close((losses, mean, gradient.reshape(one[2].shape)), (one[0][0], one[1], one[2]))


@every_loss
def test_an_image_without_a_valid_pixel_does_not_count(name: str) -> None:
    logits, targets = arrays(name)
    valid = np.ones(VALID.shape, bool)
    valid[1] = False
    losses, mean, gradient = run(LOSSES[name], logits, targets, valid)
    assert not np.any(losses[1])
    assert not np.any(gradient[1])
    keep = np.array([0, 2])
    close(mean, run(LOSSES[name], logits[keep], targets[keep])[1])
    # A mean over nothing is 0.
    close(run(LOSSES[name], logits, targets, np.zeros_like(valid))[1:], (0.0, np.zeros_like(logits)))


@of_classes
def test_one_class_without_an_axis(name: str) -> None:
    if name == "lovasz_softmax_loss":  # which has an axis of classes always
        return
    loss = partial(LOSSES[name], activation="sigmoid")
    losses, mean, gradient = run(partial(loss, axis=None), LOGITS[..., 0], MASK)
    wanted = run(loss, LOGITS[..., :1], MASK[..., None])
    close((losses, mean, gradient), (wanted[0].reshape(3), wanted[1], wanted[2][..., 0]))
    void = np.where(VALID, MASK.astype(int), 255)
    close(
        run(partial(loss, axis=None, ignore_index=255), LOGITS[..., 0], void)[1],
        loss(LOGITS[..., 0], MASK, VALID, axis=None),
    )


@of_classes
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_may_be_given(name: str, activation: str) -> None:
    probabilities = {"softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid}[activation](LOGITS)
    found = LOSSES[name](probabilities, LABELS, activation=None, reduction="none")
    close(found, LOSSES[name](LOGITS, LABELS, activation=activation, reduction="none"))
    outside = probabilities.at[1, 2, 3, 0].set(1.25)
    losses = LOSSES[name](outside, LABELS, activation=None, reduction="none").reshape(3, -1)
    assert np.isnan(losses[1, 0])
    assert np.isfinite(losses[np.array([0, 2])]).all()


@of_classes
def test_one_hot_masks_equal_class_numbers(name: str) -> None:
    if name == "lovasz_softmax_loss":
        return
    one_hot = np.eye(4)[LABELS]
    for masks in (one_hot, one_hot.astype(bool), one_hot.astype(int)):
        close(run(LOSSES[name], LOGITS, masks), run(LOSSES[name], LOGITS, LABELS))


def test_dice_is_tversky_with_equal_weights_and_half_the_smoothing() -> None:
    dice = run(partial(jaxloss.dice_loss, smooth_nr=0.5, smooth_dr=0.25), LOGITS, LABELS)
    close(run(partial(jaxloss.tversky_loss, smooth_nr=0.25, smooth_dr=0.125), LOGITS, LABELS), dice)


def test_focal_tversky_with_gamma_1_is_tversky() -> None:
    weights = {"alpha": 0.3, "beta": 0.7}
    close(
        run(partial(jaxloss.focal_tversky_loss, gamma=1.0, **weights), LOGITS, LABELS),
        run(partial(jaxloss.tversky_loss, **weights), LOGITS, LABELS),
    )


def test_jaccard_follows_from_dice() -> None:
    plain = {"smooth_nr": 0.0, "smooth_dr": 0.0, "reduction": "none"}
    dice = jaxloss.dice_loss(LOGITS, LABELS, **plain)
    close(jaxloss.jaccard_loss(LOGITS, LABELS, **plain), 2 * dice / (1 + dice))


@pytest.mark.parametrize("absent", ["keep", "skip", "zero"])
def test_lovasz_of_certain_predictions_is_jaccard(absent: str) -> None:
    certain, labels = np.eye(4)[RNG.integers(0, 4, LABELS.shape)], np.minimum(LABELS, 2)  # class 3 is absent
    found = jaxloss.lovasz_softmax_loss(certain, labels, activation=None, absent=absent)
    close(found, jaxloss.jaccard_loss(certain, labels, activation=None, absent=absent, smooth_nr=0.0, smooth_dr=0.0))


def test_lovasz_hinge_of_signs_is_twice_jaccard() -> None:
    predicted = RNG.integers(0, 2, MASK.shape) * 1.0
    jaccard = jaxloss.jaccard_loss(predicted, MASK, activation=None, axis=None, smooth_nr=0.0, smooth_dr=0.0)
    close(jaxloss.lovasz_hinge_loss(2 * predicted - 1, MASK), 2 * jaccard)


def test_regions_with_nothing_true_or_predicted() -> None:
    certain, labels = np.eye(3)[np.zeros((1, 4), int)], np.zeros((1, 4), int)
    for loss in (jaxloss.dice_loss, jaxloss.jaccard_loss, jaxloss.tversky_loss, jaxloss.focal_tversky_loss):
        for smooth in (0.0, 1e-5):
            losses, _, gradient = run(
                partial(loss, activation=None, smooth_nr=smooth, smooth_dr=smooth), certain, labels
            )
            chex.assert_trees_all_equal(losses, np.zeros((1, 3)))
            assert np.isfinite(gradient).all()


def test_an_absent_class_has_the_largest_weight_of_its_image() -> None:
    # Two classes with 1 and 3 true pixels, and a third one with none. Their weights are 1, 1/9 and 1.
    probabilities, labels = np.full((1, 4, 3), 0.25), np.array([[0, 1, 1, 1]])
    plain = {"activation": None, "smooth_nr": 0.0, "smooth_dr": 0.0}
    hit, size = 0.25 * np.array([1, 3, 0]), 1 + np.array([1, 3, 0])
    weight = np.array([1, 1 / 9, 1])
    close(jaxloss.generalized_dice_loss(probabilities, labels, **plain), 1 - 2 * weight @ hit / (weight @ size))


@pytest.mark.parametrize("loss", [jaxloss.dice_loss, jaxloss.lovasz_softmax_loss])
def test_a_bad_label_spoils_its_image_alone(loss: Callable[..., Any]) -> None:
    bad = LABELS.copy()
    bad[1, 0, 0] = 4
    losses, _, gradient = run(loss, LOGITS, bad)
    assert np.isnan(losses[1]).all()
    assert np.isnan(gradient[1]).any()
    keep = np.array([0, 2])
    chex.assert_trees_all_close(losses[keep], run(loss, LOGITS, LABELS)[0][keep], rtol=1e-14)
    for mask in ({"valid": np.arange(60).reshape(LABELS.shape) != 20}, {"where": (np.arange(3) != 1)[:, None]}):
        assert np.isfinite(jax.grad(lambda x, mask=mask: loss(x, bad, **mask))(LOGITS)).all()


def test_slopes_of_a_large_image_keep_their_digits() -> None:
    logits = np.asarray(RNG.normal(size=(1, 100_000)), np.float32)
    targets = RNG.random((1, 100_000)) < 0.3
    low, high = (
        np.asarray(jax.jit(jax.grad(jaxloss.lovasz_hinge_loss))(logits.astype(dtype), targets), float)
        for dtype in ("float32", "float64")
    )
    positive = high != 0
    # float32 keeps sizes below 2**24 exactly. Equal errors, and errors that float32 makes equal, may change places.
    difference = np.abs(low - high)[positive] / np.abs(high)[positive]
    assert np.median(difference) < 2e-7
    assert np.quantile(difference, 0.99) < 1e-4


@pytest.mark.parametrize("name", variants(["dice_loss", "generalized_dice_loss"], lambda name: name == "dice_loss"))
def test_the_gradient_on_a_cpu_stores_the_probabilities_alone(name: str) -> None:
    # Beside them it stores numbers of each pixel. Sums whose terms XLA does not fuse would take three arrays.
    shape = (2, 64, 64, 21)
    given = jax.ShapeDtypeStruct(shape, np.float32), jax.ShapeDtypeStruct(shape[:-1], np.int32)
    stored = jax.jit(jax.value_and_grad(LOSSES[name])).lower(*given).compile().memory_analysis()
    assert stored.temp_size_in_bytes <= 1.25 * 4 * np.prod(shape)


def test_a_large_image_keeps_its_digits() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(1, 512, 512, 2)), rng.integers(0, 2, (1, 512, 512))
    low = jax.jit(jaxloss.dice_loss)(logits.astype(np.float32), labels)
    chex.assert_trees_all_close(float(low), float(jaxloss.dice_loss(logits, labels)), rtol=1e-6)
