"""Losses of sources in any order: the assignment of predictions to targets that has the least loss."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias, cast

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Shaped

from jaxloss._core.arguments import filled, floating, has_axis, mask
from jaxloss._core.dtypes import accumulator
from jaxloss._core.objects import Loss, LossSum
from jaxloss._core.pytree import fields
from jaxloss._core.reduction import reduce
from jaxloss._core.types import AnyArray, ArrayLike, Mask, Reduction, Values, Weight

SourceLoss: TypeAlias = Callable[..., Float[Array, "..."]]
MOST_SOURCES = 6
"""Six sources have 720 permutations."""


def permutation_invariant(loss: SourceLoss, *, axis: int = -2) -> SourceLoss:
    r"""Transform a loss so that the predicted sources may come in any order.

    $$ \ell = \min_{\pi} \frac1S \sum_{s} \ell(x_{\pi(s)}, t_s) $$

    The minimum is over all permutations of the S sources of a mixture. Each mixture has a permutation of its own.

    Args:
        loss: A loss of predictions and targets with the options `reduction`, `where` and `sample_weight`, or an option
            object. Its unreduced result has at least one number for each source; several numbers of a source are
            averaged.
        axis: The axis of the sources, counted in the predictions. The default fits signals of shape (N..., S, T).

    Returns:
        A function `loss(predictions, targets, *arrays, reduction="mean", where=None, sample_weight=None)`. It has one
        loss for each mixture, shape (N...). `where` and `sample_weight` have that shape. See
        [`reduce`][jaxloss.reduce]. All arrays have the shape (N..., S, ...) and those after the predictions belong to
        the targets. Of several best permutations, the first has the gradient. The function raises a ValueError for more
        than 6 sources, for shapes that do not match, and for a loss without a number for each source. It raises a
        TypeError for predictions that are not real and floating.

    Examples:
        >>> loss = jaxloss.permutation_invariant(jaxloss.mse_loss)
        >>> targets = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
        >>> print(f"{loss(targets[::-1], targets):.2f} {jaxloss.mse_loss(targets[::-1], targets):.2f}")
        0.00 4.67

    Source: Yu et al., "Permutation Invariant Training of Deep Models for Speaker-Independent Multi-Talker Speech
    Separation", 2017.
    """

    def invariant(
        predictions: Float[ArrayLike, "..."],
        targets: Shaped[ArrayLike, "..."],
        *arrays: Shaped[ArrayLike, "..."],
        reduction: Reduction = "mean",
        where: Mask | None = None,
        sample_weight: Weight | None = None,
    ) -> Float[Array, "..."]:
        costs = _costs(loss, axis, predictions, (targets, *arrays), where)
        chosen = lax.broadcasted_iota(costs.best.dtype, costs.all.shape, costs.all.ndim - 1) == costs.best[..., None]
        losses = jnp.sum(jnp.where(chosen, costs.all, 0.0), -1)
        return reduce(losses, reduction, where, sample_weight, dtype=costs.dtype)

    return invariant


def best_permutation(loss: SourceLoss, *, axis: int = -2) -> Callable[..., Int[Array, "..."]]:
    """Transform a loss into a function that finds the predicted source for each target.

    Args:
        loss: A loss, as in [`permutation_invariant`][jaxloss.permutation_invariant].
        axis: The axis of the sources, counted in the predictions.

    Returns:
        A function `permutation(predictions, targets, *arrays)` of arrays of shape (N..., S, ...). Its result has the
        shape (N..., S). Entry s is the place of the prediction that belongs to target s. For signals of shape
        (N..., S, T), `jnp.take_along_axis(predictions, permutation[..., None], axis=-2)` has the order of the targets.
        It raises the errors of [`permutation_invariant`][jaxloss.permutation_invariant].

    Examples:
        >>> targets = jnp.array([[1.0, 2.0], [0.0, 0.0], [5.0, 5.0]])
        >>> print(jaxloss.best_permutation(jaxloss.mse_loss)(targets[jnp.array([2, 0, 1])], targets))
        [1 2 0]

    Source: The paper of [`permutation_invariant`][jaxloss.permutation_invariant].
    """

    def permutation(
        predictions: Float[ArrayLike, "..."], targets: Shaped[ArrayLike, "..."], *arrays: Shaped[ArrayLike, "..."]
    ) -> Int[Array, "..."]:
        costs = _costs(loss, axis, predictions, (targets, *arrays), None)
        return jnp.asarray(costs.permutations)[costs.best]

    return permutation


class Costs(NamedTuple):
    """The mean loss of each mixture under each permutation."""

    all: Float[Array, "*mixtures permutations"]
    best: Int[Array, "*mixtures"]
    """The first permutation with the least loss, or one whose loss is NaN."""
    permutations: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    """The prediction of each target, shape (permutations, S)."""
    dtype: jnp.dtype
    """The dtype of the unreduced loss."""


def _costs(
    loss: SourceLoss, axis: int, predictions: ArrayLike, others: tuple[ArrayLike, ...], where: Mask | None
) -> Costs:
    """Check the arrays, and compute the loss of each prediction with each target once."""
    predictions = floating("predictions", predictions)
    number = has_axis("predictions", predictions, axis)
    arrays, dtype = _in_one_dtype(predictions, *others)
    shape, sources = predictions.shape[: number + 1], predictions.shape[number]
    for name, array in zip(("targets", *("array",) * len(others)), arrays[1:], strict=False):
        if array.shape[: number + 1] != shape:
            raise ValueError(
                f"`{name}` has shape {array.shape}, but must begin with {shape}, the shape of `predictions` up to its "
                "axis of sources."
            )
    if sources > MOST_SOURCES:
        raise ValueError(
            f"`predictions` has shape {predictions.shape}, with {sources} sources, but all permutations are tried only "
            f"for {MOST_SOURCES} at most."
        )
    keep = mask(where, shape[:-1])
    first, *rest = (filled(array, keep, 0) for array in arrays)
    pairs = _of_pairs(loss, number, first, rest)
    permutations = np.array(list(itertools.permutations(range(sources))), np.int32)
    # Entry s of a permutation is the prediction of target s.
    costs = jnp.mean(pairs[..., permutations, np.arange(sources)[None]], -1)
    return Costs(costs, jnp.argmin(lax.stop_gradient(costs), -1), permutations, dtype)


def _in_one_dtype(predictions: Values, *others: ArrayLike) -> tuple[list[AnyArray], jnp.dtype]:
    """The arrays, those of floating numbers in the dtype of the maths, and the dtype that they promote to."""
    arrays: list[AnyArray] = [predictions, *(jnp.asarray(array) for array in others)]
    kinds = [jnp.issubdtype(array.dtype, jnp.floating) for array in arrays]
    dtype = jnp.result_type(*itertools.compress(arrays, kinds))
    return [
        array.astype(accumulator(dtype)) if kind else array for array, kind in zip(arrays, kinds, strict=True)
    ], dtype


def _of_pairs(loss: SourceLoss, number: int, predictions: AnyArray, others: list[AnyArray]) -> Values:
    """The loss of each prediction, the axis before the last, with each target, the last axis."""
    sources = predictions.shape[number]

    def spread(array: AnyArray, new_axis: int) -> AnyArray:
        paired = jnp.expand_dims(array, new_axis)
        return jnp.broadcast_to(paired, (*array.shape[:number], sources, sources, *array.shape[number + 1 :]))

    arrays = spread(predictions, number + 1), *(spread(array, number) for array in others)
    losses = _unreduced(loss)(*arrays)
    shape = arrays[0].shape[: number + 2]
    if losses.shape[: number + 2] != shape:
        raise ValueError(
            f"`permutation_invariant` needs a loss with a number for each source, but {loss} makes the shape "
            f"{losses.shape} of {shape[-1]} pairs of sources of shape {arrays[0].shape}. Is `axis` the axis of sources?"
        )
    return jnp.mean(losses, tuple(range(number + 2, losses.ndim)))


def _unreduced(loss: SourceLoss) -> SourceLoss:
    """The loss without its reduction."""
    if isinstance(loss, LossSum):
        return LossSum(losses=tuple(cast(Loss, _unreduced(each)) for each in loss.losses), scales=loss.scales)
    if isinstance(loss, Loss):
        options = {field.name: getattr(loss, field.name) for field in fields(type(loss))}
        return type(loss)(**options | {"reduction": "none"})
    return partial(loss, reduction="none")
