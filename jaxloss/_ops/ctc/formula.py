"""The paths of CTC in logarithms, blanks and labels in one array of states, 2S + 1: slower, and simple.

For what the lattice of extended numbers cannot do: derivatives beyond the first, and the best path.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Said = tuple[Int[Array, "..."], ...]


LOWEST = -1e30
"""The logarithm of 0, as sums and differences of it are numbers."""


def surprise_in_logs(
    emissions: Float[Array, "frames sequences labels_and_blank"],
    skips: Bool[Array, "sequences labels"],
    lengths: Int[Array, "sequences"],
) -> Float[Array, "sequences"]:
    """Minus the logarithm of the probability of all paths. JAX differentiates it as often as asked."""
    total, _ = _over_frames(emissions, skips, lengths, lambda ways: (jax.nn.logsumexp(ways, 0), ()))
    return -jnp.where(total < LOWEST / 2, -jnp.inf, total)


def best_path(
    emissions: Float[Array, "frames sequences labels_and_blank"],
    skips: Bool[Array, "sequences labels"],
    lengths: Int[Array, "sequences"],
) -> tuple[Float[Array, "sequences"], Int[Array, "frames sequences"]]:
    """The logarithm of the probability of the likeliest path, and its states: 2i is a blank, 2i + 1 label i."""
    score, (came,) = _over_frames(
        emissions, skips, lengths, lambda ways: (jnp.max(ways, 0), (jnp.argmax(ways, 0).astype(jnp.int8),))
    )

    def back(state: Int[Array, "sequences"], came: Int[Array, "sequences states"]) -> tuple[Array, Array]:
        state = state - jnp.take_along_axis(came, state[:, None], 1, mode="clip")[:, 0].astype(state.dtype)
        return state, state

    # The choices of each frame lead to it from the one before, so that those of the end lead to the last frame.
    _, states = lax.scan(back, 2 * lengths, came[1:], reverse=True)
    return jnp.where(score < LOWEST / 2, -jnp.inf, score), states


def _over_frames(
    emissions: Float[Array, "frames sequences labels_and_blank"],
    skips: Bool[Array, "sequences labels"],
    lengths: Int[Array, "sequences"],
    combine: Callable[[Float[Array, "3 sequences states"]], tuple[Float[Array, "sequences states"], Said]],
) -> tuple[Float[Array, "sequences"], Said]:
    """The end of all paths, combined, and what `combine` says in every frame and at the end."""
    _, sequences, width = emissions.shape
    states = 2 * width - 1
    index = jnp.arange(states)
    enters = jnp.zeros((sequences, states), bool).at[:, 1::2].set(skips)

    def ways(before: Float[Array, "sequences states"]) -> Float[Array, "3 sequences states"]:
        from_1, from_2 = (jnp.pad(before, ((0, 0), (by, 0)), constant_values=LOWEST)[:, :states] for by in (1, 2))
        return jnp.stack([before, from_1, jnp.where(enters, from_2, LOWEST)])

    def step(before: Float[Array, "sequences states"], emitted: Float[Array, "sequences width"]) -> tuple[Array, Said]:
        combined, said = combine(ways(before))
        emitted = jnp.maximum(emitted, LOWEST)
        return combined + jnp.where((index % 2 == 0)[None], emitted[:, :1], jnp.repeat(emitted, 2, 1)[:, 1:]), said

    start = jnp.where(index == 0, 0.0, LOWEST).astype(emissions.dtype)[None] + jnp.zeros_like(emissions[0, :, :1])
    last, said = lax.scan(step, start, emissions)
    end, said_at_end = combine(ways(last))
    total = jnp.take_along_axis(end, 2 * lengths[:, None], 1, mode="clip")[:, 0]
    return total, tuple(jnp.concatenate([each, end[None]]) for each, end in zip(said, said_at_end, strict=True))
