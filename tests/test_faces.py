"""Option objects: the function's options as a pytree, frozen, comparable, saved and restored."""

import copy
import dataclasses
import inspect
import pickle
import re
from functools import partial
from pathlib import Path
from types import FunctionType, UnionType
from typing import Union, get_args, get_origin

import chex
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import orbax.checkpoint as ocp
import pytest
from case import Case, resolved
from cases import CASES
from variants import variants

import jaxloss

LOSSES = list(dict.fromkeys(case.loss for case in CASES))
REQUIRED = {case.loss: resolved(case.required, case.arrays()) for case in CASES}
PREDICTIONS, TARGETS = jnp.array([0.0, 4.0, -0.5]), jnp.array([1.0, 1.0, -0.25])

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


def plain(loss: type[jaxloss.Loss]) -> jaxloss.Loss:
    """The option object with no option but those that have no default."""
    needed = [field.name for field in dataclasses.fields(loss) if field.default is dataclasses.MISSING]
    return loss(**{name: REQUIRED[loss][name] for name in needed})


learnable = pytest.mark.parametrize(
    "case", [c for c in CASES if jax.tree.leaves(plain(c.loss)) and c.true_gradient], ids=lambda case: case.id
)


def inputs(case: Case) -> tuple[jax.Array, ...]:
    return tuple(map(jnp.asarray, case.arrays("batched")))


def objects(case: Case) -> list[jaxloss.Loss]:
    return [case.loss(**options) for options in case.option_sets(case.arrays("batched"))]


def richest(case: Case) -> jaxloss.Loss:
    """A case's last options with every leaf moved off the bounds of its range, so that it can be varied."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) + 0.0617, objects(case)[-1])


def is_none(leaf: object) -> bool:
    return leaf is None  # an option that is not given: to JAX it is a tree without leaves


@every_loss
def test_fields_are_the_functions_options(loss: type[jaxloss.Loss]) -> None:
    shared = ("where", "sample_weight")  # arrays that go with the batch
    options = [
        (each.name, type(each.default), each.default)
        for each in inspect.signature(loss.fn).parameters.values()
        if each.kind is inspect.Parameter.KEYWORD_ONLY and each.name not in shared
    ]
    made_with = list(inspect.signature(loss.__init__).parameters.values())[1:]
    assert [(each.name, type(each.default), each.default) for each in made_with] == options
    assert [field.name for field in dataclasses.fields(loss)] == [each.name for each in made_with]


def takes_arrays(annotation: object) -> bool:
    """Whether an option may be an array: one number, or weights."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return any(isinstance(kind, type) and issubclass(kind, jaxtyping.AbstractArray) for kind in kinds)


@every_loss
def test_numbers_are_leaves_named_by_their_fields_and_the_rest_is_static(loss: type[jaxloss.Loss]) -> None:
    annotations = {name: each.annotation for name, each in inspect.signature(loss.fn).parameters.items()}
    numbers = [field.name for field in dataclasses.fields(loss) if takes_arrays(annotations[field.name])]
    made = plain(loss)
    leaves = jax.tree_util.tree_leaves_with_path(made, is_leaf=is_none)
    assert [jax.tree_util.keystr(path) for path, _ in leaves] == [f".{name}" for name in numbers]
    assert all(leaf is getattr(made, name) for name, (_, leaf) in zip(numbers, leaves, strict=True))


@every_loss
def test_options_are_explained_where_the_object_is(loss: type[jaxloss.Loss]) -> None:
    explained = inspect.getdoc(loss).partition("\nArgs:\n")[2]
    function = inspect.getdoc(loss.fn)
    for field in dataclasses.fields(loss):
        entry = re.search(rf"^    {field.name}:.*\n(?:        .*\n)*", function, re.MULTILINE)
        assert entry
        assert entry[0].strip() in explained, f"{loss.__name__}: {field.name} is not explained"


@every_loss
def test_a_call_names_the_arrays_of_the_function(loss: type[jaxloss.Loss]) -> None:
    shared = ("where", "sample_weight")
    wanted = [
        name
        for name, each in inspect.signature(loss.fn).parameters.items()
        if each.kind is not inspect.Parameter.KEYWORD_ONLY or name in shared
    ]
    made = plain(loss)
    for method in (made, made.terms, made.parts):
        assert list(inspect.signature(method).parameters) == wanted


def test_arrays_may_be_given_by_name() -> None:
    loss, wanted = jaxloss.HuberLoss(delta=2.0), jaxloss.huber_loss(PREDICTIONS, TARGETS, delta=2.0)
    for arrays in ({"predictions": PREDICTIONS, "targets": TARGETS}, {"targets": TARGETS, "predictions": PREDICTIONS}):
        chex.assert_trees_all_equal(loss(**arrays), wanted)
        chex.assert_trees_all_equal(loss.terms(**arrays), {"HuberLoss": wanted})
        # The division is a program of its own, which rounds on its own.
        chex.assert_trees_all_close(loss.parts(**arrays).value, wanted, rtol=1e-15)
    with pytest.raises(TypeError, match="predictions|logits"):
        loss(logits=PREDICTIONS, targets=TARGETS)


@pytest.mark.parametrize("name", jaxloss.__all__)
def test_public_things_say_that_they_are_of_the_package(name: str) -> None:
    thing = getattr(jaxloss, name)
    if isinstance(thing, type | FunctionType):  # not the alias of a type
        assert thing.__module__ == "jaxloss"
        assert pickle.loads(pickle.dumps(thing)) is thing
        assert f"jaxloss\n{name}\n".encode() in pickle.dumps(thing, protocol=0)


@every_case
def test_calling_the_object_equals_calling_the_function(case: Case) -> None:
    """They are one program, to the last operation."""
    arrays = case.arrays("batched")
    for options in case.option_sets(arrays):
        shape = jax.eval_shape(case.loss(**{**options, "reduction": "none"}), *arrays).shape
        shared = {"where": np.ones(case.kept(shape), bool), "sample_weight": np.ones(shape)}
        for reduction in case.reductions:
            given = {**options, "reduction": reduction}
            by_object = jax.make_jaxpr(
                lambda *arrays, where, sample_weight, given=given: case.loss(**given)(
                    *arrays, where=where, sample_weight=sample_weight
                )
            )
            by_function = jax.make_jaxpr(
                lambda *arrays, where, sample_weight, given=given: case.loss.fn(
                    *arrays, where=where, sample_weight=sample_weight, **given
                )
            )
            assert str(by_object(*arrays, **shared)) == str(by_function(*arrays, **shared))


@learnable
def test_gradient_with_respect_to_a_loss_is_a_loss(case: Case) -> None:
    arrays, loss, step = inputs(case), richest(case), 1e-5

    @jax.jit
    def both(loss, direction):
        def moved(by):
            return jax.tree.map(lambda leaf, along: leaf + by * along, loss, direction)(*arrays)

        return jax.grad(lambda loss: loss(*arrays))(loss), (moved(step) - moved(-step)) / (2 * step)

    leaves, structure = jax.tree.flatten(loss)
    names = [str(path[0].name) for path, _ in jax.tree_util.tree_leaves_with_path(loss)]
    for i, leaf in enumerate(leaves):
        for entry in np.ndindex(leaf.shape):
            zeros = [jnp.zeros_like(other) for other in leaves]
            zeros[i] = zeros[i].at[entry].set(1.0)
            gradient, difference = both(loss, jax.tree.unflatten(structure, zeros))
            difference = 0.0 * difference if names[i] in case.constants else difference
            assert type(gradient) is case.loss
            chex.assert_trees_all_equal_structs(gradient, loss)
            # What rounding leaves of a central difference of this step.
            chex.assert_trees_all_close(jax.tree.leaves(gradient)[i][entry], difference, rtol=1e-7, atol=1e-9)


def numeric_option(case: Case) -> tuple[str, float]:
    """The first number among the options of a Case that has a default, with its value there."""
    leaves = [field for field in dataclasses.fields(case.loss) if not field.metadata.get("static")]
    numbers = {field.name for field in leaves if type(field.default) is float}
    tried = [item for options in case.options for item in options.items()]
    return next(((name, value) for name, value in tried if name in numbers and type(value) is float), ("", 0.0))


@pytest.mark.parametrize(
    "case",
    variants([case for case in CASES if numeric_option(case)[0]], lambda case: not case.variant),
    ids=lambda case: case.id,
)
def test_values_of_an_option_share_a_program_and_map(case: Case) -> None:
    name, value = numeric_option(case)
    default = getattr(plain(case.loss), name)
    values, traces = [value, (value + default) / 2, default], []
    # Some options have an effect at the edges only, such as a least variance.
    for which in ("batched", "edges"):
        given = case.arrays(which)
        options = next(options for options in case.option_sets(given) if options.get(name) == value)
        arrays = tuple(map(jnp.asarray, given))
        losses = [case.loss(**{**options, name: value}) for value in values]
        by_value = [jax.jit(partial(case.loss.fn, **{**options, name: value})) for value in values]
        functions = jnp.stack([function(*arrays) for function in by_value])
        if len(set(functions.tolist())) == len(values):
            break
    assert len(set(functions.tolist())) == len(values)

    @jax.jit
    def called(loss):
        traces.append(loss)
        return loss(*arrays)

    looped = jnp.stack([called(loss) for loss in losses])
    assert len(traces) == 1
    called(dataclasses.replace(losses[0], reduction="sum"))
    assert len(traces) == 2

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *losses)
    mapped = jax.jit(jax.vmap(lambda loss: loss(*arrays)))(stacked)
    # Different programs round differently.
    chex.assert_trees_all_close(looped, functions, rtol=1e-14)
    chex.assert_trees_all_close(mapped, functions, rtol=1e-14)


@every_case
def test_copies_are_equal_and_hash_equal(case: Case) -> None:
    for loss in objects(case):
        leaves, structure = jax.tree.flatten(loss)
        for same in (
            pickle.loads(pickle.dumps(loss)),
            copy.copy(loss),
            copy.deepcopy(loss),
            dataclasses.replace(loss),
            jax.tree.map(jnp.asarray, loss),
            jax.tree.unflatten(structure, leaves),
        ):
            assert type(same) is type(loss)
            assert same == loss
            assert hash(same) == hash(loss)
    assert [loss == objects(case)[0] for loss in objects(case)] == [True] + [False] * (len(case.options) - 1)


@every_case
def test_takes_any_leaf_when_it_is_rebuilt(case: Case) -> None:
    for loss in objects(case):
        placeholders = [object() for _ in jax.tree.leaves(loss)]
        rebuilt = jax.tree.unflatten(jax.tree.structure(loss), placeholders)
        assert jax.tree.leaves(rebuilt) == placeholders
        assert jax.tree.structure(rebuilt) == jax.tree.structure(loss)
        assert jax.tree.leaves(jax.tree.map(lambda _: "text", loss)) == ["text"] * len(placeholders)


def test_unequal() -> None:
    ones = np.ones(3)
    different = [
        jaxloss.HuberLoss(),
        jaxloss.HuberLoss(delta=2.0),
        jaxloss.HuberLoss(delta=np.full(2, 2.0)),
        jaxloss.HuberLoss(reduction="sum"),
        jaxloss.SmoothL1Loss(),
        jaxloss.CrossEntropyLoss(),
        jaxloss.CrossEntropyLoss(weight=ones),
        jaxloss.CrossEntropyLoss(weight=2 * ones),
        jaxloss.CrossEntropyLoss(weight=np.ones(1)),
        jaxloss.CrossEntropyLoss(ignore_index=0),
        jaxloss.CrossEntropyLoss(axis=1),
        jaxloss.TripletMarginLoss(p=1.0),
        jaxloss.TripletMarginWithDistanceLoss(distance_function=jaxloss.pairwise_distance),
        jaxloss.TripletMarginWithDistanceLoss(),
        jaxloss.L1Loss(),
        jaxloss.L1Loss() + jaxloss.MSELoss(),
        jaxloss.MSELoss() + jaxloss.L1Loss(),
        jaxloss.L1Loss() + 2.0 * jaxloss.MSELoss(),
        "L1Loss()",
        1.0,
        None,
    ]
    for i, one in enumerate(different):
        assert [one == other for other in different] == [i == j for j in range(len(different))]
    assert jaxloss.HuberLoss() == jaxloss.HuberLoss(delta=1.0) == jaxloss.HuberLoss(delta=jnp.array(1.0))
    assert jaxloss.CrossEntropyLoss(weight=ones) == jaxloss.CrossEntropyLoss(weight=jnp.ones(3))
    # As keys: equal ones are one key, and those whose leaves alone differ share a hash but not a place.
    assert len({*different[:-3], *different[:-3]}) == len(different) - 3


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (jaxloss.HuberLoss(), "HuberLoss()"),
        (jaxloss.HuberLoss(delta=1.0, reduction="sum"), "HuberLoss(reduction='sum')"),
        (jaxloss.HuberLoss(delta=0.1 + 0.2), "HuberLoss(delta=0.30000000000000004)"),
        (
            jaxloss.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1, axis=1),
            "CrossEntropyLoss(ignore_index=0, label_smoothing=0.1, axis=1)",
        ),
        (jaxloss.TripletMarginLoss(p=1.0, swap=True), "TripletMarginLoss(p=1.0, swap=True)"),
        (jaxloss.PoissonNLLLoss(log_input=False), "PoissonNLLLoss(log_input=False)"),
        (jaxloss.HuberLoss(delta=2.0) + 0.5 * jaxloss.L1Loss(), "HuberLoss(delta=2.0) + 0.5 * L1Loss()"),
        (-1 * jaxloss.L1Loss() + jaxloss.L1Loss(), "-1.0 * L1Loss() + L1Loss()"),
    ],
)
def test_repr_shows_what_is_not_default_and_can_be_evaluated(loss: jaxloss.Loss, text: str) -> None:
    assert repr(loss) == text
    assert eval(text, vars(jaxloss)) == loss


def test_repr_of_arrays_tracers_and_functions() -> None:
    assert repr(jaxloss.HuberLoss(delta=jnp.array(1.0))) == "HuberLoss()"
    assert repr(jaxloss.HuberLoss(delta=jnp.array(0.5))) == "HuberLoss(delta=array(0.5))"
    assert repr(jaxloss.BCELoss(weight=np.array([1.0, 0.25]))) == "BCELoss(weight=array([1.  , 0.25]))"
    assert repr(jaxloss.BCELoss(weight=jnp.ones(100))) == "BCELoss(weight=float64[100])"
    distance = jaxloss.TripletMarginWithDistanceLoss(distance_function=jaxloss.pairwise_distance)
    assert repr(distance) == "TripletMarginWithDistanceLoss(distance_function=pairwise_distance)"
    assert repr(jnp.array(0.5) * jaxloss.L1Loss()) == "array(0.5) * L1Loss()"
    seen = []
    jax.eval_shape(lambda loss: seen.append(repr(loss)), jaxloss.HuberLoss(delta=np.array(2.0)))
    assert seen == ["HuberLoss(delta=float64[])"]


def test_frozen_and_keyword_only() -> None:
    loss = jaxloss.HuberLoss()
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.delta = 2.0
    with pytest.raises(TypeError, match="takes its options by keyword"):
        jaxloss.HuberLoss(2.0)
    with pytest.raises(TypeError, match="gamma"):
        jaxloss.HuberLoss(gamma=2.0)


@pytest.mark.parametrize(
    "loss",
    [
        jaxloss.CrossEntropyLoss(weight=jnp.array([1.0, 2.0]), label_smoothing=0.1, axis=1, reduction="sum"),
        jaxloss.HuberLoss(delta=3.0) + 0.25 * jaxloss.L1Loss(),
    ],
    ids=["loss", "sum"],
)
def test_checkpoint_restores_an_equal_loss(loss: jaxloss.Loss, tmp_path: Path) -> None:
    like = jax.tree.map(lambda leaf: 0 * leaf, loss)
    assert like != loss
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "loss", loss)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "loss", like)
    assert type(restored) is type(loss)
    assert restored == loss


def test_static_argument_of_jit() -> None:
    traces = []

    def called(loss):
        traces.append(loss)
        return loss(PREDICTIONS, TARGETS)

    called = jax.jit(called, static_argnums=0)
    for delta, number in [(1.0, 1), (1.0, 1), (2.0, 2), (1.0, 2)]:
        value = called(jaxloss.HuberLoss(delta=delta))
        chex.assert_trees_all_close(value, jaxloss.huber_loss(PREDICTIONS, TARGETS, delta=delta), rtol=1e-15)
        assert len(traces) == number
    with pytest.raises(ValueError, match="delta"):  # it is a number still, so that its range is checked
        called(jaxloss.HuberLoss(delta=-1.0))


def test_carried_through_a_scan() -> None:
    def step(loss, target):
        gradient = jax.grad(lambda loss: loss(PREDICTIONS, target))(loss)
        return jax.tree.map(lambda option, slope: option + 0.1 * slope, loss, gradient), loss.delta

    targets = jnp.stack([TARGETS, TARGETS + 1, TARGETS + 2])
    scanned, deltas = jax.lax.scan(step, jaxloss.HuberLoss(delta=1.0), targets)
    looped, by_loop = jaxloss.HuberLoss(delta=1.0), []
    for target in targets:
        looped, delta = jax.jit(step)(looped, target)
        by_loop.append(delta)
    assert type(scanned) is jaxloss.HuberLoss
    assert scanned.delta > deltas[-1] > deltas[0]
    chex.assert_trees_all_close((scanned.delta, deltas), (looped.delta, jnp.stack(by_loop)), rtol=1e-14)
