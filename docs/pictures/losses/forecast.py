"""The pictures of docs/losses/forecast.md."""

import jax.numpy as jnp
from kinds import ERROR, Curves, Picture

import jaxloss

SERIES = jnp.array([1.0, 3.0, 2.0, 5.0, 4.0])
CALM, RESTLESS = jnp.array([1.0, 2.0, 1.0, 2.0]), jnp.array([1.0, 4.0, 1.0, 4.0])

PICTURES: dict[str, Picture] = {
    "quantile_loss": Curves(
        ERROR,
        (-3, 3),
        (0, 2.8),
        (-1, 1),
        {f"quantile={q}": lambda x, q=q: jaxloss.quantile_loss(x, 0.0, quantile=q) for q in (0.5, 0.9, 0.25)},
    ),
    "expectile_loss": Curves(
        ERROR,
        (-3, 3),
        (0, 6),
        (-5, 5),
        {f"expectile={q}": lambda x, q=q: jaxloss.expectile_loss(x, 0.0, expectile=q) for q in (0.5, 0.9, 0.25)},
    ),
    "msle_loss": Curves(
        "prediction; the target is 3",
        (-0.9, 9),
        (0, 3),
        (-3, 1),
        {"MSLELoss()": lambda x: jaxloss.msle_loss(x, 3.0)},
    ),
    "mape_loss": Curves(
        "prediction",
        (0, 6),
        (0, 3),
        (-1.2, 1.2),
        {
            "target 1": lambda x: jaxloss.mape_loss(x, 1.0),
            "target 4": lambda x: jaxloss.mape_loss(x, 4.0),
        },
    ),
    "smape_loss": Curves(
        "prediction",
        (-2, 8),
        (0, 2.2),
        (-2, 1),
        {
            "target 1": lambda x: jaxloss.smape_loss(x, 1.0),
            "target 4": lambda x: jaxloss.smape_loss(x, 4.0),
        },
    ),
    "mase_loss": Curves(
        "prediction; the target is 2",
        (-1, 5),
        (0, 3),
        (-1.2, 1.2),
        {
            "past 1 2 1 2": lambda x: jaxloss.mase_loss(x[None], jnp.array([2.0]), CALM),
            "past 1 4 1 4": lambda x: jaxloss.mase_loss(x[None], jnp.array([2.0]), RESTLESS),
        },
    ),
    "concordance_loss": Curves(
        "scale of the predicted series",
        (-2, 4),
        (0, 2),
        (-1.5, 1.5),
        {"ConcordanceLoss()": lambda x: jaxloss.concordance_loss(x * SERIES, SERIES)},
    ),
}
