"""Cases of the softmax of cosines with margins."""

from collections.abc import Callable
from typing import Any

import gold_cosines
import inputs
import margin_softmax_formulas as formulas
import points
from case import Case
from inputs import MANY_EXAMPLES, Inputs
from measured import Measured
from mistakes import f, i, row
from references import Torch

import jaxloss

OF_CLASSES = {"inputs": MANY_EXAMPLES, "differentiable": (0, 1), "shared": (1,), "float32_losses": True}


def measured(formula: Callable[..., list[Any]], **options: float) -> dict[str, tuple[Measured, ...]]:
    return {
        "accuracy": (
            Measured(
                formula,
                points.products_and_labels,
                points.ordinary_products,
                options={"scale": 8.0, **options},  # probabilities do not underflow
                inputs=Inputs((30,), size=10),
                differentiable=(0, 1),
                by_element=True,
                ulps=(2, 4),
            ),
        )
    }


CASES = [
    Case(
        jaxloss.ArcFaceLoss,
        inputs.hidden_kernel_labels,
        element="example",
        options=({}, {"margin": 1.25, "scale": 8.0, "easy_margin": True, "chunk_size": 2}),
        reference=Torch(formulas.arcface),
        mistakes=(
            row(
                "arcface_loss-transposed_kernel",
                lambda: jaxloss.arcface_loss(f(4, 3), f(5, 3), i(4)),
                ValueError,
                "`kernel` has shape (5, 3), but for `embeddings` (4, 3) it must be (width, classes) with width 3",
                "use `kernel.T`.",
            ),
            row(
                "arcface_loss-no_classes",
                lambda: jaxloss.arcface_loss(f(4, 3), f(3, 0), i(4)),
                ValueError,
                "`kernel` has shape (3, 0): the loss needs a class.",
            ),
            row(
                "arcface_loss-degrees",
                lambda: jaxloss.arcface_loss(f(4, 3), f(3, 5), i(4), margin=28.6),
                ValueError,
                "`margin` is 28.6, but must be at least 0 and at most 3.14159.",
            ),
            row(
                "arcface_loss-margins_of_other_examples",
                lambda: jaxloss.arcface_loss(f(4, 3), f(3, 5), i(4), margin=f(3)),
                ValueError,
                "`margin` has shape (3,), but is one number, or one for each example: (4,).",
            ),
        ),
        **measured(gold_cosines.arcface_loss),
        **OF_CLASSES,
    ),
    Case(
        jaxloss.CosFaceLoss,
        inputs.hidden_kernel_labels,
        element="example",
        options=({"chunk_size": 2}, {"margin": 0.25, "scale": 8.0}),
        reference=Torch(formulas.cosface),
        mistakes=(
            row(
                "cosface_loss-scale",
                lambda: jaxloss.cosface_loss(f(4, 3), f(3, 5), i(4), scale=0.0),
                ValueError,
                "`scale` is 0.0, but must be above 0.",
            ),
        ),
        **measured(gold_cosines.cosface_loss),
        **OF_CLASSES,
    ),
    Case(
        jaxloss.MarginSoftmaxLoss,
        inputs.hidden_kernel_labels,
        element="example",
        options=(
            {"multiplier": 3.0, "scale": 8.0},
            {
                "multiplier": 2.5,
                "angular_margin": 0.25,
                "additive_margin": 0.125,
                "scale": 8.0,
                "easy_margin": True,
                "chunk_size": 2,
            },
        ),
        reference=Torch(formulas.margin_softmax),
        mistakes=(
            row(
                "margin_softmax_loss-multiplier",
                lambda: jaxloss.margin_softmax_loss(f(4, 3), f(3, 5), i(4), multiplier=0.5),
                ValueError,
                "`multiplier` is 0.5, but must be at least 1.",
            ),
        ),
        **measured(gold_cosines.margin_softmax_loss, multiplier=3.0),
        **OF_CLASSES,
    ),
    Case(
        jaxloss.AdaFaceLoss,
        inputs.hidden_kernel_labels,
        element="example",
        options=({}, {"margin": 0.25, "mean": 1.5, "std": 0.75, "h": 0.5, "scale": 8.0, "chunk_size": 2}),
        reference=Torch(formulas.adaface),
        true_gradient=False,  # the length of an embedding is a constant
        mistakes=(
            row(
                "adaface_loss-std",
                lambda: jaxloss.adaface_loss(f(4, 3), f(3, 5), i(4), mean=1.0, std=0.0),
                ValueError,
                "`std` is 0.0, but must be above 0.",
            ),
        ),
        **measured(gold_cosines.adaface_loss),
        **OF_CLASSES,
    ),
    Case(
        jaxloss.ProxyAnchorLoss,
        inputs.examples_and_classes,
        element="class",
        options=({}, {"margin": 0.25, "alpha": 4.0}),
        inputs={
            "batched": Inputs((5,)),
            "single": Inputs((1,)),
            "prime": Inputs((31,)),
            "tiny": Inputs((7,), scale=0.02),
            "large": Inputs((7,), scale=30),
        },
        differentiable=(0, 1),
        shared=(1,),
        reference=Torch(formulas.proxy_anchor),
        compares_examples=True,
        of_classes=True,
        mistakes=(
            row(
                "proxy_anchor_loss-alpha",
                lambda: jaxloss.proxy_anchor_loss(f(4, 3), f(3, 5), i(4), alpha=0.0),
                ValueError,
                "`alpha` is 0.0, but must be above 0.",
            ),
            row(
                "proxy_anchor_loss-one_embedding",
                lambda: jaxloss.proxy_anchor_loss(f(3), f(3, 5), i()),
                ValueError,
                "must be (examples, width): use jax.vmap for several batches.",
            ),
        ),
    ),
]
