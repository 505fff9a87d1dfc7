"""Cases of losses that ask for a margin between scores."""

from collections.abc import Callable
from typing import Any

import gold
import gold_margin
import inputs
import numpy as np
import points
from case import Case
from inputs import ELEMENTS, LOGITS, MANY_EXAMPLES, class_weight
from measured import Measured
from mistakes import complex_weight, f, i, not_a_number, row
from references import Formula

import jaxloss

SCORED = {
    "adversarial": points.scores_and_labels,
    "ordinary": inputs.scores_and_labels,
    "inputs": LOGITS,
    "ulps": (3, 3),
}
RANKED = {"adversarial": points.pairs_and_signs, "ordinary": inputs.scores_scores_signs, "differentiable": (0, 1)}


def exponent(call: Callable[[int], Any], name: str) -> Any:
    return row(f"{name}-p", lambda: call(3), ValueError, "`p` is 3, but must be 1 or 2.")


def hinge(x: np.ndarray, y: np.ndarray, *, margin: float = 1.0, p: int = 1) -> np.ndarray:
    return np.maximum(0, margin - y * x) ** p


def kept(x: np.ndarray, y: np.ndarray, *, ignore_index: int = -100, **_: Any) -> np.ndarray:
    return np.asarray(y != ignore_index, float)


def rival(x: np.ndarray, y: np.ndarray, *, margin: float = 1.0, p: int = 1, ignore_index: int = -100) -> np.ndarray:
    true = np.arange(x.shape[-1]) == np.where(y == ignore_index, 0, y)[..., None]
    best = np.max(np.where(true, -np.inf, x), -1)
    return np.where(y == ignore_index, 0, np.maximum(0, margin + best - np.sum(np.where(true, x, 0), -1)) ** p)


CASES = [
    Case(
        jaxloss.MultiMarginLoss,
        inputs.scores_and_labels,
        element="example",
        options=(
            {},
            {"p": 2},
            {"margin": 0.25, "weight": class_weight},
            {"p": 2, "margin": 3.0, "weight": class_weight},
        ),
        edges=([[0.0, 0, 0], [1.0, 0, 2], [-1.0, 0.75, 3]], [0, 0, 2]),
        accuracy=(
            Measured(gold.multi_margin_loss, **SCORED),
            Measured(gold.multi_margin_loss, options={"p": 2}, **SCORED),
        ),
        mistakes=(
            complex_weight(jaxloss.multi_margin_loss, i(4)),
            not_a_number(jaxloss.multi_margin_loss, f(4, 3), i(4)),
            *(
                row(
                    f"multi_margin_loss-p={p!r}",
                    lambda p=p: jaxloss.multi_margin_loss(f(4, 3), i(4), p=p),
                    ValueError,
                    f"`p` is {p!r}, but must be 1 or 2.",
                )
                for p in (0, 3, 1.5, "2")
            ),
            row(
                "multi_margin_loss-other_batch",
                lambda: jaxloss.multi_margin_loss(f(4, 3), i(1)),
                ValueError,
                "`targets` has shape (1,), but `predictions` (4, 3) without its class axis 1 is (4,).",
            ),
            row(
                "multi_margin_loss-weight_of_other_classes",
                lambda: jaxloss.multi_margin_loss(f(4, 3), i(4), weight=f(4)),
                ValueError,
                "`weight` has shape (4,), but there are 3 classes.",
            ),
            row(
                "multi_margin_loss-no_classes",
                lambda: jaxloss.multi_margin_loss(f(4, 0), i(4)),
                ValueError,
                "`predictions` has shape (4, 0): axis -1 is empty, and the loss needs an entry there.",
            ),
        ),
    ),
    Case(
        jaxloss.MultiLabelMarginLoss,
        inputs.scores_and_label_lists,
        element="example",
        edges=([[0.0, 1, 0], [1.0, 0, 2], [1.0, 2, 3]], [[1, -1, 0], [-1, 0, 1], [2, 2, 0]]),
        accuracy=(
            Measured(
                gold.multilabel_margin_loss, points.scores_and_lists, inputs.scores_and_label_lists, inputs=LOGITS
            ),
        ),
        mistakes=(
            row(
                "multilabel_margin_loss-no_classes",
                lambda: jaxloss.multilabel_margin_loss(f(4, 0), i(4, 0)),
                ValueError,
                "`predictions` has shape (4, 0): axis -1 is empty, and the loss needs an entry there.",
            ),
            row(
                "multilabel_margin_loss-one_label_each",
                lambda: jaxloss.multilabel_margin_loss(f(4, 3), i(4)),
                ValueError,
                "`targets` has shape (4,), but `predictions` has shape (4, 3), and losses do not broadcast them.",
            ),
        ),
    ),
    Case(
        jaxloss.HingeEmbeddingLoss,
        inputs.scores_and_signs,
        element="distance",
        options=({}, {"margin": 0.25}),
        inputs=ELEMENTS,
        edges=([0.0, 1, 1, 0.25, 2, 3, 0.5], [1.0, -1, 1, -1, -1, 0, 0]),
        never_negative=False,
        accuracy=(
            Measured(gold.hinge_embedding_loss, points.scores_and_signs, inputs.scores_and_signs, never_negative=False),
        ),
        mistakes=(not_a_number(jaxloss.hinge_embedding_loss, f(4, 3), f(4, 3)),),
    ),
    Case(
        jaxloss.MarginRankingLoss,
        inputs.scores_scores_signs,
        element="comparison",
        options=({}, {"margin": 0.25}),
        inputs=ELEMENTS,
        edges=([0.0, 1, 1, 0.25], [0.0, 0, 1, 0], [1.0, -1, 1, 1]),
        differentiable=(0, 1),
        accuracy=(
            Measured(gold.margin_ranking_loss, **RANKED),
            Measured(gold.margin_ranking_loss, options={"margin": 0.25}, **RANKED),
        ),
        mistakes=(
            not_a_number(jaxloss.margin_ranking_loss, f(4, 3), f(4, 3), f(4, 3)),
            row(
                "margin_ranking_loss-broadcast_predictions",
                lambda: jaxloss.margin_ranking_loss(f(3), f(3, 1), f(3)),
                ValueError,
                "`predictions2` has shape (3, 1), but `predictions1` has shape (3,), and losses do not broadcast them: "
                "use `predictions2.reshape(predictions1.shape)`.",
            ),
        ),
    ),
    Case(
        jaxloss.HingeLoss,
        inputs.scores_and_signs,
        options=({}, {"margin": 0.25, "p": 2}, {"margin": 0.0}),
        inputs=ELEMENTS,
        edges=([1.0, -1, 0.5, 0, 3], [1.0, -1, -1, 1, 1]),
        reference=Formula(hinge),
        accuracy=(
            Measured(gold_margin.hinge_loss, points.scores_and_signs, inputs.scores_and_signs),
            Measured(gold_margin.hinge_loss, points.scores_and_signs, inputs.scores_and_signs, options={"p": 2}),
        ),
        mistakes=(
            not_a_number(jaxloss.hinge_loss, f(4, 3), f(4, 3)),
            exponent(lambda p: jaxloss.hinge_loss(f(3), f(3), p=p), "hinge_loss"),
        ),
    ),
    Case(
        jaxloss.MulticlassHingeLoss,
        inputs.logits_and_labels,
        element="example",
        inputs=MANY_EXAMPLES,
        options=({}, {"margin": 0.25, "p": 2}),
        edges=([[0.0, 0, 0], [1.0, 0, 2], [-1.0, 0.75, 3]], [0, 0, 2]),
        reference=Formula(rival, count=kept),
        accuracy=(
            Measured(gold_margin.multiclass_hinge_loss, **SCORED),
            Measured(gold_margin.multiclass_hinge_loss, options={"p": 2}, **SCORED),
        ),
        mistakes=(
            not_a_number(jaxloss.multiclass_hinge_loss, f(4, 3), i(4)),
            exponent(lambda p: jaxloss.multiclass_hinge_loss(f(4, 3), i(4), p=p), "multiclass_hinge_loss"),
            row(
                "multiclass_hinge_loss-no_classes",
                lambda: jaxloss.multiclass_hinge_loss(f(4, 0), i(4)),
                ValueError,
                "`predictions` has shape (4, 0): axis -1 is empty, and the loss needs an entry there.",
            ),
        ),
    ),
    Case(
        jaxloss.MulticlassHingeLoss,
        inputs.scores_and_labels,
        element="example",
        variant="ignoring_a_class",
        options=({"ignore_index": 1},),
        inputs={name: MANY_EXAMPLES[name] for name in ("batched", "extra")},
        reference=Formula(rival, count=kept),
    ),
]
