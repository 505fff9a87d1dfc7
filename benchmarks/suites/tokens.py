"""Log-probabilities of tokens from hidden states, in the step of a preference loss."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case

BETA = 0.1

# pairs, tokens, width, vocabulary
QUICK = {(2, 8, 16, 50): "a small size"}
SIZES = {(4, 256, 256, 32000): "four pairs of 256 tokens, with the vocabulary of Llama 2"}


def cases(quick: bool) -> list[Case]:
    return [case(*size, source) for size, source in (QUICK if quick else SIZES).items()]


def case(pairs: int, tokens: int, width: int, classes: int, source: str) -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        hidden = rng.standard_normal((2 * pairs, tokens, width), np.float32)
        kernel = rng.standard_normal((width, classes), np.float32) / np.float32(width**0.5)
        return hidden, kernel, rng.integers(0, classes, (2 * pairs, tokens), np.int32)

    return Case(
        loss="linear_token_log_probs",
        size=f"DPO, {2 * pairs} x {tokens}, {width}, {classes}",
        source=source,
        arrays=arrays,
        ours=lambda h, k, t: preference(jaxloss.linear_token_log_probs(h, k, t)),
        peers={"jax.numpy": plain},
        gradient_of=(0, 1),
        dtypes=("float32",),
        limits={"value": ("product", product), "gradient": ("three products", three_products)},
    )


def preference(log_probs: jax.Array) -> jax.Array:
    """DPO's loss of log-probabilities whose first half is of the chosen sequences, without a reference model."""
    sums = jaxloss.sequence_log_probs(log_probs)
    chosen, rejected = jnp.split(sums, 2)
    return jnp.mean(jax.nn.softplus(-BETA * (chosen - rejected)))


def plain(hidden: jax.Array, kernel: jax.Array, targets: jax.Array) -> jax.Array:
    log_softmax = jax.nn.log_softmax(hidden @ kernel)
    return preference(jnp.take_along_axis(log_softmax, targets[..., None], -1)[..., 0])


def product(hidden: jax.Array, kernel: jax.Array, targets: jax.Array) -> jax.Array:
    return hidden @ kernel


def three_products(hidden: jax.Array, kernel: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The logits, and the two products that take their gradient to hidden and kernel."""
    logits = hidden @ kernel
    return logits @ kernel.T, jnp.einsum("ntd,ntv->dv", hidden, logits)
