"""RNN-T from the logits of a joint network."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case

# sequences, frames, labels and one, classes
QUICK = {(3, 7, 4, 5): "a small size"}
SIZES = {
    (16, 100, 21, 64): "four seconds of speech, letters",
    (8, 200, 51, 500): "eight seconds of speech, word pieces",
}
LOWEST = -1e30  # stands for -inf, whose gradient through logaddexp is NaN

# The gradient of the plain recursion is off by 4e-4 at two hundred frames in float32.
TOLERANCE = {"float32": 5e-3}


def cases(quick: bool) -> list[Case]:
    return [case(*size, source) for size, source in (QUICK if quick else SIZES).items()]


def case(n: int, t: int, u: int, c: int, source: str = "") -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        logits, labels = rng.standard_normal((n, t, u, c), np.float32), rng.integers(0, c - 1, (n, u - 1), np.int32)
        return logits, labels, np.full(n, t, np.int32), np.full(n, u - 1, np.int32)

    return Case(
        loss="rnnt_loss",
        size=f"{n}, {t}, {u}, {c}",
        source=source,
        arrays=arrays,
        ours=jaxloss.rnnt_loss,
        peers={"jax.numpy": plain},
        dtypes=("float32",),
        tolerance=TOLERANCE,
    )


def plain(logits: jax.Array, labels: jax.Array, lengths: jax.Array, label_lengths: jax.Array) -> jax.Array:
    """The recursion in logarithms, frame by frame and in each frame label by label, differentiated by JAX."""
    log_probs = jax.nn.log_softmax(logits)
    blanks = log_probs[..., -1]
    emitted = jnp.take_along_axis(log_probs[:, :, :-1], labels[:, None, :, None], 3)[..., 0]

    def frame(alphas: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        blank, label = row

        def emit(left: jax.Array, cell: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            here = jnp.logaddexp(cell[0], left + cell[1])
            return here, here

        _, rest = jax.lax.scan(emit, alphas[:, 0], (alphas[:, 1:].T, label.T))
        after = jnp.concatenate([alphas[:, :1], rest.T], 1) + blank
        return after, after

    start = jnp.where(jnp.arange(blanks.shape[2]) == 0, 0.0, LOWEST).astype(blanks.dtype)
    start = jnp.broadcast_to(start, blanks[:, 0].shape)
    _, found = jax.lax.scan(frame, start, (blanks.swapaxes(0, 1), emitted.swapaxes(0, 1)))
    return -jnp.mean(found[lengths - 1, jnp.arange(len(labels)), label_lengths])
