"""Integers of NumPy and Python that do not fit in JAX's int32 are never taken for others that do."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from variants import variants

import jaxloss
from jaxloss.flax import AdaptiveLogSoftmaxWithLoss

# In 32 bits these are 1, 0, 0, and -100, the label that is ignored by default. The last is -1, which ends a list.
TOO_LARGE = (2**32 + 1, -(2**63), 2**40, 2**32 - 100, 2**32 - 1)
SCORES = np.array([[0.0, 5.0, 1.0]], np.float32)
LOG_PROBS = np.log(np.full((1, 4, 3), 1 / 3, np.float32))


def adaptive(labels: Any) -> Any:
    module = AdaptiveLogSoftmaxWithLoss(3, 6, [2], rngs=nnx.Rngs(0), div_value=2.0)
    return module.loss(SCORES, labels)


ONE = np.array([1])
LOSSES: dict[str, tuple[Callable[..., Any], list[int]]] = {
    "cross_entropy": (lambda y: jaxloss.cross_entropy(SCORES, y), [1]),
    "by name": (lambda y: jaxloss.cross_entropy(SCORES, targets=y), [1]),
    "smoothed": (lambda y: jaxloss.cross_entropy(SCORES, y, label_smoothing=0.1), [1]),
    "nll_loss": (lambda y: jaxloss.nll_loss(-SCORES, y), [1]),
    "multi_margin_loss": (lambda y: jaxloss.multi_margin_loss(SCORES, y), [1]),
    "multilabel_margin_loss": (lambda y: jaxloss.multilabel_margin_loss(SCORES[0], y), [0, 1, -1]),
    "linear_cross_entropy": (lambda y: jaxloss.linear_cross_entropy(SCORES, np.eye(3, dtype=np.float32), y), [1]),
    "adaptive": (adaptive, [1]),
    "ctc labels": (lambda y: jaxloss.ctc_loss(LOG_PROBS[0], y, 4, 2), [1, 2]),
    "ctc concatenated": (lambda y: jaxloss.ctc_loss(LOG_PROBS, y, [4], [2]), [1, 2]),
    "ctc frames": (lambda y: jaxloss.ctc_loss(LOG_PROBS, [[1]], y, ONE), [3]),
    "ctc lengths": (lambda y: jaxloss.ctc_loss(LOG_PROBS, [[1]], [4], y), [1]),
    "ctc_alignment": (lambda y: jaxloss.ctc_alignment(LOG_PROBS[0], y, 4, 2).score, [1, 2]),
}
FORMS: dict[str, Callable[[list[int]], Any]] = {
    "numpy": np.array,
    "list": list,
    "tuple": tuple,
    "unsigned": lambda y: np.array([each % 2**64 for each in y], np.uint64),
}


@pytest.fixture(autouse=True)
def _int32():
    """JAX's default, in which integers have 32 bits."""
    with jax.enable_x64(False):
        yield


@pytest.mark.usefixtures("untyped")  # the annotation of a tuple of integers is that of lengths alone
@pytest.mark.parametrize(
    ("name", "form"), variants(itertools.product(LOSSES, FORMS), lambda name, form: form == "numpy" or "cross" in name)
)
def test_an_integer_that_does_not_fit_is_no_other(name: str, form: str) -> None:
    loss, good = LOSSES[name]
    if form != "unsigned" or min(good) >= 0:
        assert np.isfinite(loss(FORMS[form](good)))
    for number in TOO_LARGE:
        given = FORMS[form]([number, *good[1:]])
        assert np.isnan(loss(given)), number
        if number == TOO_LARGE[0] and form == "numpy":
            assert np.isnan(jax.jit(lambda given=given: loss(given))())  # closed over


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("number", [*TOO_LARGE, 2**70, np.int64(2**32 + 1)])
def test_one_integer(number: int) -> None:
    assert np.isnan(jaxloss.cross_entropy(SCORES[0], number))
    assert np.isnan(jaxloss.cross_entropy(SCORES, [number]))


def test_only_the_example_of_the_label_is_nan() -> None:
    scores = np.repeat(SCORES, 3, 0)
    losses = jaxloss.cross_entropy(scores, np.array([1, 2**32 + 1, -100]), reduction="none")
    np.testing.assert_array_equal(np.isnan(losses), [False, True, False])


def test_no_sentinel_ignores_what_does_not_fit() -> None:
    for sentinel in (-(2**31), 2**32 + 1):
        assert np.isnan(jaxloss.cross_entropy(SCORES, np.array([2**32 + 1]), ignore_index=sentinel))


@pytest.mark.usefixtures("untyped")
def test_quantities_that_do_not_fit_become_floating() -> None:
    large = np.array([2**32 + 1, 2])
    wanted = 2.0**31
    for targets in (large, large.tolist()):
        np.testing.assert_allclose(jaxloss.l1_loss(jnp.zeros(2), targets), wanted + 1.5)
    weighted = jaxloss.l1_loss(jnp.ones(2), jnp.zeros(2), sample_weight=large, reduction="sum")
    np.testing.assert_allclose(weighted, 2 * wanted + 3)
    np.testing.assert_allclose(jaxloss.huber_loss(jnp.float32(2.0**33), 0.0, delta=np.int64(2**32)), 1.5 * 2.0**64)


def test_checked_names_the_label() -> None:
    with pytest.raises(ValueError, match=r"`targets\[0\]` is -2147483648, but must be a class number"):
        jaxloss.checked(jaxloss.cross_entropy)(SCORES, np.array([2**32 + 1]))
