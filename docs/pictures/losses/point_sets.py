"""The pictures of docs/losses/point_sets.md."""

import jax.numpy as jnp
from kinds import OfPoint, Picture, Plane, Points

import jaxloss

POINTS: Points = {"A": (-2.0, -1.0), "B": (2.0, -1.0), "C": (1.0, 1.5)}
SET = jnp.array(list(POINTS.values()))
AXES = ("first coordinate of the point", "second coordinate")


def of_the_second_point(loss: jaxloss.Loss) -> OfPoint:
    return lambda x, y: loss(jnp.stack([SET[0], jnp.stack([x, y])]), SET)


PICTURES: dict[str, Picture] = {
    "chamfer_loss": Plane(
        AXES, (-4, 4), (-3, 3), (2, 3, 4, 6, 8, 12, 16), of_the_second_point(jaxloss.ChamferLoss()), POINTS
    ),
    "energy_distance_loss": Plane(
        AXES, (-4, 4), (-3, 3), (0.3, 0.5, 0.75, 1, 1.5, 2), of_the_second_point(jaxloss.EnergyDistanceLoss()), POINTS
    ),
    "mmd_loss": Plane(
        AXES, (-4, 4), (-3, 3), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), of_the_second_point(jaxloss.MMDLoss()), POINTS
    ),
}
