"""The pictures of docs/losses/metric.md."""

import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss


def of_distance(target: float, margin: float = 1.0) -> OfNumber:
    """The loss of a pair of numbers at a distance."""
    loss = jaxloss.ContrastiveLoss(margin=margin, eps=0.0)
    return lambda distance: loss(jnp.zeros(1), distance[None], jnp.array(target))


PICTURES: dict[str, Picture] = {
    "contrastive_loss": Curves(
        "distance of the pair",
        (0, 2.2),
        (0, 2),
        (-1.6, 2.2),
        {"target 1": of_distance(1.0), "target 0": of_distance(0.0), "0, margin=1.5": of_distance(0.0, 1.5)},
    ),
}
