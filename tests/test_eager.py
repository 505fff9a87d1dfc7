"""An eager call of a loss is one cached program: it compiles once, whatever the values of arrays and numbers are."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, Case

import jaxloss


def inputs(case: Case, scale: float) -> tuple[jax.Array, ...]:
    arrays = case.arrays("batched")
    return tuple(jnp.asarray(a * scale, "float32") if a.dtype == np.float64 else jnp.asarray(a) for a in arrays)


def gradient(case: Case) -> Callable[..., Any]:
    return jax.grad(case.loss.fn, case.differentiable)


@pytest.mark.parametrize("case", [case for case in CASES if not case.variant], ids=lambda case: case.id)
def test_a_loss_is_one_program_which_a_second_call_finds(case: Case, programs: list[str]) -> None:
    options = case.option_sets(case.arrays("batched"))[0]
    case.loss.fn(*inputs(case, 1.0), **options)  # what all losses share is compiled once in a process
    # A number of examples that no other test has, so that nothing is compiled yet.
    first, second = (
        tuple(a if i in case.shared else jnp.concatenate([a, a, a[:3]]) for i, a in enumerate(inputs(case, scale)))
        for scale in (1.0, 0.5)
    )
    programs.clear()
    case.loss.fn(*first, **options)
    assert len(programs) == 1
    gradient(case)(*first, **options)
    programs.clear()
    for call in (case.loss.fn, gradient(case)):
        call(*second, **options)
    assert not programs


@pytest.mark.parametrize(
    ("loss", "name", "values"),
    [
        ("huber_loss", "delta", [0.5, 2, 1.0]),
        ("cross_entropy", "label_smoothing", [0.1, 1, 0.25]),
        ("cross_entropy", "z_loss", [0.1, 1e-4, 2]),
    ],
)
def test_a_schedule_of_numbers_compiles_once(loss: str, name: str, values: list[float], programs: list[str]) -> None:
    case = next(case for case in CASES if case.name == loss)
    arrays = inputs(case, 1.0)
    case.loss.fn(*arrays, **{name: values[0]})
    programs.clear()
    found = [case.loss.fn(*arrays, **{name: value}) for value in values]
    assert not programs
    with jax.disable_jit():
        expected = [case.loss.fn(*arrays, **{name: value}) for value in values]
    assert len({float(each) for each in found}) == len(values)
    chex.assert_trees_all_close(found, expected, rtol=1e-6)


def test_numbers_are_refused_on_every_call() -> None:
    predictions = jnp.ones(3)
    for _ in range(2):
        jaxloss.huber_loss(predictions, predictions, delta=2.0)
        with pytest.raises(ValueError, match=r"`delta` is -1.0, but must be above 0"):
            jaxloss.huber_loss(predictions, predictions, delta=-1.0)
        assert jnp.isnan(jaxloss.huber_loss(predictions, predictions, delta=jnp.float32(-1.0)))


def test_static_options_of_equal_value_are_told_apart() -> None:
    """`parts` asks for a reduction that is equal to "mean", and True is equal to 1."""
    predictions = jnp.ones(3)
    assert jaxloss.l1_loss(predictions, 0 * predictions) == 1.0
    assert jaxloss.parts(jaxloss.l1_loss)(predictions, 0 * predictions).weight == 3.0
    assert jaxloss.l1_loss(predictions, 0 * predictions, reduction="mean") == 1.0


def test_an_unknown_keyword_is_named() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'weights'"):
        jaxloss.cross_entropy(jnp.ones((2, 3)), jnp.zeros(2, int), weights=jnp.ones(3))
