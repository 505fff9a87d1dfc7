"""The pictures of docs/losses/margin.md."""

import jax.numpy as jnp
from kinds import ZERO, Curves, Picture, Plane, true_class

import jaxloss

PICTURES: dict[str, Picture] = {
    "multi_margin_loss": Curves(
        "score of the true class, one other at 0",
        (-2, 4),
        (0, 4),
        (-3.2, 0.8),
        {
            "p=1": true_class(jaxloss.multi_margin_loss, 2),
            "p=2": true_class(jaxloss.multi_margin_loss, 2, p=2),
            "margin=2": true_class(jaxloss.multi_margin_loss, 2, margin=2.0),
        },
    ),
    "multilabel_margin_loss": Plane(
        ("score of a true class, a second false one at 0", "score of a false one"),
        (-3, 3),
        (-2, 2),
        (ZERO, 0.5, 1, 1.5, 2, 2.5),
        lambda x, y: jaxloss.multilabel_margin_loss(jnp.stack([x, y, 0 * x]), jnp.array([0, -1, -1])),
    ),
    "hinge_embedding_loss": Curves(
        "distance",
        (0, 4),
        (0, 4),
        (-1.5, 1.5),
        {
            "target 1": lambda x: jaxloss.hinge_embedding_loss(x, 1.0),
            "target −1": lambda x: jaxloss.hinge_embedding_loss(x, -1.0),
            "−1, margin=2": lambda x: jaxloss.hinge_embedding_loss(x, -1.0, margin=2.0),
        },
    ),
    "margin_ranking_loss": Curves(
        "first score − second score",
        (-4, 4),
        (0, 5),
        (-1.5, 1.5),
        {
            "target 1": lambda x: jaxloss.margin_ranking_loss(x, 0.0, 1.0),
            "target −1": lambda x: jaxloss.margin_ranking_loss(x, 0.0, -1.0),
            "target 1, margin=1": lambda x: jaxloss.margin_ranking_loss(x, 0.0, 1.0, margin=1.0),
        },
    ),
    "hinge_loss": Curves(
        "score",
        (-2, 4),
        (0, 6),
        (-5, 1),
        {
            "HingeLoss()": lambda x: jaxloss.hinge_loss(x, 1.0),
            "p=2": lambda x: jaxloss.hinge_loss(x, 1.0, p=2),
            "margin=0": lambda x: jaxloss.hinge_loss(x, 1.0, margin=0.0),
        },
    ),
    "multiclass_hinge_loss": Plane(
        ("score of the true class, a third one at 0", "score of a rival"),
        (-3, 3),
        (-2, 2),
        (ZERO, 0.5, 1, 1.5, 2, 2.5, 3),
        lambda x, y: jaxloss.multiclass_hinge_loss(jnp.stack([x, y, 0 * x]), jnp.array(0)),
    ),
}
