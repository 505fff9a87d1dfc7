"""The pictures of docs/losses/metric.md."""

import jax
import jax.numpy as jnp
from kinds import ZERO, Curves, OfNumber, Picture, Plane, Points

import jaxloss


def of_distance(target: float, margin: float = 1.0) -> OfNumber:
    """The loss of a pair of numbers at a distance."""
    loss = jaxloss.ContrastiveLoss(margin=margin, eps=0.0)
    return lambda distance: loss(jnp.zeros(1), distance[None], jnp.array(target))


SIDE: Points = {"positive": (-1.5, 0.75), "another positive": (-1.5, -0.75)}
CLASSES: Points = {**SIDE, "negative": (1.5, 0.75), "another negative": (1.5, -0.75)}
AROUND = ("the anchor's first component", "its second component")


def batch_triplet(x: jax.Array, y: jax.Array) -> jax.Array:
    """The loss of a moving anchor, with two examples of its class and two of another."""
    embeddings = jnp.concatenate([jnp.stack([x, y])[None], jnp.array(list(CLASSES.values()))])
    return jaxloss.batch_triplet_loss(embeddings, jnp.array([0, 0, 0, 1, 1]), reduction="none")[0]


def of_angle(loss: jaxloss.Loss) -> OfNumber:
    """The loss of a moving anchor: its class has two others, and another class has one."""
    angles, targets = jnp.array([-0.5, 0.5, 2.0]), jnp.array([0, 0, 0, 1])

    def moved(angle: jax.Array) -> jax.Array:
        every = jnp.concatenate([angle[None], angles])
        return loss(jnp.stack([jnp.cos(every), jnp.sin(every)], 1), targets)[0]

    return moved


ANGLE, FULL = "angle of the anchor, in radians", (-3.2, 3.2)

PICTURES: dict[str, Picture] = {
    "contrastive_loss": Curves(
        "distance of the pair",
        (0, 2.2),
        (0, 2),
        (-1.6, 2.2),
        {"target 1": of_distance(1.0), "target 0": of_distance(0.0), "0, margin=1.5": of_distance(0.0, 1.5)},
    ),
    "batch_triplet_loss": Plane(AROUND, (-3, 3), (-2, 2), (ZERO, 0.5, 1, 1.5, 2, 3), batch_triplet, CLASSES),
    "multi_similarity_loss": Curves(
        ANGLE,
        FULL,
        (0, 2.5),
        (-1.6, 1.6),
        {
            f"epsilon={epsilon}": of_angle(jaxloss.MultiSimilarityLoss(epsilon=epsilon, reduction="none"))
            for epsilon in (0.1, None)
        },
    ),
    "circle_loss": Curves(
        ANGLE,
        FULL,
        (0, 40),
        (-20, 20),
        {f"γ={gamma:g}": of_angle(jaxloss.CircleLoss(gamma=gamma, reduction="none")) for gamma in (2.0, 4.0, 8.0)},
    ),
}
