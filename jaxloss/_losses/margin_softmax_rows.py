"""The losses of a chunk of examples against all classes, for `margin_softmax`."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxloss._core.arguments import filled, floating, has_axis
from jaxloss._core.class_axis import AxisName, ClassAxis, class_axis
from jaxloss._core.class_numbers import Labels, labels
from jaxloss._core.elementwise import clamp_max, clamp_min, root
from jaxloss._core.logits import check_chunk_size
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._core.vectors import directed, near_one
from jaxloss._ops.cross_entropy import row_losses
from jaxloss._ops.cross_entropy.problem import Options
from jaxloss._ops.rows.problem import RowLoss, Rows, Shared
from jaxloss._ops.rows.reduced import reduce_rows

ADAFACE_EPS = 1e-3
"""The distance that AdaFace keeps from the ends of the cosines, the angles and the standard deviations."""


class Margin(NamedTuple):
    """The margin of each example. None means off: the program then has no term for it."""

    multiplier: Float[Array, "*examples"] | None = None
    angle: Float[Array, "*examples"] | None = None
    cosine: Float[Array, "*examples"] | None = None


class Examples(NamedTuple):
    """The arrays of the examples, one entry for each row."""

    inverse_norm: Float[Array, "examples"]
    targets: Integer[Array, "examples"]
    margin: Margin


class Classes(NamedTuple):
    """The arrays of the classes, which all examples share."""

    inverse_norm: Float[Array, "classes"]
    scale: Float[Array, ""]
    """The number that multiplies the cosines."""


class Batch(NamedTuple):
    """Embeddings, class vectors and labels, checked, with zeros in masked examples."""

    embeddings: Float[Array, "*examples width"]
    kernel: Float[Array, "width classes"]
    label: Labels
    keep: Bool[Array, "*examples"]
    axis_name: AxisName | None

    @classmethod
    def of(
        cls,
        embeddings: Float[ArrayLike, "*examples width"],
        kernel: Float[ArrayLike, "width classes"],
        targets: Integer[ArrayLike, "*examples"],
        ignore_index: int,
        axis_name: AxisName | None,
        where: Mask | None,
    ) -> "Batch":
        embeddings, kernel = with_class_vectors(embeddings, kernel)
        shape = embeddings.shape[:-1]
        axis = class_axis(len(shape), axis_name, kernel=kernel)
        logits = jax.ShapeDtypeStruct((*shape, kernel.shape[1]), embeddings.dtype)
        label = labels(targets, logits, axis, where, name="embeddings @ kernel", ignore_index=ignore_index)
        keep = jnp.broadcast_to(True if label.keep is None else label.keep[..., 0], shape)
        return cls(filled(embeddings, keep, 0.0), kernel, label, keep, axis_name)

    def per_example(self, name: str, number: Scalar | None, off: float) -> Float[Array, "*examples"] | None:
        """An option that is one number for all examples, or one for each; None if it is off."""
        if number is None or (isinstance(number, int | float) and number == off):
            return None
        number = jnp.asarray(number)
        if number.shape not in ((), self.keep.shape):
            raise ValueError(
                f"`{name}` has shape {number.shape}, but is one number, or one for each example: {self.keep.shape}."
            )
        return jnp.broadcast_to(number, self.keep.shape)

    def losses(
        self,
        loss: RowLoss[None],
        margin: Margin,
        scale: Scalar,
        chunk_size: int | None,
        reduction: Reduction,
        sample_weight: Weight | None,
    ) -> Float[Array, "..."]:
        """The reduced losses of the rows of cosines."""
        check_chunk_size(chunk_size)
        embeddings, of_examples = directed(near_one(self.embeddings), self.embeddings.ndim - 1)
        kernel, of_classes = directed(self.kernel, 0)
        dtype = of_classes.dtype
        margin = Margin(*(None if each is None else each.astype(dtype) for each in margin))
        rows = Rows(embeddings, Examples(of_examples, self.label.numbers[..., 0], margin), self.keep)
        shared = Shared(kernel, Classes(of_classes, jnp.asarray(scale, dtype)), ClassAxis(1, self.axis_name))
        return reduce_rows([(rows, shared)], loss, chunk_size, reduction, self.keep, sample_weight)


def with_class_vectors(
    embeddings: Float[ArrayLike, "*examples width"], kernel: Float[ArrayLike, "width classes"], least: int = 1
) -> tuple[Float[Array, "*examples width"], Float[Array, "width classes"]]:
    """Embeddings and the vectors of the classes, checked and promoted to one dtype."""
    embeddings, kernel = floating("embeddings", embeddings), floating("kernel", kernel)
    width = embeddings.shape[has_axis("embeddings", embeddings)]
    if kernel.ndim != 2 or kernel.shape[0] != width:
        fix = ": use `kernel.T`" if kernel.ndim == 2 and kernel.shape[1] == width else ""
        raise ValueError(
            f"`kernel` has shape {kernel.shape}, but for `embeddings` {embeddings.shape} it must be (width, classes) "
            f"with width {width}{fix}."
        )
    if kernel.shape[1] < least:
        raise ValueError(f"`kernel` has shape {kernel.shape}: the loss needs a class.")
    dtype = jnp.result_type(embeddings, kernel)
    return embeddings.astype(dtype), kernel.astype(dtype)


# The cosine of the label's class with a margin ----------------------------------------------------------------------


def sine(cosine: Values) -> Values:
    """The sine of an angle from 0 to pi, with the derivative 0 at both ends, where that of the root is infinite."""
    # 1 - cosine**2 would lose digits. Rounding may take a cosine past 1, where the root is 0.
    return root((1 - cosine) * (1 + cosine))


def plus_angle(cosine: Values, angle: Values) -> Values:
    """cos(t + angle), continued by a falling function where t + angle is above pi.

    It needs no arc cosine, whose derivative is infinite at both ends.
    """
    turned = cosine * jnp.cos(angle) - sine(cosine) * jnp.sin(angle)
    return jnp.where(cosine < -jnp.cos(angle), cosine - angle * jnp.sin(angle), turned)


def times_angle(cosine: Values, multiplier: Values, angle: Values | None) -> Values:
    """cos(multiplier * t + angle), continued by a falling function where its argument is above pi."""
    turned = multiplier * jnp.arctan2(sine(cosine), cosine)
    turned = turned if angle is None else turned + angle
    half_turns = jnp.floor(turned / math.pi)
    continued = (1 - 2 * (half_turns % 2)) * jnp.cos(turned) - 2 * half_turns
    # At 1 the continuation is another one, also for a multiplier that is only known when the program runs.
    return jnp.where(multiplier == 1, cosine if angle is None else plus_angle(cosine, angle), continued)


def with_margin(cosine: Values, margin: Margin, *, easy: bool) -> Values:
    """The label's cosine with its margin."""
    turned = cosine
    if margin.multiplier is not None:
        turned = times_angle(cosine, margin.multiplier, margin.angle)
    elif margin.angle is not None:
        turned = plus_angle(cosine, margin.angle)
    if easy:
        turned = jnp.where(cosine > 0, turned, cosine)
    return turned if margin.cosine is None else turned - margin.cosine


def with_clipped_margin(cosine: Values, margin: Margin) -> Values:
    """cos(t + angle) - cosine, where t + angle stays between 0 and pi."""
    assert margin.angle is not None
    assert margin.cosine is not None
    angle = jnp.arctan2(sine(cosine), cosine) + margin.angle
    angle = clamp_max(clamp_min(angle, ADAFACE_EPS), math.pi - ADAFACE_EPS)
    return jnp.cos(angle) - margin.cosine


# The losses of a chunk of rows --------------------------------------------------------------------------------------


class _Cosines(NamedTuple):
    """The cosines of a chunk of examples with all classes, and with the label's class."""

    all: Values
    at_label: Float[Array, "examples 1"]
    label: Labels

    @classmethod
    def of(
        cls, product: Values, examples: Examples, keep: Bool[Array, "examples"], classes: Classes, axis: ClassAxis
    ) -> "_Cosines":
        numbers = examples.targets[:, None]
        in_range = (numbers >= 0) & (numbers < axis.class_count(product.shape[axis.number]))
        label = Labels(numbers, in_range, keep[:, None])
        cosines = product * examples.inverse_norm[:, None] * classes.inverse_norm[None]
        return cls(cosines, label.pick(cosines, axis), label)

    def losses(self, cosines: Values, at_label: Values, scale: Values, axis: ClassAxis) -> tuple[Values, None]:
        """The cross-entropy of scaled cosines. That of the label has a margin."""
        logits = scale * jnp.where(self.label.matches(cosines, axis), at_label, cosines)
        return jnp.squeeze(row_losses(logits, self.label, Options(), axis).losses, axis.number), None


def _margin_losses(
    easy: bool, product: Values, examples: Examples, keep: Bool[Array, "examples"], classes: Classes, axis: ClassAxis
) -> tuple[Values, None]:
    cosines = _Cosines.of(product, examples, keep, classes, axis)
    margin = Margin(*(None if each is None else each[:, None] for each in examples.margin))
    at_label = with_margin(cosines.at_label, margin, easy=easy)
    return cosines.losses(cosines.all, at_label, classes.scale, axis)


# The loops are compiled once for each function.
MARGIN_LOSSES: dict[bool, RowLoss[None]] = {easy: partial(_margin_losses, easy) for easy in (False, True)}


def adaface_losses(
    product: Values, examples: Examples, keep: Bool[Array, "examples"], classes: Classes, axis: ClassAxis
) -> tuple[Values, None]:
    cosines = _Cosines.of(product, examples, keep, classes, axis)
    margin = Margin(*(None if each is None else each[:, None] for each in examples.margin))

    def clipped(cosine: Values) -> Values:
        return clamp_max(clamp_min(cosine, ADAFACE_EPS - 1), 1 - ADAFACE_EPS)

    at_label = with_clipped_margin(clipped(cosines.at_label), margin)
    return cosines.losses(clipped(cosines.all), at_label, classes.scale, axis)
