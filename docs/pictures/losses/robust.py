"""The pictures of docs/losses/robust.md."""

from kinds import ERROR, Curves, Picture

import jaxloss

PICTURES: dict[str, Picture] = {
    "log_cosh_loss": Curves(
        ERROR,
        (-6, 6),
        (0, 6),
        (-1.5, 1.5),
        {
            "LogCoshLoss()": lambda x: jaxloss.log_cosh_loss(x, 0.0),
        },
    ),
    "pseudo_huber_loss": Curves(
        ERROR,
        (-6, 6),
        (0, 6),
        (-2.4, 2.4),
        {
            "delta=1": lambda x: jaxloss.pseudo_huber_loss(x, 0.0),
            "delta=2": lambda x: jaxloss.pseudo_huber_loss(x, 0.0, delta=2.0),
            "delta=0.5": lambda x: jaxloss.pseudo_huber_loss(x, 0.0, delta=0.5),
        },
    ),
    "charbonnier_loss": Curves(
        ERROR,
        (-6, 6),
        (0, 6),
        (-1.5, 1.5),
        {
            "eps=0.001": lambda x: jaxloss.charbonnier_loss(x, 0.0),
            "eps=0.5": lambda x: jaxloss.charbonnier_loss(x, 0.0, eps=0.5),
            "eps=2": lambda x: jaxloss.charbonnier_loss(x, 0.0, eps=2.0),
        },
    ),
    "robust_loss": Curves(
        ERROR,
        (-6, 6),
        (0, 4),
        (-2.4, 2.4),
        {
            "alpha=2": lambda x: jaxloss.robust_loss(x, 0.0, alpha=2.0),
            "alpha=1": lambda x: jaxloss.robust_loss(x, 0.0, alpha=1.0),
            "alpha=-2": lambda x: jaxloss.robust_loss(x, 0.0, alpha=-2.0),
        },
    ),
    "cauchy_loss": Curves(
        ERROR,
        (-6, 6),
        (0, 3.5),
        (-1.0, 1.0),
        {
            "scale=1": lambda x: jaxloss.cauchy_loss(x, 0.0),
            "scale=2": lambda x: jaxloss.cauchy_loss(x, 0.0, scale=2.0),
        },
    ),
    "geman_mcclure_loss": Curves(
        ERROR,
        (-6, 6),
        (0, 2.4),
        (-1.0, 1.0),
        {
            "scale=1": lambda x: jaxloss.geman_mcclure_loss(x, 0.0),
            "scale=2": lambda x: jaxloss.geman_mcclure_loss(x, 0.0, scale=2.0),
        },
    ),
    "welsch_loss": Curves(
        ERROR,
        (-6, 6),
        (0, 1.4),
        (-1.0, 1.0),
        {
            "scale=1": lambda x: jaxloss.welsch_loss(x, 0.0),
            "scale=2": lambda x: jaxloss.welsch_loss(x, 0.0, scale=2.0),
        },
    ),
    "tukey_biweight_loss": Curves(
        ERROR,
        (-6, 6),
        (0, 4.5),
        (-2.0, 2.0),
        {
            "c=4.685": lambda x: jaxloss.tukey_biweight_loss(x, 0.0),
            "c=2": lambda x: jaxloss.tukey_biweight_loss(x, 0.0, c=2.0),
        },
    ),
}
