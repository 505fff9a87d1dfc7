"""The choice of the platform's chunks, and the derivative of the total.

The tangent of the total is the inner product of its gradient with the inputs' tangents. Its transpose scales the
gradient, which is computed along with the value. Forward mode and higher derivatives are those of plain JAX code.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.counts import is_known
from jaxloss._core.types import Values
from jaxloss._ops.platform import by_platform, recomputed
from jaxloss._ops.rows import chunked, xla, xla_cpu, xla_tpu
from jaxloss._ops.rows.chunked import Tuning
from jaxloss._ops.rows.chunks import Chunks
from jaxloss._ops.rows.problem import Problem, RowLoss, Stats

TUNINGS = (xla_cpu.TUNING, xla_tpu.TUNING, xla.TUNING)
"""The choices for CPUs, for TPUs and for any other platform."""


def losses(problem: Problem, loss: RowLoss[Stats], chunk_size: int | None) -> tuple[Values, Stats]:
    """The loss of each row.

    A loss that is not summed has a cotangent of its own, which comes too late to compute the gradient with the value.
    So JAX differentiates the loop, and the choice of the platform with it.
    """
    divisions = [_chunks(problem, chunk_size, tuning) for tuning in TUNINGS]
    if len(set(divisions)) == 1:  # and then a single chunk keeps its logits for the gradient
        return chunked.losses(problem, loss, divisions[0])
    return recomputed(partial(by_platform, *(partial(chunked.losses, loss=loss, chunks=c) for c in divisions)), problem)


@custom_jvp(1, 2)
def total(problem: Problem, loss: RowLoss[Stats], chunk_size: int | None) -> tuple[Values, Stats]:
    """The sum of the losses times their weights."""
    divisions = [_chunks(problem, chunk_size, tuning) for tuning in TUNINGS]
    if len(set(divisions)) == 1:  # one loop for all platforms: JAX traces all functions of a choice
        return chunked.total(problem, loss, divisions[0])
    return by_platform(*(partial(chunked.total, loss=loss, chunks=c) for c in divisions), problem)


def _total_jvp(
    loss: RowLoss[Stats],
    chunk_size: int | None,
    primals: tuple[Problem],
    tangents: tuple[object],
) -> tuple[tuple[Values, Stats], tuple[Values, Stats]]:
    (problem,) = primals
    dots: list[Values] = jax.tree.leaves(tangents, is_leaf=_is_zero)
    # Only leaves with a tangent get a gradient: that of the kernel takes a third of the products.
    active = tuple(position for position, dot in enumerate(dots) if not _is_zero(dot))
    # A second derivative differentiates this choice.
    programs = (_total_and_gradient(problem, loss, chunk_size, tuning, active) for tuning in TUNINGS)
    value, stats, slopes = recomputed(partial(by_platform, *programs), problem)
    # Leaves that are split over the classes' devices give a part of the sum on each, others the same sum on all.
    axis = problem.shared.axis
    tangent = jnp.zeros((), value.dtype)
    for slope, position in zip(slopes, active, strict=True):
        tangent += axis.all_reduce_if_varying(jnp.sum(slope * dots[position].astype(slope.dtype), dtype=tangent.dtype))
    return (value, stats), (tangent, jax.tree.map(_zeros_like, stats))


total.defjvp(_total_jvp, symbolic_zeros=True)


def _total_and_gradient(
    problem: Problem,
    loss: RowLoss[Stats],
    chunk_size: int | None,
    tuning: Tuning,
    active: tuple[int, ...],
) -> partial[tuple[Values, Stats, list[Values]]]:
    if chunk_size is None and tuning.gradient_rows is not None:
        chunk_size = tuning.gradient_rows(problem.rows.hidden, problem.shared.kernel)
    chunks = _chunks(problem, chunk_size, tuning)
    return partial(chunked.total_and_gradient, loss=loss, chunks=chunks, tuning=tuning, active=active)


def chunk_rows(problem: Problem, tuning: Tuning) -> int:
    """The default rows of a chunk on a platform. For a symbolic number of classes it is that of very many classes."""
    width, *logits_axes = problem.shared.kernel.shape
    logits = math.prod(logits_axes)
    return tuning.chunk_rows(problem.rows.hidden.shape[0], width, max(logits, 1) if is_known(logits) else 2**31)


def _chunks(problem: Problem, chunk_size: int | None, tuning: Tuning) -> Chunks:
    return Chunks.of(problem.rows.hidden.shape[0], chunk_size or chunk_rows(problem, tuning))


def _zeros_like(array: Values) -> Values:
    return jnp.zeros_like(array)


def _is_zero(dot: object) -> bool:
    return isinstance(dot, SymbolicZero)
