"""CTC in logarithms: the recursion over paths in the form that is easiest to read.

A sequence of S labels has 2S + 1 states. State 2i is a blank, and state 2i + 1 is label i. The alpha of a state is the
log-probability of all partial paths that end in it.

JAX differentiates this form as often as asked. It serves the derivatives beyond the first and the best path, which the
faster lattice cannot give.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Backpointers = tuple[Int[Array, "..."], ...]
"""Empty, or one array: for every state, how many states before it its best predecessor stands (0, 1 or 2)."""


LOG_ZERO = -1e30
"""The logarithm of probability 0. It is finite because a difference of two infinities would be NaN."""


def negative_log_likelihood(
    emissions: Float[Array, "frames sequences labels_and_blank"],
    skips: Bool[Array, "sequences labels"],
    target_lengths: Int[Array, "sequences"],
) -> Float[Array, "sequences"]:
    """Minus the log-probability of all paths; inf if there is no path. JAX can differentiate it twice."""
    total, _ = _scan_frames(emissions, skips, target_lengths, lambda scores: (jax.nn.logsumexp(scores, 0), ()))
    # LOG_ZERO plus a few hundred emissions stays far below the logarithm of any probability that a path can have.
    return -jnp.where(total < LOG_ZERO / 2, -jnp.inf, total)


def best_path(
    emissions: Float[Array, "frames sequences labels_and_blank"],
    skips: Bool[Array, "sequences labels"],
    target_lengths: Int[Array, "sequences"],
) -> tuple[Float[Array, "sequences"], Int[Array, "frames sequences"]]:
    """Return the log-probability of the likeliest path and its state in every frame (the Viterbi algorithm)."""
    score, (backpointers,) = _scan_frames(
        emissions, skips, target_lengths, lambda scores: (jnp.max(scores, 0), (jnp.argmax(scores, 0).astype(jnp.int8),))
    )

    def previous(state: Int[Array, "sequences"], pointers: Int[Array, "sequences states"]) -> tuple[Array, Array]:
        state = state - jnp.take_along_axis(pointers, state[:, None], 1, mode="clip")[:, 0].astype(state.dtype)
        return state, state

    # The pointers of a frame lead to the frame before it. So the first ones lead out of the sequence and are dropped,
    # and those of the end lead to the last frame.
    _, states = lax.scan(previous, 2 * target_lengths, backpointers[1:], reverse=True)
    return jnp.where(score < LOG_ZERO / 2, -jnp.inf, score), states


def _scan_frames(
    emissions: Float[Array, "frames sequences labels_and_blank"],
    skips: Bool[Array, "sequences labels"],
    target_lengths: Int[Array, "sequences"],
    combine: Callable[[Float[Array, "3 sequences states"]], tuple[Float[Array, "sequences states"], Backpointers]],
) -> tuple[Float[Array, "sequences"], Backpointers]:
    """Run the recursion, and return the final score of each sequence and the backpointers of every frame.

    `combine` joins the scores of a state's three predecessors: `logsumexp` over all paths, or `max` for the best.
    """
    _, sequences, width = emissions.shape
    states = 2 * width - 1
    index = jnp.arange(states)
    may_skip = jnp.zeros((sequences, states), bool).at[:, 1::2].set(skips)

    def predecessors(alphas: Float[Array, "sequences states"]) -> Float[Array, "3 sequences states"]:
        """The scores of staying in a state, of moving on by one, and of skipping the blank between two labels."""
        from_1, from_2 = (jnp.pad(alphas, ((0, 0), (by, 0)), constant_values=LOG_ZERO)[:, :states] for by in (1, 2))
        return jnp.stack([alphas, from_1, jnp.where(may_skip, from_2, LOG_ZERO)])

    def step(
        alphas: Float[Array, "sequences states"], emitted: Float[Array, "sequences width"]
    ) -> tuple[Array, Backpointers]:
        combined, pointers = combine(predecessors(alphas))
        emitted = jnp.maximum(emitted, LOG_ZERO)  # an emission of -inf would make -inf - -inf in the derivative
        return combined + jnp.where((index % 2 == 0)[None], emitted[:, :1], jnp.repeat(emitted, 2, 1)[:, 1:]), pointers

    # The zeros of the emissions' shape make the start vary over the devices of a mesh as the emissions do. A scan under
    # `shard_map` requires that of its carry.
    start = jnp.where(index == 0, 0.0, LOG_ZERO).astype(emissions.dtype)[None] + jnp.zeros_like(emissions[0, :, :1])
    last, pointers = lax.scan(step, start, emissions)
    # One more step without an emission brings every complete path to the last blank, whether it ended there or at the
    # last label.
    end, last_pointers = combine(predecessors(last))
    total = jnp.take_along_axis(end, 2 * target_lengths[:, None], 1, mode="clip")[:, 0]
    return total, tuple(
        jnp.concatenate([each, at_end[None]]) for each, at_end in zip(pointers, last_pointers, strict=True)
    )
