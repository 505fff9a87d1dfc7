"""Losses of batch statistics: rows that are masked, few or split over devices. And the pairs of views of DINO."""

from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, exchanges
from jax import export
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxloss

RNG = np.random.default_rng(0)
CLOSE = {"rtol": 1e-12, "atol": 1e-13}
LOSSES = [jaxloss.barlow_twins_loss, jaxloss.vicreg_loss]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
Loss = Callable[..., Any]


def views(*shape: int) -> tuple[jax.Array, jax.Array]:
    first, second = jnp.asarray(RNG.normal(size=(2, *shape)))
    return first, first / 2 + second


def value_and_gradient(loss: Loss, *arrays: Any, **options: Any) -> Any:
    return jax.jit(jax.value_and_grad(partial(loss, **options), (0, 1)))(*arrays)


def barlow_twins(first: jax.Array, second: jax.Array) -> jax.Array:
    """The paper's formula."""
    first, second = ((x - x.mean(0)[None]) / jnp.sqrt(x.var(0)[None] + 1e-5) for x in (first, second))
    correlation, itself = first.T @ second / len(first), np.eye(first.shape[1])
    return jnp.sum((itself - correlation) ** 2 * jnp.where(itself, 1.0, 5e-3))


def vicreg(first: jax.Array, second: jax.Array) -> jax.Array:
    """The formula of the authors' program."""
    loss = 25 * jnp.mean((first - second) ** 2)
    for x in (first, second):
        covariance = jnp.cov(x, rowvar=False)
        loss += 25 / 2 * jnp.mean(jax.nn.relu(1 - jnp.sqrt(jnp.diag(covariance) + 1e-4)))
        loss += jnp.sum(jnp.where(np.eye(x.shape[1]), 0.0, covariance) ** 2) / x.shape[1]
    return loss


@pytest.mark.parametrize(
    ("loss", "formula"), [*zip(LOSSES, (barlow_twins, vicreg), strict=True)], ids=["barlow_twins", "vicreg"]
)
def test_few_rows_of_many_features_have_the_value_of_the_formula(loss: Loss, formula: Loss) -> None:
    """Barlow Twins takes products of rows and rows then. The Cases have more rows than that."""
    arrays = views(4, 9)
    chex.assert_trees_all_close(value_and_gradient(loss, *arrays), value_and_gradient(formula, *arrays), **CLOSE)


def test_few_rows_have_correlations_without_a_matrix_of_features() -> None:
    loss = jax.value_and_grad(jaxloss.barlow_twins_loss, (0, 1))
    program = compiled(loss, *(jnp.ones((4, 64), "float32") for _ in range(2)))
    assert "4,4]" in program.as_text()
    assert "64,64]" not in program.as_text()


@every_loss
@pytest.mark.parametrize("width", [3, 20])
def test_masked_rows_are_in_no_statistic(loss: Loss, width: int) -> None:
    keep = np.array([[True, False, True, True, True, False], [False] * 6])
    first, second = views(2, 6, width)
    spoilt = tuple(jnp.where(keep[..., None], x, jnp.nan) for x in (first, second))
    wanted, gradients = value_and_gradient(loss, *(x[0][keep[0]] for x in (first, second)))
    value, found = value_and_gradient(loss, *spoilt, where=keep)
    chex.assert_trees_all_close(value, wanted, **CLOSE)
    chex.assert_trees_all_close(tuple(x[0][keep[0]] for x in found), gradients, **CLOSE)
    for gradient in found:
        assert not np.any(np.asarray(gradient)[~keep])
    part = jaxloss.parts(loss)(*spoilt, where=keep)
    assert part.weight == 1  # the batch without rows does not count


def test_one_row_has_correlations_of_zero_and_no_variance() -> None:
    arrays = views(3, 4)
    alone = {"where": np.array([False, True, False])}
    value, _ = value_and_gradient(jaxloss.barlow_twins_loss, *arrays, **alone)
    chex.assert_trees_all_close(value, 4.0, **CLOSE)
    value, gradients = value_and_gradient(jaxloss.vicreg_loss, *arrays, **alone)
    assert np.isnan(value)
    assert all(np.isnan(np.asarray(gradient)[1]).all() for gradient in gradients)


def test_small_losses_of_nearly_equal_views_keep_their_digits() -> None:
    """1 - C_ii is 1e-6 here, which a difference in float32 would round to a multiple of 6e-8."""
    first = RNG.normal(size=(64, 5)).astype("float32")
    second = first + np.float32(1e-3) * RNG.normal(size=first.shape).astype("float32")
    loss = partial(jaxloss.barlow_twins_loss, off_diagonal_weight=0.0, eps=1e-9)
    wanted = loss(first.astype(float), second.astype(float))
    chex.assert_trees_all_close(float(loss(first, second)), float(wanted), rtol=1e-5)


def test_large_features_have_the_correlations_of_small_ones() -> None:
    """Their squares overflow in float32. Features whose deviation is taken as infinite would be constant, and equal."""
    first, second = (view.astype("float32") for view in views(6, 3))
    wanted, gradients = value_and_gradient(jaxloss.barlow_twins_loss, first, second, eps=1e-30)
    value, found = value_and_gradient(jaxloss.barlow_twins_loss, first * 2.0**90, second * 2.0**90)
    chex.assert_trees_all_close(value, wanted, rtol=1e-6)
    chex.assert_trees_all_close([each * 2.0**90 for each in found], list(gradients), rtol=1e-4, atol=1e-5)


@every_loss
def test_rows_of_devices_are_one_batch(loss: Loss) -> None:
    """Value and gradient are those of all rows, whose numbers differ between devices, and no row is exchanged."""
    (first, second), keep = views(24, 5), np.arange(24) % 7 > 1
    keep[:3] = False  # the rows of the first device
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows, whole = PartitionSpec("data"), PartitionSpec()

    def here(first: Any, second: Any, keep: Any) -> Any:
        def of_views(*views: Any) -> Any:
            return loss(*views, where=keep, axis_name="data")

        value, gradients = jax.value_and_grad(of_views, (0, 1))(first, second)
        return value, loss(first, second, axis_name="data", reduction="none"), gradients

    spread = jax.shard_map(here, mesh=mesh, in_specs=(rows,) * 3, out_specs=(whole, whole, (rows, rows)))
    program = compiled(spread, first, second, jnp.asarray(keep))
    value, unmasked, gradients = program(first, second, jnp.asarray(keep))
    wanted, wanted_gradients = value_and_gradient(loss, first, second, where=keep)
    chex.assert_trees_all_close((value, gradients), (wanted, wanted_gradients), **CLOSE)
    chex.assert_trees_all_close(unmasked, loss(first, second), **CLOSE)
    found = exchanges(program)
    assert {each.kind for each in found} == {"all-reduce"}
    assert max(shape for each in found for shape in each.shapes if len(shape) == 2) == (5, 5)


@every_loss
@pytest.mark.parametrize("width", [5, 32])
def test_rows_may_be_split_over_a_mesh_of_explicit_axes(loss: Loss, width: int) -> None:
    arrays, mesh = views(16, width), jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        split = jax.device_put(arrays, NamedSharding(mesh, PartitionSpec("data")))
        found = jax.device_get(value_and_gradient(loss, *split))
    chex.assert_trees_all_close(found, jax.device_get(value_and_gradient(loss, *arrays)), **CLOSE)


@every_loss
def test_embeddings_must_be_split_over_the_axis(loss: Loss) -> None:
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    whole = PartitionSpec()
    spread = jax.shard_map(
        partial(loss, axis_name="data"), mesh=mesh, in_specs=(PartitionSpec("data"), whole), out_specs=whole
    )
    first, second = views(8, 3)
    with pytest.raises(ValueError, match="`embeddings2` is the same on all devices of the mesh axis 'data'"):
        spread(first, second[:1])


@pytest.mark.usefixtures("untyped")  # jaxtyping would compare sizes that are symbols
@every_loss
def test_a_program_for_any_number_of_rows(loss: Loss) -> None:
    shape = export.symbolic_shape("rows, 20")
    program = export.export(jax.jit(loss))(*[jax.ShapeDtypeStruct(shape, "float64")] * 2)
    for rows in (3, 30):
        arrays = views(rows, 20)
        chex.assert_trees_all_close(program.call(*arrays), loss(*arrays), rtol=1e-11)


def test_dino_compares_different_views_only() -> None:
    """One view of the student: the teacher's first view is the same one, and only its second view counts."""
    student, teacher = RNG.normal(size=(1, 4, 5)), RNG.normal(size=(2, 4, 5))
    loss = partial(jaxloss.dino_loss, student_temperature=0.5, teacher_temperature=0.25)
    value, (_, by_teacher) = value_and_gradient(loss, student, teacher)
    wanted = jaxloss.cross_entropy(student[0] / 0.5, jax.nn.softmax(teacher[1] / 0.25))
    chex.assert_trees_all_close(value, wanted, **CLOSE)
    assert not np.any(by_teacher[0])
    assert np.any(by_teacher[1])


def test_dino_of_a_center_and_of_views_on_another_axis() -> None:
    student, teacher, center = RNG.normal(size=(4, 3, 5)), RNG.normal(size=(2, 3, 5)), RNG.normal(size=5)
    wanted = jaxloss.dino_loss(student, teacher - center)
    chex.assert_trees_all_close(jaxloss.dino_loss(student, teacher, center=center), wanted, **CLOSE)
    moved = (np.moveaxis(array, 0, 1) for array in (student, teacher - center))
    chex.assert_trees_all_close(jaxloss.dino_loss(*moved, view_axis=1), wanted, **CLOSE)
