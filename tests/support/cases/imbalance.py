"""Cases of losses for rare classes."""

import gold_classes
import inputs
import points
import torch_formulas
from case import Case
from inputs import LOGITS, MANY_EXAMPLES, class_weight
from measured import Measured
from mistakes import class_axis, complex_weight, f, i, row
from references import Torch

import jaxloss

FEW = {name: MANY_EXAMPLES[name] for name in ("batched", "single", "tiny", "large", "extra")}
FOCAL = Torch(torch_formulas.class_losses(torch_formulas.focal, "gamma"))
WEIGHTED = {"weight": class_weight, "label_smoothing": 0.125}

LABELLED = {
    "adversarial": points.logits_and_labels,
    "ordinary": inputs.scores_and_labels,
    "inputs": LOGITS,
    "ulps": (16, 64),
}

CASES = [
    Case(
        jaxloss.SoftmaxFocalLoss,
        inputs.logits_and_labels,
        element="example",
        options=({}, {"gamma": 0.5}, {"gamma": 0.0, **WEIGHTED}, {"gamma": 3.0, "weight": class_weight}),
        inputs=FEW,
        edges=([[0.0, 0, 0], [30, 0, 0], [1, 2, 3]], [0, 1, -100]),
        reference=FOCAL,
        accuracy=(Measured(gold_classes.softmax_focal_loss, **LABELLED),),
        mistakes=(
            *class_axis(jaxloss.softmax_focal_loss, "logits"),
            complex_weight(jaxloss.softmax_focal_loss, i(4)),
            row(
                "softmax_focal_loss-gamma",
                lambda: jaxloss.softmax_focal_loss(f(4, 3), i(4), gamma=-1.0),
                ValueError,
                "`gamma` is -1.0, but must be at least 0.",
            ),
        ),
    ),
    Case(
        jaxloss.SoftmaxFocalLoss,
        inputs.logits_and_soft_labels,
        element="example",
        variant="probabilities",
        options=({}, {"gamma": 0.5, **WEIGHTED}),
        inputs={name: MANY_EXAMPLES[name] for name in ("batched", "tiny", "extra")},
        differentiable=(0, 1),
        reference=FOCAL,
    ),
]
