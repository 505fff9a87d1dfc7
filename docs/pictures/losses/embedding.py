"""The pictures of docs/losses/embedding.md."""

import jax
import jax.numpy as jnp
from kinds import ZERO, Curves, OfNumber, OfPoint, Picture, Plane, Points

import jaxloss


def cosine(margin: float, target: int) -> OfNumber:
    first = jnp.array([1.0, 0.0])
    loss = jaxloss.CosineEmbeddingLoss(margin=margin)
    return lambda angle: loss(first, jnp.stack([jnp.cos(angle), jnp.sin(angle)]), jnp.array(target))


def angular(a: jax.Array, b: jax.Array) -> jax.Array:
    return 1 - jaxloss.cosine_similarity(a, b)


def triplet(loss: jaxloss.Loss, points: Points) -> OfPoint:
    positive, negative = jnp.array(points["positive"]), jnp.array(points["negative"])
    return lambda x, y: loss(jnp.stack([x, y]), positive, negative)


SIDES: Points = {"positive": (-1.0, 0.0), "negative": (1.0, 0.0)}
ABOVE: Points = {"positive": (-1.0, 1.0), "negative": (1.0, 1.0)}
AROUND = ("the anchor's first component", "its second component")

PICTURES: dict[str, Picture] = {
    "cosine_embedding_loss": Curves(
        "angle between the vectors, in radians",
        (0, 3.2),
        (0, 2),
        (-1.5, 1.5),
        {"target 1": cosine(0.0, 1), "target −1": cosine(0.0, -1), "−1, margin=0.5": cosine(0.5, -1)},
    ),
    "triplet_margin_loss": Plane(
        AROUND, (-3, 3), (-2, 2), (ZERO, 0.5, 1, 1.5, 2, 2.5), triplet(jaxloss.TripletMarginLoss(), SIDES), SIDES
    ),
    "triplet_margin_with_distance_loss": Plane(
        AROUND,
        (-3, 3),
        (-2, 2),
        (ZERO, 0.5, 1, 1.5),
        triplet(jaxloss.TripletMarginWithDistanceLoss(distance_function=angular, margin=0.5), ABOVE),
        ABOVE,
    ),
}
