"""Losses that compare all embeddings of a batch, or all embeddings with all classes."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case, Function
from benchmarks.peers import optional

optax = optional("optax")

TEMPERATURE, MARGIN, SCALE = 0.07, 0.5, 64.0
# The sizes of a batch and the width of its vectors.
QUICK = {"pairs": (33, 8), "views": (17, 8), "labelled": (33, 8), "triplets": (20, 8), "classes": (9, 8, 50)}
FULL = {
    "pairs": (16384, 512),
    "views": (1024, 128),
    "labelled": (8192, 128),
    "triplets": (1024, 128),
    "classes": (256, 512, 1_000_000),
}
ROWS = 2048  # of the reference at a time


def cases(quick: bool) -> list[Case]:
    size = QUICK if quick else FULL
    return [
        two_sets("clip_loss", *size["pairs"], ours=jaxloss.clip_loss, plain=clip, reference=clip_by_rows),
        two_sets("siglip_loss", *size["pairs"], ours=jaxloss.siglip_loss, plain=siglip, reference=siglip_by_rows),
        two_sets(
            "nt_xent_loss",
            *size["views"],
            ours=jaxloss.nt_xent_loss,
            plain=nt_xent,
            peers={"optax": lambda a, b: optax.losses.ntxent(jnp.concatenate([a, b]), jnp.tile(jnp.arange(len(a)), 2))},
        ),
        labelled("supcon_loss", *size["labelled"], ours=jaxloss.supcon_loss, plain=supcon),
        labelled("batch_triplet_loss, all", *size["triplets"], ours=jaxloss.BatchTripletLoss(mining="all"), plain=cube),
        classes(*size["classes"]),
    ]


def two_sets(
    loss: str,
    n: int,
    d: int,
    *,
    ours: Function,
    plain: Function,
    reference: Function | None = None,
    peers: dict[str, Function] | None = None,
) -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        first = rng.standard_normal((n, d), np.float32)
        return first, first + rng.standard_normal((n, d), np.float32)

    return Case(
        loss=loss,
        size=f"{n}, {d}",
        source="a large batch of CLIP" if n > 10000 else "a batch of SimCLR",
        arrays=arrays,
        ours=ours,
        peers={"jax.numpy": plain, **(peers or {})},
        reference=reference,
        gradient_of=(0, 1),
        dtypes=("float32",),
    )


def labelled(loss: str, n: int, d: int, *, ours: Function, plain: Function) -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        return rng.standard_normal((n, d), np.float32), rng.integers(0, max(2, n // 8), n, np.int32)

    return Case(
        loss=loss,
        size=f"{n}, {d}",
        source="classes of eight examples",
        arrays=arrays,
        ours=ours,
        peers={"jax.numpy": plain},
        dtypes=("float32",),
    )


def classes(n: int, d: int, c: int) -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        drawn = rng.standard_normal((n, d), np.float32), rng.standard_normal((d, c), np.float32)
        return *drawn, rng.integers(0, c, n, np.int32)

    return Case(
        loss="arcface_loss",
        size=f"{n}, {d}, {c}",
        source="a million faces",
        arrays=arrays,
        ours=jaxloss.arcface_loss,
        peers={"jax.numpy": arcface},
        gradient_of=(0, 1),
        dtypes=("float32",),
        limits={mode: ("linear cross-entropy", jaxloss.linear_cross_entropy) for mode in ("value",)}
        | {"gradient": ("linear cross-entropy", jax.value_and_grad(jaxloss.linear_cross_entropy, (0, 1)))},
    )


def unit(vectors: jax.Array, axis: int = -1) -> jax.Array:
    return vectors / jnp.linalg.norm(vectors, axis=axis, keepdims=True)


def clip(a: jax.Array, b: jax.Array) -> jax.Array:
    logits = unit(a) @ unit(b).T / TEMPERATURE
    both = jax.nn.log_softmax(logits, 0) + jax.nn.log_softmax(logits, 1)
    return -jnp.mean(jnp.diagonal(both)) / 2


def clip_by_rows(a: jax.Array, b: jax.Array) -> jax.Array:
    """The same, a few rows of cosines at a time: those of the whole batch need gigabytes in float64."""
    return (_info_nce_by_rows(unit(a), unit(b)) + _info_nce_by_rows(unit(b), unit(a))) / 2


def _info_nce_by_rows(a: jax.Array, b: jax.Array) -> jax.Array:
    @jax.checkpoint
    def rows(queries: jax.Array, keys: jax.Array) -> jax.Array:
        totals = jax.nn.logsumexp(queries @ b.T / TEMPERATURE, 1)
        return jnp.sum(totals - jnp.sum(queries * keys, 1) / TEMPERATURE)

    return sum(rows(a[i : i + ROWS], b[i : i + ROWS]) for i in range(0, len(a), ROWS)) / len(a)


def siglip(a: jax.Array, b: jax.Array) -> jax.Array:
    return _of_pairs(unit(a), unit(b), jnp.eye(len(a))) / len(a)


def siglip_by_rows(a: jax.Array, b: jax.Array) -> jax.Array:
    rows = jax.checkpoint(_of_pairs)
    own = [jnp.eye(min(ROWS, len(a) - i), len(b), i) for i in range(0, len(a), ROWS)]
    chunks = [unit(a)[i : i + ROWS] for i in range(0, len(a), ROWS)]
    return sum(rows(chunk, unit(b), each) for chunk, each in zip(chunks, own, strict=True)) / len(a)


def _of_pairs(a: jax.Array, b: jax.Array, own: jax.Array) -> jax.Array:
    logits = 10 * (a @ b.T) - 10
    return jnp.sum(jax.nn.softplus((1 - 2 * own) * logits))


def nt_xent(a: jax.Array, b: jax.Array) -> jax.Array:
    views = unit(jnp.concatenate([a, b]))
    count = len(views)
    logits = jnp.where(jnp.eye(count, dtype=bool), -jnp.inf, views @ views.T / TEMPERATURE)
    own = jnp.roll(jnp.arange(count), count // 2)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), own[:, None], 1))


def supcon(embeddings: jax.Array, targets: jax.Array) -> jax.Array:
    vectors = unit(embeddings)
    others = ~jnp.eye(len(vectors), dtype=bool)
    logits = vectors @ vectors.T / TEMPERATURE
    log_probs = logits - jax.nn.logsumexp(logits, 1, where=others, keepdims=True)
    positive = others & (targets[:, None] == targets[None])
    counts = jnp.sum(positive, 1)
    losses = -jnp.sum(jnp.where(positive, log_probs, 0), 1) / jnp.maximum(counts, 1)
    return jnp.sum(jnp.where(counts > 0, losses, 0)) / jnp.sum(counts > 0)


def cube(embeddings: jax.Array, targets: jax.Array) -> jax.Array:
    squares = jnp.sum((embeddings[:, None] - embeddings[None]) ** 2, -1)
    distances = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    same = targets[:, None] == targets[None]
    positive = same & ~jnp.eye(len(targets), dtype=bool)
    used = positive[:, :, None] & ~same[:, None]
    losses = jnp.where(used, jnp.maximum(distances[:, :, None] - distances[:, None] + 1, 0), 0)
    return jnp.sum(losses) / jnp.sum(losses > 0)


def arcface(embeddings: jax.Array, kernel: jax.Array, targets: jax.Array) -> jax.Array:
    cosines = unit(embeddings) @ unit(kernel, 0)
    own = jnp.arange(kernel.shape[1]) == targets[:, None]
    angle = jnp.arccos(jnp.clip(cosines, -1 + 1e-6, 1 - 1e-6))
    logits = SCALE * jnp.where(own, jnp.cos(angle + MARGIN), cosines)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], 1))
