"""The pictures of docs/losses/imbalance.md."""

import jax.numpy as jnp
from kinds import Curves, Picture, true_class

import jaxloss

PICTURES: dict[str, Picture] = {
    "softmax_focal_loss": Curves(
        "logit of the true class, two others at 0",
        (-6, 6),
        (0, 6),
        (-1.4, 0.2),
        {f"γ={gamma:g}": true_class(jaxloss.softmax_focal_loss, 3, gamma=gamma) for gamma in (0.0, 1.0, 2.0)},
    ),
    "logit_adjusted_cross_entropy": Curves(
        "logit of the true class, another at 0",
        (-6, 6),
        (0, 8),
        (-1.2, 0.2),
        {
            f"{share:.0%} of the examples": true_class(
                jaxloss.logit_adjusted_cross_entropy, 2, prior=jnp.array([share, 1 - share])
            )
            for share in (0.5, 0.1, 0.01)
        },
    ),
}
