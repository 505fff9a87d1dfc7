"""The pictures of docs/losses/linear.md."""

import jax.numpy as jnp
from kinds import Picture, Plane

import jaxloss

KERNEL = jnp.array([[0.0, -1.8, 1.8], [1.2, -0.6, -0.6]])  # a word in each column: the points of its picture

PICTURES: dict[str, Picture] = {
    "linear_cross_entropy": Plane(
        ("first hidden feature", "second hidden feature"),
        (-3, 3),
        (-2, 2),
        (0, 0.5, 1, 2, 3, 4, 6),
        lambda x, y: jaxloss.linear_cross_entropy(jnp.stack([x, y]), KERNEL, jnp.array(0)),
        {"the target": (0.0, 1.2), "a word": (-1.8, -0.6), "another word": (1.8, -0.6)},
    ),
}
