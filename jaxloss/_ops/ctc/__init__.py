"""CTC: the negative log-likelihood of labels over all their alignments with the frames, and the likeliest alignment.

A batch becomes a `Problem` (`problem.py`), which an implementation solves. `formula.py` solves it in logarithms, and
`xla.py` in numbers of extended range. `derivative.py` makes the derivatives for both.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, TypeAlias, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.elementwise import is_infinite
from jaxloss._core.sequences import Batch, length_mask
from jaxloss._ops.ctc import derivative, formula, xla, xla_gpu
from jaxloss._ops.ctc.emissions import of_log_probs
from jaxloss._ops.ctc.problem import Emissions, Engine, PerSequence, Pick, Problem, ctc_problem
from jaxloss._ops.platform import by_platform, choose, recomputed

T = TypeVar("T")


Implementation: TypeAlias = Literal["xla", "reference"]
"""The names of the implementations. "reference" is the formula, with which the other is compared."""


def _takes_all(problem: Problem) -> None:
    """Refuse no problem."""


def _value_and_posteriors(problem: Problem) -> tuple[PerSequence, Emissions]:
    """One loop over the frames on GPUs. It stores more states, which costs the others more than its launches."""
    two_loops = xla.value_and_posteriors
    return recomputed(partial(by_platform, two_loops, two_loops, xla_gpu.value_and_posteriors), problem)


IMPLEMENTATIONS: Mapping[str, Engine] = {
    "xla": Engine(_takes_all, xla.value, _value_and_posteriors),
    "reference": Engine(_takes_all, formula.value, formula.value_and_posteriors),
}


def negative_log_likelihood(
    batch: Batch, axis: int, blank: int, implementation: Implementation | None = None, pick: Pick = of_log_probs
) -> PerSequence:
    """Minus the log-probability of all paths; inf if there is no path, NaN where a value is out of its domain.

    `axis` is that of the sequences in the log-probabilities, or in the logits if `pick` is `of_logits`.
    """

    def solve(batch: Batch) -> PerSequence:
        problem = ctc_problem(batch, axis, blank, pick)
        engine = choose(implementation, IMPLEMENTATIONS, lambda each: each.refuses(problem))
        return derivative.losses(problem, engine)

    return _on_any_mesh(solve, batch, axis)


def likeliest_path(batch: Batch, axis: int, blank: int) -> tuple[PerSequence, Int[Array, "sequences frames"]]:
    """The log-probability of the likeliest path, and its class in every frame; -1 where there is no path or frame."""

    def solve(batch: Batch) -> tuple[PerSequence, Int[Array, "sequences frames"]]:
        problem = ctc_problem(batch, axis, blank, of_log_probs)
        score, states = formula.best_path(problem)
        # A derivative reaches the score alone: the path is made of integers.
        states = states[: batch.log_probs.shape[1 - axis]].T  # without the frames that fill the last block
        emissions = jnp.where(states % 2 == 0, 0, states // 2 + 1)  # even states are blanks, odd ones are labels
        classes = jnp.take_along_axis(problem.classes, emissions, 1, mode="clip")
        has_path = problem.valid & ~is_infinite(score)
        on_path = length_mask(problem.input_lengths, classes.shape[1]) & has_path[:, None]
        return nan_unless(problem.valid, score).astype(batch.log_probs.dtype), jnp.where(on_path, classes, -1)

    return _on_any_mesh(solve, batch, axis)


def _on_any_mesh(function: Callable[[Batch], T], batch: Batch, axis: int) -> T:
    """Call a function whose results have the sequences on their first axis.

    On a mesh with explicit axes, gathers and loops would have to be told how their results are split. XLA finds that
    out instead.
    """
    sharding = jax.typeof(batch.log_probs).sharding
    kinds = sharding.mesh.axis_types
    if AxisType.Explicit not in kinds or AxisType.Manual in kinds:  # JAX has no `auto_axes` inside `shard_map`
        return function(batch)
    out = NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[axis]))
    return cast(T, jax.sharding.auto_axes(function, out_sharding=out)(batch))
