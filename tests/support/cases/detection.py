"""Cases of losses of detectors' scores."""

import gold_classes
import gold_vision
import inputs
import points
import torch_formulas
import torchvision_losses
from case import Case
from inputs import ELEMENTS
from measured import Measured
from mistakes import f, row
from references import Torch

import jaxloss

FEW = {name: ELEMENTS[name] for name in ("batched", "unbatched", "extra", "tiny")}

SCORES = {"adversarial": points.logits_and_probs, "ordinary": inputs.logits_and_probabilities, "ulps": (16, 16)}

CASES = [
    Case(
        jaxloss.SigmoidFocalLoss,
        inputs.logits_and_probabilities,
        element="answer",
        options=({}, {"alpha": None, "gamma": 0.0}, {"alpha": 0.5, "gamma": 0.5}),
        inputs=FEW,
        edges=([0.0, 0, 8, -8, 17, -17], [0.0, 1, 0, 1, 0, 1]),
        differentiable=(0, 1),
        reference=Torch(torchvision_losses.sigmoid_focal),
        accuracy=(Measured(gold_classes.sigmoid_focal_loss, **SCORES),),
        mistakes=(
            row(
                "sigmoid_focal_loss-torchvisions_alpha",
                lambda: jaxloss.sigmoid_focal_loss(f(3), f(3), alpha=-1),
                ValueError,
                "`alpha` is -1, but must be at least 0 and at most 1.",
            ),
        ),
    ),
    Case(
        jaxloss.AsymmetricLoss,
        inputs.logits_and_multilabels,
        element="answer",
        options=({}, {"clip": 0.0}, {"gamma_neg": 1.0, "gamma_pos": 0.0, "clip": 0.25}),
        inputs={name: inputs.EXAMPLES[name] for name in ("batched", "unbatched", "tiny")},
        edges=([0.0, 0, 8, -8], [0.0, 1, 0, 1]),
        reference=Torch(torch_formulas.asymmetric),
        accuracy=(Measured(gold_classes.asymmetric_loss, **SCORES),),
    ),
    Case(
        jaxloss.VarifocalLoss,
        inputs.logits_and_probabilities,
        element="answer",
        options=({}, {"alpha": 0.5, "gamma": 0.5}),
        inputs=FEW,
        edges=([0.0, 0, 8, -8], [0.0, 1, 0, 1]),
        reference=Torch(torch_formulas.varifocal),
        accuracy=(Measured(gold_classes.varifocal_loss, **SCORES),),
    ),
    Case(
        jaxloss.QualityFocalLoss,
        inputs.logits_and_probabilities,
        element="answer",
        options=({}, {"beta": 1.5}),
        inputs=FEW,
        edges=([0.0, 0, 8, -8], [0.0, 1, 0, 1]),
        differentiable=(0, 1),
        reference=Torch(torch_formulas.quality_focal),
        accuracy=(Measured(gold_classes.quality_focal_loss, **SCORES),),
    ),
    Case(
        jaxloss.DistributionFocalLoss,
        inputs.logits_and_coordinates,
        element="coordinate",
        inputs={name: inputs.MANY_EXAMPLES[name] for name in ("batched", "unbatched", "tiny", "large", "extra")},
        edges=([[0.0, 0, 0], [30, -30, 0], [1, 2, 3]], [0.0, 2, 1]),
        differentiable=(0, 1),
        reference=Torch(torch_formulas.distribution_focal),
        accuracy=(
            Measured(
                gold_vision.distribution_focal_loss,
                gold_vision.bins,
                gold_vision.ordinary_bins,
                inputs=inputs.Inputs((200,)),
            ),
        ),
        mistakes=(
            row(
                "distribution_focal_loss-shape",
                lambda: jaxloss.distribution_focal_loss(f(4, 3), f(4, 1)),
                ValueError,
                "`targets` has shape (4, 1), but `logits` (4, 3) without its axis 1 is (4,).",
            ),
        ),
    ),
]
