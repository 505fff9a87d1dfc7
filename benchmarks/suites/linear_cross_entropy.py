"""The cross-entropy of a linear layer's logits: the head of a language model."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case
from benchmarks.peers import optional

optax, functional = map(optional, ("optax", "torch.nn.functional"))

# tokens, width, vocabulary
QUICK = {(65, 16, 50): "a small size"}
CPU = {
    (2048, 768, 50257): "GPT-2, two sequences of 1024",
    (4096, 256, 8192): "a small model with 8192 byte pairs",
    (8192, 512, 32000): "a narrow model with the vocabulary of Llama 2",
    (512, 2048, 128256): "Llama 3.2 1B, half a sequence of 1024",
}
IN_BFLOAT16 = "4096, 256, 8192"  # too, on a CPU, where one size shows what the dtype changes
GPU = {
    (8192, 4096, 32000): "Llama 2 7B",
    (4096, 4096, 128256): "Llama 3 8B",
    (4096, 8192, 152064): "Qwen 2.5 72B",
    (8192, 2304, 262144): "the width of Gemma 2 2B, the vocabulary of Gemma 3",
}
LEAN = 256  # tokens in a chunk, where memory matters more than time
ROWS = 2048  # tokens in a chunk of the reference


def cases(quick: bool) -> list[Case]:
    if quick:
        return [case(*size, source) for size, source in QUICK.items()]
    on_gpu = jax.default_backend() == "gpu"
    found = [case(*size, source) for size, source in (GPU if on_gpu else CPU).items()]
    found.append(case(8192, 512, 32000, "in chunks of 256 tokens", chunk_size=LEAN))
    return [each if on_gpu or each.size == IN_BFLOAT16 else replace(each, dtypes=("float32",)) for each in found]


def case(n: int, d: int, v: int, source: str = "", chunk_size: int | None = None) -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        hidden, kernel = rng.standard_normal((n, d), np.float32), rng.standard_normal((d, v), np.float32)
        return hidden, kernel / np.float32(d**0.5), rng.integers(0, v, n, np.int32)

    return Case(
        loss="linear_cross_entropy",
        size=f"{n}, {d}, {v}" + (f", chunks of {chunk_size}" if chunk_size else ""),
        source=source,
        arrays=arrays,
        ours=lambda hidden, kernel, labels: jaxloss.linear_cross_entropy(hidden, kernel, labels, chunk_size=chunk_size),
        peers={
            "optax": lambda h, k, t: jnp.mean(optax.softmax_cross_entropy_with_integer_labels(h @ k, t)),
            "jax-cce": jax_cce,
            "tokamax": tokamax,
            "torch": lambda h, w, t: functional.cross_entropy(functional.linear(h, w), t),
            "torch chunked": torch_chunked,
            "Liger": liger,
            "cut-cross-entropy": cut_cross_entropy,
            "quack": quack,
        },
        transposed=dict.fromkeys(
            ("jax-cce", "torch", "torch.compile", "torch chunked", "Liger", "cut-cross-entropy", "quack"), (1,)
        ),
        reference=reference,
        gradient_of=(0, 1),
        limits={"value": ("product", product), "gradient": ("three products", three_products)},
    )


def reference(hidden: jax.Array, kernel: jax.Array, labels: jax.Array) -> jax.Array:
    """The plain formula, some rows at a time: in float64 all logits may not fit."""

    @jax.checkpoint
    def rows(hidden: jax.Array, labels: jax.Array) -> jax.Array:
        logits = hidden @ kernel
        return jnp.sum(jax.nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, labels[:, None], -1)[:, 0])

    starts = range(0, labels.size, ROWS)
    return sum(rows(hidden[i : i + ROWS], labels[i : i + ROWS]) for i in starts) / labels.size


def product(hidden: jax.Array, kernel: jax.Array, labels: jax.Array) -> jax.Array:
    return hidden @ kernel


def three_products(hidden: jax.Array, kernel: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The logits, and the two products that take their gradient to hidden and kernel."""
    logits = hidden @ kernel
    return logits @ kernel.T, hidden.T @ logits


def jax_cce(hidden: jax.Array, weight: jax.Array, labels: jax.Array) -> jax.Array:
    from jax_cce import linear_cross_entropy

    return linear_cross_entropy(hidden, weight, labels)


def tokamax(hidden: jax.Array, kernel: jax.Array, labels: jax.Array) -> jax.Array:
    from tokamax import linear_softmax_cross_entropy_loss

    return linear_softmax_cross_entropy_loss(hidden, labels, kernel, reduction="mean")


def torch_chunked(hidden, weight, labels):
    from torch.nn import LinearCrossEntropyOptions

    return functional.linear_cross_entropy(hidden, weight, labels, options=LinearCrossEntropyOptions())


def liger(hidden, weight, labels):
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    return liger_fused_linear_cross_entropy(hidden, weight, labels)


def cut_cross_entropy(hidden, weight, labels):
    from cut_cross_entropy import linear_cross_entropy

    return linear_cross_entropy(hidden, weight, labels)


def quack(hidden, weight, labels):
    from quack.linear_cross_entropy import chunked_linear_cross_entropy

    return chunked_linear_cross_entropy(hidden, weight, labels)
