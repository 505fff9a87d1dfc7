"""Cases of ordinal regression."""

import gold_vision
import inputs
import torch_formulas
from case import Case
from inputs import MANY_EXAMPLES, Inputs, class_weight
from measured import Measured
from mistakes import f, i, row
from references import Torch

import jaxloss

FEW = {name: MANY_EXAMPLES[name] for name in ("batched", "single", "tiny", "large", "extra")}

THRESHOLDS = {
    "adversarial": gold_vision.thresholds,
    "ordinary": gold_vision.ordinary_thresholds,
    "inputs": Inputs((200,)),
}


def shape(loss: type[jaxloss.Loss]) -> object:
    return row(
        f"{loss.fn.__name__}-one_grade_for_each_threshold",
        lambda: loss.fn(f(4, 3), i(4, 3)),
        ValueError,
        "`targets` has shape (4, 3), but `logits` (4, 3) without its last axis is (4,).",
    )


CASES = [
    Case(
        jaxloss.CoralLoss,
        inputs.thresholds_and_grades,
        element="example",
        options=({}, {"weight": class_weight}),
        inputs=FEW,
        edges=([[0.0, 0, 0], [30, -30, 0], [1, 2, 3]], [0, 3, 1]),
        reference=Torch(torch_formulas.coral),
        accuracy=(Measured(gold_vision.coral_loss, **THRESHOLDS),),
        mistakes=(shape(jaxloss.CoralLoss),),
    ),
    Case(
        jaxloss.CornLoss,
        inputs.thresholds_and_grades,
        element="example",
        inputs=FEW,
        edges=([[0.0, 0, 0], [30, -30, 0], [1, 2, 3]], [0, 3, 1]),
        reference=Torch(torch_formulas.corn),
        accuracy=(Measured(gold_vision.corn_loss, **THRESHOLDS),),
        mistakes=(shape(jaxloss.CornLoss),),
    ),
]
