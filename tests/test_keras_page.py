"""Every row of docs/from_keras.md has the value and the gradient that Keras has. Keras' results are stored."""

from pathlib import Path

import jax
import jax.numpy as jnp
import keras_page
import numpy as np
import pytest

import jaxloss

if not keras_page.PAGE.exists():
    pytest.skip("a source distribution has no docs", allow_module_level=True)
ROWS = keras_page.rows()
with np.load(Path(__file__).parent / "fixtures/keras.npz") as stored:
    KERAS = dict(stored)


@pytest.fixture(scope="module")
def names() -> dict[str, object]:
    with jax.enable_x64(False):  # the page has JAX's default settings
        return keras_page.names()


@pytest.mark.parametrize(("theirs", "ours"), ROWS, ids=lambda call: call.partition("(")[0])
def test_value_and_gradient_are_those_of_keras(theirs: str, ours: str, names: dict[str, object]) -> None:
    predicted = keras_page.predicted(theirs)

    def mean(array: jax.Array) -> jax.Array:
        return jnp.mean(eval(ours, vars(jaxloss) | names | {predicted: array}))

    with jax.enable_x64(False):
        value, gradient = jax.value_and_grad(mean)(names[predicted])
    # Keras computes in float32 too, and adds 1e-7 in some of its logarithms and quotients.
    np.testing.assert_allclose(value, KERAS[f"{theirs}/value"], rtol=1e-5)
    np.testing.assert_allclose(gradient, KERAS[f"{theirs}/gradient"], rtol=1e-4, atol=2e-6)


def test_the_stored_results_are_those_of_the_page() -> None:
    calls = {name.removesuffix("/value") for name in KERAS if name.endswith("/value")}
    assert calls == {theirs for theirs, _ in ROWS}, "run `python tests/fixtures/make.py`"


def test_every_name_of_keras_is_on_the_page() -> None:
    text = keras_page.PAGE.read_text()
    left = [name for name in KERAS["names"] if f"`{name}`" not in text and f"`{name}(" not in text]
    assert not left, f"say on docs/from_keras.md what stands for {left}"
