"""Softmax losses of cosines with margins: what the margins do, the ends of the angles, memory, and split classes."""

import math
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, promises_memory, temporaries
from jax.sharding import AxisType, PartitionSpec

import jaxloss

RNG = np.random.default_rng(0)
EMBEDDINGS, KERNEL = jnp.asarray(RNG.normal(size=(6, 4))), jnp.asarray(RNG.normal(size=(4, 8)))
TARGETS = jnp.array([0, 7, 3, 3, -100, 5])
close = partial(chex.assert_trees_all_close, rtol=1e-12, atol=1e-13)
LOSSES = [jaxloss.arcface_loss, jaxloss.cosface_loss, jaxloss.margin_softmax_loss, jaxloss.adaface_loss]
OF_EACH_PROGRAM = [jaxloss.arcface_loss, jaxloss.adaface_loss]


def cosines(embeddings: Any, kernel: Any) -> Any:
    unit = kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True)
    return (embeddings / jnp.linalg.norm(embeddings, axis=-1, keepdims=True)) @ unit


def at_angles(loss: Any, angles: Any, dtype: Any = float, **options: Any) -> Any:
    """The losses of embeddings at these angles to their class; another class is at a right angle to all of them."""
    angles = jnp.asarray(angles, dtype)
    embeddings = jnp.stack([jnp.cos(angles), jnp.sin(angles), jnp.zeros_like(angles)], -1)
    kernel, targets = jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], dtype), jnp.zeros(angles.shape, int)
    return loss(embeddings, kernel, targets, reduction="none", **options)


@pytest.mark.parametrize(
    "loss",
    [
        partial(jaxloss.arcface_loss, margin=0.0),
        partial(jaxloss.cosface_loss, margin=0.0),
        jaxloss.margin_softmax_loss,
    ],
    ids=["arcface", "cosface", "margin_softmax"],
)
def test_without_a_margin_it_is_the_cross_entropy_of_cosines(loss: Any) -> None:
    """The Hessian too: the losses have a derivative of their own, which knows that lengths do not matter."""

    def wanted(embeddings: Any, kernel: Any) -> Any:
        return jaxloss.cross_entropy(4 * cosines(embeddings, kernel), TARGETS)

    def found(embeddings: Any, kernel: Any) -> Any:
        return loss(embeddings, kernel, TARGETS, scale=4.0)

    for derivative in (partial(jax.value_and_grad, argnums=(0, 1)), partial(jax.hessian, argnums=(0, 1))):
        close(*(jax.jit(derivative(each))(EMBEDDINGS, KERNEL) for each in (found, wanted)))


def test_the_third_derivative_of_the_cosines() -> None:
    def third(loss: Any) -> Any:
        def along(step: Any) -> Any:
            return loss(EMBEDDINGS + step * jnp.cos(EMBEDDINGS), KERNEL + step * jnp.sin(KERNEL))

        return jax.jit(jax.grad(jax.grad(jax.grad(along))))(0.25)

    found = third(lambda e, k: jaxloss.cosface_loss(e, k, TARGETS, scale=4.0, margin=0.0))
    close(found, third(lambda e, k: jaxloss.cross_entropy(4 * cosines(e, k), TARGETS)))


def test_margin_softmax_has_arcface_and_cosface_within() -> None:
    call = partial(jaxloss.margin_softmax_loss, EMBEDDINGS, KERNEL, TARGETS)
    close(call(angular_margin=0.5), jaxloss.arcface_loss(EMBEDDINGS, KERNEL, TARGETS))
    close(call(additive_margin=0.35), jaxloss.cosface_loss(EMBEDDINGS, KERNEL, TARGETS))
    # A multiplier of 1 that is known late is 1 too.
    options = {"angular_margin": 2.5, "additive_margin": 0.125}
    close(jax.jit(partial(call, **options))(multiplier=jnp.ones(6)), call(**options))


def test_margins_of_each_example() -> None:
    margins = np.array([0.0, 0.25, 0.5, 1.0, np.nan, np.pi])
    for loss, name in (
        (jaxloss.arcface_loss, "margin"),
        (jaxloss.cosface_loss, "margin"),
        (jaxloss.margin_softmax_loss, "additive_margin"),
    ):
        together = loss(EMBEDDINGS, KERNEL, TARGETS, reduction="none", **{name: margins})
        alone = [
            loss(EMBEDDINGS[i], KERNEL, TARGETS[i], **{name: float(margins[i])}) if i != 4 else 0.0 for i in range(6)
        ]
        close(together, jnp.stack(alone))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("margin", [{"angular_margin": 0.5}, {"multiplier": 3.0}], ids=["arcface", "sphereface"])
def test_value_and_gradient_are_finite_where_an_embedding_is_parallel_to_its_class(margin: Any, dtype: str) -> None:
    """There the sine has an infinite slope, and so has the arc cosine. The losses' slope is that of the other classes.

    The numbers are no powers of 2, so that rounding takes some cosines past 1.
    """
    kernel = jnp.asarray(RNG.normal(size=(5, 64)), dtype)
    targets = jnp.arange(64)
    for sign in (3.0, -0.7):
        call = partial(jaxloss.margin_softmax_loss, targets=targets, scale=4.0, reduction="none", **margin)
        embeddings = sign * kernel.T
        losses, pull = jax.vjp(call, embeddings, kernel)
        slopes = pull(jnp.ones_like(losses))
        chex.assert_tree_all_finite((losses, slopes))
        assert np.max(np.abs(slopes[0])) < 200
        angle = margin.get("multiplier", 1.0) * (0.0 if sign > 0 else math.pi) + margin.get("angular_margin", 0.0)
        ends = {(3.0, 0): math.cos(angle), (-0.7, 0): -1 - 0.5 * math.sin(0.5), (3.0, 1): 1.0, (-0.7, 1): -5.0}
        logits = 4 * cosines(embeddings, kernel).at[targets, targets].set(ends[sign, int("multiplier" in margin)])
        wanted = jaxloss.cross_entropy(logits, targets, reduction="none")
        # Near an angle of 0 the sine is the root of a rounding error.
        chex.assert_trees_all_close(losses, wanted, rtol=1e-2 if dtype == "float32" else 1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_vector_of_zeros_has_cosine_0_and_gradient_0(loss: Any) -> None:
    embeddings, kernel = EMBEDDINGS.at[1].set(0.0), KERNEL.at[:, 3].set(0.0)
    slopes = jax.grad(loss, (0, 1))(embeddings, kernel, TARGETS)
    chex.assert_tree_all_finite(slopes)
    assert not np.any(slopes[0][1])
    assert not np.any(slopes[1][:, 3])
    call = partial(jaxloss.cosface_loss, margin=0.0, reduction="none")
    close(call(embeddings, kernel, TARGETS)[1], np.log(8.0))


@pytest.mark.parametrize("loss", LOSSES[:3])
def test_the_length_of_a_vector_does_not_matter(loss: Any) -> None:
    """So the gradient is orthogonal to the vector. Lengths of float32 span its range."""
    loss = partial(loss, scale=4.0)
    sizes = jnp.array([1e-36, 1e-20, 1.0, 3.0, 1e20, 1e32], jnp.float32)[:, None]
    widths = jnp.array([1e-36, 1e-28, 1e-13, 1.0, 3.0, 1e13, 1e20, 1e32], jnp.float32)[None]
    embeddings, kernel = EMBEDDINGS.astype(jnp.float32), KERNEL.astype(jnp.float32)
    gradient = jax.jit(jax.value_and_grad(lambda e, k: loss(e, k, TARGETS), (0, 1)))
    value, slopes = gradient(embeddings, kernel)
    approximately = partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-6)
    for length, width in ((sizes, jnp.ones_like(widths)), (jnp.ones_like(sizes), widths)):
        scaled, found = gradient(embeddings * length, kernel * width)
        approximately((scaled, found[0] * length, found[1] * width), (value, *slopes))
    approximately(jnp.sum(slopes[0] * embeddings, 1), jnp.zeros(6, jnp.float32))
    approximately(jnp.sum(slopes[1] * kernel, 0), jnp.zeros(8, jnp.float32))


@pytest.mark.parametrize(
    "options", [{"multiplier": 4.0}, {"multiplier": 2.5, "angular_margin": 0.5}, {"angular_margin": 1.0}], ids=str
)
def test_the_loss_rises_with_the_angle(options: Any) -> None:
    losses = at_angles(jaxloss.margin_softmax_loss, np.linspace(0, np.pi, 200), scale=4.0, **options)
    assert np.all(np.diff(losses) > -1e-9)


def test_an_easy_margin_is_for_cosines_above_0() -> None:
    angles = np.array([0.5, 1.0, 2.0, 3.0])
    easy, hard, none = (
        at_angles(jaxloss.arcface_loss, angles, scale=4.0, **options)
        for options in ({"easy_margin": True}, {}, {"margin": 0.0})
    )
    close(easy, jnp.concatenate([hard[:2], none[2:]]))


def test_adaface_takes_its_margins_from_the_lengths() -> None:
    """Of short embeddings, whose angle becomes larger, and without its limits."""
    options = {"mean": 4.0, "std": 2.0, "h": 0.5, "margin": 0.25}
    z = (jnp.linalg.norm(EMBEDDINGS, axis=1) - 4) / 2.001 * 0.5
    assert np.all((z > -1) & (z < 0))

    def wanted(embeddings: Any, kernel: Any) -> Any:
        margins = {"angular_margin": -0.25 * z, "additive_margin": 0.25 + 0.25 * z}
        return jaxloss.margin_softmax_loss(embeddings, kernel, TARGETS, **margins)

    def found(embeddings: Any, kernel: Any) -> Any:
        return jaxloss.adaface_loss(embeddings, kernel, TARGETS, **options)

    # The gradient too: that of the length is left out.
    close(*(jax.value_and_grad(each, (0, 1))(EMBEDDINGS, KERNEL) for each in (found, wanted)))


def test_adaface_keeps_its_distance_from_the_ends_of_the_angles() -> None:
    """The cosines stay within 0.999, so that embeddings at an angle of 0 and pi have no slope, and finite values."""
    call = partial(at_angles, partial(jaxloss.adaface_loss, scale=1.0, mean=1.0, std=1.0))
    losses, slopes = jax.vmap(jax.value_and_grad(call))(jnp.array([0.0, np.pi]))
    logits = jnp.array([[0.999 - 0.4, 0.0], [-0.999 - 0.4, 0.0]])
    close(losses, jaxloss.cross_entropy(logits, jnp.zeros(2, int), reduction="none"))
    close(slopes, jnp.zeros(2))


def test_a_label_out_of_range_is_nan_in_its_example_alone() -> None:
    targets = jnp.array([0, 8, 3, -1, -100, 5])
    for loss in OF_EACH_PROGRAM:
        losses, pull = jax.vjp(lambda e, loss=loss: loss(e, KERNEL, targets, reduction="none"), EMBEDDINGS)
        bad = [False, True, False, True, False, False]
        assert np.isnan(losses).tolist() == bad
        assert np.isnan(pull(losses)[0]).all(1).tolist() == bad


@pytest.mark.parametrize("loss", OF_EACH_PROGRAM)
def test_classes_of_all_devices(loss: Any) -> None:
    """Each device holds two classes, and chunks two examples."""
    mesh = jax.make_mesh((4,), ("model",), axis_types=(AxisType.Auto,))
    whole, columns = PartitionSpec(), PartitionSpec(None, "model")

    def split(embeddings: Any, kernel: Any, scale: Any) -> Any:
        def local(*arrays: Any) -> Any:
            *arrays, scale = arrays
            return loss(*arrays, TARGETS, scale=scale, chunk_size=2, axis_name="model")

        return jax.shard_map(local, mesh=mesh, in_specs=(whole, columns, whole), out_specs=whole)(
            embeddings, kernel, scale
        )

    arrays = EMBEDDINGS, KERNEL, jnp.asarray(4.0)
    wanted = jax.value_and_grad(lambda e, k, s: loss(e, k, TARGETS, scale=s), (0, 1, 2))(*arrays)
    close(jax.jit(jax.value_and_grad(split, (0, 1, 2)))(*arrays), wanted)


def test_types_of_arrays_say_how_classes_are_split() -> None:
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    loss = jax.value_and_grad(partial(jaxloss.arcface_loss, chunk_size=2), (0, 1))
    wanted = loss(EMBEDDINGS, KERNEL, TARGETS)
    with jax.set_mesh(mesh):
        specs = PartitionSpec("data"), PartitionSpec(None, "model"), PartitionSpec("data")
        arrays = [jax.reshard(*pair) for pair in zip((EMBEDDINGS, KERNEL, TARGETS), specs, strict=True)]
        found = jax.jit(loss)(*arrays)
    close(jax.device_get(found), jax.device_get(wanted))


@promises_memory
def test_no_normalised_class_vectors_are_stored() -> None:
    """ArcFace takes the memory of the linear cross-entropy and a few numbers for each class."""
    classes, width = 20_000, 64
    embeddings, kernel = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((16, width), (width, classes)))
    targets = jax.ShapeDtypeStruct((16,), jnp.int32)
    arcface, linear = (
        temporaries(compiled(jax.value_and_grad(loss, (0, 1)), embeddings, kernel, targets))
        for loss in (jaxloss.arcface_loss, jaxloss.linear_cross_entropy)
    )
    assert arcface < linear + 4 * 4 * classes + 2**16


def test_proxy_anchor_counts_classes_and_drops_ignored_examples() -> None:
    kept = np.array([1, 1, 1, 1, 0, 1], bool)
    call = partial(jaxloss.proxy_anchor_loss, kernel=KERNEL, alpha=4.0)
    close(call(EMBEDDINGS, targets=TARGETS), call(EMBEDDINGS[kept], targets=TARGETS[kept]))
    # Classes 0, 3, 5 and 7 have an example. Without class 3 its examples still repel the others.
    where = np.arange(8) != 3
    whole, masked = (call(EMBEDDINGS, targets=TARGETS, reduction="none", where=each) for each in (None, where))
    close(masked[jnp.array([1, 2, 4, 6])], whole[jnp.array([1, 2, 4, 6])])
    attraction = jnp.log1p(jnp.exp(-4.0 * (cosines(EMBEDDINGS, KERNEL)[0, 0] - 0.1)))
    close(masked[0] - whole[0], (7 / 3 - 8 / 4) * attraction)
    assert np.isnan(call(EMBEDDINGS, targets=TARGETS.at[0].set(8), reduction="none")).all()
