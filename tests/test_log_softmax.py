"""`log_softmax` is that of JAX with more digits and less memory, on every axis, mesh and derivative."""

from functools import partial
from types import ModuleType

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, exchanges, jit, promises_memory, temporaries
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxloss
from jaxloss._core.class_axis import ClassAxis
from jaxloss._ops.cross_entropy import xla, xla_cpu

LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(8, 6)) * 3)
CHANGE = jnp.asarray(np.random.default_rng(1).normal(size=(8, 6)))
EXACT = {"rtol": 1e-12, "atol": 1e-14}
SPLIT = PartitionSpec("data", "classes")


def derivatives(log_softmax, x, change):
    """The value, and a derivative of every kind."""

    def cost(x):
        return jnp.sum(jnp.sin(log_softmax(x)))

    gradient, second = jax.jvp(jax.grad(cost), (x,), (change,))
    return *jax.jvp(log_softmax, (x,), (change,)), gradient, second, jax.grad(lambda x: jax.jvp(cost, (x,), (x,))[1])(x)


def test_values_and_derivatives_are_those_of_jax() -> None:
    wanted = jit(lambda *arrays: derivatives(jax.nn.log_softmax, *arrays))(LOGITS, CHANGE)
    found = jit(lambda *arrays: derivatives(jaxloss.log_softmax, *arrays))(LOGITS, CHANGE)
    chex.assert_trees_all_close(found, wanted, **EXACT)
    first = jit(jax.vmap(lambda x: jaxloss.log_softmax(x, axis=0), 1, 1))(LOGITS)
    chex.assert_trees_all_close(first, jaxloss.log_softmax(LOGITS, axis=0), **EXACT)
    chex.assert_trees_all_close(first, jax.nn.log_softmax(LOGITS, 0), **EXACT)


def test_a_dominating_class_keeps_its_digits() -> None:
    gaps = jnp.float32([[0, -20], [-80, 0], [1e4, 1e4 - 17]])
    wide = np.asarray(gaps, float)
    exact = -np.log1p(np.exp(wide[:, ::-1] - wide))
    for function in (jaxloss.log_softmax, jax.jit(jaxloss.log_softmax)):
        np.testing.assert_allclose(function(gaps), exact, rtol=3e-7)
    assert jax.nn.log_softmax(gaps)[0, 0] == 0  # which loses all of them


@pytest.mark.parametrize("temperature", [0.3, 0.7])
def test_logits_that_the_compiler_forms_anew_in_each_loop(temperature: float) -> None:
    # It multiplies them by 1 / temperature, and fuses the product with the difference from the largest logit. So the
    # exponential of the largest is only close to 1.
    logits, soft = LOGITS.astype("float32") / 3, jax.nn.softmax(CHANGE.astype("float32"))
    wanted = jax.nn.log_softmax(logits / temperature)

    @jit
    def both(logits, temperature):
        scaled = logits / temperature
        return jaxloss.log_softmax(scaled), jaxloss.cross_entropy(scaled, soft, reduction="none")

    found = both(logits, jnp.float32(temperature))
    chex.assert_trees_all_close(found, (wanted, -jnp.sum(soft * wanted, -1)), rtol=2e-6)


@pytest.mark.parametrize("platform", [xla, xla_cpu])
def test_an_implementation_has_the_true_derivative(platform: ModuleType) -> None:
    # JAX drops custom derivatives within a scan that it differentiates in reverse and then in forward mode.
    dominated = LOGITS.at[0, 0].add(20.0)
    for name in ("log_softmax", "entropy"):
        found = jax.jacfwd(partial(getattr(platform, name), axis=ClassAxis(1)))(dominated)
        wanted = jax.jacfwd(plain[name])(dominated)
        chex.assert_trees_all_close(found, wanted, **EXACT)


def plain_entropy(logits):
    return -jnp.sum(jax.nn.softmax(logits) * jax.nn.log_softmax(logits), -1, keepdims=True)


plain = {"log_softmax": jax.nn.log_softmax, "entropy": plain_entropy}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtype_is_that_of_the_logits_and_the_maths_are_in_float32(dtype: str) -> None:
    logits = LOGITS.astype(dtype)
    log_probs, pull = jax.vjp(jaxloss.log_softmax, logits)
    (gradient,) = pull(CHANGE.astype(dtype))
    assert log_probs.dtype == gradient.dtype == logits.dtype
    wide = jax.nn.log_softmax(logits.astype(float))
    np.testing.assert_allclose(log_probs.astype(float), wide, rtol=float(jnp.finfo(dtype).eps) * 0.7)


def test_infinite_logits() -> None:
    logits = jnp.array([[0.0, -jnp.inf, 1.0], [-jnp.inf, -jnp.inf, -jnp.inf], [0.0, jnp.nan, 1.0], [0.0, 0.0, 1.0]])
    cotangent = jnp.ones_like(logits).at[0, 1].set(0.0)
    for function in (jaxloss.log_softmax, jax.jit(jaxloss.log_softmax)):
        log_probs, pull = jax.vjp(function, logits)
        (gradient,) = pull(cotangent)
        (_, along) = jax.jvp(function, (logits,), (cotangent,))
        for rows in (log_probs, gradient, along):
            assert np.isnan(rows[1:3]).all()
            assert np.isfinite(rows[3]).all()
        chex.assert_trees_all_close(log_probs[0], jnp.array([-1.3132616875, -jnp.inf, -0.3132616875]), rtol=1e-9)
        chex.assert_trees_all_close(gradient[0], jnp.array([0.4621171573, 0.0, -0.4621171573]), rtol=1e-9)
        assert np.isfinite(along[0]).all()


@promises_memory
def test_gradients_through_it_hold_no_array_of_the_logits_size() -> None:
    logits = jax.ShapeDtypeStruct((2, 50, 2000), "float32")
    labels, frames = jnp.ones((2, 3), "int32"), jnp.full(2, 50)

    def ctc(logits):
        return jaxloss.ctc_loss(jaxloss.log_softmax(logits), labels, frames, [3, 3])

    def nll(logits):
        return jaxloss.nll_loss(jaxloss.log_softmax(logits), jnp.ones((2, 50), "int32"))

    for loss in (ctc, nll):
        for program in (compiled(loss, logits), compiled(jax.value_and_grad(loss), logits)):
            assert temporaries(program) < logits.size * 4 / 8


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_nothing_is_gathered_on_a_mesh(kind: AxisType) -> None:
    mesh = jax.make_mesh((4, 2), ("data", "classes"), axis_types=(kind, kind))

    def both(x):
        return jaxloss.log_softmax(x), jax.grad(lambda x: jnp.sum(jnp.sin(jaxloss.log_softmax(x))))(x)

    with jax.set_mesh(mesh):
        logits = jax.device_put(LOGITS, NamedSharding(mesh, SPLIT))
        program = compiled(both, logits)
        found = program(logits)
    assert {each.kind for each in exchanges(program)} == {"all-reduce"}
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(both(LOGITS)), **EXACT)


def test_classes_may_be_split_over_a_mesh_axis() -> None:
    mesh = jax.make_mesh((4, 2), ("data", "classes"), axis_types=(AxisType.Auto,) * 2)

    def shares(x):
        return jaxloss.log_softmax(x, axis_name="classes")

    split = jax.shard_map(shares, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT)
    found, wanted = (
        jit(lambda *arrays, function=function: derivatives(function, *arrays))(LOGITS, CHANGE)
        for function in (split, jax.nn.log_softmax)
    )
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(wanted), **EXACT)
