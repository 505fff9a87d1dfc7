"""Losses of generative adversarial networks, from the discriminator's scores of real and of generated examples."""

from typing import Literal, TypeAlias

from jaxtyping import Array, Float

from jaxloss._core.arguments import aligned, one_of
from jaxloss._core.elementwise import hinge, softplus
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Weight

__all__ = ["GANDiscriminatorLoss", "GANGeneratorLoss", "gan_discriminator_loss", "gan_generator_loss"]

LossType: TypeAlias = Literal["non_saturating", "hinge", "least_squares", "wasserstein"]
LOSS_TYPES = ("non_saturating", "hinge", "least_squares", "wasserstein")


@program()
def gan_discriminator_loss(
    real_logits: Float[ArrayLike, "*shape"],
    fake_logits: Float[ArrayLike, "*shape"],
    *,
    loss_type: LossType = "non_saturating",
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Loss of a discriminator that tells real examples from generated ones.

    With the scores $r$ of real and $f$ of generated examples:

    | `loss_type` | loss |
    |---|---|
    | `"non_saturating"` | $-\log \sigma(r) - \log \sigma(-f)$ |
    | `"hinge"` | $\max(0, 1 - r) + \max(0, 1 + f)$ |
    | `"least_squares"` | $\bigl((r - 1)^2 + f^2\bigr) / 2$ |
    | `"wasserstein"` | $f - r$ |

    Args:
        real_logits: Scores $r$ of real examples, any shape. Large scores mean real.
        fake_logits: Scores $f$ of generated examples, in the same shape.
        loss_type: The kind of the loss, as in the table. The Wasserstein loss needs a discriminator with bounded
            slopes.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The gradient of the hinge at its kink is 0.

    Raises:
        ValueError: The shapes differ, or the kind is unknown.
        TypeError: The scores are not real and floating.

    Examples:
        >>> real, fake = jnp.array([2.0, 0.5]), jnp.array([-3.0, 0.0])
        >>> print(jaxloss.gan_discriminator_loss(real, fake, loss_type="hinge"))
        0.75

    Source: Goodfellow et al., "Generative Adversarial Nets", 2014; Lim and Ye, "Geometric GAN", 2017, for the hinge;
    Mao et al., "Least Squares Generative Adversarial Networks", 2017; Arjovsky et al., "Wasserstein GAN", 2017.
    """
    one_of("loss_type", loss_type, LOSS_TYPES)
    (real, fake), dtype = aligned(where, real_logits=real_logits, fake_logits=fake_logits)
    if loss_type == "non_saturating":
        losses = softplus(-real) + softplus(fake)
    elif loss_type == "hinge":
        losses = hinge(1 - real) + hinge(1 + fake)
    elif loss_type == "least_squares":
        losses = ((real - 1) ** 2 + fake**2) / 2
    else:
        losses = fake - real
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class GANDiscriminatorLoss(Loss, fn=gan_discriminator_loss):
    """Option object of [`gan_discriminator_loss`][jaxloss.gan_discriminator_loss]."""

    loss_type: LossType = static("non_saturating")
    reduction: Reduction = static("mean")


@program()
def gan_generator_loss(
    fake_logits: Float[ArrayLike, "*shape"],
    *,
    loss_type: LossType = "non_saturating",
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Loss of a generator whose examples a discriminator should take for real.

    With the scores $f$ of generated examples: $-\log \sigma(f)$ for `"non_saturating"`, $-f$ for `"hinge"` and
    `"wasserstein"`, and $(f - 1)^2 / 2$ for `"least_squares"`.

    Args:
        fake_logits: Scores $f$ of generated examples, any shape. Large scores mean real.
        loss_type: The kind of the loss, the same as that of
            [`gan_discriminator_loss`][jaxloss.gan_discriminator_loss].
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the input's shape.

    Raises:
        ValueError: The kind is unknown.
        TypeError: The scores are not real and floating.

    Examples:
        >>> print(jaxloss.gan_generator_loss(jnp.array([3.0, -1.0]), loss_type="least_squares"))
        2.0

    Source: The papers of [`gan_discriminator_loss`][jaxloss.gan_discriminator_loss].
    """
    one_of("loss_type", loss_type, LOSS_TYPES)
    (fake,), dtype = aligned(where, fake_logits=fake_logits)
    if loss_type == "non_saturating":
        losses = softplus(-fake)
    elif loss_type == "least_squares":
        losses = (fake - 1) ** 2 / 2
    else:
        losses = -fake
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class GANGeneratorLoss(Loss, fn=gan_generator_loss):
    """Option object of [`gan_generator_loss`][jaxloss.gan_generator_loss]."""

    loss_type: LossType = static("non_saturating")
    reduction: Reduction = static("mean")
