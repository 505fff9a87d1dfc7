"""Losses of sets of points: other libraries, padded points, chunks, points that coincide, and sizes of all kinds."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from compiled import compiled, promises_memory, temporaries

import jaxloss
from jaxloss._losses import point_sets

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(3, 5, 2)), RNG.normal(size=(3, 7, 2))
# The second pair is full, and the last set of `B` has one point.
VALID_A = np.arange(5) < np.array([[3], [5], [4]])
VALID_B = np.arange(7) >= np.array([[2], [0], [6]])
CLOSE = {"rtol": 1e-12, "atol": 1e-13}
LOSSES = {
    "chamfer": jaxloss.ChamferLoss(),
    "energy_distance": jaxloss.EnergyDistanceLoss(),
    "unbiased_energy_distance": jaxloss.EnergyDistanceLoss(biased=False),
    "mmd": jaxloss.MMDLoss(bandwidth=np.array([0.5, 2.0])),
    "unbiased_mmd": jaxloss.MMDLoss(biased=False),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def test_the_energy_distance_of_numbers_is_the_square_of_scipys() -> None:
    wanted = [scipy.stats.energy_distance(a[:, 0], b[:, 0]) ** 2 for a, b in zip(A, B, strict=True)]
    losses = jaxloss.energy_distance_loss(A[..., :1], B[..., :1], reduction="none")
    chex.assert_trees_all_close(losses, np.array(wanted), **CLOSE)


@every_loss
def test_padding_is_as_dropping(loss: jaxloss.Loss) -> None:
    a, b = np.where(VALID_A[..., None], A, np.nan), np.where(VALID_B[..., None], B, np.nan)
    value, (by_a, by_b) = jax.jit(jax.value_and_grad(lambda a, b: loss(a, b, VALID_A, VALID_B), (0, 1)))(a, b)
    counted = range(3) if getattr(loss, "biased", True) else range(2)
    wanted = [loss(A[i][VALID_A[i]], B[i][VALID_B[i]]) for i in counted]
    chex.assert_trees_all_close(value, np.mean(wanted), **CLOSE)
    slopes = jax.grad(loss, (0, 1))(A[0][VALID_A[0]], B[0][VALID_B[0]])
    chex.assert_trees_all_close(len(counted) * by_a[0][VALID_A[0]], slopes[0], **CLOSE)
    chex.assert_trees_all_close(len(counted) * by_b[0][VALID_B[0]], slopes[1], **CLOSE)
    assert not np.any(np.asarray(by_a)[~VALID_A])
    assert not np.any(np.asarray(by_b)[~VALID_B])


@every_loss
def test_an_empty_set_has_no_loss(loss: jaxloss.Loss) -> None:
    nobody = np.zeros((3, 7), bool) | np.array([[False], [True], [True]])
    part = loss.parts(A, B, valid_b=nobody)
    assert float(part.weight) == 2
    chex.assert_trees_all_close(part.total, jnp.sum(loss(A[1:], B[1:])) * 2, **CLOSE)


@every_loss
def test_chunks_change_nothing(loss: jaxloss.Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    def results(a: jax.Array, b: jax.Array) -> tuple[jax.Array, ...]:
        return jax.value_and_grad(lambda a, b: loss(a, b, VALID_A, VALID_B), (0, 1))(a, b)

    whole = jax.jit(results)(A, B)
    # Two points at a time of one set, with a remainder, and three of the other.
    monkeypatch.setattr(point_sets, "MOST_DIFFERENCES", 2 * 3 * 7 * 2)
    chunked = jax.jit(lambda a, b: results(a, b)).trace(A, B)
    assert "scan" in str(chunked.jaxpr)
    chex.assert_trees_all_close(chunked.lower().compile()(A, B), whole, **CLOSE)


@promises_memory
@pytest.mark.parametrize("name", ["chamfer", "energy_distance", "mmd"])
def test_no_array_of_all_pairs_is_in_memory(name: str) -> None:
    points = jax.ShapeDtypeStruct((16384, 3), "float32")
    program = compiled(jax.value_and_grad(LOSSES[name], (0, 1)), points, points)
    assert temporaries(program) < 4 * 16384**2 / 4


@every_loss
def test_derivatives_are_finite_where_points_coincide(loss: jaxloss.Loss) -> None:
    points = jnp.array([[0.0, 1.0], [0.0, 1.0], [2.0, 2.0]])

    def slope(points: jax.Array) -> jax.Array:
        return jax.grad(loss)(points, jnp.array([[0.0, 1.0], [2.0, 2.0], [2.0, 2.0]]))

    gradient, change = jax.jit(lambda points: jax.jvp(slope, (points,), (jnp.ones_like(points),)))(points)
    assert np.isfinite(gradient).all()
    assert np.isfinite(change).all()


def test_of_several_nearest_points_the_first_has_the_gradient() -> None:
    a, b = jnp.zeros((1, 1)), jnp.array([[1.0], [-1.0]])
    by_a, by_b = jax.grad(jaxloss.chamfer_loss, (0, 1))(a, b)
    # Of -2 from its own nearest point and 0 from the mean over both points.
    chex.assert_trees_all_close((by_a, by_b), (jnp.array([[-2.0]]), jnp.array([[3.0], [-1.0]])), **CLOSE)


def test_an_infinite_distance_is_no_reason_to_choose_padding() -> None:
    a, b = np.float32([[1e30, 0]]), np.float32([[7, 7], [-1e30, 0]])
    assert np.isinf(jaxloss.chamfer_loss(a, b, None, np.array([False, True])))


def test_energy_distances_of_any_size() -> None:
    a, b = A.astype("float32"), B.astype("float32")
    wanted = jaxloss.energy_distance_loss(a, b)
    for size in (2.0**-100, 2.0**100):  # squares vanish or overflow
        ours = jaxloss.energy_distance_loss(a * np.float32(size), b * np.float32(size))
        chex.assert_trees_all_close(ours / np.float32(size), wanted, rtol=1e-6)


def test_a_bandwidth_of_any_size_and_out_of_range() -> None:
    run = jax.jit(jax.value_and_grad(lambda bandwidth: jaxloss.mmd_loss(A, B, bandwidth=bandwidth)))
    # Narrow kernels see a point itself alone. Wide ones see no difference.
    for bandwidth, wanted in ((1e-200, 1 / 5 + 1 / 7), (1e200, 0.0)):
        value, slope = run(bandwidth)
        chex.assert_trees_all_close(value, wanted, **CLOSE)
        assert slope == 0
    assert np.isnan(run(-1.0)[0])
    assert np.isnan(run(-1.0)[1])


def test_sets_split_over_devices() -> None:
    kinds = jax.sharding.AxisType
    a, b = RNG.normal(size=(8, 5, 2)), RNG.normal(size=(8, 7, 2))
    run = jax.jit(
        lambda a, b: [jax.value_and_grad(LOSSES[name])(a, b) for name in ("chamfer", "energy_distance", "mmd")]
    )
    wanted = jax.device_get(run(a, b))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(kinds.Explicit,))
    with jax.set_mesh(mesh):
        split = jax.device_put((a, b), jax.NamedSharding(mesh, jax.P("data")))
        chex.assert_trees_all_close(jax.device_get(run(*split)), wanted, **CLOSE)
