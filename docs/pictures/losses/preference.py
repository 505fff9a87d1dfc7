"""The pictures of docs/losses/preference.md."""

import jax.numpy as jnp
from kinds import Curves, Picture, Plane

import jaxloss

PICTURES: dict[str, Picture] = {
    "dpo_loss": Curves(
        "margin: the chosen log-ratio minus the rejected one",
        (-20, 30),
        (0, 3),
        (-0.25, 0.1),
        {
            "sigmoid": lambda x: jaxloss.dpo_loss(x, 0.0, 0.0, 0.0),
            "hinge": lambda x: jaxloss.dpo_loss(x, 0.0, 0.0, 0.0, loss_type="hinge"),
            "ipo, divided by 100": lambda x: jaxloss.dpo_loss(x, 0.0, 0.0, 0.0, loss_type="ipo") / 100,
        },
    ),
    "cpo_loss": Curves(
        "chosen minus rejected log-probability",
        (-20, 20),
        (0, 6),
        (-0.6, 0.1),
        {
            "beta=0.1": lambda x: jaxloss.cpo_loss(x, 0.0),
            "beta=0.25": lambda x: jaxloss.cpo_loss(x, 0.0, beta=0.25),
            "beta=0.5": lambda x: jaxloss.cpo_loss(x, 0.0, beta=0.5),
        },
    ),
    "simpo_loss": Curves(
        "chosen minus rejected average log-probability",
        (-2, 2),
        (0, 5),
        (-2.2, 0.2),
        {
            "gamma=0.5, the default": lambda x: jaxloss.simpo_loss(x, 0.0),
            "gamma=0": lambda x: jaxloss.simpo_loss(x, 0.0, gamma=0.0),
            "gamma=1.5": lambda x: jaxloss.simpo_loss(x, 0.0, gamma=1.5),
        },
    ),
    "orpo_loss": Plane(
        ("probability of the chosen completion", "probability of the rejected one"),
        (0.05, 0.95),
        (0.05, 0.95),
        (0, 0.5, 1, 1.5, 2, 3),
        lambda chosen, rejected: jaxloss.orpo_loss(jnp.log(chosen), jnp.log(rejected), beta=0.5),
    ),
    "kto_loss": Curves(
        "log-ratio of the completion",
        (-40, 40),
        (0, 1.1),
        (-0.03, 0.03),
        {
            "desirable": lambda x: jaxloss.kto_loss(x, 0.0, True),
            "undesirable": lambda x: jaxloss.kto_loss(x, 0.0, False),
            "desirable, reference_point=10": lambda x: jaxloss.kto_loss(x, 0.0, True, reference_point=10.0),
        },
    ),
    "bradley_terry_loss": Curves(
        "chosen minus rejected reward",
        (-4, 6),
        (0, 5),
        (-1.1, 0.3),
        {
            "margin=0": lambda x: jaxloss.bradley_terry_loss(x, 0.0),
            "margin=2": lambda x: jaxloss.bradley_terry_loss(x, 0.0, margin=2.0),
            "label_smoothing=0.2": lambda x: jaxloss.bradley_terry_loss(x, 0.0, label_smoothing=0.2),
        },
    ),
}
