"""The pictures of docs/losses/margin_softmax.md."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss

ANGLE = "angle to the own class, in radians"
HALF = (0.0, 3.14)
# The embedding turns in the plane of the first two axes. The other class is at a right angle to that plane.
CLASSES = jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
OWN = jnp.array([0])


def at(angle: jax.Array) -> jax.Array:
    return jnp.stack([jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle)])[None]


def of_angle(loss: Callable[..., jax.Array], length: float = 1.0, **options: object) -> OfNumber:
    """The loss of one example at an angle to its class."""
    return lambda angle: loss(length * at(angle), CLASSES, OWN, scale=8.0, **options)


def margins(loss: Callable[..., jax.Array], *values: float) -> dict[str, OfNumber]:
    return {f"margin={value:g}": of_angle(loss, margin=value) for value in values}


def proxy_anchor(alpha: float) -> OfNumber:
    """The loss of one class with one example at an angle to it."""
    return lambda angle: jaxloss.proxy_anchor_loss(at(angle), CLASSES[:, :1], OWN, alpha=alpha)


PICTURES: dict[str, Picture] = {
    "arcface_loss": Curves(ANGLE, HALF, (0, 16), (-2, 12), margins(jaxloss.arcface_loss, 0.0, 0.5, 1.0)),
    "cosface_loss": Curves(ANGLE, HALF, (0, 16), (-2, 12), margins(jaxloss.cosface_loss, 0.0, 0.35, 0.7)),
    "margin_softmax_loss": Curves(
        ANGLE,
        HALF,
        (0, 28),
        (-2, 20),
        {
            "SphereFace": of_angle(jaxloss.margin_softmax_loss, multiplier=2.0),
            "ArcFace": of_angle(jaxloss.margin_softmax_loss, angular_margin=0.5),
            "CosFace": of_angle(jaxloss.margin_softmax_loss, additive_margin=0.35),
        },
    ),
    "adaface_loss": Curves(
        ANGLE,
        HALF,
        (0, 16),
        (-2, 12),
        {
            f"length={length:g}": of_angle(jaxloss.adaface_loss, length, mean=1.0, std=0.2, h=0.5)
            for length in (0.5, 1.0, 1.5)
        },
    ),
    "proxy_anchor_loss": Curves(
        ANGLE,
        HALF,
        (0, 20),
        (-2, 18),
        {f"alpha={alpha:g}": proxy_anchor(alpha) for alpha in (4.0, 8.0, 16.0)},
    ),
}
