"""The pictures of docs/losses/scores.md."""

import jax.numpy as jnp
from kinds import ERROR, Curves, Picture, Plane

import jaxloss

MEMBERS = jnp.array([-1.0, 0.0, 2.0])
POINTS = {"A": (-2.0, -1.0), "B": (2.0, -1.0), "C": (0.0, 1.5)}
PLACES = jnp.array(list(POINTS.values()))

PICTURES: dict[str, Picture] = {
    "gaussian_crps_loss": Curves(
        ERROR,
        (-4, 4),
        (0, 4),
        (-1.5, 1.5),
        {
            "scale 0.25": lambda x: jaxloss.gaussian_crps_loss(x, 0.0, 0.25),
            "scale 1": lambda x: jaxloss.gaussian_crps_loss(x, 0.0, 1.0),
            "scale 2": lambda x: jaxloss.gaussian_crps_loss(x, 0.0, 2.0),
        },
    ),
    "ensemble_crps_loss": Curves(
        "target",
        (-4, 4),
        (-0.5, 4),
        (-1.5, 1.5),
        {
            "energy": lambda t: jaxloss.ensemble_crps_loss(MEMBERS, t),
            "fair": lambda t: jaxloss.ensemble_crps_loss(MEMBERS, t, estimator="fair"),
        },
    ),
    "energy_score_loss": Plane(
        ("first component of the target", "second component"),
        (-4, 4),
        (-3, 3),
        (0.8, 1, 1.25, 1.5, 2, 2.5, 3, 4),
        lambda x, y: jaxloss.energy_score_loss(PLACES, jnp.stack([x, y])),
        POINTS,
    ),
}
