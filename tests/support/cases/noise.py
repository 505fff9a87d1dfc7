"""Cases of losses for noisy labels."""

from typing import Any

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
WEIGHTED = {"weight": class_weight, "label_smoothing": 0.125}
EDGES: Any = ([[0.0, 0, 0], [30, 0, 0], [1, 2, 3]], [0, 1, -100])
POLY1 = Torch(torch_formulas.class_losses(torch_formulas.poly1, "epsilon"))
GENERALIZED = Torch(torch_formulas.class_losses(torch_formulas.generalized, "q"))
SYMMETRIC = Torch(torch_formulas.class_losses(torch_formulas.symmetric, "alpha", "beta", "log_zero"))
LABELLED = {
    "adversarial": points.logits_and_labels,
    "ordinary": inputs.scores_and_labels,
    "inputs": LOGITS,
    "ulps": (16, 64),
}
SOFT = {name: MANY_EXAMPLES[name] for name in ("batched", "tiny", "extra")}


def soft(loss: type[jaxloss.Loss], reference: Torch, *options: dict[str, Any]) -> Case:
    return Case(
        loss,
        inputs.logits_and_soft_labels,
        element="example",
        variant="probabilities",
        options=options,
        inputs=SOFT,
        differentiable=(0, 1),
        reference=reference,
        never_negative=loss is not jaxloss.Poly1CrossEntropyLoss,
    )


CASES = [
    Case(
        jaxloss.Poly1CrossEntropyLoss,
        inputs.logits_and_labels,
        element="example",
        options=({}, {"epsilon": -0.5}, {"epsilon": 1.0, **WEIGHTED}),
        inputs=FEW,
        edges=EDGES,
        reference=POLY1,
        accuracy=(Measured(gold_classes.poly1_cross_entropy, **LABELLED),),
        mistakes=(
            *class_axis(jaxloss.poly1_cross_entropy, "logits"),
            complex_weight(jaxloss.poly1_cross_entropy, i(4)),
        ),
    ),
    soft(jaxloss.Poly1CrossEntropyLoss, POLY1, {}, WEIGHTED),
    Case(
        jaxloss.GeneralizedCrossEntropyLoss,
        inputs.logits_and_labels,
        element="example",
        options=({}, {"q": 0.0}, {"q": 1.0}, {"q": 0.5, "weight": class_weight}),
        inputs=FEW,
        edges=EDGES,
        reference=GENERALIZED,
        accuracy=(Measured(gold_classes.generalized_cross_entropy, **LABELLED),),
        mistakes=(
            *class_axis(jaxloss.generalized_cross_entropy, "logits"),
            *(
                row(
                    f"generalized_cross_entropy-q={q}",
                    lambda q=q: jaxloss.generalized_cross_entropy(f(4, 3), i(4), q=q),
                    ValueError,
                    f"`q` is {q}, but must be at least 0 and at most 1.",
                )
                for q in (-0.5, 1.5)
            ),
        ),
    ),
    soft(jaxloss.GeneralizedCrossEntropyLoss, GENERALIZED, {}),
    Case(
        jaxloss.SymmetricCrossEntropyLoss,
        inputs.logits_and_labels,
        element="example",
        options=({}, {"alpha": 1.0, "beta": 0.5, "log_zero": -2.0}),
        inputs=FEW,
        edges=EDGES,
        reference=SYMMETRIC,
        accuracy=(Measured(gold_classes.symmetric_cross_entropy, **LABELLED),),
    ),
    soft(jaxloss.SymmetricCrossEntropyLoss, SYMMETRIC, {}),
]
