"""Regions of an image: the pixels of one class. Their checks and masks, their overlap with the truth, their mean."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxloss._core.arguments import filled, floating, floats, has_axis, mask, one_of, same_shape
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import class_weight, labels
from jaxloss._core.domains import BINARY, PROBABILITY, within
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import ratio, sigmoid
from jaxloss._core.integers import NO_INTEGER
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._ops.regions.derivative import softmax, sums

Activation: TypeAlias = Literal["softmax", "sigmoid"]
"""The function that makes probabilities of logits."""

OverlapKind: TypeAlias = Literal["product", "minimum"]
"""The part of a pixel that is both predicted and true: p * t, or the smaller of both."""

Absent: TypeAlias = Literal["keep", "skip", "zero"]
"""The loss of a region without a true pixel: kept, left out of the mean, or 0."""


@dataclass(frozen=True)
class Layout:
    """The axes of an array of pixels and classes. A region has an entry for each axis that is not one of pixels."""

    shape: tuple[int, ...]
    class_axis: int
    pixel_axes: tuple[int, ...]

    @property
    def _position(self) -> int:
        """The class axis of a region's array, before it becomes the last one."""
        return self.class_axis - sum(axis < self.class_axis for axis in self.pixel_axes)

    @property
    def without_classes(self) -> tuple[int, ...]:
        """The shape of one value for each pixel."""
        return self.shape[: self.class_axis] + self.shape[self.class_axis + 1 :]

    @property
    def regions(self) -> tuple[int, ...]:
        """The shape of an array with one value for each region. The classes are its last axis."""
        rest = [size for i, size in enumerate(self.shape) if i not in (*self.pixel_axes, self.class_axis)]
        return (*rest, self.shape[self.class_axis])

    def sums(self, *values: Values) -> list[Values]:
        """The sums of several arrays over the pixels of each region."""
        return [jnp.moveaxis(each, self._position, -1) for each in sums(values, self.pixel_axes)]

    def all(self, values: Bool[Array, "..."]) -> Bool[Array, "..."]:
        """Whether all pixels of each region are True."""
        return jnp.moveaxis(jnp.all(values, self.pixel_axes), self._position, -1)

    def any(self, values: Bool[Array, "..."]) -> Bool[Array, "..."]:
        """Whether a pixel of each region is True."""
        return jnp.moveaxis(jnp.any(values, self.pixel_axes), self._position, -1)

    def spread(self, regions: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        """One value for each region, shaped to broadcast to the pixels."""
        return jnp.expand_dims(jnp.moveaxis(regions, -1, self._position), self.pixel_axes)

    def rows(self, values: Shaped[Array, "..."]) -> Shaped[Array, "... pixels"]:
        """The pixels of each region along one axis, the last."""
        moved = jnp.moveaxis(values, self.pixel_axes, range(values.ndim - len(self.pixel_axes), values.ndim))
        whole = jnp.moveaxis(moved, self._position, len(self.regions) - 1)
        return whole.reshape(*self.regions, math.prod(self.shape[axis] for axis in self.pixel_axes))


def layout(
    logits: Float[Array, "..."], axis: int | None, pixel_axes: tuple[int, ...] | None
) -> tuple[Float[Array, "..."], Layout]:
    """The logits with a class axis, of size 1 if `axis` is None, and their layout."""
    if axis is None:
        logits, number = logits[..., None], logits.ndim
    else:
        number = has_axis("logits", logits, axis)
    count = logits.ndim - 1
    axes = tuple(range(1, count)) if pixel_axes is None else pixel_axes
    shape = logits.shape[:number] + logits.shape[number + 1 :]
    if not axes:
        raise ValueError(
            f"`logits` without its class axis has shape {shape}, which has no axis of pixels: use `pixel_axes=(0,)` "
            "for one image."
        )
    if any(not -count <= each < count for each in axes) or len({each % count for each in axes}) < len(axes):
        raise ValueError(f"`pixel_axes` is {axes}, but must name different axes of the shape {shape}, without classes.")
    # They are counted without the class axis, so that they do not depend on its place.
    numbered = sorted(each % count for each in axes)
    return logits, Layout(logits.shape, number, tuple(each + (each >= number) for each in numbered))


@dataclass(frozen=True)
class Pixels:
    """Predictions and truth of each pixel and class, both 0 where masked."""

    predictions: Values
    """Probabilities, or the scores themselves."""
    truth: Values
    keep: Bool[Array, "..."] | None
    good: Bool[Array, "..."] | None
    """False for the regions of an image that has a label out of range."""
    counted: Bool[Array, "..."] | None
    """False for a region without a pixel."""
    layout: Layout
    per_class: bool
    """Whether the unreduced loss has an axis of classes."""
    dtype: jnp.dtype
    """The dtype of the unreduced loss."""

    @property
    def true_size(self) -> Values:
        """The number of true pixels of each region."""
        return self.layout.sums(self.truth)[0]


def pixels(
    logits: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    valid: Mask | None,
    where: Mask | None,
    *,
    activation: Activation | None,
    ignore_index: int,
    pixel_axes: tuple[int, ...] | None,
    axis: int | None,
    per_image: bool = False,
    scores: bool = False,
) -> Pixels:
    """Check the arrays of a loss of regions, fill them where masked, and make probabilities of the logits.

    `where` is a mask of regions, and a mask of images if the loss is one value for each image. With `scores` the logits
    stay as they are, and the targets are 0 or 1.
    """
    if activation is not None:
        one_of("activation", activation, get_args(Activation), " None is for probabilities.")
    if axis is None and activation == "softmax":
        raise ValueError("`axis=None` is for one class without an axis of classes: use `activation='sigmoid'`.")
    logits, targets = floating("logits", logits), jnp.asarray(targets)
    if axis is None:
        same_shape(logits=logits, targets=targets)
    x, places = layout(logits, axis, pixel_axes)
    per_class = axis is not None and not per_image
    region_keep = mask(where, places.regions if per_class else places.regions[:-1])
    if region_keep is not None and not per_class:
        region_keep = region_keep[..., None]
    keep = _pixel_mask(valid, region_keep, places)
    if axis is not None and targets.shape != logits.shape:
        label = labels(targets, x, ClassAxis(places.class_axis), keep, ignore_index=ignore_index)
        keep, good, dtype = label.keep, places.all(label.in_range), logits.dtype
        x = x.astype(accumulator(dtype))
        truth = label.matches(x, ClassAxis(places.class_axis)).astype(x.dtype)
    else:
        good, whole = None, jnp.issubdtype(targets.dtype, jnp.integer)
        (_, truth), dtype = floats(logits=logits, targets=targets)
        truth, x = truth.reshape(x.shape), x.astype(truth.dtype)
        keep = None if keep is None else jnp.expand_dims(keep, places.class_axis)
        if axis is None and whole and ignore_index != NO_INTEGER:
            taken = truth != ignore_index
            keep = taken if keep is None else keep & taken
        truth = filled(truth, keep, 0.0)
        if targets.dtype != jnp.bool_:
            truth = nan_unless(within(BINARY if scores else PROBABILITY, targets=truth), truth)
    counted = _counted(keep, places)
    if region_keep is not None and activation != "softmax":
        # Classes are independent without a softmax, so that a masked region does not need its logits.
        each = places.spread(region_keep)
        keep = each if keep is None else keep & each
    predictions = filled(x, keep, 0.0) if scores else _activated(x, keep, activation, places.class_axis)
    return Pixels(predictions, filled(truth, keep, 0.0), keep, good, counted, places, per_class, dtype)


def _pixel_mask(
    valid: Mask | None, region_keep: Bool[Array, "..."] | None, places: Layout
) -> Bool[Array, "..."] | None:
    """The pixels that take part, without a class axis. An image takes part if one of its regions does."""
    keep = mask(valid, places.without_classes, "valid")
    if region_keep is not None:
        images = places.spread(jnp.any(region_keep, -1, keepdims=True)).squeeze(places.class_axis)
        keep = images if keep is None else keep & images
    return keep


def _counted(keep: Bool[Array, "..."] | None, places: Layout) -> Bool[Array, "..."] | None:
    """Whether a region has a pixel; None if all have one."""
    if 0 in [places.shape[axis] for axis in places.pixel_axes]:
        return jnp.zeros((1,) * len(places.regions), bool)
    if keep is None:
        return None
    return places.any(keep)


def _activated(x: Values, keep: Bool[Array, "..."] | None, activation: Activation | None, class_axis: int) -> Values:
    """Probabilities, 0 where masked. Those that are given are NaN outside [0, 1]."""
    if activation == "softmax":
        return softmax(x, keep, class_axis)
    x = filled(x, keep, 0.0)
    if activation == "sigmoid":
        return filled(sigmoid(x), keep, 0.0)
    return nan_unless(within(PROBABILITY, logits=x), x)


class Overlap(NamedTuple):
    """The sums over the pixels of each region."""

    true_positive: Values
    false_positive: Values
    false_negative: Values


def overlap_sums(of: Pixels, kind: OverlapKind, *, squared: bool = False) -> Overlap:
    """The overlap of the prediction with the truth, and the parts of each that are outside the other.

    With `squared` the parts add up to the sum of (p - t)**2.
    """
    one_of("overlap", kind, get_args(OverlapKind))
    if squared and kind == "minimum":
        raise ValueError("`squared=True` goes with `overlap='product'`, not with 'minimum'.")
    p, t = of.predictions, of.truth
    # The parts are sums of their own. As differences of the whole and the overlap they would lose the digits of a
    # region that is almost right, and could be negative.
    if kind == "minimum":
        both = jnp.minimum(p, t)
        terms = both, p - both, t - both
    elif squared:
        terms = p * t, p * (p - t), t * (t - p)
    else:
        terms = p * t, p * (1 - t), t * (1 - p)
    return Overlap(*of.layout.sums(*terms))


def reduce_regions(
    losses: Values,
    of: Pixels,
    reduction: Reduction,
    where: Mask | None,
    sample_weight: Weight | None,
    *,
    weight: Real[ArrayLike, "classes"] | None = None,
    include_background: bool = True,
    absent: Absent = "keep",
) -> Float[Array, "..."]:
    """Reduce one loss for each region, the classes on the last axis. A region without a pixel does not count."""
    one_of("absent", absent, get_args(Absent))
    counted = of.counted
    if absent != "keep":
        # The comparison is False for a NaN, which stays a NaN.
        missing = of.true_size <= 0
        if of.good is not None:  # a region is not absent because its labels are out of range
            missing = missing & of.good
        losses = jnp.where(missing, 0.0, losses)
        if absent == "skip":
            counted = ~missing if counted is None else counted & ~missing
    if of.good is not None:
        losses = nan_unless(of.good, losses)
    if not include_background:
        chosen = foreground(of)
        counted = chosen if counted is None else counted & chosen
    if weight is not None:
        losses = losses * class_weight(weight, losses, losses.ndim - 1)
    if counted is not None:
        counted = jnp.broadcast_to(counted, losses.shape)
        losses = jnp.where(counted, losses, 0.0)
    if not of.per_class:
        losses, counted = losses[..., 0], None if counted is None else counted[..., 0]
    count = None if counted is None else counted.astype(losses.dtype)
    return reduce(losses, reduction, where, sample_weight, count=count, dtype=of.dtype)


def foreground(of: Pixels) -> Bool[Array, "..."]:
    """True for all classes but the first, shaped to broadcast to the regions."""
    *rest, classes = of.layout.regions
    if classes == 1:
        raise ValueError("`include_background=False` leaves out class 0, but there is no other.")
    return jnp.expand_dims(jnp.arange(classes), range(len(rest))) > 0


def missed_share(sums: Overlap, alpha: Scalar, beta: Scalar, smooth_nr: Scalar, smooth_dr: Scalar) -> Values:
    """1 - (tp + nr) / (tp + alpha fp + beta fn + dr), the loss of Tversky's index, for each region.

    It is 0 where nothing is true, nothing is predicted and nothing is added.
    """
    hit, dtype = sums.true_positive, sums.true_positive.dtype
    missed = jnp.asarray(alpha, dtype) * sums.false_positive + jnp.asarray(beta, dtype) * sums.false_negative
    smooth_nr, smooth_dr = jnp.asarray(smooth_nr, dtype), jnp.asarray(smooth_dr, dtype)
    # The numerator is no difference of the sums, so that a region that is almost right keeps its digits.
    return ratio(missed + (smooth_dr - smooth_nr), hit + missed + smooth_dr)
