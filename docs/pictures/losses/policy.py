"""The pictures of docs/losses/policy.md."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from kinds import Curves, Picture

import jaxloss


def of_ratio(loss: jaxloss.Loss, advantage: float) -> Callable[[jax.Array], jax.Array]:
    """A loss of one token, by the ratio of its new probability to its old one."""
    return lambda ratio: loss(jnp.log(ratio)[None], jnp.zeros(1), jnp.full(1, advantage))


def of_token(loss: jaxloss.Loss, *others: float) -> Callable[[jax.Array], jax.Array]:
    """A loss of one token, by its first array."""
    return lambda x: loss(x[None], *(jnp.full(1, other) for other in others))


PICTURES: dict[str, Picture] = {
    "policy_gradient_loss": Curves(
        "log-probability of the token",
        (-4, 0),
        (-2, 4),
        (-1.5, 1.5),
        {
            "advantage 1": of_token(jaxloss.PolicyGradientLoss(), 1.0),
            "advantage −0.5": of_token(jaxloss.PolicyGradientLoss(), -0.5),
        },
    ),
    "ppo_loss": Curves(
        "ratio of the probabilities",
        (0.2, 2.5),
        (-1.5, 2.5),
        (-1.2, 1.2),
        {
            "advantage 1": of_ratio(jaxloss.PPOLoss(), 1.0),
            "advantage −1": of_ratio(jaxloss.PPOLoss(), -1.0),
            "advantage −1, delta=2": of_ratio(jaxloss.PPOLoss(delta=2.0), -1.0),
        },
    ),
    "ppo_value_loss": Curves(
        "predicted value; the old one is 0",
        (-1.5, 2.5),
        (0, 1.5),
        (-1.5, 1.5),
        {
            "return 1": of_token(jaxloss.PPOValueLoss(), 0.0, 1.0),
            "return 1, epsilon=0.6": of_token(jaxloss.PPOValueLoss(epsilon=0.6), 0.0, 1.0),
        },
    ),
    "grpo_loss": Curves(
        "ratio of the probabilities; the old one is 0.3, the advantage 1",
        (0.2, 3),
        (-4, 3),
        (-1.6, 0.2),
        {
            "clip": of_ratio(jaxloss.GRPOLoss(), 1.0),
            "sapo": of_ratio(jaxloss.GRPOLoss(surrogate="sapo"), 1.0),
            "cispo": lambda ratio: jaxloss.grpo_loss(
                jnp.log(0.3 * ratio)[None], jnp.log(jnp.full(1, 0.3)), jnp.ones(1), surrogate="cispo"
            ),
        },
    ),
    "kl_estimate": Curves(
        "log-probability minus that of the reference policy",
        (-2.5, 2.5),
        (-2, 4),
        (-4, 3),
        {
            "k1": of_token(jaxloss.KLEstimate(estimator="k1"), 0.0),
            "k2": of_token(jaxloss.KLEstimate(estimator="k2"), 0.0),
            "k3": of_token(jaxloss.KLEstimate(), 0.0),
        },
    ),
}
