"""What the devices of a mesh exchange for a loss, and what each of them holds, read from the compiled programs."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from case import Case
from cases import CASES
from compiled import Exchange, compiled, exchanges, promises_memory, temporaries
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxloss

TOKENS, WIDTH, CLASSES, CHUNK = 64, 8, 128, 8
KINDS = [AxisType.Auto, AxisType.Explicit]
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def mesh_of(shape: tuple[int, ...], kind: AxisType = AxisType.Auto) -> jax.sharding.Mesh:
    return jax.make_mesh(shape, ("data", "model", "sequence")[: len(shape)], axis_types=(kind,) * len(shape))


def mean(loss: Any, shape: tuple[int, int], *specs: P) -> Any:
    """The mean over a mesh of a loss whose classes are split over its second axis."""

    def here(*arrays: Any) -> Any:
        return jax.lax.psum(jaxloss.parts(partial(loss, axis_name="model"))(*arrays), "data").value

    return jax.shard_map(here, mesh=mesh_of(shape), in_specs=specs, out_specs=P())


def head(classes: int = CLASSES, tokens: int = TOKENS) -> tuple[jax.Array, ...]:
    return jnp.ones((tokens, WIDTH), "float32"), jnp.ones((WIDTH, classes), "float32"), jnp.zeros(tokens, "int32")


def linear(shape: tuple[int, int], chunk_size: int = CHUNK) -> Any:
    loss = partial(jaxloss.linear_cross_entropy, chunk_size=chunk_size)
    return jax.value_and_grad(mean(loss, shape, P("data"), P(None, "model"), P("data")), (0, 1))


def per_token(found: list[Exchange]) -> list[Exchange]:
    """Without single numbers, such as the total."""
    return [exchange for exchange in found if any(exchange.shapes)]


def test_cross_entropy_exchanges_three_numbers_a_token() -> None:
    run = jax.value_and_grad(mean(jaxloss.cross_entropy, (2, 4), P("data", "model"), P("data")))
    for classes in (CLASSES, 4 * CLASSES):
        found = per_token(exchanges(compiled(run, jnp.ones((TOKENS, classes), "float32"), jnp.zeros(TOKENS, "int32"))))
        assert {exchange.kind for exchange in found} == {"all-reduce"}
        assert sum(exchange.bytes for exchange in found) == 3 * 4 * TOKENS // 2


def test_linear_cross_entropy_exchanges_three_numbers_a_token_and_each_gradient_once() -> None:
    for classes in (CLASSES, 4 * CLASSES):
        found = per_token(exchanges(compiled(linear((2, 4)), *head(classes))))
        assert {exchange.kind for exchange in found} == {"all-reduce"}
        looped = [exchange for exchange in found if exchange.looped]
        assert sum(exchange.bytes for exchange in looped) == 3 * 4 * CHUNK  # of one round of the loop
        once = [shape for exchange in found if not exchange.looped for shape in exchange.shapes]
        assert sorted(once) == sorted([(TOKENS // 2, WIDTH), (WIDTH, classes // 4)])


def test_memory_of_a_device_falls_with_the_devices_along_the_classes() -> None:
    classes = 2**14
    found = [temporaries(compiled(linear((1, devices), 32), *head(classes))) for devices in (1, 2, 4, 8)]
    alone = 4 * classes * (WIDTH + 32)  # the kernel's gradient and a chunk of logits
    per_tokens = 4 * TOKENS * (4 * WIDTH + 8)  # hidden, its gradient, and numbers of each token
    for devices, measured in zip((1, 2, 4, 8), found, strict=True):
        assert alone / devices < measured < 2 * alone / devices + per_tokens
        assert abs(measured - found[0] / devices) < per_tokens


@pytest.mark.parametrize("classes", [P(), P(None, "model")], ids=["whole", "split"])
def test_nothing_is_gathered_on_a_mesh_of_automatic_axes(classes: P) -> None:
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(TOKENS, WIDTH)), rng.normal(size=(WIDTH, CLASSES)), rng.integers(0, CLASSES, TOKENS)
    mesh, specs = mesh_of((2, 4)), (P("data"), classes, P("data"))

    def run(*arrays: Any) -> Any:
        loss = partial(jaxloss.linear_cross_entropy, chunk_size=CHUNK, z_loss=0.25)
        return jax.value_and_grad(loss, (0, 1))(*arrays), loss(*arrays, reduction="none")

    split = [jax.device_put(array, NamedSharding(mesh, spec)) for array, spec in zip(arrays, specs, strict=True)]
    program = compiled(run, *split)
    assert {exchange.kind for exchange in exchanges(program)} == {"all-reduce"}
    wanted = jax.jit(run)(*map(jnp.asarray, arrays))
    chex.assert_trees_all_close(jax.device_get(program(*split)), jax.device_get(wanted), **CLOSE)


@promises_memory
@pytest.mark.parametrize("specs", [(P("data"), P("data")), (P(None, "data"), P())], ids=["rows", "classes"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_holds_nothing_of_its_logits_size(kind: AxisType, specs: tuple[P, P]) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(TOKENS, 4096)).astype("float32"), rng.integers(0, 4096, TOKENS)
    mesh = mesh_of((8,), kind)
    with jax.set_mesh(mesh):
        split = jax.device_put((logits, labels), tuple(NamedSharding(mesh, spec) for spec in specs))
        for run in (jaxloss.cross_entropy, jax.value_and_grad(jaxloss.cross_entropy)):
            program = compiled(run, *split)
            assert temporaries(program) < logits.nbytes / 8 / 4
            assert {exchange.kind for exchange in exchanges(program)} == {"all-reduce"}
            found = jax.device_get(program(*split))
            chex.assert_trees_all_close(found, jax.device_get(jax.jit(run)(logits, labels)), rtol=1e-5, atol=1e-9)


# Plain `jax.jit`, of arrays that say how they are split ------------------------------------------------------------

LAYOUTS = {
    "tokens and classes": (P("data"), P(None, "model"), P("data")),
    "sequences too": (P("data", "sequence"), P(None, "model"), P("data", "sequence")),
    "classes over two axes": (P("data"), P(None, ("model", "sequence")), P()),
    "width": (P("data"), P("sequence", "model"), P("data")),
    "all over one axis": (P("data"), P(None, "data"), P("data")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear_cross_entropy_in_jit(layout: str) -> None:
    rng = np.random.default_rng(0)
    hidden, kernel, labels = rng.normal(size=(4, 8, WIDTH)), rng.normal(size=(WIDTH, 16)), rng.integers(-1, 16, (4, 8))
    tangents = rng.normal(size=hidden.shape), rng.normal(size=kernel.shape)

    def run(hidden: Any, kernel: Any, labels: Any, tangents: Any) -> Any:
        loss = partial(jaxloss.linear_cross_entropy, targets=labels, ignore_index=-1, chunk_size=3, z_loss=0.25)
        found = jax.value_and_grad(loss, (0, 1))(hidden, kernel), loss(hidden, kernel, reduction="none")
        return *found, jax.jvp(loss, (hidden, kernel), tangents)[1]

    mesh = mesh_of((2, 2, 2), AxisType.Explicit)
    with jax.set_mesh(mesh):
        places = [NamedSharding(mesh, spec) for spec in LAYOUTS[layout]]
        arrays = *jax.device_put((hidden, kernel, labels), tuple(places)), jax.device_put(tangents, tuple(places[:2]))
        program = compiled(run, *arrays)
        found = jax.device_get(program(*arrays))
    wanted = jax.jit(run)(*map(jnp.asarray, (hidden, kernel, labels)), jax.tree.map(jnp.asarray, tangents))
    chex.assert_trees_all_close(found, jax.device_get(wanted), **CLOSE)
    gathered = {shape for each in exchanges(program) if each.kind != "all-reduce" for shape in each.shapes}
    # Only the kernel's shares of what is split by the width, or over an axis that has tokens too.
    assert gathered == (
        {(WIDTH, 8)} if layout == "width" else {(WIDTH, 16)} if layout == "all over one axis" else set()
    )


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
def test_heads_and_every_option_in_jit(soft: bool) -> None:
    rng = np.random.default_rng(0)
    heads, classes = 2, 8
    targets = rng.dirichlet(np.ones(classes), (8, heads)) if soft else rng.integers(0, classes, (8, heads))
    arrays = {
        "hidden": (rng.normal(size=(8, WIDTH)), P("data")),
        "kernel": (rng.normal(size=(WIDTH, heads, classes)), P(None, "sequence", "model")),
        "targets": (targets, P("data")),
        "bias": (rng.normal(size=(heads, classes)), P()),
        "weight": (rng.uniform(size=classes), P("model")),
        "where": (rng.uniform(size=(8, heads)) < 0.7, P("data")),
        "sample_weight": (rng.uniform(size=(8, 1)), P("data")),
    }
    options = {"label_smoothing": 0.25, "z_loss": 0.5, "logit_softcap": 3.0, "chunk_size": 3}

    def run(arrays: Any) -> Any:
        fixed = {name: value for name, value in arrays.items() if not jnp.issubdtype(value.dtype, jnp.floating)}
        free = {name: value for name, value in arrays.items() if name not in fixed}
        return jax.value_and_grad(lambda free: jaxloss.linear_cross_entropy(**free, **fixed, **options))(free)

    mesh = mesh_of((2, 2, 2), AxisType.Explicit)
    with jax.set_mesh(mesh):
        placed = {name: jax.device_put(value, NamedSharding(mesh, spec)) for name, (value, spec) in arrays.items()}
        found = jax.jit(run)(placed)
    wanted = jax.jit(run)({name: jnp.asarray(value) for name, (value, _) in arrays.items()})
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(wanted), **CLOSE)


# Every loss on every kind of mesh ----------------------------------------------------------------------------------


def eight(case: Case) -> tuple[np.ndarray, ...]:
    """Inputs with eight examples."""
    shape = case.inputs["batched"].shape
    return case.arrays("batched", shape=(8, *shape[1:]))


# These sort, or make arrays without a sharding, which JAX refuses on a mesh of explicit axes.
ONLY_AUTOMATIC = {
    *("listmle_loss", "lambda_loss", "cosent_loss", "lovasz_hinge_loss", "lovasz_softmax_loss"),
    *("ensemble_crps_loss", "cox_loss", "multivariate_gaussian_nll_loss", "ms_ssim_loss", "supcon_loss"),
    *("batch_triplet_loss", "multi_similarity_loss", "circle_loss"),
}
# Sums over equal durations of all studies are one scatter, which XLA gathers.
GATHERED = {"cox_loss"}


@pytest.mark.parametrize("case", [case for case in CASES if not case.variant], ids=lambda case: case.id)
def test_every_loss_on_a_mesh(case: Case) -> None:
    arrays = eight(case)
    options = case.option_sets(arrays)[-1]
    mesh = mesh_of((8,), AxisType.Auto if case.name in ONLY_AUTOMATIC else AxisType.Explicit)
    places = [NamedSharding(mesh, P() if position in case.shared else P("data")) for position in range(len(arrays))]

    def loss(*arrays: Any) -> Any:
        return case.loss.fn(*arrays, **options)

    run = jax.value_and_grad(loss, case.differentiable)
    with jax.set_mesh(mesh):
        split = [jax.device_put(array, place) for array, place in zip(arrays, places, strict=True)]
        program = jax.jit(run).lower(*split).compile()  # what it exchanges is decided before XLA optimises it
        found = jax.device_get(program(*split))
    chex.assert_trees_all_close(found, jax.device_get(jax.jit(run)(*map(jnp.asarray, arrays))), **CLOSE)
    # The gradient of what all examples share is summed as well, and compared examples are gathered.
    if not case.shared and not case.compares_examples and case.name not in GATHERED:
        # Some also ask whether any device has more to do.
        assert {(each.kind, shape) for each in exchanges(program) for shape in each.shapes} == {("all-reduce", ())}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.id in ("cross_entropy", "ctc_loss", "mse_loss")], ids=lambda case: case.id
)
def test_a_loss_on_a_mesh_of_which_an_axis_is_manual(case: Case) -> None:
    arrays = eight(case)
    places = tuple(P() if position in case.shared else P("data") for position in range(len(arrays)))
    mesh = mesh_of((2, 4), AxisType.Explicit)
    loss = partial(case.loss.fn, reduction="sum")

    def here(*arrays: Any) -> Any:
        return jax.lax.psum(loss(*arrays), "data")

    with jax.set_mesh(mesh):
        split = jax.device_put(arrays, tuple(NamedSharding(mesh, place) for place in places))
        run = jax.shard_map(here, in_specs=places, out_specs=P(), axis_names={"data"})
        found = jax.jit(jax.value_and_grad(run, case.differentiable))(*split)
    wanted = jax.jit(jax.value_and_grad(loss, case.differentiable))(*map(jnp.asarray, arrays))
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(wanted), **CLOSE)
