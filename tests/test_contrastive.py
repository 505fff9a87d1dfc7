"""Contrastive losses: options that are arrays, what they do not depend on, memory, and candidates of many devices."""

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
QUERIES, KEYS = jnp.asarray(RNG.normal(size=(6, 4))), jnp.asarray(RNG.normal(size=(9, 4)))
PARTNERS = KEYS[:6]
GROUPS = np.array([0, 1, 0, 2, 3, 1])
TARGETS = np.array([0, 1, 0, 2, 0, 1])
close = partial(chex.assert_trees_all_close, rtol=1e-12, atol=1e-13)


def cosines(a: Any, b: Any) -> Any:
    return (a / jnp.linalg.norm(a, axis=-1, keepdims=True)) @ (b / jnp.linalg.norm(b, axis=-1, keepdims=True)).T


def masked_cross_entropy(logits: Any, own: Any, candidates: Any) -> Any:
    """Minus the log-probability of the own candidate among those that take part."""
    own_logits = logits[jnp.arange(len(own)), own]
    return jax.nn.logsumexp(jnp.where(candidates, logits, -jnp.inf), 1) - own_logits


def test_targets_name_the_own_keys() -> None:
    own = jnp.array([3, 8, 0, 0, 5, 7])
    wanted = masked_cross_entropy(cosines(QUERIES, KEYS) / 0.5, own, jnp.ones((6, 9), bool))
    close(jaxloss.info_nce_loss(QUERIES, KEYS, own, temperature=0.5, reduction="none"), wanted)


def test_a_target_out_of_range_is_nan_in_its_query_alone() -> None:
    own = jnp.array([3, 9, 0, -1, 5, 7])
    losses = jaxloss.info_nce_loss(QUERIES, KEYS, own, reduction="none")
    assert np.isnan(losses).tolist() == [False, True, False, True, False, False]
    where = np.array([True, False, True, False, True, True])
    assert np.isfinite(jaxloss.info_nce_loss(QUERIES, KEYS, own, where=where))


def test_examples_of_one_group_are_no_negatives_of_each_other() -> None:
    logits, same = cosines(QUERIES, PARTNERS) / 0.5, GROUPS == GROUPS[:, None]
    own, eye = jnp.arange(6), np.eye(6, dtype=bool)
    rows, columns = (masked_cross_entropy(each, own, ~same | eye) for each in (logits, logits.T))
    options = {"temperature": 0.5, "groups": GROUPS, "reduction": "none"}
    close(jaxloss.info_nce_loss(QUERIES, PARTNERS, **options), rows)
    close(jaxloss.clip_loss(QUERIES, PARTNERS, **options), (rows + columns) / 2)
    signed = jax.nn.softplus(jnp.where(eye, -(logits - 1), logits - 1))
    wanted = jnp.sum(jnp.where(~same | eye, signed, 0), 1)
    close(jaxloss.siglip_loss(QUERIES, PARTNERS, bias=-1.0, **options), wanted)
    views = jnp.concatenate([QUERIES, PARTNERS])
    twice, partner = np.tile(GROUPS, 2), np.arange(12)[:, None] == (np.arange(12) + 6) % 12
    allowed = (twice != twice[:, None]) | partner
    losses = masked_cross_entropy(cosines(views, views) / 0.5, (jnp.arange(12) + 6) % 12, allowed)
    close(jaxloss.nt_xent_loss(QUERIES, PARTNERS, **options), losses.reshape(2, 6).mean(0))


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_negatives_of_each_query_alone(similarity: Any) -> None:
    negatives = jnp.asarray(RNG.normal(size=(6, 3, 4)))
    wanted = [
        jaxloss.info_nce_loss(
            QUERIES[i][None], jnp.concatenate([KEYS[i][None], negatives[i]]), temperature=2.0, similarity=similarity
        )
        for i in range(6)
    ]
    call = partial(jaxloss.info_nce_loss, negatives=negatives, temperature=2.0, similarity=similarity, in_batch=False)
    close(call(QUERIES, PARTNERS, reduction="none"), jnp.stack(wanted))


def test_sampling_probabilities_and_padded_keys() -> None:
    log_q, key_where = jnp.log(jnp.arange(1, 10) / 45), np.arange(9) != 7
    logits = cosines(QUERIES, KEYS) / 0.5 - log_q[None]
    wanted = masked_cross_entropy(logits, jnp.arange(6), key_where)
    keys = KEYS.at[7].set(jnp.nan)
    options = {"temperature": 0.5, "log_q": log_q, "key_where": key_where, "reduction": "none"}
    close(jaxloss.info_nce_loss(QUERIES, keys, **options), wanted)


def test_a_query_without_a_candidate_does_not_count() -> None:
    key_where = np.arange(9) != 2
    losses = jaxloss.info_nce_loss(QUERIES, KEYS, key_where=key_where, reduction="none")
    assert losses[2] == 0
    close(jaxloss.info_nce_loss(QUERIES, KEYS, key_where=key_where), jnp.sum(losses) / 5)


def test_an_example_alone_in_its_class_does_not_count() -> None:
    losses = jaxloss.supcon_loss(QUERIES, TARGETS, reduction="none")
    assert losses[3] == 0
    close(jaxloss.supcon_loss(QUERIES, TARGETS), jnp.sum(losses) / 5)
    assert jaxloss.supcon_loss(QUERIES, np.arange(6)) == 0


@pytest.mark.parametrize("loss", [jaxloss.clip_loss, jaxloss.nt_xent_loss, jaxloss.siglip_loss, jaxloss.info_nce_loss])
def test_the_length_of_an_embedding_does_not_matter(loss: Any) -> None:
    """So the gradient is orthogonal to the embedding. That of a vector of zeros is 0."""
    sizes = jnp.array([1e-300, 1e-20, 1.0, 3.0, 1e20, 1e300])[:, None]
    value, slope = jax.value_and_grad(loss)(QUERIES, PARTNERS)
    scaled, scaled_slope = jax.value_and_grad(loss)(QUERIES * sizes, PARTNERS)
    close((scaled, scaled_slope * sizes), (value, slope))
    chex.assert_trees_all_close(jnp.sum(slope * QUERIES, 1), jnp.zeros(6), atol=1e-14)
    slope = jax.grad(loss)(QUERIES.at[1].set(0.0), PARTNERS)
    assert not np.any(slope[1])
    assert np.all(np.isfinite(slope))


def test_a_vector_of_zeros_among_the_constants_of_a_program() -> None:
    """XLA simplifies a program's constants: the square of the power of 2 that scales them must be finite."""
    queries = QUERIES.at[1].set(0.0)

    def loss(queries: Any, temperature: Any) -> Any:
        return jaxloss.clip_loss(queries, PARTNERS, temperature=temperature)

    found = jax.jit(jax.value_and_grad(partial(loss, queries)))(0.25)
    close(found, jax.jit(jax.value_and_grad(loss, 1))(queries, 0.25))
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("chunk_size", [1, 4, 5, 6])
def test_the_size_of_a_chunk_does_not_matter(chunk_size: int) -> None:
    for loss, arrays in ((jaxloss.clip_loss, (QUERIES, PARTNERS)), (jaxloss.supcon_loss, (QUERIES, TARGETS))):
        found, wanted = (jax.value_and_grad(partial(loss, chunk_size=size))(*arrays) for size in (chunk_size, None))
        close(found, wanted)


def on_devices(loss: Any) -> Any:
    """The mean over the examples of two devices, each of which has half of them."""
    mesh, data = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,)), PartitionSpec("data")

    def local(*arrays: Any) -> Any:
        return jax.lax.psum(jaxloss.parts(partial(loss, axis_name="data"))(*arrays), "data").value

    def split(*arrays: Any) -> Any:
        return jax.shard_map(local, mesh=mesh, in_specs=(data,) * len(arrays), out_specs=PartitionSpec())(*arrays)

    return jax.jit(jax.value_and_grad(split))


@pytest.mark.parametrize(
    ("loss", "arrays"),
    [
        (jaxloss.info_nce_loss, (QUERIES, PARTNERS)),
        (jaxloss.nt_xent_loss, (QUERIES, PARTNERS)),
        (jaxloss.clip_loss, (QUERIES, PARTNERS)),
        (jaxloss.siglip_loss, (QUERIES, PARTNERS)),
        (jaxloss.supcon_loss, (QUERIES, jnp.asarray(TARGETS))),
    ],
    ids=["info_nce", "nt_xent", "clip", "siglip", "supcon"],
)
def test_candidates_of_all_devices(loss: Any, arrays: Any) -> None:
    close(on_devices(loss)(*arrays), jax.value_and_grad(loss)(*arrays))


@promises_memory
def test_gradients_never_hold_the_similarities_of_all_pairs() -> None:
    """A chunk holds 512 of 4096 rows, so that the temporary memory is well below that of all pairs, 64 MiB."""
    shape = jax.ShapeDtypeStruct((4096, 16), jnp.float32)
    gradient = jax.grad(partial(jaxloss.clip_loss, chunk_size=512), (0, 1))
    assert temporaries(compiled(gradient, shape, shape)) < 40 * 2**20
