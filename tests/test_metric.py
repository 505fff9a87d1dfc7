"""Metric learning: mining against all triplets in memory, near examples, anchors without a pair, memory, devices."""

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
from jaxloss._losses import metric_triplets

RNG = np.random.default_rng(0)
# Whole numbers, so that distances tie. Two rows are equal, and one is zero.
EMBEDDINGS = jnp.asarray(RNG.integers(-2, 3, (9, 3)) * 1.0).at[4].set(0.0).at[6].set(1.0).at[7].set(1.0)
TARGETS = np.array([0, 1, 0, 2, 0, 1, 1, 0, 3])
close = partial(chex.assert_trees_all_close, rtol=1e-12, atol=1e-13)
BY_CLASS = {
    "batch_triplet": jaxloss.batch_triplet_loss,
    "multi_similarity": jaxloss.multi_similarity_loss,
    "circle": jaxloss.circle_loss,
}
every_loss = pytest.mark.parametrize("loss", BY_CLASS.values(), ids=BY_CLASS.keys())


def cube(embeddings: Any, mining: str, distance: str, margin: float) -> tuple[Any, Any]:
    """The sums of the losses above 0 and their numbers, for each anchor, from an array of all triplets."""
    if distance == "cosine":
        zero = jnp.all(embeddings == 0, 1, keepdims=True)
        units = jnp.where(
            zero, 0.0, embeddings / jnp.linalg.norm(jnp.where(zero, 1.0, embeddings), axis=1, keepdims=True)
        )
        between = 1 - units @ units.T
    else:
        squares = jnp.sum((embeddings[:, None] - embeddings[None]) ** 2, -1)
        root = jnp.where(squares == 0, 0.0, jnp.sqrt(jnp.where(squares == 0, 1.0, squares)))
        between = squares if distance == "squared" else root
    same = TARGETS[:, None] == TARGETS
    used = (same & ~np.eye(len(same), dtype=bool))[:, :, None] & ~same[:, None]
    gaps = between[:, :, None] - between[:, None]
    if mining == "semihard":
        near = jnp.where(used & (gaps < 0), gaps, -jnp.inf).max(2, keepdims=True)
        best = jnp.where(near > -jnp.inf, near, jnp.where(used, gaps, jnp.inf).min(2, keepdims=True))
        gaps, used = best, used.any(2, keepdims=True)
        return jnp.where(used, jnp.maximum(gaps + margin, 0), 0).sum((1, 2)), used.sum((1, 2)) * 1.0
    losses = jnp.where(used, jnp.maximum(gaps + margin, 0), 0)
    return losses.sum((1, 2)), (losses > 0).sum((1, 2), dtype=float)


@pytest.mark.parametrize(
    ("mining", "distance"),
    [("all", "euclidean"), ("all", "cosine"), ("semihard", "euclidean"), ("semihard", "squared")],
)
@pytest.mark.parametrize("differences", [2**22, 81])  # all anchors in one chunk, and in chunks of three
def test_sorted_triplets_equal_all_triplets_in_memory(
    mining: Any, distance: Any, differences: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_triplets, "DIFFERENCES", differences)
    call = partial(jaxloss.batch_triplet_loss, mining=mining, distance=distance, margin=0.25)

    @jax.jit
    def both(embeddings: Any) -> Any:
        losses = call(embeddings, TARGETS, reduction="none")
        total, count = cube(embeddings, mining, distance, 0.25)
        return losses, call(embeddings, TARGETS), total, total.sum() / count.sum()

    # Cosines are rounded otherwise, and a tie that rounding breaks changes the count.
    embeddings = EMBEDDINGS if distance != "cosine" else EMBEDDINGS + RNG.normal(size=EMBEDDINGS.shape)
    losses, mean, wanted, wanted_mean = both(embeddings)
    close((losses, mean), (wanted, wanted_mean))
    # The gradient is compared off the ties.
    moved = EMBEDDINGS + RNG.normal(size=EMBEDDINGS.shape)
    found = jax.jit(jax.grad(lambda x: call(x, TARGETS, reduction="sum")))(moved)
    close(found, jax.jit(jax.grad(lambda x: cube(x, mining, distance, 0.25)[0].sum()))(moved))


def test_soft_triplets_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    call = partial(jaxloss.batch_triplet_loss, mining="all", soft=True)
    wanted = jax.jit(jax.value_and_grad(lambda x: call(x, TARGETS)))(EMBEDDINGS)
    monkeypatch.setattr(metric_triplets, "TRIPLETS", 2 * 81)
    close(jax.jit(jax.value_and_grad(lambda x: call(x, TARGETS)))(EMBEDDINGS), wanted)


@pytest.mark.parametrize("mining", ["hard", "all"])
def test_distances_of_near_examples_keep_their_digits(mining: Any) -> None:
    """Far from the origin, sums of squares minus a product would have no digit left of these distances."""
    near = np.float32(100) + np.float32(2.0**-14) * RNG.integers(1, 9, (6, 4)).astype(np.float32)
    targets = np.array([0, 0, 1, 1, 2, 2])
    call = partial(jaxloss.batch_triplet_loss, mining=mining, margin=0.0, reduction="sum")
    found, wanted = (jax.value_and_grad(call)(jnp.asarray(near, dtype), targets) for dtype in ("float32", "float64"))
    assert wanted[0] > 0
    chex.assert_trees_all_close(jax.tree.map(np.float64, found), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1e-300, 1e-20, 1e20, 1e150])
def test_distances_of_any_size(size: float) -> None:
    call = partial(jaxloss.batch_triplet_loss, mining="all", distance="euclidean", reduction="sum")
    found = jax.value_and_grad(partial(call, margin=size))(EMBEDDINGS * size, TARGETS)
    value, slope = jax.value_and_grad(partial(call, margin=1.0))(EMBEDDINGS, TARGETS)
    close(found, (value * size, slope))


@every_loss
def test_a_batch_without_a_positive_or_a_negative_has_no_loss(loss: Any) -> None:
    for targets in (np.zeros(9, int), np.arange(9)):
        value, slope = jax.value_and_grad(loss)(EMBEDDINGS, targets)
        assert value == 0
        assert not np.any(slope)


def test_an_anchor_without_a_positive_does_not_count() -> None:
    """Two of the examples are alone in their class. The multi-similarity loss counts them in its mean."""
    for loss, counted in (
        (jaxloss.batch_triplet_loss, 7),
        (jaxloss.circle_loss, 7),
        (jaxloss.multi_similarity_loss, 9),
    ):
        losses = loss(EMBEDDINGS, TARGETS, reduction="none")
        assert losses[3] == losses[8] == 0
        close(loss(EMBEDDINGS, TARGETS), jnp.sum(losses) / counted)


@every_loss
def test_a_masked_class_is_dropped(loss: Any) -> None:
    kept = TARGETS != 1
    found, wanted = loss(EMBEDDINGS, TARGETS, ignore_index=1), loss(EMBEDDINGS[kept], TARGETS[kept])
    close(found, wanted)


@every_loss
def test_a_nan_is_everyones_candidate(loss: Any) -> None:
    losses = loss(EMBEDDINGS.at[0].set(jnp.nan), TARGETS, reduction="none")
    assert np.all(np.isnan(losses) | np.isin(TARGETS, [2, 3]))  # which are alone in their class


def test_an_option_that_is_nan_makes_every_loss_nan() -> None:
    losses = jaxloss.multi_similarity_loss(EMBEDDINGS, TARGETS, epsilon=jnp.array(jnp.nan), reduction="none")
    assert np.all(np.isnan(losses) | np.isin(TARGETS, [2, 3]))


@pytest.mark.parametrize(
    "loss",
    [partial(jaxloss.batch_triplet_loss, distance="cosine"), jaxloss.multi_similarity_loss, jaxloss.circle_loss],
    ids=BY_CLASS.keys(),
)
def test_the_length_of_an_embedding_does_not_matter(loss: Any) -> None:
    """So the gradient is orthogonal to the embedding. That of a vector of zeros is 0."""
    sizes = jnp.array([1e-300, 1e-20, 1.0, 3.0, 1.0, 1e20, 1e150, 1e5, 1e-5])[:, None]
    embeddings = jnp.asarray(RNG.normal(size=(9, 3))).at[4].set(0.0)
    value, slope = jax.value_and_grad(loss)(embeddings, TARGETS)
    scaled, scaled_slope = jax.value_and_grad(loss)(embeddings * sizes, TARGETS)
    close((scaled, scaled_slope * sizes), (value, slope))
    chex.assert_trees_all_close(jnp.sum(slope * embeddings, 1), jnp.zeros(9), atol=1e-13)
    assert not np.any(slope[4])


def test_a_pair_with_a_vector_of_zeros_has_the_cosine_0() -> None:
    first, second = jnp.zeros((1, 3)), jnp.ones((1, 3))
    loss = partial(jaxloss.contrastive_loss, distance="cosine", margin=2.0)
    value, slopes = jax.value_and_grad(loss, (0, 1))(first, second, jnp.zeros(1))
    assert value == 0.5
    assert not np.any(slopes)


def on_devices(loss: Any) -> Any:
    """The mean over the examples of two devices, each of which has half of them."""
    mesh, data = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,)), PartitionSpec("data")

    def local(*arrays: Any) -> Any:
        return jax.lax.psum(jaxloss.parts(partial(loss, axis_name="data"))(*arrays), "data").value

    return jax.jit(
        jax.value_and_grad(jax.shard_map(local, mesh=mesh, in_specs=(data, data), out_specs=PartitionSpec()))
    )


@pytest.mark.parametrize(
    "loss", [jaxloss.multi_similarity_loss, jaxloss.circle_loss], ids=["multi_similarity", "circle"]
)
def test_candidates_of_all_devices(loss: Any) -> None:
    embeddings, targets = jnp.asarray(RNG.normal(size=(8, 3))), jnp.asarray(TARGETS[:8])
    close(on_devices(loss)(embeddings, targets), jax.value_and_grad(loss)(embeddings, targets))


@promises_memory
def test_all_triplets_are_never_in_memory() -> None:
    """They would take 4 GiB. The distances of all pairs alone take 4 MiB."""
    arrays = jax.ShapeDtypeStruct((1024, 128), jnp.float32), jax.ShapeDtypeStruct((1024,), jnp.int32)
    gradient = jax.value_and_grad(partial(jaxloss.batch_triplet_loss, mining="all"))
    assert temporaries(compiled(gradient, *arrays)) < 40 * 2**20
