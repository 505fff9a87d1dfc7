"""The pictures of docs/losses/divergence.md."""

import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture, Plane

import jaxloss


def divergence(probability: float) -> OfNumber:
    target = jnp.array([probability, 1 - probability])
    return lambda x: jaxloss.kl_div(jnp.log(jnp.stack([x, 1 - x])), target, reduction="sum")


PICTURES: dict[str, Picture] = {
    "kl_div": Curves(
        "predicted probability of the first of two classes",
        (0, 1),
        (0, 3),
        (-6, 6),
        {"target (½, ½)": divergence(0.5), "(0.9, 0.1)": divergence(0.9), "(1, 0)": divergence(1.0)},
    ),
    "generalized_kl_div": Curves(
        "predicted mass",
        (0, 4),
        (0, 3),
        (-4, 1.5),
        {f"target {t:g}": lambda x, t=t: jaxloss.generalized_kl_div(jnp.log(x), t) for t in (1.0, 2.0, 0.0)},
    ),
    "gaussian_kl_loss": Plane(
        ("mean", "standard deviation"),
        (-3, 3),
        (0.25, 2.75),
        (0, 0.25, 0.5, 1, 2, 3, 4),
        lambda mean, deviation: jaxloss.gaussian_kl_loss(mean, 2 * jnp.log(deviation)),
    ),
}
