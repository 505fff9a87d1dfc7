"""CTC: the negative log-likelihood of labels over all their alignments with the frames, and the likeliest alignment.

A batch becomes a `Problem` (`problem.py`), which an implementation solves. `formula.py` solves it in logarithms, and
`xla.py` in numbers of extended range. `derivative.py` makes the derivatives for both.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.elementwise import is_infinite
from jaxloss._core.sequences import Batch, length_mask
from jaxloss._ops.ctc import derivative, formula, xla
from jaxloss._ops.ctc.problem import Implementation, PerSequence, ctc_problem

T = TypeVar("T")


Name: TypeAlias = Literal["xla", "reference"]
"""The implementations. "reference" is the formula, which the other is compared with."""

_IMPLEMENTATIONS: dict[Name, Implementation] = {"xla": xla, "reference": formula}


def negative_log_likelihood(batch: Batch, axis: int, blank: int, implementation: Name = "xla") -> PerSequence:
    """Minus the log-probability of all paths; inf if there is no path, NaN where a value is out of its domain.

    `axis` is that of the sequences in the log-probabilities.
    """

    def solve(batch: Batch) -> PerSequence:
        problem = ctc_problem(batch, axis, blank, derivative.pick)
        return derivative.losses(problem, _IMPLEMENTATIONS[implementation])

    return _on_any_mesh(solve, batch, axis)


def likeliest_path(batch: Batch, axis: int, blank: int) -> tuple[PerSequence, Int[Array, "sequences frames"]]:
    """The log-probability of the likeliest path, and its class in every frame; -1 where there is no path or frame."""

    def solve(batch: Batch) -> tuple[PerSequence, Int[Array, "sequences frames"]]:
        problem = ctc_problem(batch, axis, blank, derivative.pick)
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
