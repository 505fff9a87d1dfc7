"""The pictures of docs/losses/distillation.md."""

import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss


def divergence(**options) -> OfNumber:
    teacher = jnp.array([1.0, 0.0])
    return lambda x: jaxloss.distillation_loss(jnp.stack([x, 0 * x]), teacher, **options)


def linear_divergence(**options) -> OfNumber:
    teacher = jnp.array([[1.0, 0.0]])
    return lambda x: jaxloss.linear_distillation_loss(
        jnp.ones((1, 1)), jnp.stack([x, 0 * x])[None], jnp.ones((1, 1)), teacher, **options
    )


PICTURES: dict[str, Picture] = {
    "distillation_loss": Curves(
        "student's logit of the first of two classes, teacher's at 1",
        (-5, 7),
        (0, 2.5),
        (-0.8, 0.8),
        {
            "kl": divergence(),
            "reverse_kl": divergence(divergence="reverse_kl"),
            "js": divergence(divergence="js"),
        },
    ),
    "linear_distillation_loss": Curves(
        "student's logit of the first of two classes, teacher's at 1",
        (-5, 7),
        (0, 2.5),
        (-0.8, 0.8),
        {
            "kl": linear_divergence(),
            "reverse_kl": linear_divergence(divergence="reverse_kl"),
            "js": linear_divergence(divergence="js"),
        },
    ),
}
