"""The pictures of docs/losses/images.md."""

import jax.numpy as jnp
from kinds import Curves, Picture

import jaxloss

# A pattern with a mean of 0.5 in every window.
ROWS = jnp.sin(jnp.arange(32.0))
PATTERN = (ROWS[:, None] * ROWS[None, :] * 0.5)[..., None]
SCALES = {"window_size": 5, "scale_weights": (0.5, 0.5)}
CONTRAST = "contrast of the prediction, where that of the target is 1"

PICTURES: dict[str, Picture] = {
    "ssim_loss": Curves(
        CONTRAST,
        (-1, 2),
        (0, 2),
        (-3, 1),
        {
            f"k2={k2:g}": lambda x, k2=k2: jaxloss.ssim_loss(0.5 + x * PATTERN, 0.5 + PATTERN, k2=k2)
            for k2 in (0.03, 0.3)
        },
    ),
    "ms_ssim_loss": Curves(
        CONTRAST,
        (-1, 2),
        (0, 1.2),
        (-4, 1),
        {"two scales": lambda x: jaxloss.ms_ssim_loss(0.5 + x * PATTERN, 0.5 + PATTERN, **SCALES)},
    ),
    "total_variation_loss": Curves(
        "pixel between two others",
        (-1, 2),
        (0, 5),
        (-2.4, 2.4),
        {"neighbours 0 and 1": lambda x: jaxloss.total_variation_loss(jnp.stack([0.0, x, 1.0])[None, :, None])},
    ),
}
