"""Laws of divergences, and the chunks of linear_distillation_loss."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

DIVERGENCES = ("kl", "reverse_kl", "js", "skew_kl", "tv")
RNG = np.random.default_rng(0)
STUDENT, TEACHER = RNG.normal(size=(2, 6, 7)) * np.array([0.02, 1, 5, 30, 200, 1e4])[:, None]

every_divergence = pytest.mark.parametrize("divergence", DIVERGENCES)


@every_divergence
def test_a_divergence_is_0_with_gradient_0_between_equal_logits(divergence: str) -> None:
    loss = partial(jaxloss.distillation_loss, divergence=divergence)
    logits = jnp.asarray(STUDENT, jnp.float32)
    value, gradients = jax.value_and_grad(loss, (0, 1))(logits, logits)
    assert value == 0
    assert not any(gradient.any() for gradient in gradients)


@every_divergence
def test_a_small_divergence_keeps_its_digits_in_float32(divergence: str) -> None:
    """The Kullback-Leibler divergence is near 5e-9: float32 rounds a sum of p log(p / q) by 1e-7."""
    teacher = np.float32(3 * RNG.normal(size=1000))
    student = np.float32(teacher + 1e-4 * RNG.normal(size=1000))
    found = jaxloss.distillation_loss(student, teacher, divergence=divergence)
    wanted = jaxloss.distillation_loss(np.float64(student), np.float64(teacher), divergence=divergence)
    assert 1e-10 < wanted < 1e-4
    # The log-probabilities are rounded in float32, by a part in 1000 of their difference.
    chex.assert_trees_all_close(np.float64(found), wanted, rtol=2e-3)


def test_js_is_symmetric_at_one_half_and_at_most_log_2() -> None:
    loss = partial(jaxloss.distillation_loss, divergence="js", reduction="none")
    losses = loss(STUDENT, TEACHER)
    chex.assert_trees_all_close(losses, loss(TEACHER, STUDENT), rtol=1e-12)
    assert (losses >= 0).all()
    assert (losses <= np.log(2) * (1 + 1e-15)).all()
    assert losses[-1] > 0.69  # the last pair has two different certain classes


@every_divergence
def test_a_class_that_both_rule_out_is_no_class(divergence: str) -> None:
    loss = partial(jaxloss.distillation_loss, divergence=divergence)
    student, teacher = jnp.array([0.0, 1.0, -jnp.inf]), jnp.array([0.5, -1.0, -jnp.inf])
    value, gradient = jax.value_and_grad(loss)(student, teacher)
    wanted, slopes = jax.value_and_grad(loss)(student[:2], teacher[:2])
    chex.assert_trees_all_close((value, gradient), (wanted, jnp.append(slopes, 0.0)), rtol=1e-13)


@every_divergence
@pytest.mark.parametrize("chunk_size", [1, 4])
def test_chunks_change_nothing(divergence: str, chunk_size: int) -> None:
    arrays = tuple(jnp.asarray(RNG.normal(size=shape)) for shape in ((5, 3), (3, 7), (5, 4), (4, 7)))

    def linear(hidden, kernel, teacher_hidden, teacher_kernel):
        given = (hidden, kernel, teacher_hidden, teacher_kernel)
        return jaxloss.linear_distillation_loss(*given, divergence=divergence, chunk_size=chunk_size, temperature=2.0)

    def dense(hidden, kernel, teacher_hidden, teacher_kernel):
        logits, teacher_logits = hidden @ kernel, teacher_hidden @ teacher_kernel
        return jaxloss.distillation_loss(logits, teacher_logits, divergence=divergence, temperature=2.0)

    found, wanted = (jax.jit(jax.value_and_grad(loss, (0, 1, 2, 3)))(*arrays) for loss in (linear, dense))
    chex.assert_trees_all_close(found, wanted, rtol=1e-10, atol=1e-12)


TOP, CLASSES = jax.lax.top_k(jax.nn.log_softmax(TEACHER[:3]), 7)


@pytest.mark.parametrize("renormalize", [False, True])
def test_all_classes_of_the_teacher_are_the_whole_divergence(renormalize: bool) -> None:
    loss = partial(jaxloss.top_k_distillation_loss, renormalize=renormalize)
    found = jax.value_and_grad(loss)(STUDENT[:3], CLASSES, TOP)
    wanted = jax.value_and_grad(jaxloss.distillation_loss)(STUDENT[:3], TEACHER[:3])
    chex.assert_trees_all_close(found, wanted, rtol=1e-10, atol=1e-14)


def test_renormalized_classes_are_a_distribution_of_their_own() -> None:
    """Log-probabilities of the temperature 1 can be divided by another one afterwards."""
    options = {"temperature": 3.0, "reduction": "none"}
    picked = [np.take_along_axis(each[:3], np.asarray(CLASSES[:, :4]), -1) for each in (STUDENT, TEACHER)]
    found = jaxloss.top_k_distillation_loss(STUDENT[:3], CLASSES[:, :4], TOP[:, :4] / 3.0, renormalize=True, **options)
    chex.assert_trees_all_close(found, jaxloss.distillation_loss(*picked, **options), rtol=1e-10)


def test_the_gradient_is_0_at_the_teachers_shares_of_the_listed_classes() -> None:
    """The other classes are ruled out, so that the listed ones have all of the student's probability."""
    classes, log_probs = jnp.array([3, 0]), jnp.log(jnp.array([0.5, 0.25]))
    student = jnp.array([0.25, -1e4, -1e4, 0.25 + np.log(2.0)])
    gradient = jax.grad(jaxloss.top_k_distillation_loss)(student, classes, log_probs)
    chex.assert_trees_all_close(gradient, jnp.zeros(4), atol=1e-15)


@pytest.mark.parametrize("renormalize", [False, True])
def test_minus_infinity_fills_a_list_of_classes(renormalize: bool) -> None:
    loss = jax.value_and_grad(partial(jaxloss.top_k_distillation_loss, renormalize=renormalize), (0, 2))
    student = jnp.array([0.5, -jnp.inf, 1.0, 2.0])
    wanted, (gradient, slopes) = loss(student, jnp.array([3, 0]), jnp.array([-0.5, -1.0]))
    for filler in (1, 2):  # a class that the student rules out, and another
        found = loss(student, jnp.array([3, 0, filler]), jnp.array([-0.5, -1.0, -jnp.inf]))
        chex.assert_trees_all_close(found, (wanted, (gradient, jnp.append(slopes, 0.0))), rtol=1e-13, atol=1e-15)
