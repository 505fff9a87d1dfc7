"""Distillation from hidden states: two linear layers, and the divergence of their distributions."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case

# tokens, width of both models, vocabulary
QUICK = {(65, 16, 50): "a small size"}
CPU = {(2048, 768, 50257): "GPT-2, two sequences of 1024"}
GPU = {(8192, 4096, 32000): "Llama 2 7B"}
ROWS = 1024  # tokens in a chunk of the reference


def cases(quick: bool) -> list[Case]:
    sizes = QUICK if quick else GPU if jax.default_backend() == "gpu" else CPU
    return [case(*size, source) for size, source in sizes.items()]


def case(n: int, d: int, v: int, source: str = "") -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        drawn = [rng.standard_normal(shape, np.float32) for shape in ((n, d), (d, v)) * 2]
        return tuple(each / np.float32(d**0.5) if each.shape == (d, v) else each for each in drawn)

    return Case(
        loss="linear_distillation_loss, js",
        size=f"{n}, {d}, {v}",
        source=source,
        arrays=arrays,
        ours=jaxloss.LinearDistillationLoss(divergence="js"),
        peers={"jax.numpy": plain},
        reference=reference,
        gradient_of=(0, 1),
        dtypes=("float32",),
        limits={"value": ("two products", two_products), "gradient": ("four products", four_products)},
    )


def plain(hidden: jax.Array, kernel: jax.Array, teacher_hidden: jax.Array, teacher_kernel: jax.Array) -> jax.Array:
    log_p, log_q = jax.nn.log_softmax(teacher_hidden @ teacher_kernel), jax.nn.log_softmax(hidden @ kernel)
    log_m = jnp.logaddexp(log_p, log_q) - jnp.log(2.0)
    terms = jnp.exp(log_p) * (log_p - log_m) + jnp.exp(log_q) * (log_q - log_m)
    return jnp.mean(jnp.sum(terms, -1)) / 2


def reference(hidden: jax.Array, kernel: jax.Array, teacher_hidden: jax.Array, teacher_kernel: jax.Array) -> jax.Array:
    """The plain formula, some rows at a time: in float64 all logits may not fit."""
    rows, total = jax.checkpoint(plain), len(hidden)
    chunks = [slice(start, min(start + ROWS, total)) for start in range(0, total, ROWS)]
    means = (rows(hidden[each], kernel, teacher_hidden[each], teacher_kernel) for each in chunks)
    return sum(mean * (each.stop - each.start) for mean, each in zip(means, chunks, strict=True)) / total


def two_products(hidden: jax.Array, kernel: jax.Array, teacher_hidden: jax.Array, teacher_kernel: jax.Array):
    return hidden @ kernel, teacher_hidden @ teacher_kernel


def four_products(hidden: jax.Array, kernel: jax.Array, teacher_hidden: jax.Array, teacher_kernel: jax.Array):
    """The logits of both, and the two products that take the gradient of the student's to hidden and kernel."""
    logits = hidden @ kernel
    return logits @ kernel.T, hidden.T @ logits, teacher_hidden @ teacher_kernel
