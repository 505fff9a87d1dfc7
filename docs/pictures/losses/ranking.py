"""The pictures of docs/losses/ranking.md."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss

LABEL = "score of the most relevant item, two others at 0 and 1"
TARGETS = (2.0, 0.0, 1.0)


def moved(loss: Callable[..., jax.Array], **options: Any) -> OfNumber:
    targets = jnp.array(TARGETS)
    return lambda x: loss(jnp.stack([x, 0 * x, 1 + 0 * x]), targets, **options)


PICTURES: dict[str, Picture] = {
    "listnet_loss": Curves(
        LABEL,
        (-4, 6),
        (0, 6),
        (-1.2, 0.6),
        {
            "softmax of the targets": moved(jaxloss.listnet_loss),
            "targets / sum": moved(jaxloss.listnet_loss, normalization="sum"),
        },
    ),
    "listmle_loss": Curves(LABEL, (-4, 6), (0, 6), (-1.2, 0.6), {"listmle_loss": moved(jaxloss.listmle_loss)}),
    "approx_ndcg_loss": Curves(
        LABEL,
        (-4, 6),
        (0, 0.5),
        (-0.4, 0.1),
        {
            "temperature=1": moved(jaxloss.approx_ndcg_loss),
            "temperature=0.3": moved(jaxloss.approx_ndcg_loss, temperature=0.3),
        },
    ),
    "pairwise_logistic_loss": Curves(
        LABEL,
        (-4, 6),
        (0, 4),
        (-1, 0.2),
        {
            "sigma=1": moved(jaxloss.pairwise_logistic_loss),
            "sigma=3": moved(jaxloss.pairwise_logistic_loss, sigma=3.0),
        },
    ),
    "pairwise_hinge_loss": Curves(
        LABEL,
        (-4, 6),
        (0, 4),
        (-1, 0.2),
        {"margin=1": moved(jaxloss.pairwise_hinge_loss), "margin=2": moved(jaxloss.pairwise_hinge_loss, margin=2.0)},
    ),
    "lambda_loss": Curves(
        LABEL,
        (-4, 6),
        (0, 5),
        (-2, 0.2),
        {
            "ndcg2pp": moved(jaxloss.lambda_loss),
            "ndcg2, 10 times": lambda x: 10 * moved(jaxloss.lambda_loss, weighting="ndcg2")(x),
            "lambdarank, 10 times": lambda x: 10 * moved(jaxloss.lambda_loss, weighting="lambdarank")(x),
        },
    ),
    "cosent_loss": Curves(
        LABEL,
        (-1, 3),
        (0, 30),
        (-25, 5),
        {"scale=20": moved(jaxloss.cosent_loss), "scale=5": moved(jaxloss.cosent_loss, scale=5.0)},
    ),
    "negative_sampling_loss": Curves(
        "score",
        (-5, 5),
        (0, 6),
        (-1.1, 1.1),
        {
            "of the true pair": lambda x: jaxloss.negative_sampling_loss(x, jnp.full((1,), -20.0)),
            "of a sampled pair": lambda x: jaxloss.negative_sampling_loss(20.0 + 0 * x, x[None]),
        },
    ),
}
