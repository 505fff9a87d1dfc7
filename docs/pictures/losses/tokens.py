"""The pictures of docs/losses/tokens.md."""

import jax.numpy as jnp
from kinds import Curves, Picture

import jaxloss

PICTURES: dict[str, Picture] = {
    "token_log_probs": Curves(
        "logit of the target, two others at 0",
        (-6, 6),
        (-6, 0.4),
        (-0.2, 2.2),
        {
            f"temperature={temperature:g}": lambda x, temperature=temperature: jaxloss.token_log_probs(
                jnp.zeros(3).at[0].set(x), jnp.array(0), temperature=temperature
            )
            for temperature in (1.0, 2.0, 0.5)
        },
    ),
    "token_entropy": Curves(
        "logit of one class, others at 0",
        (-6, 8),
        (0, 2.4),
        (-0.8, 0.8),
        {
            f"{classes} classes": lambda x, classes=classes: jaxloss.token_entropy(jnp.zeros(classes).at[0].set(x))
            for classes in (2, 3, 10)
        },
    ),
    "dft_loss": Curves(
        "log-probability of the target",
        (-6, 0),
        (0, 3),
        (-1.2, 0.2),
        {
            "DFTLoss()": jaxloss.dft_loss,
            "cross-entropy": lambda x: -x,
        },
    ),
}
