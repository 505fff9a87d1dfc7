"""Cases of losses of segmentation."""

from collections.abc import Callable
from typing import Any

import gold_vision
import inputs
import numpy as np
import segmentation_losses
from case import Case
from inputs import PROBABILITY, REAL, SIGN, Arrays, Inputs, class_weight, normal, takes
from measured import Measured
from mistakes import b, c, f, i, row
from references import Torch

import jaxloss

# The shape is that of images and their pixels, and the size is the number of classes.
IMAGES = {
    "batched": Inputs((5, 7)),
    "single": Inputs((3, 4), size=1),
    "prime": Inputs((2, 131), size=3),
    "tiny": Inputs((3, 7), scale=0.02),
    "large": Inputs((3, 7), scale=30),
    "huge": Inputs((3, 7), scale=1e4),
    "extra": Inputs((2, 3, 2)),
}
FEW = {name: IMAGES[name] for name in ("batched", "large", "extra")}
# A class without a pixel, and pixels that are certainly right or wrong.
EDGES = (
    [[[0.0, 0, 0], [30, 0, 0], [-30, 0, 30], [1, 2, 3]], [[40.0, 0, 0], [0, 40, 0], [0, 0, 40], [0, 1, 0]]],
    [[0, 0, 2, 0], [0, 1, 2, 1]],
)


def accuracy(loss: type[jaxloss.Loss], **options: float) -> tuple[Measured, ...]:
    """An element is an image, whose regions share its pixels."""
    formula, sizes = getattr(gold_vision, loss.fn.__name__), Inputs((30,))
    points = {"adversarial": gold_vision.regions, "ordinary": gold_vision.ordinary_regions, "inputs": sizes}
    return (Measured(formula, options={"pixel_axes": (0,), **options}, by_element=True, **points),)


@takes(REAL, PROBABILITY)
def logits_and_masks(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = (*inputs.shape, inputs.size)
    return normal(rng, shape, inputs.scale), np.asarray(rng.uniform(0, 1, shape))


@takes(REAL, SIGN)
def scores_and_mask(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), np.asarray(rng.integers(0, 2, inputs.shape) * 1.0)


def mistakes(fn: Callable[..., Any], *numbers: str) -> tuple[Any, ...]:
    name, logits, labels = fn.__name__, f(2, 4, 3), i(2, 4)
    return (
        *(
            row(
                f"{name}-{option}",
                lambda option=option: fn(logits, labels, **{option: -1.0}),
                ValueError,
                f"`{option}` is -1.0, but must be a",
            )
            for option in numbers
        ),
        row(
            f"{name}-valid_of_numbers",
            lambda: fn(logits, labels, f(2, 4)),
            TypeError,
            "`valid` has dtype float32, but a mask is bool: use `valid != 0`.",
        ),
        row(
            f"{name}-valid_of_another_shape",
            lambda: fn(logits, labels, b(4)),
            ValueError,
            "`valid` has shape (4,), but",
        ),
        row(
            f"{name}-activation",
            lambda: fn(logits, labels, activation="relu"),
            ValueError,
            "`activation` is 'relu'; it must be 'softmax' or 'sigmoid'. None is for probabilities.",
        ),
        row(
            f"{name}-no_pixels",
            lambda: fn(f(4, 3), i(4)),
            ValueError,
            "`logits` without its class axis has shape (4,), which has no axis of pixels: use `pixel_axes=(0,)`",
        ),
        row(
            f"{name}-pixel_axes",
            lambda: fn(logits, labels, pixel_axes=(1, 2)),
            ValueError,
            "`pixel_axes` is (1, 2), but must name different axes of the shape (2, 4), without classes.",
        ),
        row(
            f"{name}-background_alone",
            lambda: fn(f(2, 4, 1), labels, include_background=False),
            ValueError,
            "`include_background=False` leaves out class 0, but there is no other.",
        ),
    )


def absent(fn: Callable[..., Any]) -> Any:
    return row(
        f"{fn.__name__}-absent",
        lambda: fn(f(2, 4, 3), i(2, 4), absent="drop"),
        ValueError,
        "`absent` is 'drop'; it must be 'keep', 'skip' or 'zero'.",
    )


def complex_weight_of_regions(fn: Callable[..., Any]) -> Any:
    return row(
        f"{fn.__name__}-complex_weight",
        lambda: fn(f(2, 4, 3), i(2, 4), weight=c(3)),
        TypeError,
        "`weight` has dtype complex64, but must be real",
    )


def of_overlap(fn: Callable[..., Any]) -> tuple[Any, ...]:
    name, logits, labels = fn.__name__, f(2, 4, 3), i(2, 4)
    return (
        row(
            f"{name}-overlap",
            lambda: fn(logits, labels, overlap="maximum"),
            ValueError,
            "`overlap` is 'maximum'; it must be 'product' or 'minimum'.",
        ),
        row(
            f"{name}-softmax_of_one",
            lambda: fn(f(2, 4), i(2, 4), axis=None),
            ValueError,
            "`axis=None` is for one class without an axis of classes: use `activation='sigmoid'`.",
        ),
    )


SMOOTH = {"smooth_nr": 0.5, "smooth_dr": 0.5}
SQUARED = row(
    "dice_loss-squared_minimum",
    lambda: jaxloss.dice_loss(f(2, 4, 3), i(2, 4), squared=True, overlap="minimum"),
    ValueError,
    "`squared=True` goes with `overlap='product'`, not with 'minimum'.",
)
WEIGHTING = row(
    "generalized_dice_loss-class_weighting",
    lambda: jaxloss.generalized_dice_loss(f(2, 4, 3), i(2, 4), class_weighting="cubic"),
    ValueError,
    "`class_weighting` is 'cubic'; it must be 'square', 'simple' or 'uniform'.",
)

CASES = [
    *(
        Case(
            loss,
            inputs.scores_and_labels,
            element="region",
            options=options,
            inputs=IMAGES if loss is jaxloss.DiceLoss else FEW,
            edges=EDGES,
            regions=True,
            reference=Torch(segmentation_losses.regions(reference)),
            accuracy=accuracy(loss, **({"alpha": 0.25, "beta": 0.75} if loss is jaxloss.TverskyLoss else {})),
            mistakes=(
                *mistakes(loss.fn, "smooth_nr", "smooth_dr", *numbers),
                *of_overlap(loss.fn),
                absent(loss.fn),
                complex_weight_of_regions(loss.fn),
                *more,
            ),
        )
        for loss, reference, options, numbers, more in (
            (
                jaxloss.DiceLoss,
                segmentation_losses.dice,
                (
                    {},
                    {"squared": True, **SMOOTH, "absent": "skip", "weight": class_weight},
                    {"activation": "sigmoid", "include_background": False, "ignore_index": 2, **SMOOTH},
                    {"absent": "zero", "ignore_index": 0},
                ),
                (),
                (SQUARED,),
            ),
            (
                jaxloss.JaccardLoss,
                segmentation_losses.jaccard,
                ({}, {"squared": True, **SMOOTH, "absent": "skip", "weight": class_weight}),
                (),
                (),
            ),
            (
                jaxloss.TverskyLoss,
                segmentation_losses.tversky,
                ({}, {"alpha": 0.25, "beta": 0.75, **SMOOTH, "absent": "skip", "weight": class_weight}),
                ("alpha", "beta"),
                (),
            ),
            (
                jaxloss.FocalTverskyLoss,
                segmentation_losses.focal_tversky,
                ({}, {"gamma": 2.0, "alpha": 0.25, "beta": 0.75, **SMOOTH, "absent": "skip", "weight": class_weight}),
                ("alpha", "beta", "gamma"),
                (),
            ),
        )
    ),
    *(
        Case(
            loss,
            logits_and_masks,
            element="region",
            variant="masks",
            options=({"activation": "sigmoid", "overlap": "minimum"}, {"activation": "sigmoid", **SMOOTH}),
            inputs={name: IMAGES[name] for name in ("batched", "extra")},
            differentiable=(0, 1),
            regions=True,
            reference=Torch(segmentation_losses.regions(reference)),
        )
        for loss, reference in (
            (jaxloss.DiceLoss, segmentation_losses.dice),
            (jaxloss.TverskyLoss, segmentation_losses.tversky),
        )
    ),
    Case(
        jaxloss.GeneralizedDiceLoss,
        inputs.scores_and_labels,
        element="image",
        options=(
            {},
            {"class_weighting": "simple", "include_background": False, **SMOOTH},
            {"class_weighting": "uniform", "activation": "sigmoid", "overlap": "minimum", "ignore_index": 2},
        ),
        inputs=FEW,
        edges=EDGES,
        regions=True,
        reference=Torch(segmentation_losses.images(segmentation_losses.generalized_dice)),
        accuracy=accuracy(jaxloss.GeneralizedDiceLoss),
        mistakes=(
            *mistakes(jaxloss.generalized_dice_loss, "smooth_nr", "smooth_dr"),
            *of_overlap(jaxloss.generalized_dice_loss),
            WEIGHTING,
        ),
    ),
    Case(
        jaxloss.LovaszHingeLoss,
        scores_and_mask,
        element="image",
        inputs=FEW,  # without errors that are equal, between which the gradient may choose
        edges=([[2.0, 0.5, -1, 0], [1, 2, 3, 4], [-1, 3, 0, 0.5]], [[1.0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]),
        regions=True,
        reference=Torch(segmentation_losses.lovasz_hinge),
        accuracy=(
            Measured(
                gold_vision.lovasz_hinge_loss,
                gold_vision.hinge_pixels,
                gold_vision.ordinary_hinge_pixels,
                inputs=Inputs((50,)),
            ),
        ),
    ),
    Case(
        jaxloss.LovaszSoftmaxLoss,
        inputs.scores_and_labels,
        element="region",
        options=(
            {},
            {"absent": "keep", "activation": "sigmoid", "weight": class_weight},
            {"absent": "zero", "include_background": False, "ignore_index": 2},
        ),
        inputs={name: IMAGES[name] for name in ("batched", "prime", "large", "extra")},
        edges=EDGES,
        regions=True,
        reference=Torch(segmentation_losses.regions(segmentation_losses.lovasz_softmax, "skip", odds=True)),
        accuracy=accuracy(jaxloss.LovaszSoftmaxLoss),
        mistakes=(
            *mistakes(jaxloss.lovasz_softmax_loss),
            absent(jaxloss.lovasz_softmax_loss),
            row(
                "lovasz_softmax_loss-masks",
                lambda: jaxloss.lovasz_softmax_loss(f(2, 4, 3), f(2, 4, 3)),
                ValueError,
                "`targets` has the shape of `logits`, but must be class numbers: use `targets.argmax(-1)`.",
            ),
        ),
    ),
]
