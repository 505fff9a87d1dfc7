"""The product of rows with a shared matrix, the sum of the rows' losses, and the losses with all logits in memory."""

import math

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.dtypes import accumulator, has_small_range, limits
from jaxloss._core.elementwise import times
from jaxloss._core.types import Values
from jaxloss._ops.rows.problem import Problem, RowLoss, Stats


def project(hidden: Values, kernel: Values) -> Values:
    """hidden @ kernel over the width, in float32 or wider. The kernel is not transposed, because that copies it."""
    return contract(hidden, kernel, (hidden.ndim - 1,), (0,), accumulator(kernel.dtype))


@custom_jvp(2, 3, 4)
def contract(a: Values, b: Values, over_a: tuple[int, ...], over_b: tuple[int, ...], dtype: DTypeLike) -> Values:
    """The matrix product of two arrays over one list of axes each, accumulated and returned in `dtype`."""
    return lax.dot_general(a, b, ((over_a, over_b), ((), ())), preferred_element_type=jnp.dtype(dtype))


@contract.defjvp
def _contract_jvp(
    over_a: tuple[int, ...],
    over_b: tuple[int, ...],
    dtype: DTypeLike,
    primals: tuple[Values, Values],
    tangents: tuple[Values, Values],
) -> tuple[Values, Values]:
    # The tangent is in the inputs' dtype. So its transposes are products of two low-precision arrays, not of a float32
    # and a low-precision one. But a cotangent may leave the range of float16, where the gradient does not.
    (a, b), (a_dot, b_dot) = primals, tangents
    low = accumulator(a.dtype) if has_small_range(a.dtype) else a.dtype
    arrays = ((a_dot, b), (a, b_dot))
    first, second = (contract(left.astype(low), right.astype(low), over_a, over_b, low) for left, right in arrays)
    tangent = first + second
    return contract(a, b, over_a, over_b, dtype), tangent.astype(dtype)


def narrowed(slopes: Values, dtype: DTypeLike) -> tuple[Values, Values | None]:
    """The slopes of rows in the dtype of a product, and the number that divided each row; None stands for 1.

    Small weights would take float16 slopes below its range, and large ones above it. So each row fills the range.
    """
    if not has_small_range(dtype):
        return slopes.astype(dtype), None
    largest = jnp.max(jnp.abs(lax.stop_gradient(slopes)), tuple(range(1, slopes.ndim)), keepdims=True)
    # The rows' numbers are powers of 2, times one number for all rows: a weight that all rows have changes no digit.
    common = jnp.max(largest)
    common = jnp.where((common > 0) & (common <= limits(common.dtype).max), common, 1.0)
    highest = math.frexp(limits(dtype).max)[1] - 2
    # A row of zeros has the exponent 0. The limit keeps the power in the range of float32.
    exponent = jnp.maximum(jnp.frexp(largest / common)[1] - highest, -60)
    scale = jnp.ldexp(jnp.broadcast_to(common, largest.shape), exponent)
    return (slopes / scale).astype(dtype), scale


def row_losses(product: Values, problem: Problem, loss: RowLoss[Stats]) -> tuple[Values, Stats]:
    """The loss of each row, from the product of the rows with the matrix."""
    rows, shared, _ = problem
    return loss(product, rows.data, rows.keep, shared.parameters, shared.axis)


def weighted_sum(product: Values, problem: Problem, loss: RowLoss[Stats]) -> tuple[Values, Stats]:
    """The sum of the rows' losses times their weights."""
    losses, stats = row_losses(product, problem, loss)
    return jnp.sum(losses if problem.weights is None else times(problem.weights, losses)), stats


# The reference ----------------------------------------------------------------------------------------------------


def losses(problem: Problem, loss: RowLoss[Stats], chunk_size: int | None) -> tuple[Values, Stats]:
    """The loss of each row. `chunk_size` is not used: all logits are in memory."""
    problem = problem._replace(rows=problem.rows.zero_masked())
    return row_losses(project(problem.rows.hidden, problem.shared.kernel), problem, loss)


def total(problem: Problem, loss: RowLoss[Stats], chunk_size: int | None) -> tuple[Values, Stats]:
    """The sum of the losses times their weights, which JAX differentiates."""
    problem = problem._replace(rows=problem.rows.zero_masked())
    return weighted_sum(project(problem.rows.hidden, problem.shared.kernel), problem, loss)
