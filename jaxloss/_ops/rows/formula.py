"""The product of rows with a shared matrix, the sum of the rows' losses, and the losses with all logits in memory."""

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.dtypes import accumulator
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
    # and a low-precision one.
    (a, b), (a_dot, b_dot) = primals, tangents
    low = a.dtype
    tangent = contract(a_dot, b, over_a, over_b, low) + contract(a, b_dot, over_a, over_b, low)
    return contract(a, b, over_a, over_b, dtype), tangent.astype(dtype)


def row_losses(product: Values, problem: Problem, loss: RowLoss[Stats]) -> tuple[Values, Stats]:
    """The loss of each row, from the product of the rows with the matrix."""
    rows, shared, _ = problem
    return loss(product, rows.data, rows.keep, shared.parameters, shared.axis)


def weighted_sum(product: Values, problem: Problem, loss: RowLoss[Stats]) -> tuple[Values, Stats]:
    """The sum of the rows' losses times their weights."""
    losses, stats = row_losses(product, problem, loss)
    return jnp.sum(losses if problem.weights is None else problem.weights * losses), stats


# The reference ----------------------------------------------------------------------------------------------------


def losses(problem: Problem, loss: RowLoss[Stats], chunk_size: int | None) -> tuple[Values, Stats]:
    """The loss of each row. `chunk_size` is not used: all logits are in memory."""
    problem = problem._replace(rows=problem.rows.zero_masked())
    return row_losses(project(problem.rows.hidden, problem.shared.kernel), problem, loss)


def total(problem: Problem, loss: RowLoss[Stats], chunk_size: int | None) -> tuple[Values, Stats]:
    """The sum of the losses times their weights, which JAX differentiates."""
    problem = problem._replace(rows=problem.rows.zero_masked())
    return weighted_sum(project(problem.rows.hidden, problem.shared.kernel), problem, loss)
