"""Cases of metric learning."""

import gold_metric
import inputs
import metric_formulas as formulas
import points
from case import Case
from inputs import VECTORS
from measured import Measured
from mistakes import f, i, row
from references import Torch

import jaxloss
from cases.contrastive import BATCHES


def of_classes(loss: type[jaxloss.Loss]) -> tuple[object, ...]:
    """Mistakes with embeddings and class numbers."""
    fn, name = loss.fn, loss.fn.__name__
    message = "`targets` has shape (3,), but there are 4 embeddings."
    return (row(f"{name}-other_batch", lambda: fn(f(4, 3), i(3)), ValueError, message),)


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
    Case(
        jaxloss.BatchTripletLoss,
        inputs.vectors_and_classes,
        element="anchor",
        options=(
            {"margin": 4.0},
            {"mining": "semihard", "distance": "squared"},
            {"mining": "all", "soft": True, "ignore_index": 2},
            {"mining": "all", "distance": "cosine", "margin": 0.25},
        ),
        inputs=BATCHES,
        edges=([[0.0, 0], [0.0, 0], [3.0, 4], [3.0, 4], [1.0, 0], [0.0, 1]], [0, 0, 1, 0, 1, 2]),
        compares_examples=True,
        reference=Torch(formulas.batch_triplet),
        mistakes=(
            row(
                "batch_triplet_loss-mining",
                lambda: jaxloss.batch_triplet_loss(f(4, 3), i(4), mining="easy"),
                ValueError,
                "`mining` is 'easy'; it must be 'hard', 'semihard' or 'all'.",
            ),
            *of_classes(jaxloss.BatchTripletLoss),
        ),
    ),
    Case(
        jaxloss.MultiSimilarityLoss,
        inputs.vectors_and_classes,
        element="anchor",
        # Without a choice of pairs first: a batch without a negative has a loss then, which tells the laws its weight.
        options=(
            {"epsilon": None, "beta": 10.0, "base": 0.25},
            {"alpha": 4.0, "epsilon": 0.5, "chunk_size": 2, "ignore_index": 2},
        ),
        inputs=BATCHES,
        compares_examples=True,
        float32_losses=True,
        reference=Torch(formulas.multi_similarity),
        mistakes=of_classes(jaxloss.MultiSimilarityLoss),
    ),
    Case(
        jaxloss.CircleLoss,
        inputs.vectors_and_classes,
        element="anchor",
        options=({"gamma": 8.0}, {"margin": 0.25, "gamma": 4.0, "chunk_size": 2, "ignore_index": 2}),
        inputs=BATCHES,
        compares_examples=True,
        float32_losses=True,
        true_gradient=False,
        reference=Torch(formulas.circle),
        mistakes=of_classes(jaxloss.CircleLoss),
    ),
]
