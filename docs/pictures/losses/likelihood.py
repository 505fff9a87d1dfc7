"""The pictures of docs/losses/likelihood.md."""

import jax.numpy as jnp
from kinds import ERROR, Curves, Picture, Plane

import jaxloss

PICTURES: dict[str, Picture] = {
    "poisson_nll_loss": Curves(
        "prediction: logarithm of the rate",
        (-2, 3),
        (-2, 8),
        (-5, 10),
        {
            "target 0": lambda x: jaxloss.poisson_nll_loss(x, 0.0),
            "target 1": lambda x: jaxloss.poisson_nll_loss(x, 1.0),
            "target 4": lambda x: jaxloss.poisson_nll_loss(x, 4.0),
        },
    ),
    "gaussian_nll_loss": Plane(
        (ERROR, "predicted standard deviation"),
        (-4, 4),
        (0.25, 3.25),
        (-2, 0, 0.5, 1, 2, 4, 8),
        lambda x, deviation: jaxloss.gaussian_nll_loss(x, 0.0, jnp.square(deviation)),
    ),
}
