"""Losses of two views of the same examples that need no negatives: redundancy reduction and self-distillation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from jaxloss._core.arguments import Number, filled, floats, has_axis, has_shape, mask, same_shape
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import AxisName, ClassAxis, class_axis
from jaxloss._core.counts import is_known
from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import hinge, times
from jaxloss._core.extended_range import power_of_2_over
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._ops.cross_entropy.log_softmax import log_softmax

__all__ = ["BarlowTwinsLoss", "DINOLoss", "VICRegLoss", "barlow_twins_loss", "dino_loss", "vicreg_loss"]


class Views(NamedTuple):
    """Two views of the rows of batches, shape (..., B, D), filled with 0 where masked."""

    first: Values
    second: Values
    keep: Bool[Array, "..."]
    """True for the rows that take part, shape (..., B, 1)."""
    rows: ClassAxis
    """The axis of the rows, which may be split over the devices of a mesh."""
    row_count: Values
    """The number of rows that take part, shape (..., 1, 1)."""
    dtype: DTypeLike
    """The dtype of the unreduced loss."""

    @classmethod
    def of(
        cls,
        embeddings1: Float[ArrayLike, "*batches rows width"],
        embeddings2: Float[ArrayLike, "*batches rows width"],
        where: Mask | None,
        axis_name: AxisName | None,
    ) -> "Views":
        """Check the arrays."""
        (first, second), dtype = floats(embeddings1=embeddings1, embeddings2=embeddings2)
        same_shape(embeddings1=first, embeddings2=second)
        if first.ndim < 2:
            raise ValueError(f"`embeddings1` has shape {first.shape}, but must be (..., rows, width).")
        for axis in (-2, -1):
            has_axis("embeddings1", first, axis)
        rows = class_axis(-2, axis_name, embeddings1=first, embeddings2=second)
        shape = first.shape[:-1]
        keep = mask(where, shape)
        keep = jnp.broadcast_to(True if keep is None else keep, shape)[..., None]
        row_count = rows.sum(keep.astype(first.dtype))
        return cls(jnp.where(keep, first, 0.0), jnp.where(keep, second, 0.0), keep, rows, row_count, dtype)

    @property
    def divisor(self) -> Values:
        """The number of rows, and 1 where there are none."""
        return jnp.maximum(self.row_count, 1.0)

    def mean(self, values: Values) -> Values:
        """The mean over the rows, of values that are 0 where masked."""
        return self.rows.sum(values) / self.divisor

    def centred(self) -> tuple[Values, Values]:
        """Both views less their means over the rows, and 0 where masked."""
        first, second = (jnp.where(self.keep, view - self.mean(view), 0.0) for view in (self.first, self.second))
        return first, second

    def standardised(self, view: Values, eps: Values) -> tuple[Values, Values]:
        """A centred view over the root of its variance plus `eps`, and the part that `eps` has in that sum."""
        # A power of 2 keeps the squares of large numbers finite. It drops out of both results.
        largest = self.rows.largest(jnp.abs(view))
        scale = power_of_2_over(jnp.clip(largest, 1.0, 1 / limits(view.dtype).tiny))
        view, eps = view * scale, eps * scale * scale
        variance = self.mean(jnp.square(view)) + eps
        return view / jnp.sqrt(variance), eps / variance

    def off_diagonal(self, first: Values, second: Values, divisor: Values) -> Values:
        """The sum of the squares of the entries off the diagonal of `first`^T `second` / `divisor`, shape (...)."""
        product = self.rows.all_reduce(_product("...ki,...kj->...ij", first, second)) / divisor
        return jnp.sum(jnp.square(jnp.where(jnp.eye(first.shape[-1], dtype=bool), 0.0, product)), (-2, -1))

    def off_diagonal_correlations(self, first: Values, second: Values) -> Values:
        """`off_diagonal` of standardised views."""
        rows, width = first.shape[-2:]
        if self.rows.mesh is not None or not is_known(rows) or not is_known(width) or 2 * rows > width:
            return self.off_diagonal(first, second, self.divisor)
        # The squares of all entries add up to those of two matrices of rows and rows, which are the smaller ones. The
        # difference to the squares on the diagonal has the error of a sum of numbers of at most 1. So few rows leave a
        # loss of that size: not all correlations can be 1 on the diagonal and 0 off it. Covariances have no such bound.
        products = [_product("...ik,...jk->...ij", view, view) for view in (first, second)]
        whole = jnp.sum(products[0] * products[1], (-2, -1)) / jnp.square(self.divisor[..., 0, 0])
        return whole - jnp.sum(jnp.square(self.mean(first * second)), (-2, -1))

    def reduce(self, losses: Values, reduction: Reduction, sample_weight: Weight | None) -> Values:
        """Reduce one loss for each batch. A batch without rows does not count."""
        return reduce(losses, reduction, self.row_count[..., 0, 0] != 0, sample_weight, dtype=self.dtype)


def _product(axes: str, first: Values, second: Values) -> Values:
    """A matrix product for each batch."""
    sharding, split = jax.typeof(first).sharding, None
    if AxisType.Explicit in sharding.mesh.axis_types:
        # A sum over rows that are split needs the sharding of its result: the matrix is the same on all devices.
        split = NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[:-2], None, None))
    return jnp.einsum(axes, first, second, out_sharding=split)


@program(off_diagonal_weight=Number(at_least=0), eps=Number(above=0))
def barlow_twins_loss(
    embeddings1: Float[ArrayLike, "*batches rows width"],
    embeddings2: Float[ArrayLike, "*batches rows width"],
    *,
    off_diagonal_weight: Scalar = 5e-3,
    eps: Scalar = 1e-5,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Barlow Twins: the features of two views should correlate with themselves and not with each other.

    $$ \ell = \sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2 \qquad
       C_{ij} = \frac1B \sum_b \hat a_{bi} \hat b_{bj} $$

    $\hat a$ and $\hat b$ are the views, standardised over the rows of the batch: less the mean and divided by the root
    of the variance, with the divisor $B$, plus `eps`. The loss belongs to the batch, not to a row.

    Args:
        embeddings1: Embeddings of one view, shape (..., B, D): B examples with D features.
        embeddings2: Embeddings of the other view of the same examples, in the same shape.
        off_diagonal_weight: The weight $\lambda$ of the correlations of different features, at least 0.
        eps: The number added to the variances, above 0, in the square of the embeddings' units.
        axis_name: Within `jax.shard_map`, the mesh axis that the rows are split over. The sums over rows are then those
            of all devices, and the result is the loss of all rows, the same on all devices.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the rows that take part, shape (..., B). A masked row is in no mean, variance or correlation.
        sample_weight: The weight of each batch, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the batches, shape (...). A batch whose rows are all masked has the loss 0 and does
        not count in the mean. A feature that is the same in all rows has the correlation 0.

    Raises:
        ValueError: The shapes differ, there is no row or feature, or an option is out of range.
        TypeError: The embeddings are not real and floating.

    Examples:
        >>> views = jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> print(f"{jaxloss.barlow_twins_loss(views, views):.4f}")  # both features say the same: 2 * 0.005
        0.0100

    Source: Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", 2021.
    """
    views = Views.of(embeddings1, embeddings2, where, axis_name)
    weight, eps = (jnp.asarray(number, views.first.dtype) for number in (off_diagonal_weight, eps))
    (first, first_part), (second, second_part) = (views.standardised(view, eps) for view in views.centred())
    # 1 - C_ii is written as the mean square of the difference of both views, because 1 less a number near 1 has few
    # digits. The mean square of a standardised view is 1 less the part of eps.
    lack = (views.mean(jnp.square(first - second)) + first_part + second_part) / 2
    on_diagonal = jnp.sum(jnp.square(lack), (-2, -1))
    losses = on_diagonal + times(weight, views.off_diagonal_correlations(first, second))
    return views.reduce(losses, reduction, sample_weight)


class BarlowTwinsLoss(Loss, fn=barlow_twins_loss):
    """Option object of [`barlow_twins_loss`][jaxloss.barlow_twins_loss]."""

    off_diagonal_weight: Scalar = 5e-3
    eps: Scalar = 1e-5
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


@program(
    invariance_weight=Number(at_least=0),
    variance_weight=Number(at_least=0),
    covariance_weight=Number(at_least=0),
    eps=Number(above=0),
)
def vicreg_loss(
    embeddings1: Float[ArrayLike, "*batches rows width"],
    embeddings2: Float[ArrayLike, "*batches rows width"],
    *,
    invariance_weight: Scalar = 25.0,
    variance_weight: Scalar = 25.0,
    covariance_weight: Scalar = 1.0,
    eps: Scalar = 1e-4,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""VICReg: two views should be equal, and their features should vary and not covary.

    $$ \ell = \frac{\lambda}{B D} \sum_{b,i} (a_{bi} - b_{bi})^2 + \frac{\mu}{2} \bigl(v(a) + v(b)\bigr)
       + \nu \bigl(c(a) + c(b)\bigr) $$

    $$ v(a) = \frac1D \sum_i \max\bigl(0,\, 1 - \sqrt{\text{Cov}_{ii} + \epsilon}\bigr) \qquad
       c(a) = \frac1D \sum_{i \ne j} \text{Cov}_{ij}^2 $$

    $\text{Cov}$ is the covariance of the features of a view over the rows of the batch, with the divisor $B - 1$. The
    loss belongs to the batch, not to a row.

    Args:
        embeddings1: Embeddings $a$ of one view, shape (..., B, D): B examples with D features.
        embeddings2: Embeddings $b$ of the other view of the same examples, in the same shape.
        invariance_weight: The weight $\lambda$ of the squared differences, at least 0.
        variance_weight: The weight $\mu$ of the features that vary too little, at least 0. The half beside it is that
            of the authors' program. The paper's formula has none.
        covariance_weight: The weight $\nu$ of the covariances, at least 0.
        eps: $\epsilon$, the number added to the variances, above 0, in the square of the embeddings' units.
        axis_name: Within `jax.shard_map`, the mesh axis that the rows are split over. The sums over rows are then those
            of all devices, and the result is the loss of all rows, the same on all devices.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the rows that take part, shape (..., B). A masked row is in no mean, variance or covariance.
        sample_weight: The weight of each batch, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the batches, shape (...). A batch whose rows are all masked has the loss 0 and does
        not count in the mean. A batch of one row has no variance, and its loss is NaN.

    Raises:
        ValueError: The shapes differ, there is no row or feature, or an option is out of range.
        TypeError: The embeddings are not real and floating.

    Examples:
        >>> views = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
        >>> print(f"{jaxloss.vicreg_loss(views, views):.4f}")  # the second feature does not vary: 25 / 2 * 0.99
        12.3750

    Source: Bardes et al., "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning", 2022.
    """
    views = Views.of(embeddings1, embeddings2, where, axis_name)
    dtype, width = views.first.dtype, views.first.shape[-1]
    invariance, variance, covariance, eps = (
        jnp.asarray(number, dtype) for number in (invariance_weight, variance_weight, covariance_weight, eps)
    )
    defined = views.row_count != 1  # so that the gradient of a batch of one row is NaN too
    views = views._replace(first=nan_unless(defined, views.first), second=nan_unless(defined, views.second))
    differences = jnp.mean(views.mean(jnp.square(views.first - views.second)), (-2, -1))
    divisor = jnp.maximum(views.row_count - 1, 1.0)
    variances, covariances = jnp.zeros_like(differences), jnp.zeros_like(differences)
    for view in views.centred():
        spread = jnp.sqrt(views.rows.sum(jnp.square(view)) / divisor + eps)
        variances += jnp.mean(hinge(1 - spread), (-2, -1)) / 2
        covariances += views.off_diagonal(view, view, divisor) / width
    losses = times(invariance, differences) + times(variance, variances) + times(covariance, covariances)
    return views.reduce(losses, reduction, sample_weight)


class VICRegLoss(Loss, fn=vicreg_loss):
    """Option object of [`vicreg_loss`][jaxloss.vicreg_loss]."""

    invariance_weight: Scalar = 25.0
    variance_weight: Scalar = 25.0
    covariance_weight: Scalar = 1.0
    eps: Scalar = 1e-4
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


@program("center", student_temperature=Number(above=0), teacher_temperature=Number(above=0))
def dino_loss(
    student_logits: Float[ArrayLike, "..."],
    teacher_logits: Float[ArrayLike, "..."],
    *,
    center: Float[ArrayLike, "classes"] | None = None,
    student_temperature: Scalar = 0.1,
    teacher_temperature: Scalar = 0.04,
    view_axis: int = 0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""DINO: cross-entropy of the student's views of an example against the teacher's other views, in nats.

    $$ \ell = -\frac{1}{|P|} \sum_{(t, s) \in P} \sum_k p_{tk} \log q_{sk} \qquad
       p_t = \text{softmax}\Bigl(\frac{x_t - c}{T_t}\Bigr) \qquad q_s = \text{softmax}\Bigl(\frac{y_s}{T_s}\Bigr) $$

    $P$ are the pairs of a teacher's view $t$ and a student's view $s \ne t$. The first views of the student are those
    of the teacher, in the same order. In the paper these are the two global crops, and local crops follow.

    Args:
        student_logits: The student's logits $y$ of S views, shape (S, N..., K).
        teacher_logits: The teacher's logits $x$ of T views, shape (T, N..., K). They have a gradient: use
            `jax.lax.stop_gradient` as the paper does.
        center: $c$, a number for each of the K classes, which is subtracted from the teacher's logits. Its moving
            average is the caller's: `0.9 * center + 0.1 * teacher_logits.mean((0, 1))`. None subtracts nothing.
        student_temperature: $T_s$, above 0.
        teacher_temperature: $T_t$, above 0. A schedule passes another number at each step.
        view_axis: The axis of the views in both arrays. The last axis is that of the classes.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the examples, shape (N...).

    Raises:
        ValueError: The shapes do not match, there is one view of each, or an option is out of range.
        TypeError: The logits are not real and floating.

    Examples:
        >>> student, teacher = jnp.zeros((3, 1, 4)), jnp.zeros((2, 1, 4))  # 3 and 2 views of one example
        >>> print(f"{jaxloss.dino_loss(student, teacher):.4f}")  # log(4)
        1.3863

    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", 2021.
    """
    (student, teacher), dtype = floats(student_logits=student_logits, teacher_logits=teacher_logits)
    student, teacher = _views_first(view_axis, student_logits=student, teacher_logits=teacher)
    keep = mask(where, student.shape[1:-1])
    every_view = None if keep is None else keep[None]
    student, teacher = filled(student, every_view, 0.0), filled(teacher, every_view, 0.0)
    if center is not None:
        (center,), _ = floats(center=center)
        has_shape(teacher.shape[-1:], "the logits have that number of classes", center=center)
        teacher = teacher - jnp.expand_dims(center.astype(teacher.dtype), range(teacher.ndim - 1))
    classes = ClassAxis(student.ndim - 1)
    log_q = log_softmax(student / jnp.asarray(student_temperature, student.dtype), classes)
    p = jnp.exp(log_softmax(teacher / jnp.asarray(teacher_temperature, teacher.dtype), classes))
    # A cross-entropy is linear in the teacher's probabilities, so that those of a student's view are added up first.
    different = ~jnp.eye(student.shape[0], teacher.shape[0], dtype=bool)
    others = jnp.sum(jnp.where(jnp.expand_dims(different, range(2, p.ndim + 1)), p[None], 0.0), 1)
    pairs = student.shape[0] * teacher.shape[0] - min(student.shape[0], teacher.shape[0])
    return reduce(jnp.sum(times(others, -log_q), (0, -1)) / pairs, reduction, where, sample_weight, dtype=dtype)


def _views_first(view_axis: int, **logits: Values) -> list[Values]:
    """The logits of student and teacher with the views' axis first. There must be a pair of different views."""
    moved: list[Values] = []
    for name, array in logits.items():
        if array.ndim < 2 or has_axis(name, array, view_axis) == array.ndim - 1:
            raise ValueError(f"`{name}` has shape {array.shape}, but needs an axis of views and one of classes.")
        has_axis(name, array)
        moved.append(jnp.moveaxis(array, view_axis, 0))
    (first, student), (second, teacher) = zip(logits, moved, strict=True)
    if student.shape[1:] != teacher.shape[1:]:
        raise ValueError(
            f"`{second}` has shape {logits[second].shape}, but `{first}` has shape {logits[first].shape}: without the "
            f"axis of views, {view_axis}, they must be equal."
        )
    if student.shape[0] == teacher.shape[0] == 1:
        raise ValueError(f"`{first}` and `{second}` have one view each, so that no two views differ.")
    return moved


class DINOLoss(Loss, fn=dino_loss):
    """Option object of [`dino_loss`][jaxloss.dino_loss]."""

    center: Float[ArrayLike, "classes"] | None = None
    student_temperature: Scalar = 0.1
    teacher_temperature: Scalar = 0.04
    view_axis: int = static(0)
    reduction: Reduction = static("mean")
