"""Distances and similarities of vectors, and the losses made of them."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case, Function, mean
from benchmarks.peers import optional

optax, keras, functional = map(optional, ("optax.losses", "keras.losses", "torch.nn.functional"))

# pairs, width
QUICK = {(65, 17): "a small size"}
CPU = {(1024, 768): "sentences by BERT base", (4096, 128): "faces by FaceNet"}
GPU = {(65536, 768): "sentences by BERT base", (524288, 128): "faces by FaceNet"}


def cases(quick: bool) -> list[Case]:
    sizes = QUICK if quick else GPU if jax.default_backend() == "gpu" else CPU
    return [case for (n, d), source in sizes.items() for case in vectors(n, d, source)]


def vectors(n: int, d: int, source: str = "") -> list[Case]:
    def case(loss: str, count: int, ours: Function, peers: dict[str, Function], signs: bool = False) -> Case:
        def arrays(rng: np.random.Generator) -> Arrays:
            drawn = [rng.standard_normal((n, d), np.float32) for _ in range(count)]
            return (*drawn, *([(2 * rng.integers(0, 2, n) - 1).astype(np.float32)] if signs else []))

        return Case(
            loss=loss,
            size=f"{n}, {d}",
            source=source,
            arrays=arrays,
            ours=ours,
            peers=peers,
            gradient_of=tuple(range(count)),
        )

    triplet = {
        "jax.numpy": plain_triplet,
        "torch": lambda a, p, n: functional.triplet_margin_loss(a, p, n),
    }
    return [
        case("pairwise_distance", 2, mean(jaxloss.pairwise_distance), {
            "jax.numpy": mean(distance),
            "torch": lambda a, b: functional.pairwise_distance(a, b).mean(),
        }),
        case("cosine_similarity", 2, mean(jaxloss.cosine_similarity), {
            "jax.numpy": mean(cosine),
            "optax": mean(lambda a, b: optax.cosine_similarity(a, b, epsilon=1e-8)),
            "keras": lambda a, b: -jnp.mean(keras.cosine_similarity(a, b)),
            "torch": lambda a, b: functional.cosine_similarity(a, b).mean(),
        }),
        case("cosine_embedding_loss", 2, jaxloss.cosine_embedding_loss, {
            "jax.numpy": plain_cosine_embedding,
            "torch": lambda a, b, t: functional.cosine_embedding_loss(a, b, t),
        }, signs=True),
        case("triplet_margin_loss", 3, jaxloss.triplet_margin_loss, triplet | {
            "optax": mean(lambda a, p, n: optax.triplet_margin_loss(a, p, n)),
        }),
        case("triplet_margin_with_distance_loss", 3, jaxloss.triplet_margin_with_distance_loss, triplet | {
            "torch": lambda a, p, n: functional.triplet_margin_with_distance_loss(a, p, n),
        }),
    ]  # fmt: skip


def distance(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.linalg.norm(a - b + 1e-6, axis=-1)


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum(a * b, -1) / (jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1))


def plain_cosine_embedding(a: jax.Array, b: jax.Array, signs: jax.Array) -> jax.Array:
    return jnp.mean(jnp.where(signs == 1, 1 - cosine(a, b), jnp.maximum(cosine(a, b), 0)))


def plain_triplet(anchor: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
    return jnp.mean(jnp.maximum(distance(anchor, positive) - distance(anchor, negative) + 1, 0))
