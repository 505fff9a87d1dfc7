"""Proxy-Anchor, whose elements are classes. Its page and its `__all__` are those of `margin_softmax`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxloss._core.arguments import Number, filled
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import labels
from jaxloss._core.elementwise import ratio
from jaxloss._core.log_sum import masked_logsumexp
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._core.vectors import directed, near_one
from jaxloss._losses.margin_softmax_rows import with_class_vectors
from jaxloss._ops.rows.formula import project
from jaxloss._ops.rows.reduced import kept


@program(integers=("targets",), margin=Number(), alpha=Number(above=0))
def proxy_anchor_loss(
    embeddings: Float[ArrayLike, "examples width"],
    kernel: Float[ArrayLike, "width classes"],
    targets: Integer[ArrayLike, "examples"],
    *,
    margin: Scalar = 0.1,
    alpha: Scalar = 32.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Attraction of each class's vector to its examples, and repulsion from all others.

    $$ \ell_c = \frac{C}{C^+} \log\Bigl(1 + \sum_{i: y_i = c} e^{-\alpha (\cos t_{ic} - m)}\Bigr)
    + \log\Bigl(1 + \sum_{i: y_i \ne c} e^{\alpha (\cos t_{ic} + m)}\Bigr) $$

    $t_{ic}$ is the angle between embedding $i$ and the vector of class $c$, and $y_i$ the example's class. $C^+$ of the
    $C$ classes have an example in the batch. So the mean over the classes is the paper's sum of two means: that of the
    first term over classes with an example, and that of the second over all classes.

    Args:
        embeddings: Embeddings, shape (N, D).
        kernel: The vectors of the classes as columns, the proxies, shape (D, C).
        targets: Class numbers (indices from 0), integers of shape (N,).
        margin: $m$, a number.
        alpha: $\alpha$, a number above 0 that multiplies the cosines.
        ignore_index: Examples with this class number are left out.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the classes that take part, shape (C,). Masked classes are not counted in $C$ and $C^+$. See
            [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each class, shape (C,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of the classes, shape (C,), in the dtype of the embeddings. A label out of range makes
        them all NaN.

    Raises:
        ValueError: Shapes do not match, or an option is out of range.
        TypeError: An array has the wrong dtype.

    Examples:
        >>> embeddings, kernel = jnp.eye(3), jnp.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]])
        >>> print(f"{jaxloss.proxy_anchor_loss(embeddings, kernel, jnp.array([0, 1, 1]), alpha=4.0):.4f}")
        3.4524

    Source: Kim et al., "Proxy Anchor Loss for Deep Metric Learning", 2020.
    """
    embeddings, kernel = with_class_vectors(embeddings, kernel, least=0)
    if embeddings.ndim != 2:
        raise ValueError(
            f"`embeddings` has shape {embeddings.shape}, but must be (examples, width): use jax.vmap for several "
            "batches."
        )
    examples, classes = embeddings.shape[0], kernel.shape[1]
    dtype, axis = embeddings.dtype, ClassAxis(1)
    keep = kept(where, (classes,))
    logits = jax.ShapeDtypeStruct((examples, classes), dtype)
    label = labels(targets, logits, axis, None, name="embeddings @ kernel", ignore_index=ignore_index)
    embeddings = embeddings if label.keep is None else filled(embeddings, label.keep, 0.0)
    embeddings, of_examples = directed(near_one(embeddings), 1)
    kernel, of_classes = directed(filled(kernel, keep[None], 0.0), 0)
    cosines = project(embeddings, kernel) * of_examples[:, None] * of_classes[None]
    used = jnp.ones(label.numbers.shape, bool) if label.keep is None else label.keep
    cosines = nan_unless(label.in_range | ~used, cosines)
    margin, alpha = jnp.asarray(margin, cosines.dtype), jnp.asarray(alpha, cosines.dtype)
    own = label.matches(cosines, axis)
    over_examples = ClassAxis(0)
    attraction = masked_logsumexp(-alpha * (cosines - margin), used & own, over_examples)
    repulsion = masked_logsumexp(alpha * (cosines + margin), used & ~own, over_examples)
    present = jnp.sum(keep & attraction.some, dtype=cosines.dtype)
    losses = ratio(jnp.sum(keep, dtype=cosines.dtype), present) * attraction.of_1_plus + repulsion.of_1_plus
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class ProxyAnchorLoss(Loss, fn=proxy_anchor_loss):
    """Option object of [`proxy_anchor_loss`][jaxloss.proxy_anchor_loss]."""

    margin: Scalar = 0.1
    alpha: Scalar = 32.0
    ignore_index: int = static(-100)
    reduction: Reduction = static("mean")
