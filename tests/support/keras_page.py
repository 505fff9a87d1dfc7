"""The rows of docs/from_keras.md: their calls, the arrays that they take, and the results that Keras has for them."""

import re
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parent.parent.parent / "docs/from_keras.md"


def rows() -> list[tuple[str, str]]:
    """The calls of both sides."""
    table = re.search(r"^\| Keras \| jaxloss \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    assert table
    return [(theirs, ours) for theirs, ours in re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", table[1], re.MULTILINE)]


def names() -> dict[str, Any]:
    """The names that the page's programs define."""
    found: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(block, found)
    return found


def predicted(theirs: str) -> str:
    """The name of the predictions: the last argument of Keras' call."""
    return re.findall(r"\w+", theirs)[-1]


def asked() -> dict[str, np.ndarray]:
    """The mean of each row in Keras, and its gradient in the predictions. `fixtures/make.py` alone calls it."""
    import os

    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import jax.numpy as jnp
    import keras

    given = names()
    found = {"names": np.array([name for name in dir(keras.losses) if not name.startswith("_")])}
    for theirs, _ in rows():

        def mean(array: Any, call: str = theirs) -> Any:
            return jnp.mean(eval(call, vars(keras.losses) | given | {predicted(call): array}))

        value, gradient = jax.value_and_grad(mean)(given[predicted(theirs)])
        found |= {f"{theirs}/value": np.asarray(value), f"{theirs}/gradient": np.asarray(gradient)}
    return found
