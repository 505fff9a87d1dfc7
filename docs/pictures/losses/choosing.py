"""The pictures of the page on choosing a loss."""

from kinds import ERROR, Curves, Picture, true_class

import jaxloss

PICTURES: dict[str, Picture] = {
    "choosing_regression": Curves(
        ERROR,
        (-4, 4),
        (0, 8),
        (-4, 4),
        {
            "mse_loss": lambda x: jaxloss.mse_loss(x, 0.0),
            "l1_loss": lambda x: jaxloss.l1_loss(x, 0.0),
            "huber_loss": lambda x: jaxloss.huber_loss(x, 0.0),
        },
    ),
    "choosing_classification": Curves(
        "score of the true class, one other at 0",
        (-3, 4),
        (0, 4),
        (-2.4, 0.6),
        {
            "cross_entropy": true_class(jaxloss.cross_entropy, 2),
            "multi_margin_loss": true_class(jaxloss.multi_margin_loss, 2),
            "multi_margin_loss, p=2": true_class(jaxloss.multi_margin_loss, 2, p=2),
        },
    ),
}
