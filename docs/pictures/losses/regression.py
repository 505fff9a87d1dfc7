"""The pictures of docs/losses/regression.md."""

from kinds import ERROR, Curves, Picture

import jaxloss

PICTURES: dict[str, Picture] = {
    "l1_loss": Curves(ERROR, (-4, 4), (0, 4), (-1.5, 1.5), {"L1Loss()": lambda x: jaxloss.l1_loss(x, 0.0)}),
    "mse_loss": Curves(ERROR, (-4, 4), (0, 16), (-9, 9), {"MSELoss()": lambda x: jaxloss.mse_loss(x, 0.0)}),
    "huber_loss": Curves(
        ERROR,
        (-4, 4),
        (0, 6),
        (-2.4, 2.4),
        {
            "delta=1": lambda x: jaxloss.huber_loss(x, 0.0),
            "delta=2": lambda x: jaxloss.huber_loss(x, 0.0, delta=2.0),
            "delta=0.5": lambda x: jaxloss.huber_loss(x, 0.0, delta=0.5),
        },
    ),
    "smooth_l1_loss": Curves(
        ERROR,
        (-4, 4),
        (0, 4),
        (-1.5, 1.5),
        {
            "beta=1": lambda x: jaxloss.smooth_l1_loss(x, 0.0),
            "beta=2": lambda x: jaxloss.smooth_l1_loss(x, 0.0, beta=2.0),
            "beta=0": lambda x: jaxloss.smooth_l1_loss(x, 0.0, beta=0.0),
        },
    ),
}
