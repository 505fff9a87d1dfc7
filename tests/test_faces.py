"""Option objects: the function's options as a pytree, frozen, comparable, saved and restored; and sums of them."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from cases import CASES, Case

import jaxloss

LOSSES = list(dict.fromkeys(case.loss for case in CASES))
# Static, though their defaults are a float and None: each `p` has a program of its own, and so has each distance.
PROGRAM = {("TripletMarginLoss", "p"), ("TripletMarginWithDistanceLoss", "distance_function")}
PREDICTIONS, TARGETS = jnp.array([0.0, 4.0, -0.5]), jnp.array([1.0, 1.0, -0.25])

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
learnable = pytest.mark.parametrize("case", [c for c in CASES if jax.tree.leaves(c.loss())], ids=lambda case: case.id)


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
    assert [(field.name, type(field.default), field.default) for field in dataclasses.fields(loss)] == options


@every_loss
def test_numbers_are_leaves_named_by_their_fields_and_the_rest_is_static(loss: type[jaxloss.Loss]) -> None:
    numbers = [
        field.name
        for field in dataclasses.fields(loss)
        if not isinstance(field.default, str | bool | int) and (loss.__name__, field.name) not in PROGRAM
    ]
    leaves = jax.tree_util.tree_leaves_with_path(loss(), is_leaf=is_none)
    assert [jax.tree_util.keystr(path) for path, _ in leaves] == [f".{name}" for name in numbers]
    assert [leaf for _, leaf in leaves] == [getattr(loss(), name) for name in numbers]


@every_case
def test_calling_the_object_equals_calling_the_function(case: Case) -> None:
    arrays = inputs(case)
    sets = [{**options, "reduction": r} for options in case.option_sets(arrays) for r in case.reductions]
    shape = jax.eval_shape(case.loss(**sets[0] | {"reduction": "none"}), *arrays).shape
    number = jnp.arange(np.prod(shape, dtype=int)).reshape(shape)
    shared = {"where": number % 3 != 1, "sample_weight": (number % 4).astype(float)}

    @jax.jit
    def both(arrays, shared):
        objects = [case.loss(**options)(*arrays, **shared) for options in sets]
        return objects, [case.loss.fn(*arrays, **options, **shared) for options in sets]

    chex.assert_trees_all_equal(*both(arrays, shared))


@learnable
def test_gradient_with_respect_to_a_loss_is_a_loss(case: Case) -> None:
    arrays, loss, step = inputs(case), richest(case), 1e-5

    @jax.jit
    def both(loss, direction):
        def moved(by):
            return jax.tree.map(lambda leaf, along: leaf + by * along, loss, direction)(*arrays)

        return jax.grad(lambda loss: loss(*arrays))(loss), (moved(step) - moved(-step)) / (2 * step)

    leaves, structure = jax.tree.flatten(loss)
    for i, leaf in enumerate(leaves):
        for entry in np.ndindex(leaf.shape):
            zeros = [jnp.zeros_like(other) for other in leaves]
            zeros[i] = zeros[i].at[entry].set(1.0)
            gradient, difference = both(loss, jax.tree.unflatten(structure, zeros))
            assert type(gradient) is case.loss
            chex.assert_trees_all_equal_structs(gradient, loss)
            # What rounding leaves of a central difference of this step.
            chex.assert_trees_all_close(jax.tree.leaves(gradient)[i][entry], difference, rtol=1e-7, atol=1e-9)


OPTIONS = {
    "HuberLoss": ("delta", [0.5, 1.0, 2.0]),
    "CrossEntropyLoss": ("label_smoothing", [0.1, 0.2, 0.3]),
    "MultiMarginLoss": ("margin", [0.25, 1.0, 3.0]),
    "CosineEmbeddingLoss": ("margin", [-0.5, 0.0, 0.25]),
    "TripletMarginLoss": ("margin", [0.25, 1.0, 3.0]),
}
some_options = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.id in {c.fn.__name__ for c in LOSSES if c.__name__ in OPTIONS}],
    ids=lambda c: c.id,
)


@some_options
def test_values_of_an_option_share_a_program_and_map(case: Case) -> None:
    name, values = OPTIONS[case.loss.__name__]
    arrays, traces = inputs(case), []

    @jax.jit
    def called(loss):
        traces.append(loss)
        return loss(*arrays)

    losses = [case.loss(**{name: value}) for value in values]
    looped = jnp.stack([called(loss) for loss in losses])
    assert len(traces) == 1
    called(dataclasses.replace(losses[0], reduction="sum"))
    assert len(traces) == 2

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *losses)
    mapped = jax.jit(jax.vmap(lambda loss: loss(*arrays)))(stacked)
    functions = jax.jit(lambda: jnp.stack([case.loss.fn(*arrays, **{name: value}) for value in values]))()
    assert len(set(functions.tolist())) == len(values)
    # Programs apart, which round apart.
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
    with pytest.raises(TypeError, match="positional"):
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


# Sums


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
    ],
)
@pytest.mark.usefixtures("untyped")
def test_only_losses_add_and_only_numbers_scale(nonsense: Callable[[jaxloss.Loss], object]) -> None:
    with pytest.raises(TypeError, match="unsupported operand|not implemented"):  # the latter is NumPy's
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
