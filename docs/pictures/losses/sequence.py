"""The pictures of docs/losses/sequence.md."""

import jax.numpy as jnp
from kinds import Cells, Picture

import jaxloss

PICTURES: dict[str, Picture] = {
    "ctc_loss": Cells(
        ("blank", "c", "a", "t"),
        16,
        lambda x: jaxloss.ctc_loss(x, jnp.array([1, 2, 3]), jnp.array(16), jnp.array(3), reduction="sum"),
    ),
    "ctc_loss_with_logits": Cells(
        ("blank", "c", "a", "t"),
        16,
        lambda x: jaxloss.ctc_loss_with_logits(x, jnp.array([1, 2, 3]), jnp.array(16), jnp.array(3), reduction="sum"),
    ),
}
