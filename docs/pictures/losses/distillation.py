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


CLASSES = jnp.array([0, 1])
LOG_PROBS = jnp.log(jnp.array([0.6, 0.3]))  # the third class has the rest


def top_k(**options) -> OfNumber:
    return lambda x: jaxloss.top_k_distillation_loss(jnp.stack([x, 0 * x, 0 * x - 1]), CLASSES, LOG_PROBS, **options)


def linear_top_k(**options) -> OfNumber:
    return lambda x: jaxloss.linear_top_k_distillation_loss(
        jnp.ones((1, 1)), jnp.stack([x, 0 * x, 0 * x - 1])[None], CLASSES[None], LOG_PROBS[None], **options
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
    **{
        f"{name}_distillation_loss": Curves(
            "student's logit of the teacher's first class, others at 0 and -1",
            (-5, 7),
            (-0.5, 3),
            (-0.8, 0.8),
            {"all classes": curve(), "renormalized": curve(renormalize=True)},
        )
        for name, curve in (("top_k", top_k), ("linear_top_k", linear_top_k))
    },
}
