"""The pictures of docs/losses/survival.md."""

import jax.numpy as jnp
from kinds import Curves, Picture

import jaxloss

DURATIONS, EVENTS = jnp.array([1.0, 2.0]), jnp.array([True, False])


def two_subjects(first, second):
    return jaxloss.cox_loss(jnp.stack([first, jnp.float32(second)]), DURATIONS, EVENTS)


def last_interval(logit, event):
    return jaxloss.discrete_hazard_nll_loss(jnp.stack([jnp.float32(0), logit]), jnp.array(1), jnp.array(event))


PICTURES: dict[str, Picture] = {
    "cox_loss": Curves(
        "log-hazard of the subject with the event",
        (-4, 4),
        (0, 6),
        (-1.2, 0.4),
        {
            "other subject −1": lambda x: two_subjects(x, -1.0),
            "other subject 0": lambda x: two_subjects(x, 0.0),
            "other subject 1": lambda x: two_subjects(x, 1.0),
        },
    ),
    "discrete_hazard_nll_loss": Curves(
        "logit of the last interval",
        (-4, 4),
        (0, 6),
        (-1.2, 1.2),
        {"event": lambda x: last_interval(x, True), "censored": lambda x: last_interval(x, False)},
    ),
}
