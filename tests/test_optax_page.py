"""The losses that docs/from_optax.md writes out, called as a user calls them: masks, labels that are ignored, parts."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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
REAL, OTHER = RNG.normal(size=(2, 4, 3))
LABELS = np.array([0, 2, 1, 1])
KEEP = np.array([True, False, True, False])


class Written(NamedTuple):
    """A loss of the page, with arrays that it takes: the first is differentiated."""

    name: str
    arrays: tuple[np.ndarray, ...]
    labels: bool = False

    @property
    def loss(self) -> Callable[..., Any]:
        return NAMES[self.name]


WRITTEN = [
    Written("log_cosh_loss", (REAL[:, 0], OTHER[:, 0])),
    Written("best_rival_loss", (REAL, LABELS), labels=True),
    Written("generalized_kl", (-np.abs(REAL), np.abs(OTHER))),
]


def value_and_grad(loss: Callable[..., Any], arrays: Any, **options: Any) -> Any:
    first, *others = map(jnp.asarray, arrays)
    return jax.value_and_grad(lambda first: loss(first, *others, **options))(first)


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
def test_nan_under_the_mask_reaches_neither_value_nor_gradient(written: Written) -> None:
    wanted, gradient = value_and_grad(written.loss, [array[KEEP] for array in written.arrays])
    for junk in (np.nan, np.inf):
        dirty = [np.where(KEEP.reshape(4, *[1] * (x.ndim - 1)), x, junk) for x in written.arrays if x.dtype == float]
        dirty += [np.where(KEEP, x, 7) for x in written.arrays if x.dtype != float]
        value, slopes = value_and_grad(written.loss, dirty, where=jnp.asarray(KEEP))
        chex.assert_trees_all_close(value, wanted, rtol=1e-6)
        chex.assert_trees_all_close(slopes[KEEP], gradient, rtol=1e-6, atol=1e-9)
        chex.assert_trees_all_equal(slopes[~KEEP], jnp.zeros_like(slopes[~KEEP]))


@pytest.mark.parametrize("written", WRITTEN, ids=lambda written: written.name)
def test_parts_and_reductions(written: Written) -> None:
    arrays, weight = list(map(jnp.asarray, written.arrays)), jnp.arange(1.0, 5)
    part = jaxloss.parts(written.loss)(*arrays, where=jnp.asarray(KEEP), sample_weight=weight)
    assert float(part.weight) == 4
    wanted = written.loss(*arrays, where=jnp.asarray(KEEP), sample_weight=weight)
    chex.assert_trees_all_close(part.value, wanted, rtol=1e-6)
    losses = written.loss(*arrays, reduction="none")
    chex.assert_shape(losses, (4,))
    chex.assert_trees_all_close(jnp.sum(losses), written.loss(*arrays, reduction="sum"), rtol=1e-6)


@pytest.mark.parametrize("written", [each for each in WRITTEN if each.labels], ids=lambda written: written.name)
def test_ignored_labels_are_not_counted(written: Written) -> None:
    logits, labels = jnp.asarray(written.arrays[0]), jnp.where(jnp.asarray(KEEP), LABELS, -100)
    part = jaxloss.parts(written.loss)(logits, labels)
    assert float(part.weight) == 2
    chex.assert_trees_all_close(part.value, written.loss(logits[KEEP], labels[KEEP]), rtol=1e-6)


def test_poly1_of_one_example_and_one_that_is_ignored() -> None:
    value = jaxloss.poly1_cross_entropy(jnp.zeros((2, 3)), jnp.array([0, -100]), epsilon=2.0)
    np.testing.assert_allclose(value, np.log(3) + 2 * (1 - 1 / 3), rtol=1e-6)
