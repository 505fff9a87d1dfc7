"""RNN-T and the grid lattice: digits over long sequences, memory, edges of the lengths, and derivatives in a scan."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, promises_memory, temporaries
from jax.experimental import checkify

import jaxloss

T, U, C = 5, 3, 4


def batch(rng: np.random.Generator, dtype: str = "float64", sequences: int = 2, frames: int = T, labels: int = U):
    logits = rng.normal(size=(sequences, frames, labels + 1, C)).astype(dtype) * 2
    return logits, rng.integers(0, C - 1, (sequences, labels)), [frames] * sequences, [labels] * sequences


def test_the_gradient_in_float32_keeps_its_digits_over_200_frames_and_50_labels():
    logits, *rest = batch(np.random.default_rng(0), "float32", 1, 200, 50)
    gradient = jax.jit(jax.grad(lambda x: jaxloss.rnnt_loss(x, *rest)))
    np.testing.assert_allclose(gradient(logits), gradient(logits.astype("float64")), rtol=0, atol=1e-5)


@promises_memory
def test_the_gradient_of_logits_needs_no_array_of_their_size_beside_itself():
    # The fronts and the picked cells are small beside many classes.
    logits = jax.ShapeDtypeStruct((2, 50, 11, 500), jnp.float32)
    targets, lengths = jax.ShapeDtypeStruct((2, 10), jnp.int32), jax.ShapeDtypeStruct((2,), jnp.int32)
    memory = compiled(jax.grad(jaxloss.rnnt_loss), logits, targets, lengths, lengths).memory_analysis()
    assert memory.temp_size_in_bytes < 0.2 * memory.output_size_in_bytes


@promises_memory
def test_from_hidden_states_the_logits_of_all_cells_never_exist():
    cells, features, classes = (2, 20, 11), 16, 2000

    def loss(hidden, kernel, targets, lengths):
        following = jnp.broadcast_to(jnp.pad(targets, ((0, 0), (0, 1)))[:, None], cells)
        both = jaxloss.linear_token_log_probs(
            hidden, kernel, jnp.stack([jnp.full(cells, classes - 1), following], -1), chunk_size=64
        )
        return jaxloss.transducer_loss(both[..., 0], both[:, :, :-1, 1], lengths, lengths)

    shapes = [((*cells, features), jnp.float32), ((features, classes), jnp.float32), ((2, 10), int), ((2,), int)]
    program = compiled(jax.grad(loss, (0, 1)), *(jax.ShapeDtypeStruct(*each) for each in shapes))
    assert temporaries(program) < 4 * np.prod(cells) * classes


def test_a_sequence_without_frames_has_no_path_and_no_gradient():
    logits, targets, _, labels = batch(np.random.default_rng(1))
    loss = partial(jaxloss.rnnt_loss, reduction="none")
    for length in (labels[0], 0):
        losses = loss(logits, targets, [T, 0], [U, length])
        assert np.isfinite(losses[0])
        assert losses[1] == np.inf
        gradient = jax.grad(lambda x, size=length: loss(x, targets, [T, 0], [U, size])[1])(logits)
        np.testing.assert_array_equal(gradient, 0)


def test_without_labels_the_loss_is_that_of_the_blanks():
    logits, targets, frames, _ = batch(np.random.default_rng(2))
    blanks = jax.nn.log_softmax(logits)[:, :, 0, -1]
    losses = jaxloss.rnnt_loss(logits, targets, frames, [0, 0], reduction="none")
    np.testing.assert_allclose(losses, -jnp.sum(blanks, 1), rtol=1e-12)


def test_cells_past_the_end_are_not_read():
    logits, targets, _, _ = batch(np.random.default_rng(3))
    spoilt = np.array(logits)
    spoilt[:, 3:], spoilt[:, :, 3:] = np.nan, np.nan
    gradient = jax.value_and_grad(lambda x: jaxloss.rnnt_loss(x, targets, [3, 3], [2, 2]))
    for wanted, found in zip(gradient(logits), gradient(spoilt), strict=True):
        np.testing.assert_array_equal(found, wanted)
    steepness = jax.jit(jax.grad(lambda x: jnp.sum(gradient(x)[1] ** 2)))
    np.testing.assert_allclose(steepness(spoilt), steepness(logits), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("targets", "frames", "labels", "words"),
    [
        ([3, 0, 1], T, U, "`targets[0, 0]` is 3, but must be a class number from 0 to 3 that is not the blank, 3"),
        ([4, 0, 1], T, U, "`targets[0, 0]` is 4"),
        ([0, 0, 1], T + 1, U, f"`input_lengths[0]` is {T + 1}, but must be from 0 to the {T} frames"),
        ([0, 0, 1], -1, U, "`input_lengths[0]` is -1"),
        ([0, 0, 1], T, U + 1, f"`target_lengths[0]` is {U + 1}, but must be from 0 to the {U} labels"),
    ],
)
def test_labels_and_lengths_out_of_range_are_nan_and_named_by_checked(targets, frames, labels, words):
    logits = batch(np.random.default_rng(4), sequences=1)[0]
    arguments = np.array([targets]), [frames], [labels]
    value, gradient = jax.value_and_grad(jaxloss.rnnt_loss)(logits, *arguments)
    assert np.isnan(value)
    assert np.isnan(gradient).any()
    with pytest.raises(checkify.JaxRuntimeError) as error:
        jaxloss.checked(jaxloss.rnnt_loss)(logits, *arguments)
    assert words in str(error.value)


def test_second_derivatives_are_the_same_inside_a_scan():
    logits, *rest = batch(np.random.default_rng(5))
    direction = np.random.default_rng(6).normal(size=logits.shape)

    def scanned(x):
        return jax.lax.scan(lambda total, _: (total + jaxloss.rnnt_loss(x, *rest), None), 0.0, None, 1)[0]

    plain, within = (
        jax.jvp(jax.grad(loss), (logits,), (direction,))[1] for loss in (lambda x: jaxloss.rnnt_loss(x, *rest), scanned)
    )
    np.testing.assert_allclose(within, plain, rtol=1e-9, atol=1e-12)
