"""CTC in logarithms: the recursion over paths in the form that is easiest to read.

A sequence of S labels has 2S + 1 states. State 2i is a blank, and state 2i + 1 is label i. The alpha of a state is the
log-probability of all partial paths that end in it.

JAX differentiates this form as often as asked. It gives the derivatives beyond the first and the best path, and it is
the implementation that the faster ones are compared with.
"""

from collections.abc import Callable
from typing import TypeAlias, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxloss._ops.ctc.problem import LOG_ZERO, Emissions, PerSequence, Problem

Backpointers: TypeAlias = tuple[Int[Array, "..."], ...]
"""Empty, or one array: for every state, how many states before it its best predecessor stands (0, 1 or 2)."""


def value(problem: Problem) -> PerSequence:
    """Minus the log-probability of all paths; inf if there is no path. JAX can differentiate it as often as asked."""
    total, _ = _scan_frames(problem, lambda scores: (jax.nn.logsumexp(scores, 0), ()))
    return -_minus_infinity_without_path(total)


def value_and_posteriors(problem: Problem) -> tuple[PerSequence, Emissions]:
    """The value, and minus its derivative by the emissions: the posteriors of all states."""

    def of_emissions(emissions: Emissions) -> PerSequence:
        return value(problem._replace(emissions=emissions))

    losses, pullback = cast(
        tuple[PerSequence, Callable[[PerSequence], tuple[Emissions]]], jax.vjp(of_emissions, problem.emissions)
    )
    return losses, -pullback(jnp.ones_like(losses))[0]


def best_path(problem: Problem) -> tuple[PerSequence, Int[Array, "frames sequences"]]:
    """Return the log-probability of the likeliest path and its state in every frame (the Viterbi algorithm)."""
    score, (backpointers,) = _scan_frames(
        problem, lambda scores: (jnp.max(scores, 0), (jnp.argmax(scores, 0).astype(jnp.int8),))
    )

    def previous(state: Int[Array, "sequences"], pointers: Int[Array, "sequences states"]) -> tuple[Array, Array]:
        state = state - jnp.take_along_axis(pointers, state[:, None], 1, mode="clip")[:, 0].astype(state.dtype)
        return state, state

    # The pointers of a frame lead to the frame before it. So the first ones lead out of the sequence and are dropped,
    # and those of the end lead to the last frame.
    _, states = lax.scan(previous, 2 * problem.target_lengths, backpointers[1:], reverse=True)
    return _minus_infinity_without_path(score), states


def _minus_infinity_without_path(total: PerSequence) -> PerSequence:
    """The log-probability of the paths, where LOG_ZERO stands for -inf.

    LOG_ZERO plus the emissions of all frames stays far below the logarithm of any probability that a path can have. The
    infinity is the logarithm of 0 and not a constant, so that `jax.debug_infs` accepts sequences that have a path.
    """
    return total + jnp.log(jnp.where(total < LOG_ZERO / 2, jnp.zeros((), total.dtype), 1.0))


def _scan_frames(
    problem: Problem,
    combine: Callable[[Float[Array, "3 sequences states"]], tuple[Float[Array, "sequences states"], Backpointers]],
) -> tuple[Float[Array, "sequences"], Backpointers]:
    """Run the recursion, and return the final score of each sequence and the backpointers of every frame.

    `combine` joins the scores of a state's three predecessors: `logsumexp` over all paths, or `max` for the best.
    """
    emissions, target_lengths = problem.emissions, problem.target_lengths
    _, sequences, width = emissions.shape
    states = 2 * width - 1
    index = jnp.arange(states)
    may_skip = jnp.zeros((sequences, states), bool).at[:, 1::2].set(problem.skips)

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
