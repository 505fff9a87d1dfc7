"""The pictures of docs/losses/ordinal.md."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss


def second_of_two(loss: Callable[..., jax.Array], grade: int) -> OfNumber:
    """A loss of the logit of the second threshold. The first logit is right beyond doubt."""
    return lambda x: loss(jnp.stack([jnp.where(grade > 0, 30.0, -30.0), x]), jnp.array(grade))


LINES = {"grade 0": 0, "grade 1": 1, "grade 2": 2}

PICTURES: dict[str, Picture] = {
    name: Curves(
        "logit of the second threshold",
        (-6, 6),
        (0, 6),
        (-1.2, 1.2),
        {line: second_of_two(loss, grade) for line, grade in LINES.items() if (name, grade) != ("coral_loss", 0)},
    )
    for name, loss in (
        ("coral_loss", jaxloss.coral_loss),
        ("corn_loss", lambda *a: jaxloss.corn_loss(*a, reduction="sum")),
    )
}
