"""Cases of metric learning."""

import gold_metric
import inputs
import metric_formulas as formulas
import points
from case import Case
from inputs import VECTORS
from measured import Measured
from mistakes import f, row
from references import Torch

import jaxloss

CASES = [
    Case(
        jaxloss.ContrastiveLoss,
        inputs.vectors_and_probabilities,
        element="pair",
        options=({}, {"distance": "cosine", "margin": 0.5}, {"margin": 2.5, "eps": 0.125}),
        edges=([[1.0, 2], [0.0, 0], [3.0, 4]], [[1.0, 2], [0.0, 1], [4.0, 3]], [1.0, 0.0, 0.5]),
        differentiable=(0, 1),
        accuracy=(
            Measured(
                gold_metric.contrastive_loss,
                points.vectors_and_probabilities,
                inputs.vectors_and_probabilities,
                inputs=VECTORS,
                differentiable=(0, 1),
                ulps=(3, 8),
            ),
        ),
        reference=Torch(formulas.contrastive),
        mistakes=(
            row(
                "contrastive_loss-distance",
                lambda: jaxloss.contrastive_loss(f(4, 3), f(4, 3), f(4), distance="manhattan"),
                ValueError,
                "`distance` is 'manhattan'; it must be 'euclidean' or 'cosine'.",
            ),
        ),
    ),
]
