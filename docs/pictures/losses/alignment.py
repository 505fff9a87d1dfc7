"""The pictures of docs/losses/alignment.md."""

import math

import jax
import jax.numpy as jnp
from kinds import Cells, Picture

import jaxloss
from jaxloss._ops.grid import soft_minimum

FRAMES = 16
TARGETS = tuple(map(str, range(1, 9)))
# The same bump, in a slow and in a fast series.
SLOW = jnp.exp(-(((jnp.arange(FRAMES) - 10) / 3) ** 2))
FAST = jnp.exp(-(((jnp.arange(len(TARGETS)) - 2.5) / 1.5) ** 2))
COSTS = (SLOW[:, None] - FAST) ** 2


def soft_dtw(shares: jax.Array) -> jax.Array:
    """The loss of costs that are lowered one by one, so that minus the gradient is the share of each cell."""
    costs = COSTS - (shares + math.log(len(TARGETS)))  # the picture starts at minus this logarithm
    return soft_minimum(costs[None], jnp.array(0.05), jnp.array([FRAMES]), jnp.array([len(TARGETS)]))[0]


PICTURES: dict[str, Picture] = {
    "soft_dtw_loss": Cells(TARGETS, FRAMES, soft_dtw),
    "forward_sum_loss": Cells(
        ("c", "a", "t"),
        FRAMES,
        lambda x: jaxloss.forward_sum_loss(x, FRAMES, 3, blank_log_prob=-4.0, reduction="sum"),
    ),
}
