"""The pictures of docs/losses/contrastive.md."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss

ANGLE = "angle of one embedding, in radians"
FULL = (-3.2, 3.2)
SHARED = jnp.array([[1.0, 0.0], [0.0, 1.0]])  # the keys: the own one at angle 0, another one at a right angle


def at(angle: jax.Array) -> jax.Array:
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def of_first(loss: Callable[..., jax.Array], **options: object) -> OfNumber:
    """The loss of the first of two pairs, whose first embedding moves."""
    return lambda angle: loss(jnp.stack([at(angle), SHARED[1]]), SHARED, reduction="none", **options)[0]


def supcon(temperature: float) -> OfNumber:
    """The loss of a moving anchor: its class has two others, and another class has one."""
    rest, targets = at(jnp.array([-0.5, 0.5, 2.0])).T, jnp.array([0, 0, 0, 1])

    def loss(angle: jax.Array) -> jax.Array:
        embeddings = jnp.concatenate([at(angle)[None], rest])
        return jaxloss.supcon_loss(embeddings, targets, temperature=temperature, reduction="none")[0]

    return loss


def temperatures(loss: Callable[..., jax.Array], *values: float) -> dict[str, OfNumber]:
    return {f"τ={value:g}": of_first(loss, temperature=value) for value in values}


PICTURES: dict[str, Picture] = {
    "info_nce_loss": Curves(ANGLE, FULL, (0, 8), (-6, 6), temperatures(jaxloss.info_nce_loss, 0.2, 0.5, 1.0)),
    "nt_xent_loss": Curves(ANGLE, FULL, (0, 6), (-6, 6), temperatures(jaxloss.nt_xent_loss, 0.2, 0.5, 1.0)),
    "clip_loss": Curves(ANGLE, FULL, (0, 6), (-6, 6), temperatures(jaxloss.clip_loss, 0.2, 0.5, 1.0)),
    "siglip_loss": Curves(
        ANGLE,
        FULL,
        (0, 10),
        (-6, 6),
        {f"bias={bias:g}": of_first(jaxloss.siglip_loss, temperature=0.2, bias=bias) for bias in (-4.0, -2.0, 0.0)},
    ),
    "supcon_loss": Curves(ANGLE, FULL, (0, 10), (-6, 6), {f"τ={value:g}": supcon(value) for value in (0.2, 0.5, 1.0)}),
}
