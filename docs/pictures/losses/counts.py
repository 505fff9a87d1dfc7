"""The pictures of docs/losses/counts.md."""

from kinds import Curves, Picture

import jaxloss

LOG_MEAN = "prediction: logarithm of the mean"

PICTURES: dict[str, Picture] = {
    "negative_binomial_nll_loss": Curves(
        LOG_MEAN,
        (-2, 4),
        (0, 12),
        (-5, 10),
        {
            "total count 1": lambda x: jaxloss.negative_binomial_nll_loss(x, 4.0, 1.0),
            "total count 10": lambda x: jaxloss.negative_binomial_nll_loss(x, 4.0, 10.0),
            "total count 1e8": lambda x: jaxloss.negative_binomial_nll_loss(x, 4.0, 1e8),
        },
    ),
    "gamma_nll_loss": Curves(
        LOG_MEAN,
        (-2, 3),
        (0, 8),
        (-6, 6),
        {
            "concentration 1": lambda x: jaxloss.gamma_nll_loss(x, 1.0, 1.0),
            "concentration 2": lambda x: jaxloss.gamma_nll_loss(x, 1.0, 2.0),
            "concentration 4": lambda x: jaxloss.gamma_nll_loss(x, 1.0, 4.0),
        },
    ),
    "tweedie_loss": Curves(
        LOG_MEAN,
        (-2, 3),
        (0, 8),
        (-6, 6),
        {
            "power 1": lambda x: jaxloss.tweedie_loss(x, 2.0, power=1.0, full=True),
            "power 1.5": lambda x: jaxloss.tweedie_loss(x, 2.0, power=1.5, full=True),
            "power 2": lambda x: jaxloss.tweedie_loss(x, 2.0, power=2.0, full=True),
        },
    ),
}
