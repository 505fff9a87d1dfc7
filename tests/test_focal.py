"""Laws of the losses for rare classes, noisy labels and detectors, and the numbers at which other libraries fail."""

from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

Fn = Callable[..., Any]
RNG = np.random.default_rng(0)
LOGITS, LABELS = jnp.asarray(RNG.normal(size=(6, 5)) * 3), jnp.array([0, 4, 2, -100, 1, 1])
SOFT = jnp.asarray(RNG.dirichlet(np.ones(5), 6))
WEIGHT = jnp.array([0.5, 1.0, 2.0, 0.0, 3.0])
WHERE = jnp.array([True, True, False, True, True, True])


@pytest.mark.parametrize(
    "loss",
    [
        partial(jaxloss.softmax_focal_loss, gamma=0.0),
        partial(jaxloss.poly1_cross_entropy, epsilon=0.0),
        partial(jaxloss.generalized_cross_entropy, q=0.0),
        partial(jaxloss.logit_adjusted_cross_entropy, prior=np.array([900.0, 3, 90, 0.5, 7]), tau=0.0),
    ],
    ids=["focal", "poly1", "generalized", "logit_adjusted"],
)
@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["labels", "probabilities"])
def test_without_its_option_a_loss_is_cross_entropy(loss: Fn, targets: Any) -> None:
    smoothings = ({},) if loss.func is jaxloss.generalized_cross_entropy else ({}, {"label_smoothing": 0.125})

    @jax.jit
    def every(logits: jax.Array) -> Any:
        def weighed(loss: Fn, options: dict[str, Any], logits: jax.Array) -> Any:
            return jnp.sum(loss(logits, targets, weight=WEIGHT, where=WHERE, **options) * jnp.arange(1.0, 7.0))

        return [
            [jax.value_and_grad(partial(weighed, f, {"reduction": reduction, **smoothing}))(logits) for f in both]
            for reduction in ("mean", "none")
            for smoothing in smoothings
        ]

    both = (loss, jaxloss.cross_entropy)
    for found, wanted in every(LOGITS):
        chex.assert_trees_all_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_the_sigmoid_focal_loss_without_its_options_is_binary_cross_entropy() -> None:
    targets = jnp.asarray(RNG.uniform(size=LOGITS.shape))
    found = jaxloss.sigmoid_focal_loss(LOGITS, targets, alpha=None, gamma=0.0, reduction="none")
    wanted = jaxloss.binary_cross_entropy_with_logits(LOGITS, targets, reduction="none")
    chex.assert_trees_all_close(found, wanted, rtol=1e-12)


def test_without_focus_the_asymmetric_loss_is_binary_cross_entropy() -> None:
    targets = jnp.asarray(RNG.integers(0, 2, LOGITS.shape) * 1.0)
    found = jaxloss.asymmetric_loss(LOGITS, targets, gamma_neg=0.0, gamma_pos=0.0, clip=0.0, reduction="none")
    wanted = jaxloss.binary_cross_entropy_with_logits(LOGITS, targets, reduction="none")
    chex.assert_trees_all_close(found, wanted, rtol=1e-12)


def test_the_focal_losses_are_right_and_finite_at_any_logit() -> None:
    """1 - p by subtraction is 37 % wrong at a logit of 15 in float32, and the usual gradient NaN from 17 on."""
    gamma = np.array([0.25, 0.5, 1.0, 1.5, 2.0, 3.0])[:, None]
    x = np.array([-1e4, -200, -88, -40, -15, -1, 0, 1, 5, 15, 17, 40, 88, 104, 200, 1e4])
    with np.errstate(over="ignore", under="ignore"):
        nll = np.logaddexp(0, -x)
        wrong = np.exp(-np.logaddexp(0, x))
        losses = wrong**gamma * nll
        slopes = -(wrong**gamma) * (wrong + gamma * (1 - wrong) * nll)

    def binary(x: jax.Array, gamma: jax.Array) -> jax.Array:
        return jaxloss.sigmoid_focal_loss(x, 1.0, alpha=None, gamma=gamma)

    def softmax(x: jax.Array, gamma: jax.Array) -> jax.Array:
        return jaxloss.softmax_focal_loss(jnp.stack([x, jnp.zeros_like(x)]), jnp.array(0), gamma=gamma)

    for loss in (binary, softmax):
        every = jax.jit(jnp.vectorize(jax.value_and_grad(loss)))
        found = every(*jnp.broadcast_arrays(jnp.asarray(x, jnp.float32)[None], jnp.asarray(gamma, jnp.float32)))
        # Below this float32 is of subnormal size.
        chex.assert_trees_all_close(found, (losses, slopes), rtol=2e-5, atol=1e-36)


@pytest.mark.parametrize("x", [np.inf, -np.inf])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_infinite_logits_are_certain(x: float, target: float) -> None:
    right = (x > 0) == (target == 1)
    for loss in (jaxloss.sigmoid_focal_loss, jaxloss.quality_focal_loss, jaxloss.varifocal_loss):
        value, slope = jax.value_and_grad(loss)(jnp.array(x), jnp.array(target))
        assert value == (0 if right else np.inf)
        assert slope == 0 or not right


def test_a_class_that_is_ruled_out_is_finite_elsewhere() -> None:
    logits = jnp.array([[1.0, 2.0, -jnp.inf], [0.0, 1.0, 3.0]])
    for loss in (jaxloss.softmax_focal_loss, jaxloss.poly1_cross_entropy):
        for targets in (jnp.array([0, 2]), jnp.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])):
            chex.assert_tree_all_finite(jax.value_and_grad(loss)(logits, targets))


def test_the_generalized_loss_at_1_is_the_absolute_error() -> None:
    found = jaxloss.generalized_cross_entropy(LOGITS, jnp.abs(LABELS) % 5, q=1.0, reduction="none")
    wanted = 1 - jnp.take_along_axis(jax.nn.softmax(LOGITS), (jnp.abs(LABELS) % 5)[:, None], 1)[:, 0]
    chex.assert_trees_all_close(found, wanted, rtol=1e-12)


def test_the_derivative_of_the_generalized_loss_in_q_is_finite_at_0() -> None:
    slope = jax.grad(lambda q: jaxloss.generalized_cross_entropy(LOGITS, LABELS, q=q))
    assert jnp.isfinite(slope(0.0))
    assert jnp.isfinite(slope(0.5))


def test_smooth_binary_labels() -> None:
    targets = jnp.array([0.0, 1.0, 0.25])
    found = jaxloss.binary_cross_entropy_with_logits(LOGITS[0, :3], targets, label_smoothing=0.1)
    wanted = jaxloss.binary_cross_entropy_with_logits(LOGITS[0, :3], 0.9 * targets + 0.05)
    chex.assert_trees_all_close(found, wanted, rtol=1e-12)


def test_an_adjusted_loss_is_the_balanced_softmax() -> None:
    """The share of a class is its count times its exponential. Counts and frequencies are one prior."""
    counts = np.array([900.0, 3, 90, 0.5, 7])
    mass = counts * np.exp(LOGITS[:3])
    wanted = -np.log(mass[np.arange(3), LABELS[:3]] / mass.sum(1))
    for prior in (counts, counts / counts.sum()):
        found = jaxloss.logit_adjusted_cross_entropy(LOGITS[:3], LABELS[:3], prior=prior, reduction="none")
        chex.assert_trees_all_close(found, wanted, rtol=1e-12)


def test_a_prior_of_0_is_nan_in_the_value_and_the_gradient() -> None:
    loss = partial(jaxloss.logit_adjusted_cross_entropy, prior=np.array([1.0, 0, 2, 3, 4]), reduction="sum")
    value, gradient = jax.value_and_grad(loss)(LOGITS, LABELS)
    assert jnp.isnan(value)
    assert jnp.isnan(gradient[LABELS >= 0]).all()
    assert not gradient[3].any()  # it is ignored


def test_class_balanced_weights() -> None:
    counts = np.array([5000, 100, 1, 0])
    effective = (1 - 0.999 ** counts[:3]) / (1 - 0.999)
    wanted = np.append(1 / effective * 3 / (1 / effective).sum(), 0)
    chex.assert_trees_all_close(jaxloss.class_balanced_weight(counts, beta=0.999), wanted, rtol=1e-12)
    chex.assert_trees_all_close(jaxloss.class_balanced_weight(counts, beta=0.0), jnp.array([1.0, 1, 1, 0]))
    assert jnp.isnan(jaxloss.class_balanced_weight(np.array([1.0, -1.0])))[1]
    # Counts of millions keep their digits in float32.
    found = jaxloss.class_balanced_weight(jnp.array([2e6, 1e6], jnp.float32), beta=1 - 1e-6)
    effective = -np.expm1(np.array([2e6, 1e6]) * np.log1p(-1e-6))
    np.testing.assert_allclose(found, 2 / effective / (1 / effective).sum(), rtol=0.1)


def test_targets_marked_as_ignored_are_loud_and_can_be_masked() -> None:
    logits, targets = jnp.array([1.0, 2.0, 0.5]), jnp.array([1.0, -1.0, 0.0])
    assert jnp.isnan(jaxloss.sigmoid_focal_loss(logits, targets, reduction="none")).tolist() == [False, True, False]
    masked = jaxloss.sigmoid_focal_loss(logits, targets, where=targets >= 0)
    chex.assert_trees_all_close(masked, jaxloss.sigmoid_focal_loss(logits[::2], targets[::2]), rtol=1e-12)


def test_poly1_of_one_example_and_one_that_is_ignored() -> None:
    value = jaxloss.poly1_cross_entropy(jnp.zeros((2, 3)), jnp.array([0, -100]), epsilon=2.0)
    np.testing.assert_allclose(value, np.log(3) + 2 * (1 - 1 / 3), rtol=1e-6)
