"""Losses of ordinal regression: the classes are grades in an order. One logit stands between two grades."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.arguments import filled, floats, has_axis, mask
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_numbers import class_numbers, class_weight, signed
from jaxloss._core.domains import Domain, within
from jaxloss._core.elementwise import softplus, times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Values, Weight

__all__ = ["CoralLoss", "CornLoss", "coral_loss", "corn_loss"]


@program("weight", integers=("targets",))
def coral_loss(
    logits: Float[ArrayLike, "*shape thresholds"],
    targets: Integer[ArrayLike, "*shape"],
    *,
    weight: Float[ArrayLike, "thresholds"] | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""CORAL loss: for each threshold between two grades, whether the true grade is past it.

    $$ \ell = -\sum_{k=0}^{K-2} w_k \bigl( [y > k] \log \sigma(x_k) + [y \le k] \log \sigma(-x_k) \bigr) $$

    The predicted grade is the number of positive logits. The method shares one weight vector between the logits, so
    that they differ by their biases alone.

    Args:
        logits: The log-odds $x_k$ that the grade is above $k$, shape (N..., K - 1) for K grades.
        targets: The grades $y$ from 0 to K - 1, shape (N...), integers of any dtype.
        weight: A weight for each threshold, shape (K - 1,).
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A grade out of range makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, or there is no threshold.
        TypeError: The logits are not real and floating, or the targets are not integers.

    Examples:
        >>> print(f"{jaxloss.coral_loss(jnp.zeros((1, 3)), jnp.array([2])):.4f}")  # 3 log(2)
        2.0794

    Source: Cao et al., "Rank Consistent Ordinal Regression for Neural Networks", 2020.
    """
    logits, grades, dtype = _graded(logits, targets, where)
    losses = grades.nll(logits)
    if weight is not None:
        losses = times(class_weight(weight, logits, logits.ndim - 1), losses)
    losses = nan_unless(grades.in_range, jnp.sum(losses, -1))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class CoralLoss(Loss, fn=coral_loss):
    """Option object of [`coral_loss`][jaxloss.coral_loss]."""

    weight: Float[ArrayLike, "thresholds"] | None = None
    reduction: Reduction = static("mean")


@program(integers=("targets",))
def corn_loss(
    logits: Float[ArrayLike, "*shape thresholds"],
    targets: Integer[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""CORN loss: for each threshold that the true grade reaches, whether the true grade is past it.

    $$ \ell = -\sum_{k=0}^{\min(y, K-2)} \bigl( [y > k] \log \sigma(x_k) + [y \le k] \log \sigma(-x_k) \bigr) $$

    A threshold is a task of its own, and only the examples with $y \ge k$ take part in task $k$. The mean divides by
    the number of tasks that the examples take part in, $\min(y, K-2) + 1$ for each.

    Args:
        logits: The log-odds $x_k$ that the grade is above $k$ if it is at least $k$, shape (N..., K - 1) for K grades.
            The probability that the grade is above $k$ is $\prod_{j \le k} \sigma(x_j)$.
        targets: The grades $y$ from 0 to K - 1, shape (N...), integers of any dtype.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A grade out of range makes its loss and gradient NaN.

    Raises:
        ValueError: Shapes do not match, or there is no threshold.
        TypeError: The logits are not real and floating, or the targets are not integers.

    Examples:
        >>> print(f"{jaxloss.corn_loss(jnp.zeros((1, 3)), jnp.array([1])):.4f}")  # two tasks, log(2) each
        0.6931

    Source: Shi et al., "Deep Neural Networks for Rank-Consistent Ordinal Regression Based On Conditional
    Probabilities", 2021.
    """
    logits, grades, dtype = _graded(logits, targets, where)
    # A threshold without the example is filled before the maths: its NaN must not reach the gradient.
    reached = grades.thresholds <= grades.numbers
    losses = jnp.where(reached, grades.nll(jnp.where(reached, logits, 0.0)), 0.0)
    losses = nan_unless(grades.in_range, jnp.sum(losses, -1))
    tasks = jnp.sum(reached, -1, dtype=losses.dtype)
    return reduce(losses, reduction, where, sample_weight, count=tasks, dtype=dtype)


class CornLoss(Loss, fn=corn_loss):
    """Option object of [`corn_loss`][jaxloss.corn_loss]."""

    reduction: Reduction = static("mean")


class _Grades(NamedTuple):
    """Checked grades."""

    numbers: Integer[Array, "..."]
    """The grades, with an axis of size 1 for the thresholds."""
    thresholds: Integer[Array, "..."]
    """The numbers of the thresholds, along the last axis."""
    in_range: Bool[Array, "..."]

    def nll(self, logits: Values) -> Values:
        """The binary cross-entropy of each logit and whether the grade is above its threshold."""
        return softplus(jnp.where(self.numbers > self.thresholds, -logits, logits))


def _graded(
    logits: Float[ArrayLike, "..."], targets: Integer[ArrayLike, "..."], where: Mask | None
) -> tuple[Values, _Grades, jnp.dtype]:
    """Check logits and grades, and fill them where masked. Also return the dtype of the unreduced loss."""
    (logits,), dtype = floats(logits=logits)
    thresholds = logits.shape[has_axis("logits", logits)]
    targets = class_numbers(targets)
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"`targets` has shape {targets.shape}, but `logits` {logits.shape} without its last axis is "
            f"{logits.shape[:-1]}."
        )
    keep = mask(where, targets.shape)
    numbers = filled(signed(targets), keep, 0)
    in_range = within(
        Domain(f"a grade from 0 to {thresholds}", lambda y: (y >= 0) & (y <= thresholds)), targets=numbers
    )
    numbers = numbers[..., None]
    iota = lax.broadcasted_iota(numbers.dtype, (1,) * (logits.ndim - 1) + (thresholds,), logits.ndim - 1)
    # A bad grade makes the gradient of all its logits NaN, also of those that no term reaches.
    logits = nan_unless(in_range[..., None], filled(logits, keep, 0.0))
    return logits, _Grades(numbers, iota, in_range), dtype
