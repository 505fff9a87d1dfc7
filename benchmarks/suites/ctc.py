"""CTC from the logits of a network, its softmax included."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case
from benchmarks.peers import optional

optax, keras, functional = map(optional, ("optax", "keras.losses", "torch.nn.functional"))

# frames, sequences, labels, classes
QUICK = {(12, 3, 4, 7): "a small size"}
SIZES = {
    (100, 16, 20, 32): "lines of handwriting, the letters",
    (500, 32, 50, 128): "five seconds of speech, the bytes of ASCII",
    (1000, 16, 100, 5000): "ten seconds of speech, word pieces",
    (1000, 32, 100, 64): "ten seconds of speech, phonemes",
    (1500, 64, 200, 1024): "Whisper's 1500 frames, word pieces",
}
RAGGED = (500, 32, 50, 128)
LOWEST = -1e30  # stands for -inf, whose gradient through logaddexp is NaN

# The gradients of PyTorch and optax are off by 1e-2 at a thousand frames in float32.
TOLERANCE = {"float32": 5e-2, "bfloat16": 2e-1}


def cases(quick: bool) -> list[Case]:
    if quick:
        return [case(*size) for size in QUICK] + [case(*size, ragged=True) for size in QUICK]
    return [
        *(
            case(*size, source, ("float32", "bfloat16") if size == RAGGED else ("float32",))
            for size, source in SIZES.items()
        ),
        case(*RAGGED, "lengths from half to all", ("float32",), ragged=True),
    ]


def case(
    t: int, n: int, s: int, c: int, source: str = "", dtypes: tuple[str, ...] = ("float32",), ragged: bool = False
) -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        logits, labels = rng.standard_normal((n, t, c), np.float32), rng.integers(1, c, (n, s), np.int32)
        if not ragged:
            return logits, labels, np.full(n, t, np.int32), np.full(n, s, np.int32)
        return logits, labels, rng.integers(t // 2, t + 1, n, np.int32), rng.integers(s // 2, s + 1, n, np.int32)

    peers = {"jax.numpy": plain, "optax": optax_ctc, "keras": keras_ctc, "torch": torch_ctc}
    if ragged:
        del peers["keras"]  # takes every frame of every sequence
    return Case(
        loss="ctc_loss_with_logits",
        size=f"{t}, {n}, {s}, {c}" + (", ragged" if ragged else ""),
        source=source,
        arrays=arrays,
        ours=jaxloss.ctc_loss_with_logits,
        peers=peers,
        dtypes=dtypes,
        tolerance=TOLERANCE,
    )


def plain(logits: jax.Array, labels: jax.Array, lengths: jax.Array, label_lengths: jax.Array) -> jax.Array:
    """The recursion over frames in logarithms, blanks and labels interleaved, differentiated by JAX."""
    n, s = labels.shape
    log_probs = jax.nn.log_softmax(logits)
    states = jnp.zeros((n, 2 * s + 1), labels.dtype).at[:, 1::2].set(labels)
    emissions = jnp.take_along_axis(log_probs, states[:, None, :], 2).swapaxes(0, 1)
    skips = (states != 0) & (states != jnp.roll(states, 2, 1)) & (jnp.arange(2 * s + 1) > 1)
    start = jnp.where(jnp.arange(2 * s + 1) == 0, 0.0, LOWEST).astype(log_probs.dtype)

    def shifted(alphas: jax.Array, by: int) -> jax.Array:
        return jnp.pad(alphas, ((0, 0), (by, 0)), constant_values=LOWEST)[:, : 2 * s + 1]

    def step(alphas: jax.Array, frame: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        time, emission = frame
        stay = jnp.logaddexp(alphas, shifted(alphas, 1))
        enter = jnp.where(skips, shifted(alphas, 2), LOWEST)
        after = jnp.logaddexp(stay, enter) + emission
        first = jnp.where(jnp.arange(2 * s + 1) < 2, emission, LOWEST)
        after = jnp.where(time == 0, first, after)
        return jnp.where((time < lengths)[:, None], after, alphas), None

    alphas, _ = jax.lax.scan(step, jnp.broadcast_to(start, (n, 2 * s + 1)), (jnp.arange(emissions.shape[0]), emissions))
    last = jnp.take_along_axis(alphas, 2 * label_lengths[:, None] - jnp.arange(2), 1)
    return jnp.mean(-jnp.logaddexp(last[:, 0], last[:, 1]) / label_lengths)


def optax_ctc(logits: jax.Array, labels: jax.Array, lengths: jax.Array, label_lengths: jax.Array) -> jax.Array:
    paddings = (jnp.arange(logits.shape[1]) >= lengths[:, None]).astype(logits.dtype)
    label_paddings = (jnp.arange(labels.shape[1]) >= label_lengths[:, None]).astype(logits.dtype)
    return jnp.mean(optax.ctc_loss(logits, paddings, labels, label_paddings) / label_lengths)


def keras_ctc(logits: jax.Array, labels: jax.Array, lengths: jax.Array, label_lengths: jax.Array) -> jax.Array:
    return jnp.mean(keras.ctc(labels, logits) / label_lengths)


def torch_ctc(logits, labels, lengths, label_lengths):
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    return functional.ctc_loss(log_probs, labels, lengths, label_lengths)
