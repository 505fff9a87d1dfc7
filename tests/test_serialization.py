"""Option objects and means leave the process: in exported programs, and in Flax's checkpoints and modules."""

from typing import Any

import chex
import flax.serialization
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import CASES, Case
from flax import nnx
from flax.training.train_state import TrainState
from variants import variants

import jaxloss
import jaxloss.flax

MADE = [case for case in CASES if not case.variant]
every_loss = pytest.mark.parametrize("case", variants(MADE, lambda case: case.name == "cross_entropy"))
SUM = jaxloss.MSELoss() - 0.5 * jaxloss.HuberLoss(delta=2.0)
X, Y = jnp.array([[1.0, 2.0], [0.0, -1.0]]), jnp.zeros((2, 2))


def with_arrays(case: Case) -> tuple[jaxloss.Loss, tuple[jax.Array, ...]]:
    """A loss that has the options of the last set, which may be arrays and functions, and its arguments."""
    arrays = case.arrays()
    options = case.option_sets(arrays)[-1]
    return case.loss(**{k: v for k, v in options.items() if not callable(v)}), tuple(map(jnp.asarray, arrays))


@every_loss
def test_a_step_that_takes_a_loss_and_returns_a_mean_is_exported(case: Case) -> None:
    loss, arrays = with_arrays(case)
    reduction = loss.reduction if loss.reduction in ("mean", "batchmean") else "mean"
    step = jax.jit(lambda loss, *arrays: loss.parts(*arrays) if reduction == "mean" else loss(*arrays))
    exported = jax.export.export(step)(loss, *arrays)
    restored = jax.export.deserialize(exported.serialize())
    found, wanted = restored.call(loss, *arrays), step(loss, *arrays)
    assert type(found) is type(wanted)
    chex.assert_trees_all_close(found, wanted, rtol=1e-12)


def test_an_exported_step_takes_and_returns_sums_of_losses() -> None:
    step = jax.jit(lambda loss, x, y: (loss.parts(x, y), jax.grad(lambda loss: loss(x, y))(loss)))
    exported = jax.export.deserialize(jax.export.export(step)(SUM, X, Y).serialize())
    mean, gradient = exported.call(SUM, X, Y)
    chex.assert_trees_all_close((mean, gradient), step(SUM, X, Y))
    assert isinstance(gradient, jaxloss.LossSum)


def test_a_loss_with_a_function_among_its_options_is_refused() -> None:
    loss = jaxloss.TripletMarginWithDistanceLoss(distance_function=lambda a, b: jnp.sum(a - b, -1))
    exported = jax.export.export(jax.jit(lambda loss, x: loss(x, x, x)))(loss, X)
    with pytest.raises(TypeError, match="hold a function, which cannot be serialized"):
        exported.serialize()


def test_a_class_may_be_defined_again() -> None:
    """As a cell of a notebook does that runs again."""

    def define() -> type[jaxloss.Loss]:
        class Again(jaxloss.Loss, fn=jaxloss.mse_loss):
            reduction: jaxloss.Reduction = jaxloss.static("mean")

        return Again

    assert define() is not define()


@every_loss
def test_flax_saves_and_restores_a_loss(case: Case) -> None:
    loss, _ = with_arrays(case)
    blank = jax.tree.map(jnp.zeros_like, loss)
    chex.assert_trees_all_equal(flax.serialization.from_bytes(blank, flax.serialization.to_bytes(loss)), loss)
    restored = flax.serialization.from_state_dict(blank, flax.serialization.to_state_dict(loss))
    assert jax.tree.structure(restored) == jax.tree.structure(loss)


@pytest.mark.parametrize("value", [SUM, jaxloss.parts(SUM)(X, Y), jaxloss.parts(jaxloss.l1_loss)(X, Y)])
def test_flax_saves_and_restores_sums_and_means(value: Any) -> None:
    blank = jax.tree.map(jnp.zeros_like, value)
    restored = flax.serialization.from_bytes(blank, flax.serialization.to_bytes(value))
    assert type(restored) is type(value)
    chex.assert_trees_all_equal(restored, value)


def test_flax_refuses_the_state_of_another_loss() -> None:
    states = [flax.serialization.to_state_dict(loss) for loss in (jaxloss.MSELoss(), jaxloss.SmoothL1Loss(beta=2.0))]
    for state in states:
        with pytest.raises(ValueError, match=r"The state of a HuberLoss has the fields \['delta'\], but"):
            flax.serialization.from_state_dict(jaxloss.HuberLoss(delta=5.0), state)


def test_a_train_state_that_holds_a_loss() -> None:
    class State(TrainState):
        loss: jaxloss.Loss

    def state(delta: float) -> State:
        return State.create(apply_fn=None, params={"w": X}, tx=optax.sgd(0.1), loss=jaxloss.HuberLoss(delta=delta))

    restored = flax.serialization.from_bytes(state(1.0), flax.serialization.to_bytes(state(2.0)))
    assert restored.loss == jaxloss.HuberLoss(delta=2.0)


@pytest.mark.parametrize(
    "loss",
    [jaxloss.CrossEntropyLoss(weight=jnp.array([1.0, 2.0])), jaxloss.CrossEntropyLoss(label_smoothing=0.1)],
    ids=["array", "number"],
)
def test_a_module_of_nnx_has_a_loss(loss: jaxloss.Loss) -> None:
    class Model(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.linear = nnx.Linear(2, 2, rngs=rngs)
            self.loss = loss

        def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
            return self.loss(self.linear(x), y)

    model, x, labels = Model(nnx.Rngs(0)), X.astype(jnp.float32), jnp.array([0, 1])
    wanted = loss(model.linear(x), labels)
    np.testing.assert_allclose(nnx.jit(lambda model, x, y: model(x, y))(model, x, labels), wanted, rtol=1e-6)
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    optimizer.update(model, nnx.grad(lambda model: model(x, labels))(model))
    assert model(x, labels) < wanted
    chex.assert_trees_all_equal(nnx.merge(*nnx.split(model)).loss, loss)
