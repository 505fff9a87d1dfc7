"""Softmax cross-entropy of cosines with margins: ArcFace, CosFace, SphereFace, AdaFace and Proxy-Anchor."""

import math
from typing import TypeAlias

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Integer

from jaxloss._core.arguments import Number
from jaxloss._core.class_axis import AxisName
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import clamp_max, clamp_min
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.margin_softmax_proxy import ProxyAnchorLoss, proxy_anchor_loss
from jaxloss._losses.margin_softmax_rows import ADAFACE_EPS, MARGIN_LOSSES, Batch, Margin, adaface_losses
from jaxloss._ops.vectors import distance

__all__ = [
    "AdaFaceLoss",
    "ArcFaceLoss",
    "CosFaceLoss",
    "MarginSoftmaxLoss",
    "ProxyAnchorLoss",
    "adaface_loss",
    "arcface_loss",
    "cosface_loss",
    "margin_softmax_loss",
    "proxy_anchor_loss",
]

Embeddings: TypeAlias = Float[ArrayLike, "*examples width"]
Kernel: TypeAlias = Float[ArrayLike, "width classes"]
Targets: TypeAlias = Integer[ArrayLike, "*examples"]

ANY = 32  # more axes than an array may have
ANGLE = Number(at_least=0, at_most=math.pi, off=0, axes=ANY)
SCALE = Number(above=0)


@program(
    integers=("targets",),
    scale=SCALE,
    multiplier=Number(at_least=1, off=1, axes=ANY),
    angular_margin=ANGLE,
    additive_margin=Number(off=0, axes=ANY),
)
def margin_softmax_loss(
    embeddings: Embeddings,
    kernel: Kernel,
    targets: Targets,
    *,
    scale: Scalar = 64.0,
    multiplier: Scalar = 1.0,
    angular_margin: Scalar = 0.0,
    additive_margin: Scalar = 0.0,
    easy_margin: bool = False,
    ignore_index: int = -100,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Softmax cross-entropy of cosines, where the label's cosine has up to three margins, in nats.

    $$ \ell_i = -\log \frac{e^{s \psi(t_{iy})}}{e^{s \psi(t_{iy})} + \sum_{j \ne y} e^{s \cos t_{ij}}},
    \quad \psi(t) = \cos(m_1 t + m_2) - m_3 $$

    $t_{ij}$ is the angle between embedding $i$ and the vector of class $j$, and $y$ is the label. The margins lower the
    label's logit, so that the angle to the own class must become smaller still. SphereFace is $m_1$ alone,
    [ArcFace][jaxloss.arcface_loss] $m_2$ and [CosFace][jaxloss.cosface_loss] $m_3$.

    Where $m_1 t + m_2$ is above $\pi$ the cosine would rise again, and $\psi$ goes on falling: for $m_1 = 1$ as
    $\cos t - m_2 \sin m_2 - m_3$, and for another $m_1$ as $(-1)^k \cos(m_1 t + m_2) - 2 k - m_3$ with
    $k = \lfloor (m_1 t + m_2) / \pi \rfloor$. The derivative is finite at every angle.

    Args:
        embeddings: Embeddings, shape (N..., D).
        kernel: The vectors of the classes as columns, shape (D, C).
        targets: Class numbers (indices from 0), integers of shape (N...).
        scale: $s$, a number above 0 that multiplies the cosines.
        multiplier: $m_1$, a number from 1 on, or one for each example, shape (N...).
        angular_margin: $m_2$ in radians, a number from 0 to pi, or one for each example, shape (N...).
        additive_margin: $m_3$, a number, or one for each example, shape (N...).
        easy_margin: Whether the angle stays without its margins $m_1$ and $m_2$ where $\cos t \le 0$.
        ignore_index: Examples with this class number are masked, in addition to those that `where` masks.
        chunk_size: The number of examples in a chunk. The temporary memory is about C times this number, in float32.
            None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over. Each device holds C
            consecutive classes of `kernel`, and class numbers count from the first class of the first device. See
            [`linear_cross_entropy`][jaxloss.linear_cross_entropy].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the examples, shape (N...), in float32 or wider. A label out of range makes its loss
        and gradient NaN.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> embeddings, kernel = jnp.eye(3), jnp.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]])
        >>> loss = jaxloss.margin_softmax_loss(embeddings, kernel, jnp.array([0, 1, 1]), scale=4.0, multiplier=2.0)
        >>> print(f"{loss:.4f}")
        2.9047

    Source: multiplied angle, Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition", 2017; all three
    margins, Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019.
    """
    batch = Batch.of(embeddings, kernel, targets, ignore_index, axis_name, where)
    margin = Margin(
        batch.per_example("multiplier", multiplier, off=1),
        batch.per_example("angular_margin", angular_margin, off=0),
        batch.per_example("additive_margin", additive_margin, off=0),
    )
    return batch.losses(MARGIN_LOSSES[easy_margin], margin, scale, chunk_size, reduction, sample_weight)


@program(integers=("targets",), margin=ANGLE, scale=SCALE)
def arcface_loss(
    embeddings: Embeddings,
    kernel: Kernel,
    targets: Targets,
    *,
    margin: Scalar = 0.5,
    scale: Scalar = 64.0,
    easy_margin: bool = False,
    ignore_index: int = -100,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Softmax cross-entropy of cosines, where the angle to the own class has a margin, in nats.

    $$ \ell_i = -\log \frac{e^{s \cos(t_{iy} + m)}}{e^{s \cos(t_{iy} + m)} + \sum_{j \ne y} e^{s \cos t_{ij}}} $$

    $t_{ij}$ is the angle between embedding $i$ and the vector of class $j$, and $y$ is the label. Where $t_{iy} + m$ is
    above $\pi$ the cosine would rise again, and $\cos t_{iy} - m \sin m$ replaces it, with a jump. Value and derivative
    are finite at every angle, because no arc cosine is taken. The cosines of all examples are never in memory.

    Args:
        embeddings: Embeddings, shape (N..., D).
        kernel: The vectors of the classes as columns, shape (D, C).
        targets: Class numbers (indices from 0), integers of shape (N...).
        margin: $m$ in radians, a number from 0 to pi, or one for each example, shape (N...).
        scale: $s$, a number above 0 that multiplies the cosines.
        easy_margin: Whether the angle has its margin only where its cosine is above 0.
        ignore_index: Examples with this class number are masked, in addition to those that `where` masks.
        chunk_size: The number of examples in a chunk. The temporary memory is about C times this number, in float32.
            None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over. Each device holds C
            consecutive classes of `kernel`, and class numbers count from the first class of the first device. See
            [`linear_cross_entropy`][jaxloss.linear_cross_entropy].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the examples, shape (N...), in float32 or wider. A label out of range makes its loss
        and gradient NaN.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> embeddings, kernel = jnp.eye(3), jnp.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]])
        >>> print(f"{jaxloss.arcface_loss(embeddings, kernel, jnp.array([0, 1, 1]), scale=4.0):.4f}")
        2.2432

    Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019.
    """
    batch = Batch.of(embeddings, kernel, targets, ignore_index, axis_name, where)
    angle = Margin(angle=batch.per_example("margin", margin, off=0))
    return batch.losses(MARGIN_LOSSES[easy_margin], angle, scale, chunk_size, reduction, sample_weight)


@program(integers=("targets",), margin=Number(off=0, axes=ANY), scale=SCALE)
def cosface_loss(
    embeddings: Embeddings,
    kernel: Kernel,
    targets: Targets,
    *,
    margin: Scalar = 0.35,
    scale: Scalar = 64.0,
    ignore_index: int = -100,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Softmax cross-entropy of cosines, where a margin is subtracted from the cosine with the own class, in nats.

    $$ \ell_i = -\log \frac{e^{s (\cos t_{iy} - m)}}{e^{s (\cos t_{iy} - m)} + \sum_{j \ne y} e^{s \cos t_{ij}}} $$

    $t_{ij}$ is the angle between embedding $i$ and the vector of class $j$, and $y$ is the label. With the margin 0 it
    is the softmax of normalised vectors, and with `scale=2.0` too it is ProxyNCA. The cosines of all examples are never
    in memory.

    Args:
        embeddings: Embeddings, shape (N..., D).
        kernel: The vectors of the classes as columns, shape (D, C).
        targets: Class numbers (indices from 0), integers of shape (N...).
        margin: $m$, a number, or one for each example, shape (N...).
        scale: $s$, a number above 0 that multiplies the cosines.
        ignore_index: Examples with this class number are masked, in addition to those that `where` masks.
        chunk_size: The number of examples in a chunk. The temporary memory is about C times this number, in float32.
            None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over. Each device holds C
            consecutive classes of `kernel`, and class numbers count from the first class of the first device. See
            [`linear_cross_entropy`][jaxloss.linear_cross_entropy].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the examples, shape (N...), in float32 or wider. A label out of range makes its loss
        and gradient NaN.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> embeddings, kernel = jnp.eye(3), jnp.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]])
        >>> print(f"{jaxloss.cosface_loss(embeddings, kernel, jnp.array([0, 1, 1]), scale=4.0):.4f}")
        2.1013

    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", 2018; ProxyNCA, Movshovitz-
    Attias et al., "No Fuss Distance Metric Learning using Proxies", 2017.
    """
    batch = Batch.of(embeddings, kernel, targets, ignore_index, axis_name, where)
    subtracted = Margin(cosine=batch.per_example("margin", margin, off=0))
    return batch.losses(MARGIN_LOSSES[False], subtracted, scale, chunk_size, reduction, sample_weight)


@program(
    integers=("targets",), mean=Number(), std=SCALE, margin=Number(at_least=0, at_most=math.pi), h=SCALE, scale=SCALE
)
def adaface_loss(
    embeddings: Embeddings,
    kernel: Kernel,
    targets: Targets,
    *,
    mean: Scalar = 20.0,
    std: Scalar = 100.0,
    margin: Scalar = 0.4,
    h: Scalar = 0.333,
    scale: Scalar = 64.0,
    ignore_index: int = -100,
    chunk_size: int | None = None,
    axis_name: AxisName | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Softmax cross-entropy of cosines, where the length of an embedding decides between two kinds of margin, in nats.

    $$ \psi(t) = \cos(t - m z) - m (1 + z), \quad z = h \frac{|e| - \mu}{\sigma + 0.001} $$

    $\psi$ replaces the label's cosine, and $t$ is the angle to the own class. A short embedding is taken for an image
    of low quality. At $z = -1$ the margin is that of ArcFace, and at $z = 0$ that of CosFace. $z$ stays within -1 and
    1, and has no derivative in the embedding. As in the paper's code, $|e|$ stays within 0.001 and 100, all cosines
    within -0.999 and 0.999, and $t - m z$ within 0.001 and $\pi - 0.001$. The slope is 0 outside these ranges.

    Args:
        embeddings: Embeddings, shape (N..., D).
        kernel: The vectors of the classes as columns, shape (D, C).
        targets: Class numbers (indices from 0), integers of shape (N...).
        mean: $\mu$, the mean length of the embeddings: a running mean over batches, which the caller keeps. The default
            is the start that the paper's code gives it.
        std: $\sigma$, the standard deviation of the lengths, above 0: a running one too, with the start of that code.
        margin: $m$, a number from 0 to pi.
        h: A number above 0, the width of the range of lengths.
        scale: $s$, a number above 0 that multiplies the cosines.
        ignore_index: Examples with this class number are masked, in addition to those that `where` masks.
        chunk_size: The number of examples in a chunk. The temporary memory is about C times this number, in float32.
            None picks a size for the platform.
        axis_name: Within `jax.shard_map`, the mesh axis that the classes are split over. Each device holds C
            consecutive classes of `kernel`, and class numbers count from the first class of the first device. See
            [`linear_cross_entropy`][jaxloss.linear_cross_entropy].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the examples, shape (N...), in float32 or wider. A label out of range makes its loss
        and gradient NaN.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> embeddings, kernel = jnp.eye(3), jnp.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]])
        >>> targets = jnp.array([0, 1, 1])
        >>> print(f"{jaxloss.adaface_loss(embeddings, kernel, targets, mean=1.0, std=0.5, scale=4.0):.4f}")
        2.2298

    Source: Kim et al., "AdaFace: Quality Adaptive Margin for Face Recognition", 2022.
    """
    batch = Batch.of(embeddings, kernel, targets, ignore_index, axis_name, where)
    constant = lax.stop_gradient(batch.embeddings)
    lengths = distance(constant, jnp.zeros_like(constant), jnp.zeros((), accumulator(constant.dtype)), 2.0)
    lengths = clamp_max(clamp_min(lengths, ADAFACE_EPS), 100.0)
    mean, std, margin, h = (jnp.asarray(each, lengths.dtype) for each in (mean, std, margin, h))
    quality = clamp_max(clamp_min((lengths - mean) / (std + ADAFACE_EPS) * h, -1.0), 1.0)
    both = Margin(angle=-margin * quality, cosine=margin + margin * quality)
    return batch.losses(adaface_losses, both, scale, chunk_size, reduction, sample_weight)


class MarginSoftmaxLoss(Loss, fn=margin_softmax_loss):
    """Option object of [`margin_softmax_loss`][jaxloss.margin_softmax_loss]."""

    scale: Scalar = 64.0
    multiplier: Scalar = 1.0
    angular_margin: Scalar = 0.0
    additive_margin: Scalar = 0.0
    easy_margin: bool = static(False)
    ignore_index: int = static(-100)
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


class ArcFaceLoss(Loss, fn=arcface_loss):
    """Option object of [`arcface_loss`][jaxloss.arcface_loss]."""

    margin: Scalar = 0.5
    scale: Scalar = 64.0
    easy_margin: bool = static(False)
    ignore_index: int = static(-100)
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


class CosFaceLoss(Loss, fn=cosface_loss):
    """Option object of [`cosface_loss`][jaxloss.cosface_loss]."""

    margin: Scalar = 0.35
    scale: Scalar = 64.0
    ignore_index: int = static(-100)
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")


class AdaFaceLoss(Loss, fn=adaface_loss):
    """Option object of [`adaface_loss`][jaxloss.adaface_loss]."""

    mean: Scalar = 20.0
    std: Scalar = 100.0
    margin: Scalar = 0.4
    h: Scalar = 0.333
    scale: Scalar = 64.0
    ignore_index: int = static(-100)
    chunk_size: int | None = static(None)
    axis_name: AxisName | None = static(None)
    reduction: Reduction = static("mean")
