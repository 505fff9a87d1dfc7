"""Every row of docs/from_metric_learning.md is the value that the other package has."""

import json
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fixtures.page_arrays import METRIC_NAMES
from fixtures.pages import DOCS, HERE, METRIC_LEARNING, rows

import jaxloss

if not DOCS.exists():
    pytest.skip("a source distribution has no docs", allow_module_level=True)
COMMITTED = json.loads((HERE / "pages" / f"{METRIC_LEARNING}.json").read_text())


def loss(ours: str) -> str:
    return ours.partition("(")[0]


def names() -> dict[str, Any]:
    """The names of the calls, the page's own function among them."""
    block = re.search(
        r"^```python\n(def angle_similarity.*?)```", (DOCS / f"{METRIC_LEARNING}.md").read_text(), re.M | re.S
    )
    assert block
    found: dict[str, Any] = {"jax": jax, "jnp": jnp, "math": math, "unit": unit, **vars(jaxloss)}
    exec(block[1], found)
    return found | {name: jnp.asarray(value) for name, value in METRIC_NAMES.items()}


def unit(vectors: jax.Array) -> jax.Array:
    return vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize(("theirs", "ours"), rows(METRIC_LEARNING), ids=lambda call: call.replace(" ", ""))
def test_a_row_is_the_value_of_the_package(theirs: str, ours: str) -> None:
    # Some packages add an eps of 1e-8 to norms, or hold numbers in float32.
    np.testing.assert_allclose(eval(ours, names()), COMMITTED[theirs], rtol=1e-8)


def test_the_tables_are_read() -> None:
    assert len(rows(METRIC_LEARNING)) == len(COMMITTED) == 37
    assert {loss(ours) for _, ours in rows(METRIC_LEARNING)} <= set(jaxloss.__all__)
