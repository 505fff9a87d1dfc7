"""CTC of logits beside CTC of their log-softmax, and the emissions that TPUs pick by a product."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, promises_memory, temporaries

import jaxloss
from jaxloss._core.sequences import Batch
from jaxloss._ops.ctc import xla, xla_gpu, xla_tpu
from jaxloss._ops.ctc.emissions import of_log_probs
from jaxloss._ops.ctc.problem import LOG_ZERO, ctc_problem

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 7, 5)) * 3
LABELS = (jnp.array([[1, 1, 4], [2, 3, 1], [4, 2, 2]]), jnp.array([7, 5, 6]), jnp.array([3, 1, 2]))


def of_log_softmax(logits: jax.Array, **options: object) -> jax.Array:
    return jaxloss.ctc_loss(jaxloss.log_softmax(logits), *LABELS, **options)


def of_logits(logits: jax.Array, **options: object) -> jax.Array:
    return jaxloss.ctc_loss_with_logits(logits, *LABELS, **options)


@pytest.mark.parametrize("time_major", [False, True])
def test_value_gradient_and_hessian_are_those_of_the_log_softmax(time_major: bool) -> None:
    logits = jnp.asarray(LOGITS.swapaxes(0, 1) if time_major else LOGITS)

    def everything(loss: object) -> object:
        loss = partial(loss, time_major=time_major)
        return jax.jit(lambda x: (*jax.value_and_grad(loss)(x), jax.hessian(loss)(x)))(logits)

    chex.assert_trees_all_close(everything(of_logits), everything(of_log_softmax), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_what_is_in_padding_frames_reaches_nothing(junk: float) -> None:
    step = jax.jit(jax.value_and_grad(of_logits))
    padding = np.arange(7) >= np.array(LABELS[1])[:, None]
    found = step(jnp.asarray(np.where(padding[:, :, None], junk, LOGITS)))
    chex.assert_trees_all_equal(found, step(jnp.asarray(LOGITS)))
    assert not np.asarray(found[1])[padding].any()


def test_a_class_that_is_ruled_out_and_a_bad_logit() -> None:
    step = jax.jit(jax.value_and_grad(partial(of_logits, reduction="sum")))
    ruled_out = step(jnp.asarray(LOGITS).at[0, :, 2].set(-jnp.inf))
    assert np.isfinite(ruled_out[0])
    assert not np.asarray(ruled_out[1])[0, :, 2].any()
    assert np.isfinite(ruled_out[1]).all()
    for bad in (np.nan, np.inf):
        value, gradient = step(jnp.asarray(LOGITS).at[1, 2, 0].set(bad))
        assert np.isnan(value)
        assert np.isnan(gradient[1, 2]).all()
        assert np.isfinite(gradient[0]).all()


@promises_memory
def test_the_gradient_needs_no_array_of_the_logits_beside_itself() -> None:
    shapes = [((8, 200, 2000), "float32"), ((8, 20), "int32"), ((8,), "int32"), ((8,), "int32")]
    arrays = [jax.ShapeDtypeStruct(*each) for each in shapes]
    size = 4 * 8 * 200 * 2000
    for function in (jaxloss.ctc_loss_with_logits, jax.value_and_grad(jaxloss.ctc_loss_with_logits)):
        assert temporaries(compiled(function, *arrays)) < 0.25 * size


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_pick_of_tpus_is_that_of_a_gather(dtype: str, axis: int) -> None:
    values = RNG.normal(size=(4, 4, 6)) * 10.0 ** RNG.integers(-4, 3, (4, 4, 6))
    values[0, 0, 1], values[1, 1, 2], values[2, 2, 3], values[3, 3, 5] = -np.inf, np.nan, np.inf, np.nan
    given, classes = jnp.asarray(values, dtype), jnp.array([[0, 1, 1], [0, 2, 5], [0, 3, 4], [0, 1, 2]])
    found, wanted = (file.pick(given, classes, axis) for file in (xla_tpu, xla))
    lowest = float(jnp.asarray(LOG_ZERO, given.dtype if dtype == "bfloat16" else wanted.dtype))
    expected = np.where(np.isnan(wanted) | np.isposinf(wanted), np.nan, np.maximum(wanted, lowest))
    chex.assert_trees_all_equal(np.asarray(found), expected.astype(wanted.dtype))
    assert found.dtype == wanted.dtype


@pytest.mark.parametrize("labels", [3, 0])
def test_the_one_loop_of_gpus_gives_the_numbers_of_the_two_loops_and_their_derivative(labels: int, monkeypatch) -> None:
    monkeypatch.setattr(xla_gpu, "UNROLL", 2)  # for a smaller program
    log_probs, targets = jax.nn.log_softmax(RNG.normal(size=(5, 20, 4))), RNG.integers(1, 4, (5, labels))
    frames, sizes = jnp.array([20, 3, 17, 2, 0]), jnp.array([labels, labels, 0, labels, 0])
    problem = ctc_problem(Batch(log_probs, jnp.asarray(targets), frames, sizes), 0, 0, of_log_probs)

    def everything(file: object) -> object:
        def bent(emissions: jax.Array) -> jax.Array:
            return jnp.sum(jnp.sin(file.value_and_posteriors(problem._replace(emissions=emissions))[1]))

        return file.value_and_posteriors(problem), jax.grad(bent)(problem.emissions)

    (found, slopes), (wanted, wanted_slopes) = (jax.jit(partial(everything, file))() for file in (xla_gpu, xla))
    chex.assert_trees_all_close(found, wanted, rtol=1e-14, atol=1e-15)
    chex.assert_trees_all_close(slopes, wanted_slopes, rtol=1e-12, atol=1e-13)
