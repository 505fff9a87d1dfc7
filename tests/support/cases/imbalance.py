"""Cases of losses for rare classes."""

import functools
from typing import Any

import gold_classes
import inputs
import numpy as np
import points
import torch_formulas
from case import Case
from inputs import LOGITS, MANY_EXAMPLES, Inputs, class_weight
from measured import Measured
from mistakes import class_axis, complex_weight, f, i, row
from references import Torch

import jaxloss

FEW = {name: MANY_EXAMPLES[name] for name in ("batched", "single", "tiny", "large", "extra")}
FOCAL = Torch(torch_formulas.class_losses(torch_formulas.focal, "gamma"))
PRIOR = {"prior": class_weight}
WEIGHTED = {"weight": class_weight, "label_smoothing": 0.125}

COUNTS = {"prior": np.array([900.0, 3.0, 90.0, 0.5, 7.0])}

LABELLED = {
    "adversarial": points.logits_and_labels,
    "ordinary": inputs.scores_and_labels,
    "inputs": LOGITS,
    "ulps": (16, 64),
}
FIVE_CLASSES = LABELLED | {"inputs": Inputs((200,), size=5, scale=3)}


@functools.wraps(jaxloss.logit_adjusted_cross_entropy)
def with_prior(logits: np.ndarray, targets: np.ndarray, **options: Any) -> Any:
    """Wrong calls that are right but for one thing."""
    return jaxloss.logit_adjusted_cross_entropy(logits, targets, prior=f(*logits.shape[-1:]), **options)


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
    Case(
        jaxloss.LogitAdjustedCrossEntropyLoss,
        inputs.logits_and_labels,
        element="example",
        required=PRIOR,
        options=(PRIOR, {**PRIOR, "tau": 0.5, "z_loss": 0.25, **WEIGHTED}),
        inputs={name: FEW[name] for name in ("batched", "tiny", "extra")},
        edges=([[0.0, 0, 0], [30, 0, 0], [1, 2, 3]], [0, 1, -100]),
        reference=Torch(torch_formulas.logit_adjusted),
        accuracy=(Measured(gold_classes.logit_adjusted_cross_entropy, options=COUNTS, **FIVE_CLASSES),),
        mistakes=(
            *class_axis(with_prior, "logits"),
            row(
                "logit_adjusted_cross_entropy-no_prior",
                lambda: jaxloss.logit_adjusted_cross_entropy(f(4, 3), i(4)),
                TypeError,
                "prior",
            ),
            row(
                "logit_adjusted_cross_entropy-prior_that_does_not_fit",
                lambda: jaxloss.logit_adjusted_cross_entropy(f(4, 3), i(4), prior=f(4)),
                ValueError,
                "`prior` has shape (4,), but there are 3 classes.",
            ),
            row(
                "logit_adjusted_cross_entropy-tau",
                lambda: jaxloss.logit_adjusted_cross_entropy(f(4, 3), i(4), prior=f(3), tau=-1.0),
                ValueError,
                "`tau` is -1.0, but must be at least 0.",
            ),
        ),
    ),
    Case(
        jaxloss.LogitAdjustedCrossEntropyLoss,
        inputs.logits_and_soft_labels,
        element="example",
        variant="probabilities",
        required=PRIOR,
        options=({**PRIOR, "tau": 0.5},),
        inputs={name: MANY_EXAMPLES[name] for name in ("batched", "extra")},
        differentiable=(0, 1),
        reference=Torch(torch_formulas.logit_adjusted),
    ),
]
