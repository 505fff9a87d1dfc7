"""Losses of distillation: a student's distribution against that of a teacher."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxloss._core.arguments import Number, filled, floats, has_axis, mask, one_of, same_shape
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.distillation_formulas import DIVERGENCES, Divergence, beta_range, divergence_terms
from jaxloss._losses.distillation_linear import LinearDistillationLoss, linear_distillation_loss
from jaxloss._losses.distillation_top_k import (
    LinearTopKDistillationLoss,
    TopKDistillationLoss,
    linear_top_k_distillation_loss,
    top_k_distillation_loss,
)
from jaxloss._ops.cross_entropy.log_softmax import log_softmax

__all__ = [
    "DistillationLoss",
    "LinearDistillationLoss",
    "LinearTopKDistillationLoss",
    "TopKDistillationLoss",
    "distillation_loss",
    "linear_distillation_loss",
    "linear_top_k_distillation_loss",
    "top_k_distillation_loss",
]


@program(beta=beta_range, temperature=Number(above=0))
def distillation_loss(
    logits: Float[ArrayLike, "..."],
    teacher_logits: Float[ArrayLike, "..."],
    *,
    divergence: Divergence = "kl",
    beta: Scalar = 0.5,
    temperature: Scalar = 1.0,
    rescale: bool = True,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Divergence of a student's distribution from its teacher's, in nats.

    $$ \ell = T^2\, D(p, q) \qquad \text{KL}(p \| q) = \sum_c p_c \log \frac{p_c}{q_c} \qquad
       m = \beta p + (1 - \beta) q $$

    $p$ is the softmax of the teacher's logits divided by the temperature $T$, and $q$ that of the student's.

    The loss is the sum over the classes. The cross-entropy with true labels is a loss of its own: add the two.

    Args:
        logits: The student's unnormalised log-probabilities, shape (N..., C).
        teacher_logits: The teacher's, in the same shape. They have a gradient: use `jax.lax.stop_gradient` if the
            teacher is a part of the model that is trained.
        divergence: $D$. `"kl"` is $\text{KL}(p \| q)$. `"reverse_kl"` is $\text{KL}(q \| p)$. `"js"` is
            $\beta\, \text{KL}(p \| m) + (1 - \beta)\, \text{KL}(q \| m)$. `"skew_kl"` is $\text{KL}(p \| m)$. `"tv"` is
            the total variation $\frac12 \sum_c |p_c - q_c|$.
        beta: The weight $\beta$ of the teacher in the mixture $m$, in [0, 1]. `"js"` needs a number between 0 and 1.
        temperature: $T$, above 0.
        rescale: Whether the loss is multiplied by $T^2$. The size of the gradient then hardly depends on $T$.
        axis: The class axis of both arrays.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). They are never negative, and they are 0, with a gradient of 0, where
        the logits are equal. Small divergences keep their digits in float32.

    Raises:
        ValueError: The shapes differ, the class axis is empty, or an option is out of range.
        TypeError: The logits are not real and floating.

    Examples:
        >>> student, teacher = jnp.array([[0.0, 0.0]]), jnp.array([[2.0, 0.0]])
        >>> print(f"{jaxloss.distillation_loss(student, teacher):.4f}")
        0.3278
        >>> print(f"{jaxloss.distillation_loss(student, teacher, divergence='js'):.4f}")
        0.0895

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015; `"js"`: Agarwal et al., "On-Policy
    Distillation of Language Models", 2024; `"skew_kl"`: Ko et al., "DistiLLM", 2024.
    """
    one_of("divergence", divergence, DIVERGENCES)
    (student, teacher), dtype = floats(logits=logits, teacher_logits=teacher_logits)
    same_shape(logits=student, teacher_logits=teacher)
    axis = has_axis("logits", student, axis)
    student, teacher = jnp.moveaxis(student, axis, -1), jnp.moveaxis(teacher, axis, -1)
    keep = mask(where, student.shape[:-1])
    student, teacher = filled(student, keep, 0.0), filled(teacher, keep, 0.0)
    temperature, beta = jnp.asarray(temperature, student.dtype), jnp.asarray(beta, student.dtype)
    log_p, log_q = (log_softmax(each / temperature, ClassAxis(each.ndim - 1)) for each in (teacher, student))
    losses = jnp.sum(divergence_terms(divergence, log_p, log_q, beta), -1)
    losses = losses * temperature**2 if rescale else losses
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class DistillationLoss(Loss, fn=distillation_loss):
    """Option object of [`distillation_loss`][jaxloss.distillation_loss]."""

    divergence: Divergence = static("kl")
    beta: Scalar = 0.5
    temperature: Scalar = 1.0
    rescale: bool = static(True)
    axis: int = static(-1)
    reduction: Reduction = static("mean")
