"""Everything whose accuracy is measured: the losses, as their Cases say, and the functions that are no losses."""

import gold
import gold_classes
import inputs
import points
from cases import CASES
from inputs import LOGITS, VECTORS, normal
from measured import Measured

TWO_VECTORS = {
    "adversarial": points.vector_tuples(2),
    "ordinary": inputs.vectors(2),
    "inputs": VECTORS,
    "differentiable": (0, 1),
    "ulps": (3, 8),
}
HELPERS = [
    Measured(
        gold.log_softmax,
        lambda kind: (points.logit_rows(kind),),
        lambda rng, inputs: (normal(rng, (*inputs.shape, inputs.size), inputs.scale),),
        inputs=LOGITS,
        never_negative=False,
        ulps=(5, 4),
    ),
    Measured(
        gold_classes.token_log_probs,
        points.logits_and_labels,
        inputs.logits_and_labels,
        inputs=LOGITS,
        never_negative=False,
        ulps=(4, 16),
    ),
    Measured(
        gold_classes.token_entropy,
        lambda kind: (points.logit_rows(kind),),
        lambda rng, inputs: (normal(rng, (*inputs.shape, inputs.size), inputs.scale),),
        inputs=LOGITS,
        ulps=(4, 3),
    ),
    Measured(gold.pairwise_distance, **TWO_VECTORS),
    Measured(gold.pairwise_distance, options={"eps": 0.0}, **TWO_VECTORS),
    Measured(gold.cosine_similarity, never_negative=False, **TWO_VECTORS),
]
SUBJECTS = [*(subject for case in CASES for subject in case.accuracy), *HELPERS]
