"""A user's program: it runs with the installed package and JAX alone, and `mypy --strict` and pyright accept it.

`assert_type` fails in the checker where what an editor would show is another type.
"""

from dataclasses import dataclass, replace
from importlib.metadata import requires, version
from importlib.resources import files
from typing import assert_type

import jax
import jax.numpy as jnp

import jaxloss


@dataclass(frozen=True)
class Config:
    """A loss chosen in one place and called in another."""

    loss: jaxloss.Loss
    scale: float = 1.0


def tempered(
    logits: jax.Array,
    targets: jax.Array,
    *,
    temperature: float | jax.Array = 1.0,
    where: jax.Array | None = None,
    sample_weight: jax.Array | None = None,
) -> jax.Array:
    return jaxloss.cross_entropy(logits / temperature, targets, where=where, sample_weight=sample_weight)


class Tempered(jaxloss.Loss, fn=tempered):
    temperature: float | jax.Array = 1.0


def quantile_loss(
    predictions: jax.Array,
    targets: jax.Array,
    *,
    quantile: float | jax.Array = 0.5,
    reduction: jaxloss.Reduction = "mean",
    where: jax.Array | None = None,
    sample_weight: jax.Array | None = None,
) -> jax.Array:
    """The recipe of the documentation for a loss of one's own."""
    error = targets - predictions
    losses = jnp.where(error < 0, (quantile - 1) * error, quantile * error)
    return jaxloss.reduce(losses, reduction, where, sample_weight)


class QuantileLoss(jaxloss.Loss, fn=quantile_loss):
    quantile: float | jax.Array = 0.5
    reduction: jaxloss.Reduction = jaxloss.static("mean")


def main() -> None:
    logits, labels = jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([0, -100])
    where = labels >= 0

    loss = jaxloss.CrossEntropyLoss(label_smoothing=0.1)
    assert_type(loss, jaxloss.CrossEntropyLoss)
    assert_type(replace(loss, label_smoothing=0.2), jaxloss.CrossEntropyLoss)
    assert_type(loss + 0.5 * jaxloss.NLLLoss(), jaxloss.Loss)
    assert_type(loss(logits, labels), jax.Array)
    assert_type(jaxloss.huber_loss(logits, logits, delta=2.0, reduction="none"), jax.Array)
    assert_type(loss.terms(logits, labels), dict[str, jax.Array])

    mean = jaxloss.parts(jaxloss.cross_entropy)(logits, labels, where=where)
    assert_type(mean, jaxloss.Mean)
    assert_type((mean + mean).value, jax.Array)
    assert jnp.allclose((mean + mean).value, jaxloss.cross_entropy(logits, labels))

    # A sum that starts at a mean has one type. Without the start it may be Python's 0.
    first, *others = [mean, mean]
    assert_type(sum(others, start=first).value, jax.Array)

    # Lists and numbers become arrays.
    weighted = jaxloss.cross_entropy(logits, [0, 1], weight=[1.0, 2.0], where=[True, False], sample_weight=[1.0, 1.0])
    assert_type(weighted, jax.Array)
    assert_type(jaxloss.CrossEntropyLoss(weight=[1.0, 2.0])(logits, [0, 1]), jax.Array)
    assert_type(jaxloss.linear_cross_entropy(logits, logits, [0, 1], weight=[1.0, 2.0]), jax.Array)
    assert_type(jaxloss.mse_loss([1.0, 2.0], [[0.0, 0.0]][0]), jax.Array)
    assert_type(jaxloss.l1_loss(1.0, 2), jax.Array)
    assert_type(jaxloss.ctc_loss(logits[None], [[1]], [2], [1]), jax.Array)
    assert_type(loss - jaxloss.NLLLoss() / 2, jaxloss.Loss)

    config = Config(Tempered(temperature=2.0))
    assert jnp.isfinite(config.scale * config.loss(logits, labels, where=where))
    assert jnp.isfinite(jax.grad(config.loss)(logits, labels)).all()

    quantile = QuantileLoss(quantile=0.75, reduction="sum")
    assert_type(quantile.reduction, jaxloss.Reduction)
    assert_type(quantile(logits, logits), jax.Array)

    assert jaxloss.__version__ == version("jaxloss")
    assert files("jaxloss").joinpath("py.typed").is_file()
    needed = {requirement.split(">")[0] for requirement in requires("jaxloss") or [] if "extra" not in requirement}
    assert needed == {"jax", "jaxtyping", "numpy"}, needed


if __name__ == "__main__":
    main()
