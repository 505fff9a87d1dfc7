"""The losses whose accuracy is measured: each with its formula, the points it is tried at, and the bars it holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gold
import gold_structured
import inputs
import jax
import numpy as np
import points
from inputs import Inputs, normal
from points import Kind

import jaxloss

Arrays = tuple[np.ndarray, ...]
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Subject:
    """A loss with its options."""

    formula: Callable[..., list[Any]]
    """Of one element; it has the loss's name."""
    adversarial: Callable[[Kind], Arrays]
    ordinary: Callable[[np.random.Generator, Inputs], Arrays]
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs = Inputs((2000,))
    differentiable: tuple[int, ...] = (0,)
    never_negative: bool = True
    ulps: tuple[float, float] = (2, 3)
    """The most that a loss and a derivative of ordinary float32 inputs may be off, in units of the last place."""
    by_element: bool = False
    """Whether the loss takes all elements at once but shares inputs between them, so that it is mapped over them."""

    @property
    def name(self) -> str:
        return self.formula.__name__

    @property
    def id(self) -> str:
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.options.items())])

    def ours(self, *arrays: Any) -> Any:
        helper = self.name in ("log_softmax", "pairwise_distance", "cosine_similarity")
        keywords = dict(self.options) | ({} if helper else {"reduction": "none"})
        function = getattr(jaxloss, self.name)
        if not self.by_element:
            return function(*arrays, **keywords)
        return jax.vmap(lambda *element: function(*element, **keywords))(*arrays)

    def truth(self, *numbers: Any) -> list[Any]:
        return self.formula(*numbers, **self.options)

    def tried_at(self, kind: Kind) -> Arrays:
        """The adversarial points, as float64 numbers that the dtype has; class numbers stay integers."""
        return tuple(_in(kind, array) for array in self.adversarial(kind))

    def ordinary_in(self, kind: Kind) -> Arrays:
        return tuple(_in(kind, array) for array in self.ordinary(np.random.default_rng(0), self.inputs))


def _in(kind: Kind, array: np.ndarray) -> np.ndarray:
    return kind.rounded(array).astype(float) if np.issubdtype(array.dtype, np.floating) else array


def given(arrays: Arrays, kind: Kind) -> Arrays:
    """The points as a loss takes them."""
    return tuple(a.astype(kind.dtype) if np.issubdtype(a.dtype, np.floating) else a for a in arrays)


BOTH, ALL_THREE = (0, 1), (0, 1, 2)
VECTORS = Inputs((200,), size=10)
LOGITS = Inputs((200,), size=10, scale=3)
PAIRS = {"adversarial": points.pairs, "ordinary": inputs.pair, "differentiable": BOTH}
COUNTS = {"differentiable": BOTH, "never_negative": False}
BINARY = {
    "adversarial": points.logits_and_probs,
    "ordinary": inputs.logits_and_probabilities,
    "differentiable": BOTH,
    "ulps": (3, 3),
}
LABELLED = {
    "adversarial": points.logits_and_labels,
    "ordinary": inputs.scores_and_labels,
    "inputs": LOGITS,
    "ulps": (4, 64),
}
SCORED = LABELLED | {"adversarial": points.scores_and_labels, "ulps": (3, 3)}
TRIPLETS = {
    "adversarial": points.vector_tuples(3),
    "ordinary": inputs.vectors(3),
    "inputs": VECTORS,
    "differentiable": ALL_THREE,
    "ulps": (3, 8),
}
TWO_VECTORS = TRIPLETS | {
    "adversarial": points.vector_tuples(2),
    "ordinary": inputs.vectors(2),
    "differentiable": BOTH,
}

SUBJECTS = [
    Subject(gold.l1_loss, **PAIRS),
    Subject(gold.mse_loss, **PAIRS),
    Subject(gold.huber_loss, **PAIRS),
    Subject(gold.huber_loss, options={"delta": 0.25}, **PAIRS),
    Subject(gold.smooth_l1_loss, **PAIRS),
    Subject(gold.smooth_l1_loss, options={"beta": 0.0}, **PAIRS),
    Subject(gold.smooth_l1_loss, options={"beta": 8.0}, **PAIRS),
    Subject(gold.poisson_nll_loss, points.log_rates_and_counts, inputs.counts, **COUNTS),
    Subject(gold.poisson_nll_loss, points.log_rates_and_counts, inputs.counts, {"full": True}, **COUNTS),
    Subject(gold.poisson_nll_loss, points.rates_and_counts, inputs.rates, {"log_input": False}, **COUNTS),
    Subject(
        gold.gaussian_nll_loss,
        points.means_and_variances,
        inputs.means_and_variances,
        differentiable=ALL_THREE,
        never_negative=False,
        ulps=(3, 3),
    ),
    Subject(gold.kl_div, points.log_probs_and_probs, inputs.log_probs_and_probs, **COUNTS),
    Subject(gold.kl_div, points.two_log_probs, inputs.two_log_probs, {"log_target": True}, **COUNTS),
    Subject(gold.cross_entropy, **LABELLED),
    Subject(gold.cross_entropy, options={"label_smoothing": 0.125}, **LABELLED),
    Subject(gold.cross_entropy, options={"z_loss": 0.125}, **LABELLED),
    Subject(
        gold.cross_entropy,
        points.logits_and_soft_labels,
        inputs.logits_and_soft_labels,
        inputs=LOGITS,
        differentiable=BOTH,
        ulps=(4, 64),
    ),
    Subject(
        gold.log_softmax,
        lambda kind: (points.logit_rows(kind),),
        lambda rng, inputs: (normal(rng, (*inputs.shape, inputs.size), inputs.scale),),
        inputs=LOGITS,
        never_negative=False,
        ulps=(5, 4),
    ),
    Subject(gold.nll_loss, points.log_probs_and_labels, inputs.scores_and_labels, inputs=LOGITS, never_negative=False),
    Subject(gold.binary_cross_entropy, points.two_probs, inputs.probabilities, differentiable=BOTH),
    Subject(gold.binary_cross_entropy_with_logits, **BINARY),
    Subject(gold.binary_cross_entropy_with_logits, options={"pos_weight": 3.0}, **BINARY | {"ulps": (4, 4)}),
    Subject(gold.soft_margin_loss, points.scores_and_signs, inputs.scores_and_signs, ulps=(3, 3)),
    Subject(
        gold.multilabel_soft_margin_loss,
        points.logits_and_multilabels,
        inputs.logits_and_multilabels,
        inputs=LOGITS,
        differentiable=BOTH,
        ulps=(3, 3),
    ),
    Subject(gold.multi_margin_loss, **SCORED),
    Subject(gold.multi_margin_loss, options={"p": 2}, **SCORED),
    Subject(gold.multilabel_margin_loss, points.scores_and_lists, inputs.scores_and_label_lists, inputs=LOGITS),
    Subject(gold.hinge_embedding_loss, points.scores_and_signs, inputs.scores_and_signs, never_negative=False),
    Subject(gold.margin_ranking_loss, points.pairs_and_signs, inputs.scores_scores_signs, differentiable=BOTH),
    Subject(
        gold.margin_ranking_loss,
        points.pairs_and_signs,
        inputs.scores_scores_signs,
        {"margin": 0.25},
        differentiable=BOTH,
    ),
    Subject(
        gold.cosine_embedding_loss,
        points.vectors_and_signs,
        inputs.vectors_and_signs,
        inputs=VECTORS,
        differentiable=BOTH,
        ulps=(3, 8),
    ),
    Subject(gold.triplet_margin_loss, **TRIPLETS),
    Subject(gold.triplet_margin_loss, options={"p": 3.0, "swap": True}, **TRIPLETS),
    Subject(gold.pairwise_distance, **TWO_VECTORS),
    Subject(gold.pairwise_distance, options={"eps": 0.0}, **TWO_VECTORS),
    Subject(gold.cosine_similarity, **TWO_VECTORS | {"never_negative": False}),
    Subject(
        gold_structured.linear_cross_entropy,
        points.products_and_labels,
        points.ordinary_products,
        inputs=Inputs((60,), size=10),
        differentiable=BOTH,
        by_element=True,
        ulps=(4, 64),
    ),
    Subject(
        gold_structured.ctc_loss,
        points.sequences,
        points.ordinary_sequences,
        inputs=Inputs((3,)),
        never_negative=False,
        ulps=(4, 64),
    ),
]
