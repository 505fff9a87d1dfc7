"""Cross-entropy with its classes split over devices is the one on a single device, in every option and derivative."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, PartitionSpec
from variants import variants

import jaxloss

MESHES = [(8, 1), (4, 2), (2, 4), (1, 8)]
EXAMPLES, CLASSES = 8, 16
ROWS, BOTH, COLUMNS, WHOLE = (
    PartitionSpec("data"),
    PartitionSpec("data", "model"),
    PartitionSpec("model"),
    PartitionSpec(),
)
COLUMNS_ONLY = PartitionSpec(None, "model")
CLOSE = {"rtol": 1e-10, "atol": 1e-12}

Tree = dict[str, Any]


def mesh_of(shape: tuple[int, int]) -> Mesh:
    return jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng([seed, *shape]).normal(size=shape))


def labels() -> jax.Array:
    """Classes of the first device and of the last, and one that is ignored."""
    numbers = np.random.default_rng(1).integers(0, CLASSES, EXAMPLES)
    numbers[:3] = 0, CLASSES - 1, -100
    return jnp.asarray(numbers)


LOGITS = {"logits": random(EXAMPLES, CLASSES) * 3}
CLASS_WEIGHT = 0.5 + jnp.arange(float(CLASSES)) % 5
KEPT = jnp.arange(EXAMPLES) % 3 != 0
HOW_MUCH = 1 + jnp.arange(float(EXAMPLES)) / 4
OPTIONS: dict[str, Tree] = {
    "plain": {},
    "mask": {"where": KEPT, "sample_weight": HOW_MUCH},
    "smoothing": {"label_smoothing": jnp.asarray(0.25)},
    "all": {
        "weight": CLASS_WEIGHT,
        "label_smoothing": jnp.asarray(0.25),
        "z_loss": jnp.asarray(0.5),
        "where": KEPT,
        "sample_weight": HOW_MUCH,
    },
}
SPECS = {"logits": BOTH, "weight": COLUMNS, "prior": COLUMNS, "where": ROWS, "sample_weight": ROWS}


def targets_of(kind: str) -> Tree:
    return {"targets": labels() if kind == "labels" else jax.nn.softmax(random(EXAMPLES, CLASSES, seed=2))}


def tried(options: Tree) -> list[Any]:
    """All options together on every mesh, and each set on one."""
    rows = [(name, shape) for name in options for shape in MESHES if name == "all" or shape == (2, 4)]
    return variants(rows, lambda name, shape: name == "all" and shape == (2, 4))


def everything(function: Any, arguments: Tree) -> Tree:
    """A function's value, gradient, forward derivative, and Hessian times a vector: one program."""
    tangents = jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), arguments)
    value, gradient = jax.value_and_grad(function)(arguments)
    return {
        "value": value,
        "gradient": gradient,
        "jvp": jax.jvp(function, (arguments,), (tangents,))[1],
        "second": jax.jvp(jax.grad(function), (arguments,), (tangents,))[1],
    }


def compared(loss: Any, arguments: Tree, fixed: Tree, specs: Tree, mesh: Mesh) -> None:
    """The loss of a mesh and of a single device; `fixed` has no derivative. Derivatives inside and outside too."""
    of = {name: specs.get(name, WHOLE) for name in arguments}, {name: specs.get(name, WHOLE) for name in fixed}

    def mean(axis_name: str | None, arguments: Tree, fixed: Tree) -> Any:
        return jaxloss.parts(loss)(**arguments, **fixed, axis_name=axis_name)

    def here(arguments: Tree, fixed: Tree) -> Any:
        return jax.lax.psum(mean("model", arguments, fixed), "data").value

    spread = partial(jax.shard_map, mesh=mesh, in_specs=of)
    outside = spread(here, out_specs=WHOLE)
    inside = spread(jax.grad(here), out_specs=of[0])
    found, slope = jax.jit(
        lambda arguments, fixed: (everything(lambda each: outside(each, fixed), arguments), inside(arguments, fixed))
    )(arguments, fixed)
    wanted = jax.jit(
        lambda arguments, fixed: everything(lambda each: mean(None, each, fixed).value, arguments),
    )(arguments, fixed)
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(wanted), **CLOSE)
    chex.assert_trees_all_close(jax.device_get(slope), jax.device_get(wanted["gradient"]), **CLOSE)


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize(("options", "shape"), tried(OPTIONS), ids=str)
def test_cross_entropy(options: str, kind: str, shape: tuple[int, int]) -> None:
    given = OPTIONS[options]
    fixed = {name: value for name, value in given.items() if name == "where"}
    arguments = LOGITS | {name: value for name, value in given.items() if name != "where"}
    target = targets_of(kind)
    specs = SPECS | {"targets": ROWS if kind == "labels" else BOTH}
    (fixed if kind == "labels" else arguments).update(target)
    compared(jaxloss.cross_entropy, arguments, fixed, specs, mesh_of(shape))


def test_logit_adjusted_cross_entropy() -> None:
    arguments = LOGITS | {name: OPTIONS["all"][name] for name in ("weight", "sample_weight")} | {"prior": CLASS_WEIGHT}
    fixed = {"where": KEPT} | targets_of("labels")
    compared(jaxloss.logit_adjusted_cross_entropy, arguments, fixed, SPECS | {"targets": ROWS}, mesh_of((2, 4)))


WIDTH = 4
HEAD_SPECS = SPECS | {"kernel": PartitionSpec(None, "model"), "hidden": ROWS, "bias": COLUMNS}
HEAD_OPTIONS: dict[str, Tree] = {
    "plain": {},
    "bias": {"bias": random(CLASSES), "where": KEPT},
    "all": OPTIONS["all"] | {"bias": random(CLASSES), "logit_softcap": jnp.asarray(3.0)},
}


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize(("options", "shape"), tried(HEAD_OPTIONS), ids=str)
def test_linear_cross_entropy(options: str, kind: str, shape: tuple[int, int]) -> None:
    given = HEAD_OPTIONS[options]
    fixed = {name: value for name, value in given.items() if name == "where"}
    arguments = {"hidden": random(EXAMPLES, WIDTH), "kernel": random(WIDTH, CLASSES)}
    arguments |= {name: value for name, value in given.items() if name != "where"}
    specs = HEAD_SPECS | {"targets": ROWS if kind == "labels" else BOTH}
    (fixed if kind == "labels" else arguments).update(targets_of(kind))
    # One chunk on the meshes on which a device has one token, else several, of which some do not fill the last.
    compared(partial(jaxloss.linear_cross_entropy, chunk_size=3), arguments, fixed, specs, mesh_of(shape))


def on_devices(function: Any, *specs: PartitionSpec, out: Any, shape: tuple[int, int] = (2, 4)) -> Any:
    return jax.jit(jax.shard_map(function, mesh=mesh_of(shape), in_specs=specs, out_specs=out))


def test_heads_and_stats_and_unreduced_losses() -> None:
    hidden, kernel = random(EXAMPLES, WIDTH), random(WIDTH, 3, CLASSES)
    numbers = jnp.asarray(np.random.default_rng(3).integers(-1, CLASSES, (EXAMPLES, 3)))
    cotangent = random(EXAMPLES, 3)

    def run(hidden: Any, kernel: Any, numbers: Any, cotangent: Any, axis_name: str | None = None) -> Any:
        def total(hidden: Any, kernel: Any) -> Any:
            losses, stats = jaxloss.linear_cross_entropy_with_stats(
                hidden, kernel, numbers, ignore_index=-1, chunk_size=3, reduction="none", axis_name=axis_name
            )
            return jnp.sum(losses * cotangent), (losses, stats)

        gradient, found = jax.grad(total, (0, 1), has_aux=True)(hidden, kernel)
        loss, stats = jaxloss.linear_cross_entropy_with_stats(
            hidden, kernel, numbers, ignore_index=-1, chunk_size=3, reduction="sum", axis_name=axis_name
        )
        if axis_name is not None:
            loss = jax.lax.psum(loss, "data")
        return gradient, found, loss, stats

    heads = PartitionSpec(None, None, "model")
    out = (ROWS, heads), (ROWS, ROWS), WHOLE, ROWS
    sharded = on_devices(partial(run, axis_name="model"), ROWS, heads, ROWS, ROWS, out=out)
    found = sharded(hidden, kernel, numbers, cotangent)
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(run(hidden, kernel, numbers, cotangent)), **CLOSE)


@pytest.mark.parametrize("classes", [16, 8 * 40000], ids=["few", "in pieces"])
def test_other_class_axes_and_labels_out_of_range(classes: int) -> None:
    logits, numbers = random(classes, 4), jnp.array([0, classes, -1, classes - 1])

    def run(logits: Any, numbers: Any, axis: int, axis_name: Any = None) -> Any:
        loss = partial(jaxloss.cross_entropy, axis=axis, axis_name=axis_name, reduction="none")
        return loss(logits, numbers), jax.grad(lambda x: loss(x, numbers).sum())(logits)

    for axis, array, spec in (
        (0, logits, PartitionSpec(("data", "model"))),
        (-1, logits.T, PartitionSpec(None, ("data", "model"))),
    ):
        found = on_devices(partial(run, axis=axis, axis_name=("data", "model")), spec, WHOLE, out=(WHOLE, spec))(
            array, numbers
        )
        wanted = run(array, numbers, axis)
        assert np.isnan(np.asarray(wanted[0])[1:3]).all()
        assert np.isnan(np.asarray(wanted[1])).sum() == 2 * classes
        chex.assert_trees_all_close(jax.device_get(found), jax.device_get(wanted), **CLOSE)


def test_low_precision() -> None:
    logits, numbers = (random(EXAMPLES, CLASSES) * 3).astype("bfloat16"), labels()
    run = jax.value_and_grad(partial(jaxloss.cross_entropy, axis_name="model"))
    value, gradient = on_devices(run, COLUMNS_ONLY, WHOLE, out=(WHOLE, COLUMNS_ONLY))(logits, numbers)
    wanted = jax.value_and_grad(jaxloss.cross_entropy)(logits, numbers)
    assert value.dtype == jnp.float32
    chex.assert_trees_all_close(value, wanted[0], rtol=1e-6)
    chex.assert_trees_all_close(*(each.astype(float) for each in (gradient, wanted[1])), rtol=2**-8)  # a bfloat16's


def test_padded_classes_have_no_share() -> None:
    hidden, kernel, numbers = random(EXAMPLES, WIDTH), random(WIDTH, 13), jnp.arange(EXAMPLES) + 5
    padded, bias = jnp.pad(kernel, ((0, 0), (0, 3))), jnp.where(jnp.arange(16) < 13, 0.0, -jnp.inf)

    def run(hidden: Any, kernel: Any, bias: Any, axis_name: str | None = None) -> Any:
        loss = partial(jaxloss.linear_cross_entropy, bias=bias, z_loss=0.5, chunk_size=3, axis_name=axis_name)
        return jax.value_and_grad(loss, (0, 1))(hidden, kernel, numbers)

    sharded = on_devices(
        partial(run, axis_name="model"), WHOLE, COLUMNS_ONLY, COLUMNS, out=(WHOLE, (WHOLE, COLUMNS_ONLY))
    )
    value, (of_hidden, of_kernel) = sharded(hidden, padded, bias)
    chex.assert_trees_all_close((value, (of_hidden, of_kernel[:, :13])), run(hidden, kernel, None), **CLOSE)
    assert not np.any(of_kernel[:, 13:])


def test_mistakes() -> None:
    logits, numbers = random(EXAMPLES, CLASSES), labels()
    loss = partial(jaxloss.cross_entropy, axis_name="model")
    with pytest.raises(ValueError, match="`logits` is the same on all devices of the mesh axis 'model'"):
        on_devices(loss, ROWS, ROWS, out=WHOLE)(logits, numbers)
    with pytest.raises(ValueError, match="check_vma=True"):
        jax.shard_map(loss, mesh=mesh_of((2, 4)), in_specs=(COLUMNS_ONLY, WHOLE), out_specs=WHOLE, check_vma=False)(
            logits, numbers
        )
    with pytest.raises(ValueError, match=r"`weight` has shape \(16,\), but there are 4 classes"):
        on_devices(partial(loss, weight=CLASS_WEIGHT), COLUMNS_ONLY, WHOLE, out=WHOLE)(logits, numbers)
    with pytest.raises(NameError, match="model"):
        loss(logits, numbers)
    linear = partial(jaxloss.linear_cross_entropy, axis_name="model")
    with pytest.raises(ValueError, match="`kernel` is the same on all devices"):
        on_devices(linear, ROWS, WHOLE, ROWS, out=WHOLE)(random(EXAMPLES, WIDTH), random(WIDTH, CLASSES), numbers)


def test_linear_distillation_loss() -> None:
    """The classes of both kernels are split, and both are differentiated."""
    arguments = {
        "hidden": random(EXAMPLES, WIDTH),
        "kernel": random(WIDTH, CLASSES),
        "teacher_hidden": random(EXAMPLES, 3),
        "teacher_kernel": random(3, CLASSES),
        "teacher_bias": random(CLASSES),
        "sample_weight": HOW_MUCH,
        "temperature": jnp.asarray(2.0),
    }
    specs = HEAD_SPECS | {"teacher_hidden": ROWS, "teacher_kernel": COLUMNS_ONLY, "teacher_bias": COLUMNS}
    loss = partial(jaxloss.linear_distillation_loss, divergence="js", beta=0.25, chunk_size=3)
    compared(loss, arguments, {"where": KEPT}, specs, mesh_of((2, 4)))


@pytest.mark.parametrize("renormalize", variants([False, True], lambda renormalize: not renormalize))
def test_linear_top_k_distillation_loss(renormalize: bool) -> None:
    """The teacher's classes lie on several devices."""
    arguments = {
        "hidden": random(EXAMPLES, WIDTH),
        "kernel": random(WIDTH, CLASSES),
        "teacher_log_probs": -1 - random(EXAMPLES, 3) ** 2,
    }
    classes = jnp.add.outer(jnp.arange(EXAMPLES), jnp.array([0, 5, 11])) % CLASSES
    specs = HEAD_SPECS | {"teacher_classes": ROWS, "teacher_log_probs": ROWS}
    loss = partial(jaxloss.linear_top_k_distillation_loss, renormalize=renormalize, chunk_size=3)
    compared(loss, arguments, {"where": KEPT, "teacher_classes": classes}, specs, mesh_of((2, 4)))
