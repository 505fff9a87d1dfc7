"""The pictures of docs/losses/transducer.md."""

import jax
import jax.numpy as jnp
from kinds import Cells, Picture

import jaxloss

FRAMES = 16
READ = ("none", "c", "ca", "cat")


def rnnt(blanks: jax.Array) -> jax.Array:
    """The loss of the blanks' log-probabilities; label u is likely in one frame."""
    frame, likely = jnp.arange(FRAMES)[:, None], jnp.array([3, 8, 12])
    labels = jnp.pad(-jnp.abs(frame - likely) - 1.0, ((0, 0), (0, 1)))
    logits = jnp.stack([labels, labels, labels, blanks], -1)
    return jaxloss.rnnt_loss(logits, jnp.array([0, 1, 2]), FRAMES, 3, fused_log_softmax=False)


PICTURES: dict[str, Picture] = {
    "rnnt_loss": Cells(READ, FRAMES, rnnt),
    "transducer_loss": Cells(
        READ, FRAMES, lambda x: jaxloss.transducer_loss(x, jnp.full((FRAMES, 3), -1.0), FRAMES, 3)
    ),
}
