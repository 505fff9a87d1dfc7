"""The pictures of docs/losses/distributions.md."""

import math

import jax.numpy as jnp
from kinds import ERROR, Curves, Picture, Plane

import jaxloss

MEANS, SCALES, LOGITS = jnp.array([-2.0, 1.5]), jnp.array([0.5, 1.0]), jnp.zeros(2)
FACTOR = jnp.array([[1.5, 0.0], [0.8, 0.6]])

PICTURES: dict[str, Picture] = {
    "laplace_nll_loss": Curves(
        ERROR,
        (-4, 4),
        (0, 6),
        (-2.5, 2.5),
        {
            "scale 0.5": lambda x: jaxloss.laplace_nll_loss(x, 0.0, 0.5),
            "scale 1": lambda x: jaxloss.laplace_nll_loss(x, 0.0, 1.0),
            "scale 2": lambda x: jaxloss.laplace_nll_loss(x, 0.0, 2.0),
        },
    ),
    "student_t_nll_loss": Curves(
        ERROR,
        (-6, 6),
        (0, 8),
        (-3, 3),
        {
            "df 1": lambda x: jaxloss.student_t_nll_loss(x, 0.0, 1.0, 1.0),
            "df 4": lambda x: jaxloss.student_t_nll_loss(x, 0.0, 1.0, 4.0),
            "df 1e12": lambda x: jaxloss.student_t_nll_loss(x, 0.0, 1.0, 1e12),
        },
    ),
    "von_mises_nll_loss": Curves(
        "prediction − target, in radians",
        (-2 * math.pi, 2 * math.pi),
        (0, 8),
        (-5, 5),
        {
            "concentration 0.5": lambda x: jaxloss.von_mises_nll_loss(x, 0.0, 0.5),
            "concentration 2": lambda x: jaxloss.von_mises_nll_loss(x, 0.0, 2.0),
            "concentration 4": lambda x: jaxloss.von_mises_nll_loss(x, 0.0, 4.0),
        },
    ),
    "gaussian_mixture_nll_loss": Curves(
        "target",
        (-5, 5),
        (0, 8),
        (-5, 5),
        {"means −2 and 1.5": lambda t: jaxloss.gaussian_mixture_nll_loss(MEANS, t, SCALES, LOGITS)},
    ),
    "multivariate_gaussian_nll_loss": Plane(
        ("first error", "second error"),
        (-4, 4),
        (-3, 3),
        (1, 2, 3, 5, 9, 17, 33),
        lambda x, y: jaxloss.multivariate_gaussian_nll_loss(jnp.stack([x, y]), jnp.zeros(2), FACTOR),
    ),
}
