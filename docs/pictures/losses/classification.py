"""The pictures of docs/losses/classification.md."""

import jax.numpy as jnp
from kinds import Curves, Picture, true_class

import jaxloss

PICTURES: dict[str, Picture] = {
    "cross_entropy": Curves(
        "logit of the true class, two others at 0",
        (-6, 10),
        (0, 6),
        (-1.2, 0.4),
        {
            "label_smoothing=0": true_class(jaxloss.cross_entropy, 3),
            "0.1": true_class(jaxloss.cross_entropy, 3, label_smoothing=0.1),
            "0.3": true_class(jaxloss.cross_entropy, 3, label_smoothing=0.3),
        },
    ),
    "nll_loss": Curves(
        "log-probability of the true class",
        (-4, 0),
        (0, 4),
        (-2.4, 0.4),
        {
            "class weight 1": lambda x: jaxloss.nll_loss(x[None], jnp.array(0), reduction="sum"),
            "class weight 2": lambda x: jaxloss.nll_loss(
                x[None], jnp.array(0), weight=jnp.array([2.0]), reduction="sum"
            ),
        },
    ),
    "sparsemax_loss": Curves(
        "logit of the true class, two others at 0",
        (-3, 3),
        (0, 4),
        (-1.4, 0.2),
        {"sparsemax": true_class(jaxloss.sparsemax_loss, 3), "softmax": true_class(jaxloss.cross_entropy, 3)},
    ),
}
