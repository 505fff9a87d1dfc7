"""Cases of losses that answer yes-or-no questions."""

import gold
import inputs
import points
import torch_formulas
from case import Case
from inputs import ELEMENTS, LOGITS, MANY_EXAMPLES, class_weight
from measured import Measured
from mistakes import complex_weight, f, row, unfit_weight
from references import Torch

import jaxloss

BINARY = {
    "adversarial": points.logits_and_probs,
    "ordinary": inputs.logits_and_probabilities,
    "differentiable": (0, 1),
}

CASES = [
    Case(
        jaxloss.BCELoss,
        inputs.probabilities,
        element="answer",
        options=({}, {"weight": class_weight}),
        inputs={name: ELEMENTS[name] for name in ("batched", "unbatched", "vector", "extra")},
        edges=([0.0, 0, 1, 1, 0.5, 1 - 2**-8], [0.0, 1, 0, 1, 0.5, 1]),
        differentiable=(0, 1),
        accuracy=(Measured(gold.binary_cross_entropy, points.two_probs, inputs.probabilities, differentiable=(0, 1)),),
        mistakes=(
            unfit_weight(jaxloss.binary_cross_entropy),
            complex_weight(jaxloss.binary_cross_entropy, f(4, 3)),
            row(
                "binary_cross_entropy-weight_that_would_grow_the_loss",
                lambda: jaxloss.binary_cross_entropy(f(3), f(3), weight=f(4, 3)),
                ValueError,
                "`weight` has shape (4, 3), which does not broadcast to (3,).",
            ),
        ),
    ),
    Case(
        jaxloss.BCEWithLogitsLoss,
        inputs.logits_and_probabilities,
        element="answer",
        options=(
            {},
            {"pos_weight": class_weight},
            {"weight": class_weight, "pos_weight": class_weight},
            {"label_smoothing": 0.125, "pos_weight": class_weight},
        ),
        inputs=ELEMENTS,
        edges=([0.0, 0, 1e4, -1e4, 1e4, -1e4, 17, -88], [0.0, 1, 0, 1, 1, 0, 1, 0]),
        reference=Torch(torch_formulas.smoothed_binary),
        differentiable=(0, 1),
        accuracy=(
            Measured(gold.binary_cross_entropy_with_logits, ulps=(3, 3), **BINARY),
            Measured(gold.binary_cross_entropy_with_logits, options={"pos_weight": 3.0}, ulps=(4, 4), **BINARY),
        ),
        mistakes=(
            unfit_weight(jaxloss.binary_cross_entropy_with_logits),
            unfit_weight(jaxloss.binary_cross_entropy_with_logits, "pos_weight"),
            complex_weight(jaxloss.binary_cross_entropy_with_logits, f(4, 3), "pos_weight"),
        ),
    ),
    Case(
        jaxloss.SoftMarginLoss,
        inputs.scores_and_signs,
        element="answer",
        inputs={name: inputs for name, inputs in ELEMENTS.items() if name != "huge"},  # PyTorch's is inf there
        edges=([0.0, 0, 80, -80], [1.0, -1, 1, 1]),
        accuracy=(Measured(gold.soft_margin_loss, points.scores_and_signs, inputs.scores_and_signs, ulps=(3, 3)),),
    ),
    Case(
        jaxloss.MultiLabelSoftMarginLoss,
        inputs.logits_and_multilabels,
        element="example",
        options=({}, {"weight": class_weight}),
        inputs=MANY_EXAMPLES,
        edges=([[0.0, 1e4, -1e4], [1e4, -1e4, 0]], [[0.0, 1, 0], [0, 1, 1]]),
        accuracy=(
            Measured(
                gold.multilabel_soft_margin_loss,
                points.logits_and_multilabels,
                inputs.logits_and_multilabels,
                inputs=LOGITS,
                differentiable=(0, 1),
                ulps=(3, 3),
            ),
        ),
        mistakes=(
            unfit_weight(jaxloss.multilabel_soft_margin_loss),
            complex_weight(jaxloss.multilabel_soft_margin_loss, f(4, 3)),
            row(
                "multilabel_soft_margin_loss-no_classes",
                lambda: jaxloss.multilabel_soft_margin_loss(f(4, 0), f(4, 0)),
                ValueError,
                "`logits` has shape (4, 0): axis -1 is empty",
            ),
            row(
                "multilabel_soft_margin_loss-no_axis",
                lambda: jaxloss.multilabel_soft_margin_loss(f(), f()),
                ValueError,
                "`logits` has shape (), which has no axis -1.",
            ),
        ),
    ),
]
