"""The losses that docs/from_optax.md writes out, called as a user calls them: masks, labels that are ignored, parts."""

import re
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

PAGE = Path(__file__).parent.parent / "docs/from_optax.md"
if not PAGE.exists():  # a source distribution has no docs
    pytest.skip("no docs", allow_module_level=True)

BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
NAMES: dict[str, Any] = {"jax": jax, "jnp": jnp, "jaxloss": jaxloss}
for block in BLOCKS:
    if "**reduction" in block:
        exec(block, NAMES)

RNG = np.random.default_rng(0)
PROBABILITIES, REGIONS = jnp.asarray(RNG.uniform(size=(4, 6, 3))), jnp.asarray(RNG.integers(0, 2, (4, 6, 3)) * 1.0)
EMBEDDINGS, PARTNERS = jnp.asarray(RNG.normal(size=(4, 3))), jnp.array([3, 2, 1, 0])
KEEP = jnp.array([True, False, True, False])


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_nan_under_the_mask_of_regions_reaches_neither_value_nor_gradient(junk: float) -> None:
    loss = jax.value_and_grad(NAMES["soft_dice"])
    wanted, gradient = loss(PROBABILITIES[KEEP].mean(-1), REGIONS[KEEP].mean(-1))
    dirty = jnp.where(KEEP[:, None], PROBABILITIES.mean(-1), junk)
    value, slopes = loss(dirty, jnp.where(KEEP[:, None], REGIONS.mean(-1), junk), where=KEEP)
    chex.assert_trees_all_close(value, wanted, rtol=1e-6)
    chex.assert_trees_all_close(slopes[KEEP], gradient, rtol=1e-6, atol=1e-9)
    chex.assert_trees_all_equal(slopes[~KEEP], jnp.zeros_like(slopes[~KEEP]))


WRITTEN = {
    "soft_dice": lambda **keywords: NAMES["soft_dice"](PROBABILITIES.mean(-1), REGIONS.mean(-1), **keywords),
    "ntxent": lambda **keywords: NAMES["ntxent"](EMBEDDINGS, PARTNERS, temperature=0.5, **keywords),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_parts_and_reductions(name: str) -> None:
    loss, weight = WRITTEN[name], jnp.arange(1.0, 5)
    part = jaxloss.parts(loss)(where=KEEP, sample_weight=weight)
    assert float(part.weight) == 4
    chex.assert_trees_all_close(part.value, loss(where=KEEP, sample_weight=weight), rtol=1e-6)
    losses = loss(reduction="none")
    chex.assert_shape(losses, (4,))
    chex.assert_trees_all_close(jnp.sum(losses), loss(reduction="sum"), rtol=1e-6)


def test_the_mean_of_regions_and_classes_has_weights_of_classes() -> None:
    losses = NAMES["soft_dice"](PROBABILITIES, REGIONS, reduction="none")
    chex.assert_shape(losses, (4, 3))
    weighed = NAMES["soft_dice"](PROBABILITIES, REGIONS, sample_weight=jnp.array([[1.0, 2.0, 5.0]]))
    chex.assert_trees_all_close(weighed, jnp.mean(losses @ jnp.array([1.0, 2.0, 5.0]) / 8), rtol=1e-6)


def test_poly1_of_one_example_and_one_that_is_ignored() -> None:
    value = jaxloss.poly1_cross_entropy(jnp.zeros((2, 3)), jnp.array([0, -100]), epsilon=2.0)
    np.testing.assert_allclose(value, np.log(3) + 2 * (1 - 1 / 3), rtol=1e-6)
