"""The modules of `jaxloss.flax`: PyTorch's results with its parameters, the laws of all losses, and what they cost."""

from functools import partial
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, temporaries
from fixtures.make import ADAPTIVE
from flax import nnx
from inputs import cotangent
from jax.nn.initializers import zeros
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from laws import LAWS, STEPWISE, Subject, low_precision_is_summed_in_float32
from variants import variants

import jaxloss
from jaxloss.flax import AdaptiveLogSoftmaxWithLoss

with np.load(Path(__file__).parent / "fixtures/adaptive_log_softmax_with_loss.npz") as stored:
    FIXTURE = dict(stored)
NAMES = list(ADAPTIVE)
# All rows at once; chunks of one; that divide the rows, do not, and all but hold them.
RUNS = [("float64", None), ("float64", 1), ("float64", 4), ("float64", 22), ("float32", 7)]
TOLERANCE = {"float64": 1e-11, "float32": 1e-5}


def of_fixture(name: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{name}/"): array for key, array in FIXTURE.items() if key.startswith(f"{name}/")}


def parameters(module: Any) -> dict[str, nnx.Param]:
    """Of a module, or of its gradient, by PyTorch's names."""
    found = {"head.weight": module.head}
    if getattr(module, "bias", None) is not None:
        found["head.bias"] = module.bias
    for i in range(len(module.tail)):
        found |= {f"tail.{i}.0.weight": module.tail[i].down, f"tail.{i}.1.weight": module.tail[i].up}
    return found


def ported(name: str, dtype: str = "float64", param_dtype: str = "", **options: Any) -> AdaptiveLogSoftmaxWithLoss:
    """The module of a fixture, with PyTorch's parameters."""
    options |= {"dtype": dtype, "param_dtype": param_dtype or dtype, "kernel_init": zeros, "rngs": nnx.Rngs(0)}
    module = AdaptiveLogSoftmaxWithLoss(**ADAPTIVE[name], **options)
    for key, parameter in parameters(module).items():
        parameter[...] = jnp.asarray(FIXTURE[f"{name}/{key}"].T, param_dtype or dtype)
    return module


def inputs(name: str, dtype: str = "float64") -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(FIXTURE[f"{name}/hidden"], dtype), jnp.asarray(FIXTURE[f"{name}/targets"])


def gradients(module: AdaptiveLogSoftmaxWithLoss, hidden: Any, objective: Any) -> dict[str, np.ndarray]:
    """Of an objective of the module and its features, by PyTorch's names and in its layout."""
    of_module, of_hidden = nnx.jit(nnx.grad(objective, argnums=(0, 1)))(module, hidden)
    found = {key: np.asarray(parameter[...]).T for key, parameter in parameters(of_module).items()}
    return found | {"hidden": np.asarray(of_hidden)}


@pytest.mark.parametrize(("dtype", "chunk_size"), variants(RUNS, lambda dtype, chunk_size: chunk_size in (None, 4)))
@pytest.mark.parametrize("name", NAMES)
def test_results_and_gradients_equal_pytorchs(name: str, dtype: str, chunk_size: int | None) -> None:
    module, wanted = ported(name, dtype, chunk_size=chunk_size), of_fixture(name)
    hidden, targets = inputs(name, dtype)

    def objective(module, hidden):
        output, loss = module(hidden, targets)
        return loss + jnp.sum(output * jnp.asarray(cotangent(output.shape), dtype))

    output, loss = nnx.jit(lambda module: module(hidden, targets))(module)
    found = {"output": output, "loss": loss, "log_prob": module.log_prob(hidden), "predict": module.predict(hidden)}
    close = partial(chex.assert_trees_all_close, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])
    close(jax.device_get(found), {key: wanted[key].astype(found[key].dtype) for key in found})
    slopes = gradients(module, hidden, objective)
    close(slopes, {key: wanted[f"gradient/{key}"].astype(dtype) for key in slopes})
    assert {array.dtype for array in slopes.values()} == {np.dtype(dtype)}


def test_fixture_has_every_case() -> None:
    for name in NAMES:
        wanted, bounds = of_fixture(name), [0, *ADAPTIVE[name]["cutoffs"], ADAPTIVE[name]["n_classes"]]
        assert np.histogram(wanted["targets"], bounds)[0].all(), "a cluster without targets"
        assert (np.histogram(wanted["predict"], bounds)[0] > 0).sum() > 1, "all predictions in one cluster"


# Chunks of two rows of six. Single rows, which some laws take, are not split.
BY_DTYPE = {dtype: ported("plain", dtype, "float64", chunk_size=2) for dtype in ("float64", "float32", "bfloat16")}
SIX_ROWS = (FIXTURE["plain/hidden"][:6], np.array([0, 8, 22, 1, 13, 5]))


def six_losses(hidden, targets, *, reduction="mean", where=None, sample_weight=None):
    module = BY_DTYPE[hidden.dtype.name]
    return module.loss(hidden, targets, reduction=reduction, where=where, sample_weight=sample_weight)


@pytest.mark.exhaustive
@pytest.mark.parametrize("law", [law for law in LAWS if law is not low_precision_is_summed_in_float32])
def test_law(law: Any) -> None:
    jitted = jax.jit(six_losses, static_argnames="reduction")  # eagerly, these laws would compile many more programs
    eager = law in STEPWISE
    law(Subject(six_losses if eager else jitted, SIX_ROWS, smooth_in=(0,), dtypes=("float32", "bfloat16")))


@pytest.mark.parametrize("chunk_size", variants([None, 3], lambda size: size == 3))
def test_any_leading_axes_and_none(chunk_size: int | None) -> None:
    module, (hidden, targets) = ported("plain", chunk_size=chunk_size), inputs("plain")

    @jax.jit
    def everything(hidden, targets):
        output, loss = module(hidden, targets)
        return {"output": output, "log_prob": module.log_prob(hidden), "predict": module.predict(hidden)}, loss

    rows, mean = everything(hidden[:12], targets[:12])
    folded = everything(hidden[:12].reshape(2, 3, 2, 16), targets[:12].reshape(2, 3, 2))
    unfolded = {key: array.reshape(2, 3, 2, *array.shape[1:]) for key, array in rows.items()}
    chex.assert_trees_all_close(folded, (unfolded, mean), rtol=1e-12)
    alone = {key: array[4] for key, array in rows.items()}
    chex.assert_trees_all_close(everything(hidden[4], targets[4]), (alone, -alone["output"]), rtol=1e-12)


@pytest.mark.parametrize("chunk_size", variants([None, 4], lambda size: size == 4))
def test_what_is_masked_reaches_no_parameter(chunk_size: int | None) -> None:
    module = ported("bias", chunk_size=chunk_size)
    hidden, targets = inputs("bias")
    where = np.arange(19) % 3 != 0
    spoilt = hidden.at[~where].set(jnp.nan), targets.at[~where].set(-7)
    output, loss = jax.jit(partial(module, where=where))(*spoilt)
    chex.assert_trees_all_equal(np.asarray(output)[~where], np.zeros(7))
    assert not np.signbit(np.asarray(output)[~where]).any()
    wanted = jax.jit(module)(hidden[where], targets[where])
    chex.assert_trees_all_close((output[where], loss), tuple(wanted), rtol=1e-12)
    found = gradients(module, spoilt[0], lambda module, hidden: module(hidden, spoilt[1], where=where).loss)
    kept = gradients(module, hidden[where], lambda module, hidden: module(hidden, targets[where]).loss)
    chex.assert_trees_all_equal(found["hidden"][~where], np.zeros((7, 12)))
    chex.assert_trees_all_close(found | {"hidden": found["hidden"][where]}, kept, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("chunk_size", variants([None, 2], lambda size: size == 2))
def test_target_out_of_range_is_nan_in_its_element_only(chunk_size: int | None) -> None:
    module, (hidden, targets) = ported("plain", chunk_size=chunk_size), inputs("plain")
    bad = np.arange(23) == 3

    @jax.jit
    def results(targets):
        loss = partial(module.loss, targets=targets)
        slope = jax.grad(partial(loss, reduction="sum"))(hidden)
        return module(hidden, targets).output, slope, loss(hidden), loss(hidden, where=jnp.asarray(~bad))

    for wrong in (-1, -100, 23, 10**6):
        output, slope, loss, without = results(targets.at[3].set(wrong))
        chex.assert_trees_all_equal(np.isnan(output), bad)
        chex.assert_trees_all_equal(np.isnan(slope), np.repeat(bad[:, None], 16, 1))
        assert jnp.isnan(loss)
        assert jnp.isfinite(without)


@pytest.mark.parametrize("dtype", variants(["int8", "uint8", "uint32", "uint64"], lambda dtype: dtype == "uint8"))
def test_targets_of_any_integer_dtype(dtype: str) -> None:
    module = AdaptiveLogSoftmaxWithLoss(4, 1000, [50, 300], div_value=2, param_dtype="float64", rngs=nnx.Rngs(0))
    hidden, numbers = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4))), np.array([3, 51, 127])
    wanted = module.log_prob(hidden)[np.arange(3), numbers]
    chex.assert_trees_all_close(module(hidden, jnp.asarray(numbers, dtype)).output, wanted, rtol=1e-12)


def spoilt_rows(module: AdaptiveLogSoftmaxWithLoss, *batches: jax.Array) -> list[int]:
    """How many rows of `hidden` a last cluster of NaN spoils the gradient of, for each batch of targets."""
    # The gradient of a row is NaN whenever it is multiplied by such a kernel, masked or not.
    module.tail[-1].up[...] = jnp.full_like(module.tail[-1].up[...], jnp.nan)
    slope = jax.jit(jax.grad(module.loss))
    return [int(jnp.isnan(slope(inputs("plain")[0], targets)).any(-1).sum()) for targets in batches]


def test_cluster_that_no_target_is_in_is_left_out() -> None:
    elsewhere = jnp.arange(23) % 11
    assert spoilt_rows(ported("plain"), elsewhere, elsewhere.at[4].set(11)) == [0, 23]


@pytest.mark.parametrize(("chunk_size", "spoilt"), [(1, 3), (5, 5)])
def test_chunks_are_of_rows_of_the_same_cluster(chunk_size: int, spoilt: int) -> None:
    targets = (jnp.arange(23) % 11).at[jnp.array([2, 9, 20])].set(jnp.array([11, 22, 15]))
    (rows,) = spoilt_rows(ported("plain", chunk_size=chunk_size), targets)
    assert 3 <= rows <= spoilt  # the three, wherever in the batch they are, and those of other clusters in their chunk


def test_logits_of_one_chunk_are_in_memory() -> None:
    options = {"chunk_size": 64, "kernel_init": zeros, "rngs": nnx.Rngs(0)}
    module = AdaptiveLogSoftmaxWithLoss(32, 20_000, [100, 1000], **options)
    arrays = jnp.zeros((4096, 32), "float32"), jnp.zeros(4096, "int32")
    program = compiled(jax.value_and_grad(AdaptiveLogSoftmaxWithLoss.loss, (0, 1)), module, *arrays)
    assert temporaries(program) < 4 * 4096 * 19_000 / 10  # of the logits of all rows in the largest cluster


def test_predict_leaves_out_clusters_that_cannot_hold_the_class() -> None:
    module, (hidden, _) = ported("bias"), inputs("bias")
    module.bias[...] = module.bias[...].at[-1].set(-100)
    wanted = jnp.argmax(module.log_prob(hidden), -1)
    module.tail[2].up[...] = jnp.full_like(module.tail[2].up[...], jnp.nan)
    chex.assert_trees_all_equal(module.predict(hidden), wanted)
    module.bias[...] = jnp.zeros_like(module.bias[...]).at[1].set(100)  # and of the only class of a cluster
    chex.assert_trees_all_equal(module.predict(hidden), jnp.ones(19, int))


@pytest.mark.parametrize("chunk_size", variants([None, 4], lambda size: size == 4))
def test_class_that_is_ruled_out_is_finite_elsewhere(chunk_size: int | None) -> None:
    module = ported("bias", chunk_size=chunk_size)
    hidden, _ = inputs("bias")
    module.bias[...] = module.bias[...].at[3].set(-jnp.inf)  # the last cluster
    targets = jnp.arange(19) % 7
    assert jnp.isfinite(module.loss(hidden, targets))
    slopes = gradients(module, hidden, lambda module, hidden: module.loss(hidden, targets))
    assert all(np.isfinite(slope).all() for slope in slopes.values())
    chex.assert_trees_all_equal(module.log_prob(hidden)[:, 7:], jnp.full((19, 12), -jnp.inf))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), variants([("bfloat16", 1e-2), ("float16", 2e-3)], lambda dtype, _: dtype == "bfloat16")
)
def test_low_precision_gives_float32_losses(dtype: str, tolerance: float) -> None:
    module = ported("plain", dtype)
    hidden, targets = inputs("plain", dtype)
    output, loss = jax.jit(module)(hidden, targets)
    chex.assert_type([output, loss, jax.eval_shape(module.log_prob, hidden)], "float32")
    # What differs is the rounding of a cluster's features.
    wanted = of_fixture("plain")["output"]
    chex.assert_trees_all_close(np.float64(output), wanted, rtol=tolerance, atol=10 * tolerance)
    slopes = gradients(module, hidden, lambda module, hidden: module.loss(hidden, targets))
    assert {str(slope.dtype) for slope in slopes.values()} == {dtype}


@pytest.mark.parametrize("param_dtype", ["bfloat16", "float32"])
def test_gradients_of_chunks_are_added_up_in_float32(param_dtype: str) -> None:
    # In bfloat16 a sum of equal terms stops growing at 256 of them.
    module = ported("plain", "bfloat16", param_dtype, chunk_size=1)
    hidden, targets = inputs("plain", "bfloat16")
    many, labels = jnp.repeat(hidden[:1], 700, 0), jnp.repeat(targets[:1], 700)
    one = gradients(module, hidden[0], lambda module, hidden: module.loss(hidden, targets[0]))
    mean = gradients(module, many, lambda module, hidden: module.loss(hidden, labels, reduction="sum") / 700)
    for key in parameters(module):
        chex.assert_trees_all_close(np.float32(mean[key]), np.float32(one[key]), rtol=2e-2, atol=1e-6)


def test_call_loss_and_parts_agree() -> None:
    module, (hidden, targets) = ported("bias", chunk_size=8), inputs("bias")
    keywords = {"where": jnp.arange(19) % 4 > 0, "sample_weight": jnp.arange(19.0)}

    @partial(jax.jit, static_argnums=0)
    def both(reduction):
        options = keywords | {"reduction": reduction}
        return module(hidden, targets, **options), module.loss(hidden, targets, **options)

    @jax.jit
    def halves():
        part = jaxloss.parts(module.loss)
        first, second = (
            part(hidden[rows], targets[rows], **{name: array[rows] for name, array in keywords.items()})
            for rows in (slice(0, 6), slice(6, 19))
        )
        return (first + second).value

    for reduction in ("none", "mean", "sum"):
        (output, loss), alone = both(reduction)
        wanted = jaxloss.reduce(-output, reduction, **keywords)
        chex.assert_trees_all_close((loss, alone), (wanted, wanted), rtol=1e-12)
    chex.assert_trees_all_close(halves(), both("mean")[1], rtol=1e-12)
    with pytest.raises(ValueError, match=r"use `jaxloss.parts\(module.loss\)`"):
        jaxloss.parts(module)(hidden, targets)


def sharded(kind: AxisType, spec: PartitionSpec) -> tuple[Any, jax.Array, jax.Array]:
    mesh = jax.make_mesh((4,), ("data",), axis_types=(kind,))
    hidden, targets = (array[:16] for array in inputs("plain"))
    return mesh, *(jax.device_put(array, NamedSharding(mesh, spec)) for array in (hidden, targets))


@pytest.mark.parametrize("kind", variants([AxisType.Auto, AxisType.Explicit], lambda kind: kind == AxisType.Auto))
def test_batch_split_over_devices(kind: AxisType) -> None:
    mesh, hidden, targets = sharded(kind, PartitionSpec("data"))
    module = ported("plain", chunk_size=4)
    wanted = jax.jit(jax.value_and_grad(module.loss))(*(jnp.asarray(np.asarray(array)) for array in (hidden, targets)))
    with jax.set_mesh(mesh):
        found = jax.jit(jax.value_and_grad(module.loss))(hidden, targets)
        classes = jax.jit(module.predict)(hidden)
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(wanted), rtol=1e-11, atol=1e-13)
    chex.assert_trees_all_equal(np.asarray(classes), of_fixture("plain")["predict"][:16])


def test_each_device_of_shard_map_sorts_its_own_rows() -> None:
    mesh, hidden, targets = sharded(AxisType.Auto, PartitionSpec("data"))
    module = ported("plain", chunk_size=2)

    def mean(hidden, targets):
        return jax.lax.psum(jaxloss.parts(module.loss)(hidden, targets), "data").value

    data = PartitionSpec("data")
    split = jax.shard_map(mean, mesh=mesh, in_specs=(data, data), out_specs=PartitionSpec())
    program = compiled(jax.value_and_grad(split), hidden, targets)
    assert "all-gather" not in program.as_text()
    wanted = jax.jit(jax.value_and_grad(module.loss))(*(jnp.asarray(np.asarray(array)) for array in (hidden, targets)))
    chex.assert_trees_all_close(jax.device_get(program(hidden, targets)), jax.device_get(wanted), rtol=1e-11)


def test_module_holds_parameters_in_flax_layout() -> None:
    module = AdaptiveLogSoftmaxWithLoss(16, 100, [10, 40], head_bias=True, param_dtype="bfloat16", rngs=nnx.Rngs(0))
    leaves = jax.tree.leaves(module, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
    assert {type(leaf) for leaf in leaves} == {nnx.Param}
    assert {key: parameter.shape for key, parameter in parameters(module).items()} == {
        "head.weight": (16, 12),
        "head.bias": (12,),
        "tail.0.0.weight": (16, 4),
        "tail.0.1.weight": (4, 30),
        "tail.1.0.weight": (16, 1),
        "tail.1.1.weight": (1, 60),
    }
    assert {str(parameter.dtype) for parameter in parameters(module).values()} == {"bfloat16"}
    assert (module.in_features, module.n_classes, module.cutoffs) == (16, 100, (10, 40))
    # Parameters of one shape differ: each has a key of its own.
    twins = AdaptiveLogSoftmaxWithLoss(8, 30, [10, 20], div_value=1.0, rngs=nnx.Rngs(0))
    assert not np.array_equal(twins.tail[0].down[...], twins.tail[1].down[...])


MISTAKES = {
    "no_cutoffs": ({"cutoffs": []}, r"`cutoffs` is \[\], but must be one or more increasing numbers between 1 and "),
    "cutoff_of_zero": ({"cutoffs": [0, 10]}, r"`cutoffs` is \[0, 10\]"),
    "equal_cutoffs": ({"cutoffs": [10, 10]}, r"`cutoffs` is \[10, 10\]"),
    "last_cutoff": ({"cutoffs": [10, 100]}, r"`n_classes` - 1, 99"),
    "no_features_left": ({"div_value": 5.0}, r"`div_value` is 5.0, which leaves the clusters \[3, 0\] of 16 features"),
    "div_value_of_zero": ({"div_value": 0.0}, r"`div_value` is 0.0, which leaves the clusters \[0, 0\]"),
    "chunk_size_of_zero": ({"chunk_size": 0}, "`chunk_size` is 0, but must be at least 1, or None"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_wrong_option_is_named(name: str) -> None:
    wrong, message = MISTAKES[name]
    options = {"in_features": 16, "n_classes": 100, "cutoffs": [10, 40]} | wrong
    with pytest.raises(ValueError, match=message):
        AdaptiveLogSoftmaxWithLoss(**options, rngs=nnx.Rngs(0))


def test_cutoff_that_is_no_integer_is_refused(untyped: None) -> None:
    with pytest.raises(TypeError, match="integer"):
        AdaptiveLogSoftmaxWithLoss(16, 100, [10.0, 40], rngs=nnx.Rngs(0))


def test_wrong_arrays_are_named(untyped: None) -> None:
    module, (hidden, targets) = ported("plain"), inputs("plain")
    with pytest.raises(ValueError, match=r"`hidden` has shape \(23, 15\), but its last axis must be `in_features`, 16"):
        module(hidden[:, 1:], targets)
    with pytest.raises(ValueError, match=r"`targets` has shape \(23, 1\), but `hidden` \(23, 16\) without"):
        module(hidden, targets[:, None])
    with pytest.raises(ValueError, match=r"`where` has shape \(22,\)"):
        module(hidden, targets, where=jnp.ones(22, bool))
    with pytest.raises(ValueError, match="`reduction` is 'avg'"):
        module(hidden, targets, reduction="avg")
    with pytest.raises(TypeError, match="`targets` has dtype float64"):
        module(hidden, targets.astype("float64"))
    for call in (module.log_prob, module.predict):
        with pytest.raises(TypeError, match="`hidden` has dtype int64"):
            call(hidden.astype(int))
