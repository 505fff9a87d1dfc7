"""The advice of messages is right: what they say to type works on the arrays that were refused."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import jaxloss

pytestmark = pytest.mark.usefixtures("untyped")

Fn = Callable[..., Any]
LOGITS, HIDDEN, KERNEL = jnp.ones((2, 5)), jnp.ones((2, 3)), jnp.ones((3, 5))


@pytest.mark.parametrize("loss", [jaxloss.cross_entropy, jaxloss.nll_loss])
@pytest.mark.parametrize(
    ("shape", "labels"),
    [((2, 4, 5), (2, 5)), ((2, 4, 5, 6), (2, 5, 6)), ((2, 5), (2, 1)), ((2, 4, 5), (2, 4, 1))],
)
def test_labels_of_another_shape(loss: Fn, shape: tuple[int, ...], labels: tuple[int, ...]) -> None:
    log_probs, targets = -jnp.ones(shape), jnp.zeros(labels, int)
    advice = of(lambda: loss(log_probs, targets))
    name, _, value = advice.partition("=")
    options = {name: int(value)} if value else {}
    assert jnp.isfinite(loss(log_probs, targets if value else eval(advice, {"targets": targets}), **options))


@pytest.mark.parametrize(
    "targets",
    [
        jnp.zeros(2),
        jnp.zeros((2, 1)),
        jnp.ones((2, 5), bool),
        jnp.zeros(2, bool),
        jnp.zeros((2, 5), int),
        jnp.zeros((2, 1), int),
    ],
    ids=["floating", "a floating column", "boolean one-hot", "boolean", "integer one-hot", "a column"],
)
@pytest.mark.parametrize(
    "loss",
    [
        lambda targets: jaxloss.cross_entropy(LOGITS, targets),
        lambda targets: jaxloss.linear_cross_entropy(HIDDEN, KERNEL, targets),
    ],
    ids=["cross_entropy", "linear_cross_entropy"],
)
def test_targets_of_another_kind(loss: Fn, targets: jax.Array) -> None:
    advice = of(lambda: loss(targets))
    if advice.startswith("astype"):
        advice = f"targets.{advice}"
    assert jnp.isfinite(loss(eval(advice, {"targets": targets})))


@pytest.mark.parametrize("targets", [jnp.eye(2, 5, dtype=int), jnp.eye(2, 5, dtype=bool)], ids=["integers", "booleans"])
@pytest.mark.parametrize("loss", [jaxloss.nll_loss, jaxloss.multi_margin_loss])
def test_one_hot_labels_of_a_loss_that_takes_none(loss: Fn, targets: jax.Array) -> None:
    numbers = eval(of(lambda: loss(-LOGITS, targets)), {"targets": targets})
    assert numbers.tolist() == [0, 1]
    assert jnp.isfinite(loss(-LOGITS, numbers))


def test_a_linear_loss_does_not_speak_of_logits() -> None:
    for targets in (jnp.zeros(3, int), jnp.zeros((2, 4))):
        with pytest.raises(ValueError, match="`hidden @ kernel`") as caught:
            jaxloss.linear_cross_entropy(HIDDEN, KERNEL, targets)
        assert "logits" not in str(caught.value)


@pytest.mark.parametrize("reduction", [None, "elementwise_mean"])
def test_the_reduction_of_old_code(reduction: Any) -> None:
    advice = of(lambda: jaxloss.mse_loss(LOGITS, LOGITS, reduction=reduction))
    new = eval(advice, {"jaxloss": jaxloss, "size_average": None, "reduce": None})
    assert jaxloss.mse_loss(LOGITS, LOGITS, reduction=new) == 0


def test_options_by_position() -> None:
    advice = of(lambda: jaxloss.huber_loss(LOGITS, LOGITS, 2.0))
    assert eval(f"jaxloss.huber_loss(LOGITS, LOGITS, {advice.replace('...', '2.0')})") == 0
    advice = of(lambda: jaxloss.MSELoss(LOGITS, LOGITS))
    assert eval(f"jaxloss.{advice.replace('(...)', '(LOGITS, LOGITS)')}") == 0


def test_sparse_arrays() -> None:
    from jax.experimental.sparse import BCOO

    logits = BCOO.fromdense(LOGITS)
    advice = of(lambda: jaxloss.cross_entropy(logits, jnp.zeros(2, int)))
    assert jnp.isfinite(jaxloss.cross_entropy(eval(advice, {"logits": logits}), jnp.zeros(2, int)))


def of(call: Callable[[], object]) -> str:
    """The code after the last "use" of the message."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    return re.findall(r"use `([^`]+)`", str(caught.value))[-1]
