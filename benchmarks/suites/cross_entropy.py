"""Cross-entropy of given logits, at the sizes of real models."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case, Function, mean
from benchmarks.peers import optional

optax, keras, functional = map(optional, ("optax", "keras.losses", "torch.nn.functional"))

QUICK = {(65, 50): "a small size"}
CPU = {
    (8192, 1000): "ImageNet's classes",
    (1024, 32000): "the vocabulary of Llama 2",
    (256, 128256): "the vocabulary of Llama 3",
    (256, 152064): "the vocabulary of Qwen 2.5",
    (128, 262144): "the vocabulary of Gemma 3",
    (262144, 21): "an image of 512 x 512 and the classes of Pascal VOC",
}
GPU = {
    (8192, 32000): "the vocabulary of Llama 2",
    (8192, 128256): "the vocabulary of Llama 3",
    (4096, 152064): "the vocabulary of Qwen 2.5",
    (2048, 262144): "the vocabulary of Gemma 3",
    (64 * 512 * 512, 21): "64 images of 512 x 512 and the classes of Pascal VOC",
}
SMOOTHING, Z_LOSS = 0.1, 1e-4


def cases(quick: bool) -> list[Case]:
    sizes = QUICK if quick else GPU if jax.default_backend() == "gpu" else CPU
    first = next(iter(sizes)) if quick else list(sizes)[1 if sizes is CPU else 0]
    return [labels(n, v, source) for (n, v), source in sizes.items()] + options(*first)


def labels(n: int, v: int, source: str = "") -> Case:
    return Case(
        loss="cross_entropy",
        size=f"{n}, {v}",
        source=source,
        arrays=lambda rng: (rng.standard_normal((n, v), np.float32), rng.integers(0, v, n, np.int32)),
        ours=jaxloss.cross_entropy,
        peers={
            "jax.numpy": plain,
            "optax": optax_labels,
            "keras": mean(lambda x, t: keras.sparse_categorical_crossentropy(t, x, from_logits=True)),
            "torch": lambda x, t: functional.cross_entropy(x, t),
            "Liger": liger,
            "quack": quack,
        },
    )


def options(n: int, v: int) -> list[Case]:
    """What comes from the same pass here and is computed beside it elsewhere."""

    def case(name: str, ours: Function, peers: dict[str, Function], soft: bool = False) -> Case:
        def arrays(rng: np.random.Generator) -> Arrays:
            logits = rng.standard_normal((n, v), np.float32)
            if not soft:
                return logits, rng.integers(0, v, n, np.int32)
            probabilities = rng.standard_exponential((n, v), np.float32)
            return logits, probabilities / probabilities.sum(-1, keepdims=True)

        return Case(loss="cross_entropy", size=f"{n}, {v}, {name}", arrays=arrays, ours=ours, peers=peers)

    return [
        case(
            "label smoothing",
            lambda x, t: jaxloss.cross_entropy(x, t, label_smoothing=SMOOTHING),
            {
                "jax.numpy": lambda x, t: plain_soft(x, _smoothed(x, t)),
                "optax": lambda x, t: jnp.mean(optax.softmax_cross_entropy(x, _smoothed(x, t))),
                "torch": lambda x, t: functional.cross_entropy(x, t, label_smoothing=SMOOTHING),
            },
        ),
        case(
            "probabilities",
            jaxloss.cross_entropy,
            {
                "jax.numpy": plain_soft,
                "optax": lambda x, t: jnp.mean(optax.softmax_cross_entropy(x, t)),
                "keras": mean(lambda x, t: keras.categorical_crossentropy(t, x, from_logits=True)),
                "torch": lambda x, t: functional.cross_entropy(x, t),
            },
            soft=True,
        ),
        case(
            "z-loss",
            lambda x, t: jaxloss.cross_entropy(x, t, z_loss=Z_LOSS),
            {
                "jax.numpy": lambda x, t: plain(x, t) + Z_LOSS * jnp.mean(jax.nn.logsumexp(x, -1) ** 2),
                "optax": lambda x, t: optax_labels(x, t) + Z_LOSS * jnp.mean(jax.nn.logsumexp(x, -1) ** 2),
                "torch": lambda x, t: functional.cross_entropy(x, t) + Z_LOSS * (x.logsumexp(-1) ** 2).mean(),
            },
        ),
    ]


def plain(logits: jax.Array, labels: jax.Array) -> jax.Array:
    target = jnp.take_along_axis(logits, labels[:, None], -1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, -1) - target)


def plain_soft(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits), -1))


def optax_labels(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def liger(logits, labels):
    from liger_kernel.transformers.functional import liger_cross_entropy

    return liger_cross_entropy(logits, labels)


def quack(logits, labels):
    from quack.cross_entropy import cross_entropy

    return cross_entropy(logits, labels, reduction="mean")


def _smoothed(logits: jax.Array, labels: jax.Array) -> jax.Array:
    hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return (1 - SMOOTHING) * hot + SMOOTHING / logits.shape[-1]
