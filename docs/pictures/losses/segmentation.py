"""The pictures of docs/losses/segmentation.md."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss

TRUE = jnp.array([[1] * 4 + [0] * 4])  # an image with eight pixels
HIT, WRONG = "logit of four true pixels; four others at −2", "logit of four false pixels; the true ones at 2"
SMALL = jnp.array([[1] + [0] * 8])


def found(loss: Callable[..., jax.Array]) -> OfNumber:
    """The loss of the class of the first four pixels, whose logit is given."""
    return lambda x: loss(jnp.concatenate([jnp.full(4, x), jnp.full(4, -2.0)])[None], TRUE)


def invented(loss: Callable[..., jax.Array]) -> OfNumber:
    """The same loss, with the logit of the other pixels given."""
    return lambda x: loss(jnp.concatenate([jnp.full(4, 2.0), jnp.full(4, x)])[None], TRUE)


def certain(loss: Callable[..., jax.Array]) -> OfNumber:
    """The loss of the class of the first four pixels, where the other pixels are certainly right."""

    def of(x: jax.Array) -> jax.Array:
        logits = jnp.concatenate([jnp.full(4, x), jnp.full(4, -30.0)])[None]
        return loss(jnp.stack([jnp.zeros_like(logits), logits], -1), TRUE)

    return of


def small(loss: Callable[..., jax.Array]) -> OfNumber:
    """The loss of two classes, with the logit of the one pixel of the small class given."""

    def of(x: jax.Array) -> jax.Array:
        logits = jnp.concatenate([x[None], jnp.full(8, -1.0)])[None]
        return loss(jnp.stack([jnp.zeros_like(logits), logits], -1), SMALL)

    return of


def hinge(other: float) -> OfNumber:
    """The loss of two true pixels and a false one, with the logit of the first given."""
    return lambda x: jaxloss.lovasz_hinge_loss(jnp.stack([x, other, -0.5])[None], jnp.array([[1, 1, 0]]))


def one(loss: type[jaxloss.Loss], **options: float) -> jaxloss.Loss:
    """The loss of one class without an axis."""
    return loss(activation="sigmoid", axis=None, **options)


PICTURES: dict[str, Picture] = {
    "dice_loss": Curves(
        HIT,
        (-6, 6),
        (0, 1),
        (-0.3, 0.05),
        {"DiceLoss": found(one(jaxloss.DiceLoss)), "JaccardLoss": found(one(jaxloss.JaccardLoss))},
    ),
    "jaccard_loss": Curves(
        WRONG,
        (-6, 6),
        (0, 1),
        (-0.05, 0.3),
        {"JaccardLoss": invented(one(jaxloss.JaccardLoss)), "DiceLoss": invented(one(jaxloss.DiceLoss))},
    ),
    "tversky_loss": Curves(
        WRONG,
        (-6, 6),
        (0, 1),
        (-0.05, 0.3),
        {
            f"α={alpha:g}, β={1 - alpha:g}": invented(one(jaxloss.TverskyLoss, alpha=alpha, beta=1 - alpha))
            for alpha in (0.25, 0.5, 0.75)
        },
    ),
    "focal_tversky_loss": Curves(
        HIT,
        (-6, 6),
        (0, 1),
        (-0.5, 0.05),
        {f"γ={gamma:g}": found(one(jaxloss.FocalTverskyLoss, gamma=gamma)) for gamma in (0.5, 1.0, 2.0)},
    ),
    "generalized_dice_loss": Curves(
        "logit of the pixel of the small class; eight others at −1",
        (-6, 6),
        (0, 1),
        (-0.3, 0.05),
        {"GeneralizedDiceLoss": small(jaxloss.GeneralizedDiceLoss()), "DiceLoss": small(jaxloss.DiceLoss())},
    ),
    "lovasz_hinge_loss": Curves(
        "logit of a true pixel; a false one at −0.5",
        (-3, 3),
        (0, 5),
        (-1.2, 0.2),
        {f"another true pixel at {other:g}": hinge(other) for other in (2.0, 0.0)},
    ),
    "lovasz_softmax_loss": Curves(
        "logit of four true pixels; four others certainly right",
        (-6, 6),
        (0, 1),
        (-0.4, 0.05),
        {
            "LovaszSoftmaxLoss": certain(jaxloss.LovaszSoftmaxLoss()),
            "JaccardLoss": certain(jaxloss.JaccardLoss()),
        },
    ),
}
