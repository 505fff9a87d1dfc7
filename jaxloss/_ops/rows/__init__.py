"""Rows times a shared matrix and a loss of each row of the product, in chunks of rows.

The loss of a row is an argument: a function of a module that takes a chunk of logits. So every loss of many rows
against one matrix uses these loops: linear cross-entropy, and contrastive, margin-softmax and distillation losses.

A call goes through these files: `mesh` (the shards of a device), `derivative` (the platform and the gradient of a sum),
`chunked` (the loops), and the loss.
"""

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias, cast

import jax
from jaxtyping import Array, Shaped

from jaxloss._core.counts import is_known
from jaxloss._core.types import Values
from jaxloss._ops.platform import choose
from jaxloss._ops.rows import derivative, formula, xla_cpu
from jaxloss._ops.rows.chunks import in_whole_chunks
from jaxloss._ops.rows.mesh import device_varying, on_mesh
from jaxloss._ops.rows.problem import Engine, Problem, RowLoss, Stats

Implementation: TypeAlias = Literal["xla", "reference"]


def _takes_all(problem: object) -> None:
    """Refuse no problem."""


IMPLEMENTATIONS: Mapping[str, Engine] = {
    "xla": Engine(_takes_all, derivative.losses, derivative.total),
    "reference": Engine(_takes_all, formula.losses, formula.total),
}


def solve(
    problem: Problem,
    loss: RowLoss[Stats],
    chunk_size: int | None,
    implementation: Implementation | None,
) -> tuple[Values, Stats]:
    """The sum of the losses times their weights, or the losses themselves if there are no weights.

    The second result is what the loss returns besides, for each row.
    """
    chosen = choose(implementation, IMPLEMENTATIONS, lambda each: each.refuses(problem))

    def on_device(problem: Problem) -> tuple[Values, Stats]:
        """`solve` for the arrays of one device, with all row axes flattened into one."""
        batch = problem.rows.hidden.shape[:-1]

        def flat(array: Shaped[Array, "..."]) -> Shaped[Array, "rows ..."]:
            return array.reshape(math.prod(batch), *array.shape[len(batch) :])

        rows, weights = jax.tree.map(flat, (problem.rows, problem.weights))
        problem = device_varying(problem._replace(rows=rows, weights=weights))
        count, size = problem.rows.keep.shape[0], chunk_size
        if not is_known(count):  # in `jax.export`: any number of rows then fits in chunks of one size
            size = derivative.chunk_rows(problem, xla_cpu.TUNING) if size is None else size
            problem = in_whole_chunks(problem, size)
        compute = chosen.losses if weights is None else chosen.total
        value, stats = cast(tuple[Values, Stats], compute(problem, loss, size))

        def unflattened(array: Shaped[Array, "rows ..."]) -> Shaped[Array, "..."]:
            return array[:count].reshape(*batch, *array.shape[1:])

        stats = jax.tree.map(unflattened, stats)
        return unflattened(value) if weights is None else value, stats

    return on_mesh(on_device, problem)
