"""The pictures of docs/losses/boxes.md."""

import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss

TRUE = jnp.array([0.0, 0.0, 2.0, 1.0])  # center, width and height
OFFSET = "offset from a true box of width 2"


def moved(loss: jaxloss.Loss, width: float = 2.0) -> OfNumber:
    """The loss of a box that is moved to the right."""
    return lambda x: loss(jnp.stack([x, 0.0, width, 1.0]), TRUE)


def widened(loss: jaxloss.Loss) -> OfNumber:
    return lambda width: loss(jnp.stack([jnp.zeros(()), 0.0, width, 1.0]), TRUE)


def picture(loss: type[jaxloss.Loss], highest: float) -> Curves:
    loss_of = loss(box_format="cxcywh")
    lines = {"width 2": moved(loss_of), "width 1": moved(loss_of, 1.0)}
    return Curves(OFFSET, (-5, 5), (0, highest), (-1.2, 1.2), lines)


PICTURES: dict[str, Picture] = {
    "box_iou_loss": picture(jaxloss.BoxIoULoss, 1.2),
    "generalized_box_iou_loss": picture(jaxloss.GeneralizedBoxIoULoss, 2.0),
    "distance_box_iou_loss": picture(jaxloss.DistanceBoxIoULoss, 2.0),
    "complete_box_iou_loss": Curves(
        "predicted width; the true width is 2",
        (0, 4),
        (0, 1.5),
        (-2, 1),
        {
            "CompleteBoxIoULoss()": widened(jaxloss.CompleteBoxIoULoss(box_format="cxcywh")),
            "DistanceBoxIoULoss()": widened(jaxloss.DistanceBoxIoULoss(box_format="cxcywh")),
        },
    ),
}
