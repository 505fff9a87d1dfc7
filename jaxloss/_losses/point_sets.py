"""Losses of sets of points: distances between two sets, whose points have no order and need no partner."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxloss._core.arguments import Number, filled, floats, has_axis, mask
from jaxloss._core.counts import is_known
from jaxloss._core.elementwise import ratio, root
from jaxloss._core.extended_range import power_of_2_over
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight

__all__ = ["ChamferLoss", "EnergyDistanceLoss", "MMDLoss", "chamfer_loss", "energy_distance_loss", "mmd_loss"]

MOST_DIFFERENCES = 2**22
"""The most differences of coordinates that are in memory at the same time, unless a single point has more."""

Kernel: TypeAlias = Callable[[Values, Values], Values]
"""A number of each pair of points: of the shapes (N..., n, D) and (N..., m, D) it makes (N..., n, m)."""

Places: TypeAlias = Int[Array, "points"]
"""The places of points in their set."""

OfPoints: TypeAlias = Callable[[Values, Places, Values], Array]
"""A number of each point: of points, their places and the points of the other set it makes (N..., n)."""


@program()
def chamfer_loss(
    a: Float[ArrayLike, "*sets points size"],
    b: Float[ArrayLike, "*sets others size"],
    valid_a: Bool[ArrayLike, "*sets points"] | None = None,
    valid_b: Bool[ArrayLike, "*sets others"] | None = None,
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Chamfer distance of two sets of points: the mean squared distances to the nearest point of the other set.

    $$ \ell = \frac1n \sum_i \min_j \lVert a_i - b_j \rVert^2 + \frac1m \sum_j \min_i \lVert a_i - b_j \rVert^2 $$

    Args:
        a: Points of the first sets, shape (N..., n, D).
        b: Points of the second sets, shape (N..., m, D), in the same units.
        valid_a: True for the points of `a` that exist, shape (N..., n). None stands for all.
        valid_b: True for the points of `b` that exist, shape (N..., m). None stands for all.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs of sets that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair of sets, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...), in the squared unit of the points. Of several nearest points, the first
        has the gradient. A pair with an empty set has the loss 0 and is left out of the mean. Large sets are compared
        in chunks, so that the distances of all pairs are never in memory.

    Raises:
        ValueError: The shapes do not fit, or an array has no points.
        TypeError: The points are not real and floating, or a mask is not boolean.

    Examples:
        >>> a, b = jnp.array([[0.0, 0.0], [1.0, 0.0]]), jnp.array([[0.0, 0.0], [1.0, 2.0], [1.0, 1.0]])
        >>> print(f"{jaxloss.chamfer_loss(a, b):.4f}")
        2.1667

    Source: Fan, Su and Guibas, "A Point Set Generation Network for 3D Object Reconstruction from a Single Image", 2017.
    """
    first, second, dtype = _two_sets(a, b, valid_a, valid_b, where)
    losses = _mean_nearest(first, second) + _mean_nearest(second, first)
    count = first.at_least(1) * second.at_least(1)
    return reduce(count * losses, reduction, where, sample_weight, count=count, dtype=dtype)


class ChamferLoss(Loss, fn=chamfer_loss):
    """Option object of [`chamfer_loss`][jaxloss.chamfer_loss]."""

    reduction: Reduction = static("mean")


@program()
def energy_distance_loss(
    a: Float[ArrayLike, "*sets points size"],
    b: Float[ArrayLike, "*sets others size"],
    valid_a: Bool[ArrayLike, "*sets points"] | None = None,
    valid_b: Bool[ArrayLike, "*sets others"] | None = None,
    *,
    biased: bool = True,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Energy distance of two samples: 0 if and only if they have the same distribution of points.

    $$ \ell = \frac{2}{n m} \sum_{i, j} \lVert a_i - b_j \rVert - \frac{1}{n^2} \sum_{i, j} \lVert a_i - a_j \rVert
       - \frac{1}{m^2} \sum_{i, j} \lVert b_i - b_j \rVert $$

    Args:
        a: Points of the first sets, shape (N..., n, D).
        b: Points of the second sets, shape (N..., m, D), in the same units.
        valid_a: True for the points of `a` that exist, shape (N..., n). None stands for all.
        valid_b: True for the points of `b` that exist, shape (N..., m). None stands for all.
        biased: Whether a point is compared with itself, as in the formula. False divides by $n (n - 1)$ and
            $m (m - 1)$: it estimates the distance of the distributions without bias, and may be negative.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs of sets that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair of sets, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...), in the unit of the points. The gradient between points that coincide is
        0. A pair with an empty set, or with a set of one point and `biased=False`, has the loss 0 and is left out of
        the mean. Large sets are compared in chunks, so that the distances of all pairs are never in memory.

    Raises:
        ValueError: The shapes do not fit, or an array has no points, or one point and `biased=False`.
        TypeError: The points are not real and floating, or a mask is not boolean.

    Examples:
        >>> a, b = jnp.array([[0.0], [1.0]]), jnp.array([[2.0], [4.0]])
        >>> print(jaxloss.energy_distance_loss(a, b))
        3.5

    Source: Székely and Rizzo, "Energy Statistics: A Class of Statistics Based on Distances", 2013.
    """
    first, second, dtype = _two_sets(a, b, valid_a, valid_b, where)
    _check_numbers(biased, first, second)
    # The distances are in the units of the points. In units near their numbers no square overflows.
    unit = power_of_2_over(jnp.maximum(first.largest, second.largest))
    first, second = first.times(unit), second.times(unit)
    within = _mean_within(_distances, first, biased) + _mean_within(_distances, second, biased)
    losses = (2 * _mean_between(_distances, first, second) - within) / unit
    count = first.at_least(1 if biased else 2) * second.at_least(1 if biased else 2)
    return reduce(count * losses, reduction, where, sample_weight, count=count, dtype=dtype)


class EnergyDistanceLoss(Loss, fn=energy_distance_loss):
    """Option object of [`energy_distance_loss`][jaxloss.energy_distance_loss]."""

    biased: bool = static(True)
    reduction: Reduction = static("mean")


@program(bandwidth=Number(above=0, axes=1))
def mmd_loss(
    a: Float[ArrayLike, "*sets points size"],
    b: Float[ArrayLike, "*sets others size"],
    valid_a: Bool[ArrayLike, "*sets points"] | None = None,
    valid_b: Bool[ArrayLike, "*sets others"] | None = None,
    *,
    bandwidth: Scalar = 1.0,
    biased: bool = True,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Squared maximum mean discrepancy of two samples, with Gaussian kernels.

    $$ \ell = \frac{1}{n^2} \sum_{i, j} k(a_i, a_j) - \frac{2}{n m} \sum_{i, j} k(a_i, b_j)
       + \frac{1}{m^2} \sum_{i, j} k(b_i, b_j), \qquad
       k(x, y) = \sum_s \exp \left( -\frac{\lVert x - y \rVert^2}{2 s^2} \right) $$

    Args:
        a: Points of the first sets, shape (N..., n, D).
        b: Points of the second sets, shape (N..., m, D), in the same units.
        valid_a: True for the points of `a` that exist, shape (N..., n). None stands for all.
        valid_b: True for the points of `b` that exist, shape (N..., m). None stands for all.
        bandwidth: The standard deviation $s$ of the kernel, above 0, in the unit of the points. Several of them, shape
            (K,), make a sum of kernels, which tells differences of several sizes.
        biased: Whether a point is compared with itself, as in the formula. False divides by $n (n - 1)$ and
            $m (m - 1)$: it estimates the discrepancy of the distributions without bias, and may be negative.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs of sets that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair of sets, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A pair with an empty set, or with a set of one point and
        `biased=False`, has the loss 0 and is left out of the mean. Large sets are compared in chunks, so that the
        kernels of all pairs are never in memory.

    Raises:
        ValueError: The shapes do not fit, an array has no points, or one point and `biased=False`, or `bandwidth` is
            out of range.
        TypeError: The points are not real and floating, or a mask is not boolean.

    Examples:
        >>> a, b = jnp.array([[0.0], [1.0]]), jnp.array([[2.0], [4.0]])
        >>> print(f"{jaxloss.mmd_loss(a, b, bandwidth=jnp.array([1.0, 4.0])):.4f}")
        1.3136

    Source: Gretton et al., "A Kernel Two-Sample Test", 2012.
    """
    first, second, dtype = _two_sets(a, b, valid_a, valid_b, where)
    _check_numbers(biased, first, second)
    widths = jnp.asarray(bandwidth, first.points.dtype).reshape(-1)
    kernel = partial(_gaussian_kernels, widths=widths)
    within = _mean_within(kernel, first, biased) + _mean_within(kernel, second, biased)
    losses = within - 2 * _mean_between(kernel, first, second)
    count = first.at_least(1 if biased else 2) * second.at_least(1 if biased else 2)
    return reduce(count * losses, reduction, where, sample_weight, count=count, dtype=dtype)


class MMDLoss(Loss, fn=mmd_loss):
    """Option object of [`mmd_loss`][jaxloss.mmd_loss]."""

    bandwidth: Scalar = 1.0
    biased: bool = static(True)
    reduction: Reduction = static("mean")


class PointSet(NamedTuple):
    """Sets of points. Those that do not exist are 0."""

    name: str
    points: Float[Array, "*sets points size"]
    valid: Bool[Array, "*sets points"] | None

    @property
    def weight(self) -> Float[Array, "*sets points"]:
        """1 for the points that exist."""
        shape, dtype = self.points.shape[:-1], self.points.dtype
        return jnp.ones(shape, dtype) if self.valid is None else jnp.broadcast_to(self.valid, shape).astype(dtype)

    @property
    def number(self) -> Float[Array, "*sets"]:
        return jnp.sum(self.weight, -1)

    @property
    def largest(self) -> Float[Array, "*sets"]:
        """The largest magnitude of a coordinate."""
        return jnp.max(jnp.abs(self.points), (-2, -1), initial=0.0)

    def times(self, factor: Float[Array, "*sets"]) -> "PointSet":
        return self._replace(points=self.points * factor[..., None, None])

    def at_least(self, number: int) -> Float[Array, "*sets"]:
        """1 for the sets that have as many points."""
        return (self.number >= number).astype(self.points.dtype)


def _check_numbers(biased: bool, *sets: PointSet) -> None:
    for of in sets:
        if not biased and of.points.shape[-2] == 1:
            raise ValueError(
                f"`{of.name}` has shape {of.points.shape}, but `biased=False` compares different points of a set: give "
                "it at least two points."
            )


def _two_sets(
    a: Float[ArrayLike, "..."],
    b: Float[ArrayLike, "..."],
    valid_a: Mask | None,
    valid_b: Mask | None,
    where: Mask | None,
) -> tuple[PointSet, PointSet, jnp.dtype]:
    """Check two batches of sets, and fill the points that do not exist. Also return the dtype of the unreduced loss."""
    (a, b), dtype = floats(a=a, b=b)
    for name, points in (("a", a), ("b", b)):
        if points.ndim < 2:
            raise ValueError(f"`{name}` has shape {points.shape}, but must have the axes (N..., points, D).")
        has_axis(name, points, -2)
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-1]:
        raise ValueError(
            f"`b` has shape {b.shape}, but `a` has shape {a.shape}: only their numbers of points may differ, the axis "
            "before the last."
        )
    keep = mask(where, a.shape[:-2])

    def of(name: str, points: Values, valid: Mask | None) -> PointSet:
        checked = mask(valid, points.shape[:-1], f"valid_{name}")
        return PointSet(name, filled(filled(points, keep, 0.0), checked, 0.0), checked)

    return of("a", a, valid_a), of("b", b, valid_b), dtype


def _mean_nearest(of: PointSet, to: PointSet) -> Values:
    """The mean squared distance of each point to the nearest point of the other set."""
    others = to.points
    if to.valid is not None:
        # A copy of a point changes no minimum. A distance that is infinite could be the least one that there is.
        exists = jnp.broadcast_to(to.valid, others.shape[:-1])
        first = jnp.argmax(exists, -1, keepdims=True)
        others = jnp.where(exists[..., None], others, _chosen(others, first))

    # The gradient is that of the distance to the chosen point alone. So the search needs none.
    places = _in_chunks(_nearest, lax.stop_gradient(of.points), lax.stop_gradient(others))
    distances = jnp.sum(jnp.square(of.points - _chosen(others, places)), -1)
    return ratio(jnp.sum(of.weight * distances, -1), of.number)


def _nearest(points: Values, places: Places, others: Values) -> Int[Array, "..."]:
    return jnp.argmin(_squares(points, others), -1)


def _chosen(points: Values, places: Int[Array, "..."]) -> Values:
    return jnp.take_along_axis(points, places[..., None], -2)


def _mean_between(kernel: Kernel, a: PointSet, b: PointSet) -> Values:
    """The mean of a kernel over all pairs of a point of each set."""

    def summed(points: Values, places: Places, others: Values) -> Values:
        return jnp.sum(b.weight[..., None, :] * kernel(points, others), -1)

    return ratio(jnp.sum(a.weight * _in_chunks(summed, a.points, b.points), -1), a.number * b.number)


def _mean_within(kernel: Kernel, of: PointSet, biased: bool) -> Values:
    """The mean of a kernel over all pairs of points of a set; if it is not biased, over pairs of different points."""
    if biased:
        return _mean_between(kernel, of, of)

    def summed(points: Values, places: Places, others: Values) -> Values:
        # The kernel of a point with itself is left out and not subtracted later: it may be far larger than the others.
        own = places[:, None] == jnp.arange(others.shape[-2])[None]
        others_alone = jnp.where(jnp.expand_dims(own, range(points.ndim - 2)), 0.0, kernel(points, others))
        return jnp.sum(of.weight[..., None, :] * others_alone, -1)

    return ratio(jnp.sum(of.weight * _in_chunks(summed, of.points, of.points), -1), of.number * (of.number - 1))


def _in_chunks(function: OfPoints, points: Values, others: Values) -> Array:
    """A function of each point and all others, for as many points at a time as `MOST_DIFFERENCES` allows."""
    *batch, number, width = points.shape
    # A batch may be empty, or of a size that is not known while tracing.
    differences = math.prod(max(1, size) for size in others.shape if is_known(size))
    size, places = max(1, MOST_DIFFERENCES // differences), jnp.arange(number)
    if number <= size:
        return function(points, places, others)
    whole = number // size * size

    def chunk_results(chunk: tuple[Values, Places]) -> Array:
        return function(*chunk, others)

    # The backward pass computes the kernels again, and stores none of them. The loop keeps XLA from merging the two
    # computations, so that `prevent_cse` is off.
    each = cast(Callable[[tuple[Values, Places]], Array], jax.checkpoint(chunk_results, prevent_cse=False))
    chunks = points[..., :whole, :].reshape(*batch, number // size, size, width), places[:whole].reshape(-1, size)
    results = cast(Array, lax.map(each, (jnp.moveaxis(chunks[0], -3, 0), chunks[1])))
    results = jnp.moveaxis(results, 0, -2).reshape(*batch, whole)
    if whole == number:
        return results
    return jnp.concatenate([results, function(points[..., whole:, :], places[whole:], others)], -1)


def _differences(points: Values, others: Values) -> Values:
    return points[..., :, None, :] - others[..., None, :, :]


def _squares(points: Values, others: Values) -> Values:
    """Squared distances."""
    return jnp.sum(jnp.square(_differences(points, others)), -1)


def _distances(points: Values, others: Values) -> Values:
    """Euclidean distances, with a gradient of 0 at 0."""
    return root(_squares(points, others))


def _gaussian_kernels(points: Values, others: Values, widths: Float[Array, "kernels"]) -> Values:
    """The sum of the kernels of all widths."""
    differences = _differences(points, others)
    return sum((_gaussian_kernel(differences, width) for width in widths), start=jnp.zeros_like(differences[..., 0]))


def _gaussian_kernel(differences: Values, width: Values) -> Values:
    # In units near the width its square neither overflows nor vanishes.
    unit = power_of_2_over(width)
    square, squares = jnp.square(width * unit), jnp.sum(jnp.square(differences * unit), -1)
    # At 50 widths the kernel is 0 in every dtype. An infinite square would have a derivative of NaN there.
    far = squares > 2500 * square
    return jnp.where(far, 0.0, jnp.exp(jnp.where(far, 0.0, squares) / square / -2))
