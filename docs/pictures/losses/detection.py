"""The pictures of docs/losses/detection.md."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss


def at(loss: Callable[..., jax.Array], target: float, **options: object) -> OfNumber:
    return lambda x: loss(x, target, **options)


PICTURES: dict[str, Picture] = {
    "sigmoid_focal_loss": Curves(
        "logit, where the target is 1",
        (-6, 6),
        (0, 6),
        (-1.4, 0.2),
        {f"γ={gamma:g}": at(jaxloss.sigmoid_focal_loss, 1.0, alpha=None, gamma=gamma) for gamma in (0.0, 1.0, 2.0)},
    ),
    "asymmetric_loss": Curves(
        "logit",
        (-6, 6),
        (0, 4),
        (-1.4, 1.4),
        {"target 1": at(jaxloss.asymmetric_loss, 1.0), "target 0": at(jaxloss.asymmetric_loss, 0.0)},
    ),
    "varifocal_loss": Curves(
        "logit",
        (-6, 6),
        (0, 4),
        (-1.2, 1.2),
        {f"target {target:g}": at(jaxloss.varifocal_loss, target) for target in (0.9, 0.5, 0.0)},
    ),
    "quality_focal_loss": Curves(
        "logit",
        (-6, 6),
        (0, 3),
        (-1.2, 1.2),
        {f"target {target:g}": at(jaxloss.quality_focal_loss, target) for target in (0.9, 0.5, 0.0)},
    ),
    "distribution_focal_loss": Curves(
        "logit of 1, where that of 0 is 0",
        (-6, 6),
        (0, 6),
        (-1.2, 1.2),
        {
            f"y={y:g}": lambda x, y=y: jaxloss.distribution_focal_loss(jnp.stack([0 * x, x]), jnp.array(y))
            for y in (0.1, 0.5, 0.9)
        },
    ),
}
