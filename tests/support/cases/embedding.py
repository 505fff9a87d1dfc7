"""Cases of losses of vectors that should lie near each other or far from each other."""

import gold
import inputs
import points
from case import Case
from inputs import MANY_EXAMPLES, VECTORS, squared_distance, vectors
from measured import Measured
from mistakes import f, not_a_number, row, triplets

import jaxloss

TRIPLETS = {
    "adversarial": points.vector_tuples(3),
    "ordinary": vectors(3),
    "inputs": VECTORS,
    "differentiable": (0, 1, 2),
    "ulps": (3, 8),
}
TRIPLET_EDGES = ([[0.0, 0], [1.0, 2], [0.0, 0]], [[0.0, 0], [1.0, 0], [3.0, 4]], [[0.0, 0], [3.0, 2], [0.0, 1]])

CASES = [
    Case(
        jaxloss.CosineEmbeddingLoss,
        inputs.vectors_and_signs,
        element="pair",
        options=({}, {"margin": 0.25}),
        edges=(
            [[1.0, 0], [1.0, 0], [0.0, 0], [1.0, 1], [3.0, 4], [3.0, 4]],
            [[1.0, 0], [0.0, 1], [1.0, 0], [1.0, 1], [0.0, 0], [4.0, 3]],
            [1.0, -1, -1, -1, 1, 0.5],
        ),
        differentiable=(0, 1),
        accuracy=(
            Measured(
                gold.cosine_embedding_loss,
                points.vectors_and_signs,
                inputs.vectors_and_signs,
                inputs=VECTORS,
                differentiable=(0, 1),
                ulps=(3, 8),
            ),
        ),
        mistakes=(
            not_a_number(jaxloss.cosine_embedding_loss, f(4, 3), f(4, 3), f(4)),
            row(
                "cosine_embedding_loss-other_number_of_axes",
                lambda: jaxloss.cosine_embedding_loss(f(4, 3), f(3), f(4)),
                ValueError,
                "The shapes `embeddings1` (4, 3), `embeddings2` (3,) have different numbers of axes",
            ),
            row(
                "cosine_embedding_loss-other_batch",
                lambda: jaxloss.cosine_embedding_loss(f(4, 3), f(2, 3), f(4)),
                ValueError,
                "The shapes `embeddings1` (4, 3), `embeddings2` (2, 3) do not broadcast.",
            ),
            row(
                "cosine_embedding_loss-no_axis",
                lambda: jaxloss.cosine_embedding_loss(f(), f(), f()),
                ValueError,
                "The shapes `embeddings1` (), `embeddings2` () have no axis: the last one is the embedding's.",
            ),
            row(
                "cosine_embedding_loss-broadcast_targets",
                lambda: jaxloss.cosine_embedding_loss(f(4, 3), f(4, 3), f(4, 1)),
                ValueError,
                "`targets` has shape (4, 1), but there is one pair of vectors for each of (4,).",
            ),
        ),
    ),
    Case(
        jaxloss.TripletMarginLoss,
        vectors(3),
        element="triplet",
        options=({}, {"p": 1.0, "swap": True}, {"p": 3.0, "margin": 0.25}, {"swap": True, "eps": 0.125}),
        inputs=MANY_EXAMPLES,
        edges=TRIPLET_EDGES,
        differentiable=(0, 1, 2),
        accuracy=(
            Measured(gold.triplet_margin_loss, **TRIPLETS),
            Measured(gold.triplet_margin_loss, options={"p": 3.0, "swap": True}, **TRIPLETS),
        ),
        mistakes=(
            *triplets(jaxloss.triplet_margin_loss),
            row(
                "triplet_margin_loss-no_axis",
                lambda: jaxloss.triplet_margin_loss(f(), f(), f()),
                ValueError,
                "The shapes `anchor` (), `positive` (), `negative` () have no axis: the last one is the embedding's.",
            ),
        ),
    ),
    Case(
        jaxloss.TripletMarginWithDistanceLoss,
        vectors(3),
        element="triplet",
        options=({}, {"swap": True, "margin": 0.25}, {"distance_function": squared_distance}),
        inputs=MANY_EXAMPLES,
        edges=TRIPLET_EDGES,
        differentiable=(0, 1, 2),
        accuracy=(Measured(gold.triplet_margin_loss, function="triplet_margin_with_distance_loss", **TRIPLETS),),
        mistakes=(
            *triplets(jaxloss.triplet_margin_with_distance_loss),
            row(
                "triplet_margin_with_distance_loss-distance_over_the_batch",
                lambda: jaxloss.triplet_margin_with_distance_loss(
                    f(4, 3), f(4, 3), f(4, 3), distance_function=lambda x, y: (x - y).sum(0)
                ),
                ValueError,
                "`distance_function` returns shape (3,) for inputs of shape (4, 3), but must return one distance per "
                "pair, such as (4,).",
            ),
        ),
    ),
]
