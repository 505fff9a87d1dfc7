"""Losses split over the devices of a mesh: what one device gives, and nothing gathered."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from pitfalls import EXACT, a

import jaxloss

LOGITS = np.random.default_rng(0).normal(size=(8, 6)).round(2)
LABELS = np.array([0, 5, 2, 3, 1, 4, 4, 0])
SOFT = np.random.default_rng(1).dirichlet(np.ones(6), 8).round(3)
KEPT = np.arange(8) != 3
OPTIONS = {"weight": a(np.arange(6.0) / 4 + 0.5), "label_smoothing": 0.125, "z_loss": 0.25}

# The loss, its second argument, and along which mesh axes the two are split.
BOTH, BATCH = PartitionSpec("data", "classes"), PartitionSpec("data")
SHARDED = {
    "labels": (jaxloss.cross_entropy, LABELS, BOTH, BATCH),
    "labels_and_options": (lambda x, t: jaxloss.cross_entropy(x, t, **OPTIONS), LABELS, BOTH, BATCH),
    "probabilities": (jaxloss.cross_entropy, SOFT, BOTH, BOTH),
    "probabilities_and_options": (lambda x, t: jaxloss.cross_entropy(x, t, **OPTIONS), SOFT, BOTH, BOTH),
    "multi_margin": (jaxloss.multi_margin_loss, LABELS, BOTH, BATCH),
    "elementwise": (jaxloss.huber_loss, SOFT, PartitionSpec("data", None), PartitionSpec("data", None)),
}


def sharded(kind: AxisType, *arrays: tuple[np.ndarray, PartitionSpec]) -> tuple[jax.sharding.Mesh, list[jax.Array]]:
    mesh = jax.make_mesh((4, 2), ("data", "classes"), axis_types=(kind, kind))
    return mesh, [jax.device_put(jnp.asarray(array), NamedSharding(mesh, spec)) for array, spec in arrays]


@pytest.mark.parametrize("name", SHARDED)
def test_explicit_mesh_gives_what_one_device_does(name: str) -> None:
    fn, targets, spec, target_spec = SHARDED[name]
    mesh, arrays = sharded(AxisType.Explicit, (LOGITS, spec), (targets, target_spec))
    with jax.set_mesh(mesh):
        value, gradient = jax.jit(jax.value_and_grad(fn))(*arrays)
    assert jax.typeof(gradient).sharding.spec == spec
    wanted = jax.value_and_grad(fn)(jnp.asarray(LOGITS), jnp.asarray(targets))
    chex.assert_trees_all_close((np.asarray(value), np.asarray(gradient)), jax.device_get(wanted), **EXACT)


@pytest.mark.parametrize("name", SHARDED)
def test_auto_mesh_gathers_nothing(name: str) -> None:
    fn, targets, spec, target_spec = SHARDED[name]
    _, arrays = sharded(AxisType.Auto, (LOGITS, spec), (targets, target_spec))
    program = compiled(jax.value_and_grad(fn), *arrays)
    text = program.as_text()
    assert "all-reduce" in text  # the program is of many devices, and the sums over them are all it exchanges
    for exchange in ("all-gather", "all-to-all", "collective-permute"):
        assert exchange not in text
    value, gradient = program(*arrays)
    assert gradient.sharding.is_equivalent_to(arrays[0].sharding, 2)
    wanted = jax.value_and_grad(fn)(jnp.asarray(LOGITS), jnp.asarray(targets))
    chex.assert_trees_all_close((np.asarray(value), np.asarray(gradient)), jax.device_get(wanted), **EXACT)


def test_mask_split_over_devices_gives_the_mean_over_what_is_kept() -> None:
    # The devices keep different numbers of rows: a mean of their means is another number.
    mesh, (logits, labels, keep) = sharded(AxisType.Explicit, (LOGITS, BATCH), (LABELS, BATCH), (KEPT, BATCH))

    def loss(x, t, keep):
        return jaxloss.cross_entropy(x, t, where=keep)

    with jax.set_mesh(mesh):
        value, gradient = jax.jit(jax.value_and_grad(loss))(logits, labels, keep)
    wanted = jax.value_and_grad(jaxloss.cross_entropy)(jnp.asarray(LOGITS[KEPT]), jnp.asarray(LABELS[KEPT]))
    losses = jaxloss.cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS), where=jnp.asarray(KEPT), reduction="none")
    of_means = np.mean(np.asarray(losses).reshape(4, 2).sum(1) / KEPT.reshape(4, 2).sum(1))
    assert abs(of_means - float(wanted[0])) > 1e-3
    chex.assert_trees_all_close(np.asarray(value), np.asarray(wanted[0]), **EXACT)
    chex.assert_trees_all_close(np.asarray(gradient)[KEPT], np.asarray(wanted[1]), **EXACT)
    assert not np.asarray(gradient)[~KEPT].any()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.125}, {"z_loss": 0.25}], ids=["plain", "smooth", "z"])
def test_rows_too_long_for_one_block_of_the_cpu_trace_on_an_explicit_mesh(options, dtype: str) -> None:
    # A row of more than 32,768 classes is summed in blocks, and JAX refuses the reshape of an axis that is split.
    mesh = jax.make_mesh((4, 2), ("data", "classes"), axis_types=(AxisType.Explicit,) * 2)
    labels = jax.ShapeDtypeStruct((8,), "int32", sharding=NamedSharding(mesh, BATCH))
    with jax.set_mesh(mesh):
        for spec in (BOTH, BATCH, PartitionSpec(None, "classes")):
            logits = jax.ShapeDtypeStruct((8, 65536), dtype, sharding=NamedSharding(mesh, spec))
            rows = jax.ShapeDtypeStruct((8,), "int32", sharding=NamedSharding(mesh, PartitionSpec(spec[0])))
            for function in (jaxloss.cross_entropy, jax.value_and_grad(jaxloss.cross_entropy)):
                jax.jit(functools.partial(function, **options)).lower(logits, rows)
        hidden, kernel = (
            jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))
            for shape, spec in (((8, 2), BATCH), ((2, 65536), PartitionSpec(None, "classes")))
        )
        jax.jit(functools.partial(jaxloss.linear_cross_entropy, **options)).lower(hidden, kernel, labels)
