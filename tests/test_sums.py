"""Sums of option objects: added, scaled, named, masked and taken in parts."""

import pickle
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

PREDICTIONS, TARGETS = jnp.array([0.0, 4.0, -0.5]), jnp.array([1.0, 1.0, -0.25])


def test_sums_add_scale_and_flatten() -> None:
    a, b, c = jaxloss.L1Loss(), jaxloss.MSELoss(), jaxloss.HuberLoss(delta=2.0)
    assert sum([a, b]) == a + b
    assert sum([a]) is a
    nested = (a + 2.0 * b) + 0.5 * (c + 3.0 * a)
    assert nested.losses == (a, b, c, a)
    assert nested.scales == (1.0, 2.0, 0.5, 1.5)
    assert a + (b + c) == (a + b) + c
    assert 2.0 * (a * 3.0) == 6.0 * a
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(a + 0.5 * c)]
    assert paths == [".losses[1].delta", ".scales[0]", ".scales[1]"]


def test_sums_subtract_and_divide() -> None:
    a, b = jaxloss.L1Loss(), jaxloss.MSELoss()
    assert a - b == a + -1.0 * b
    assert -a == -1.0 * a
    assert (a + b) / 2 == 0.5 * a + 0.5 * b
    assert sum([a, b], start=0.0) == a + b
    value = (a - b / 4)(PREDICTIONS, TARGETS)
    wanted = jaxloss.l1_loss(PREDICTIONS, TARGETS) - jaxloss.mse_loss(PREDICTIONS, TARGETS) / 4
    chex.assert_trees_all_close(value, wanted)


@pytest.mark.parametrize(
    "loss",
    [
        jaxloss.L1Loss() - 0.5 * jaxloss.HuberLoss(delta=2.0),
        jaxloss.CrossEntropyLoss(weight=np.array([1.0, 2.0]), reduction="sum"),
        2.0 * jaxloss.KLDivLoss(log_target=True) + jaxloss.KLDivLoss(),
    ],
    ids=repr,
)
def test_a_repr_can_be_typed(loss: jaxloss.Loss) -> None:
    assert eval(repr(loss), {"array": np.array} | vars(jaxloss)) == loss


@pytest.mark.usefixtures("untyped")
def test_the_repr_of_a_mean_can_be_typed() -> None:
    mean = jaxloss.parts(jaxloss.L1Loss() + jaxloss.MSELoss())(PREDICTIONS, TARGETS)
    found = eval(repr(mean), vars(jaxloss))
    chex.assert_trees_all_equal(jax.tree.map(float, found), jax.tree.map(float, mean))
    chex.assert_trees_all_close((2 * found / 4).value, mean.value / 2, rtol=1e-6)


def test_a_field_that_the_function_does_not_take_is_refused() -> None:
    with pytest.raises(TypeError, match="`Mistyped` has the field `detla`, but `huber_loss` takes no such option"):

        class Mistyped(jaxloss.Loss, fn=jaxloss.huber_loss):
            detla: float = 1.0


@pytest.mark.parametrize("scale", [np.float32(0.5), np.float64(0.5), np.array(0.5), jnp.array(0.5), jnp.float32(0.5)])
def test_scalars_of_every_kind_scale(scale: object) -> None:
    assert scale * jaxloss.L1Loss() == 0.5 * jaxloss.L1Loss()
    assert jaxloss.L1Loss() * scale == 0.5 * jaxloss.L1Loss()
    value = (scale * jaxloss.L1Loss())(PREDICTIONS, TARGETS)
    chex.assert_trees_all_equal(value, 0.5 * jaxloss.l1_loss(PREDICTIONS, TARGETS))


@pytest.mark.parametrize(
    "nonsense",
    [
        lambda loss: loss + 1.0,
        lambda loss: 1.0 + loss,
        lambda loss: loss + None,
        lambda loss: np.ones(3) + loss,
        lambda loss: jnp.zeros(3) + loss,
        lambda loss: loss * loss,
        lambda loss: np.ones(3) * loss,
        lambda loss: loss * jnp.ones(3),
        lambda loss: jnp.ones(3) * loss,
        lambda loss: loss - 1.0,
        lambda loss: loss / np.ones(3),
        lambda loss: 1.0 / loss,
    ],
)
@pytest.mark.usefixtures("untyped")
def test_only_losses_add_and_only_numbers_scale(nonsense: Callable[[jaxloss.Loss], object]) -> None:
    with pytest.raises(TypeError, match="unsupported operand|not implemented|does not support"):  # by NumPy too
        nonsense(jaxloss.L1Loss())


class Snake_Loss(jaxloss.Loss, fn=jaxloss.mse_loss):
    """A class of the user's, with an underscore in its name."""

    reduction: str = jaxloss.static("mean")


class L1Loss_2(Snake_Loss, fn=jaxloss.mse_loss):
    """One named like the second `L1Loss` of a sum."""


@pytest.mark.parametrize(
    ("losses", "names"),
    [
        ([jaxloss.L1Loss()], ["L1Loss"]),
        ([jaxloss.L1Loss(), jaxloss.MSELoss()], ["L1Loss", "MSELoss"]),
        ([jaxloss.L1Loss(), jaxloss.MSELoss(), jaxloss.L1Loss()], ["L1Loss", "MSELoss", "L1Loss_2"]),
        ([jaxloss.L1Loss()] * 3 + [jaxloss.MSELoss()] * 2, ["L1Loss", "L1Loss_2", "L1Loss_3", "MSELoss", "MSELoss_2"]),
        ([jaxloss.HuberLoss(), jaxloss.HuberLoss(delta=3.0)], ["HuberLoss", "HuberLoss_2"]),
        ([Snake_Loss(), jaxloss.L1Loss(), Snake_Loss()], ["Snake_Loss", "L1Loss", "Snake_Loss_2"]),
        ([jaxloss.L1Loss(), L1Loss_2(), jaxloss.L1Loss()], None),
        ([L1Loss_2(), jaxloss.L1Loss(), jaxloss.L1Loss()], None),
    ],
)
def test_terms_have_names_of_their_own_and_add_up(losses: list[jaxloss.Loss], names: list[str] | None) -> None:
    scales = [2.0**-i for i in range(len(losses))]
    total = sum(scale * loss for scale, loss in zip(scales, losses, strict=True))
    values = [scale * loss(PREDICTIONS, TARGETS) for scale, loss in zip(scales, losses, strict=True)]
    terms = total.terms(PREDICTIONS, TARGETS)
    assert len(terms) == len(losses)
    assert names is None or list(terms) == names
    chex.assert_trees_all_equal(list(terms.values()), values)
    chex.assert_trees_all_close(total(PREDICTIONS, TARGETS), sum(values), rtol=1e-15)


def test_gradient_with_respect_to_the_scales_is_the_terms_unscaled() -> None:
    slopes = jax.jit(jax.grad(lambda loss: loss(PREDICTIONS, TARGETS)))
    both = jaxloss.HuberLoss(delta=2.0) + 0.5 * jaxloss.L1Loss()
    gradient = slopes(both)
    terms = [loss(PREDICTIONS, TARGETS) for loss in both.losses]
    chex.assert_trees_all_close(list(gradient.scales), terms, rtol=1e-15)
    alone = slopes(both.losses[0])
    chex.assert_trees_all_close(gradient.losses[0].delta, alone.delta, rtol=1e-15)


def test_masks_and_weights_reach_every_term() -> None:
    shared = {"where": jnp.array([True, False, True]), "sample_weight": jnp.array([1.0, 2.0, 3.0])}
    predictions = PREDICTIONS.at[1].set(jnp.nan)
    both = jaxloss.HuberLoss() + 0.5 * jaxloss.L1Loss()
    wanted = jaxloss.huber_loss(predictions, TARGETS, **shared) + 0.5 * jaxloss.l1_loss(predictions, TARGETS, **shared)
    assert jnp.isfinite(wanted)
    chex.assert_trees_all_close(both(predictions, TARGETS, **shared), wanted, rtol=1e-15)
    chex.assert_trees_all_close(jaxloss.parts(both)(predictions, TARGETS, **shared).value, wanted, rtol=1e-15)


def test_parts_of_a_sum_add_up_though_its_terms_weigh_differently() -> None:
    rng = np.random.default_rng(0)
    logits, labels = jnp.asarray(rng.normal(size=(8, 3))), jnp.array([0, 1, 0, 0, 2, 2, 1, 0])
    weighted = jaxloss.CrossEntropyLoss(weight=jnp.array([1.0, 0.25, 4.0]), ignore_index=0)
    both = weighted + 0.5 * jaxloss.CrossEntropyLoss(label_smoothing=0.1) + 2.0 * weighted
    unfinished = jax.jit(jaxloss.parts(both))
    first, second = unfinished(logits[:4], labels[:4]), unfinished(logits[4:], labels[4:])
    # The weights of the terms differ, and so do their shares of the two halves: no single division would do.
    assert float(first.weight) == 0.25
    assert float(second.weight) == 8.25
    assert float(first.rest.weight) == float(second.rest.weight) == 4.0
    wanted = jax.jit(both)(logits, labels)
    for value in ((first + second).value, sum([first, second]).value, unfinished(logits, labels).value):
        chex.assert_trees_all_close(value, wanted, rtol=1e-14)
    mapped = jax.jit(jax.vmap(unfinished))(logits.reshape(2, 4, 3), labels.reshape(2, 4))
    summed = jax.tree.map(lambda leaf: leaf.sum(0), mapped)
    chex.assert_trees_all_close(summed.value, wanted, rtol=1e-14)


def test_a_mean_that_is_none_has_no_parts() -> None:
    with pytest.raises(ValueError, match="reduction='sum'"):
        jaxloss.parts(jaxloss.L1Loss() + jaxloss.MSELoss(reduction="sum"))(PREDICTIONS, TARGETS)


def test_a_term_takes_as_many_arrays_as_its_function() -> None:
    var = jnp.array([1.0, 2.0, 0.5])
    both = jaxloss.GaussianNLLLoss() + 0.5 * jaxloss.L1Loss()
    terms = both.terms(PREDICTIONS, TARGETS, var)
    wanted = {
        "GaussianNLLLoss": jaxloss.gaussian_nll_loss(PREDICTIONS, TARGETS, var),
        "L1Loss": 0.5 * jaxloss.l1_loss(PREDICTIONS, TARGETS),
    }
    chex.assert_trees_all_close(terms, wanted, rtol=1e-15)
    chex.assert_trees_all_close(both(PREDICTIONS, TARGETS, var), sum(wanted.values()), rtol=1e-15)
    chex.assert_trees_all_close(jaxloss.parts(both)(PREDICTIONS, TARGETS, var).value, sum(wanted.values()), rtol=1e-15)


@pytest.mark.parametrize("method", ["__call__", "terms", "parts"])
def test_a_sum_refuses_surplus_and_named_arrays(method: str) -> None:
    call = getattr(jaxloss.L1Loss() + jaxloss.MSELoss(), method)
    with pytest.raises(TypeError, match="3 arrays are given, but no term of .* takes more than 2"):
        call(PREDICTIONS, TARGETS, TARGETS)
    with pytest.raises(TypeError, match="`targets` is given by name"):
        call(PREDICTIONS, targets=TARGETS)


def test_a_sum_pickles() -> None:
    both = jaxloss.HuberLoss(delta=2.0) + 0.5 * jaxloss.L1Loss()
    assert pickle.loads(pickle.dumps(both)) == both
    assert b"cjaxloss\nLossSum\n" in pickle.dumps(both, protocol=0)
