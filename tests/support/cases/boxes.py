"""Cases of losses of boxes."""

from collections.abc import Callable
from typing import Any

import gold_classes
import inputs
import torchvision_losses
from case import Case
from inputs import MANY_EXAMPLES, Inputs
from measured import Measured
from mistakes import f, i, row
from references import Torch

import jaxloss

# Inside each other, apart, with a common side, without an area, equal.
EDGES = (
    [[0.0, 0, 4, 4], [0.0, 0, 1, 1], [0.0, 0, 2, 2], [1.0, 1, 1, 3], [1.0, 0, 2, 4], [2.0, 2, 3, 3]],
    [[1.0, 1, 2, 3], [4.0, 2, 6, 3], [2.0, 0, 4, 2], [0.0, 0, 4, 4], [1.0, 0, 2, 4], [2.0, 2, 2.5, 2.25]],
)


def mistakes(fn: Callable[..., Any]) -> tuple[Any, ...]:
    name = fn.__name__
    return (
        row(
            f"{name}-format",
            lambda: fn(f(2, 4), f(2, 4), box_format="yxyx"),
            ValueError,
            "`box_format` is 'yxyx'; it must be 'xyxy', 'xywh' or 'cxcywh'.",
        ),
        row(
            f"{name}-axis_of_five",
            lambda: fn(f(2, 5), f(2, 5)),
            ValueError,
            "`predictions` has shape (2, 5), but the last axis holds the 4 numbers of a box.",
        ),
        row(
            f"{name}-eps",
            lambda: fn(f(2, 4), f(2, 4), eps=-1.0),
            ValueError,
            "`eps` is -1.0, but must be at least 0.",
        ),
        row(
            f"{name}-integers",
            lambda: fn(i(2, 4), f(2, 4)),
            TypeError,
            "`predictions` has dtype int32, but must be real and floating",
        ),
    )


CASES = [
    Case(
        loss,
        inputs.two_boxes,
        element="pair",
        options=options,
        inputs=MANY_EXAMPLES,
        edges=EDGES,
        differentiable=(0, 1),
        true_gradient=loss is not jaxloss.CompleteBoxIoULoss,
        reference=Torch(torchvision_losses.boxes(loss.fn.__name__)),
        accuracy=(
            Measured(
                getattr(gold_classes, loss.fn.__name__),
                gold_classes.box_pairs,
                inputs.two_boxes,
                inputs=Inputs((100,)),
                differentiable=(0, 1),
                ulps=(16, 16),
            ),
        ),
        mistakes=mistakes(loss.fn),
    )
    for loss, options in (
        (jaxloss.BoxIoULoss, ({}, {"box_format": "cxcywh"}, {"box_format": "xywh", "eps": 0.125})),
        (jaxloss.GeneralizedBoxIoULoss, ({}, {"box_format": "cxcywh", "eps": 0.125})),
        (jaxloss.DistanceBoxIoULoss, ({}, {"box_format": "xywh", "eps": 0.125})),
        (jaxloss.CompleteBoxIoULoss, ({}, {"box_format": "cxcywh"})),
    )
]
