"""The pictures of docs/losses/generative.md."""

import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss


def discriminator(loss_type: str) -> OfNumber:
    loss = jaxloss.GANDiscriminatorLoss(loss_type=loss_type)
    return lambda real: loss(real, jnp.array(-2.0))


def generator(loss_type: str) -> OfNumber:
    return jaxloss.GANGeneratorLoss(loss_type=loss_type)


PICTURES: dict[str, Picture] = {
    "gan_discriminator_loss": Curves(
        "score of the real example",
        (-3, 3),
        (0, 6),
        (-4, 2),
        {
            "non_saturating": discriminator("non_saturating"),
            "hinge": discriminator("hinge"),
            "least_squares": discriminator("least_squares"),
        },
    ),
    "gan_generator_loss": Curves(
        "score of the generated example",
        (-3, 3),
        (-3, 6),
        (-4, 2),
        {
            "non_saturating": generator("non_saturating"),
            "hinge": generator("hinge"),
            "least_squares": generator("least_squares"),
        },
    ),
}
