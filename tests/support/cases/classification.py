"""Cases of losses that choose one of many classes."""

import gold
import gold_vision
import inputs
import points
import torch_formulas
from case import Case
from inputs import INF, LOGITS, MANY_EXAMPLES, Inputs, class_weight, classes_first, nll_classes_first
from measured import Measured
from mistakes import b, c, class_axis, complex_weight, f, i, row
from references import Torch

import jaxloss

LABELLED = {
    "adversarial": points.logits_and_labels,
    "ordinary": inputs.scores_and_labels,
    "inputs": LOGITS,
    "ulps": (4, 64),
}

CASES = [
    Case(
        jaxloss.CrossEntropyLoss,
        inputs.logits_and_labels,
        element="example",
        options=(
            {},
            {"label_smoothing": 0.125},
            {"weight": class_weight},
            {"z_loss": 0.125},
            {"weight": class_weight, "label_smoothing": 0.125, "z_loss": 0.5},
        ),
        inputs=MANY_EXAMPLES,
        edges=(
            [[0.0, 0, 0], [1e4, 1e4, -1e4], [-INF, 1, 2], [100, 0, 0], [0, -100, 0], [1, 2, 3]],
            [0, 2, 1, 0, 1, -100],
        ),
        reference=Torch(classes_first),
        accuracy=(
            Measured(gold.cross_entropy, **LABELLED),
            Measured(gold.cross_entropy, options={"label_smoothing": 0.125}, **LABELLED),
            Measured(gold.cross_entropy, options={"z_loss": 0.125}, **LABELLED),
        ),
        mistakes=(
            *class_axis(jaxloss.cross_entropy, "logits"),
            complex_weight(jaxloss.cross_entropy, i(4)),
            row(
                "cross_entropy-complex_targets",
                lambda: jaxloss.cross_entropy(f(4, 3), c(4, 3)),
                TypeError,
                "`targets` has dtype complex64, but class numbers are integers",
            ),
            row(
                "cross_entropy-bool_targets",
                lambda: jaxloss.cross_entropy(f(4, 3), b(4)),
                TypeError,
                "`targets` has dtype bool, but class numbers are integers: use `astype(int)`.",
            ),
            row(
                "cross_entropy-floating_labels",
                lambda: jaxloss.cross_entropy(f(4, 3), f(4)),
                ValueError,
                "`targets` has dtype float32 and the shape of class numbers, (4,)",
                "use `targets.astype(int)`",
            ),
            row(
                "cross_entropy-one_hot_integers",
                lambda: jaxloss.cross_entropy(f(4, 3), i(4, 3)),
                ValueError,
                "`targets` has shape (4, 3), but `logits` (4, 3) without its class axis 1 is (4,): "
                "for one-hot or soft targets use `targets.astype(float)`.",
            ),
            row(
                "cross_entropy-classes_first_without_axis",
                lambda: jaxloss.cross_entropy(f(2, 5, 3), i(2, 3)),
                ValueError,
                "`targets` has shape (2, 3), but `logits` (2, 5, 3) without its class axis 2 is (2, 5): use `axis=1`.",
            ),
            row(
                "cross_entropy-probabilities_of_other_classes",
                lambda: jaxloss.cross_entropy(f(4, 3), f(4, 2)),
                ValueError,
                "`targets` has shape (4, 2), but `logits` has shape (4, 3), and losses do not broadcast them.",
            ),
            row(
                "cross_entropy-ignored_probabilities",
                lambda: jaxloss.cross_entropy(f(4, 3), f(4, 3), ignore_index=0),
                ValueError,
                "`ignore_index` is 0, but probabilities name no class: use `where`.",
            ),
            *(
                row(
                    f"cross_entropy-label_smoothing={smoothing}",
                    lambda smoothing=smoothing, targets=targets: jaxloss.cross_entropy(
                        f(4, 3), targets(), label_smoothing=smoothing
                    ),
                    ValueError,
                    f"`label_smoothing` is {smoothing}, but must be at least 0 and at most 1.",
                )
                for smoothing, targets in ((-0.1, lambda: i(4)), (1.5, lambda: f(4, 3)), (float("nan"), lambda: i(4)))
            ),
            row(
                "cross_entropy-z_loss_of_an_array",
                lambda: jaxloss.cross_entropy(f(4, 3), i(4), z_loss=f(3)),
                ValueError,
                "`z_loss` has shape (3,), but is one number: use jax.vmap to try several.",
            ),
        ),
    ),
    Case(
        jaxloss.CrossEntropyLoss,
        inputs.scores_and_labels,
        element="example",
        variant="ignoring_a_class",
        options=({"weight": class_weight, "label_smoothing": 0.25, "ignore_index": 0},),
        inputs={name: MANY_EXAMPLES[name] for name in ("batched", "extra")},
        reference=Torch(classes_first),
    ),
    Case(
        jaxloss.CrossEntropyLoss,
        inputs.logits_and_soft_labels,
        element="example",
        variant="probabilities",
        options=(
            {},
            {"label_smoothing": 0.125},
            {"weight": class_weight, "label_smoothing": 0.25},
            {"weight": class_weight, "z_loss": 0.5},
        ),
        inputs=MANY_EXAMPLES,
        edges=([[0.0, 0, 0], [1e4, 1e4, -1e4], [0, 1, 2]], [[1.0, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]),
        differentiable=(0, 1),
        reference=Torch(classes_first),
        accuracy=(
            Measured(
                gold.cross_entropy,
                points.logits_and_soft_labels,
                inputs.logits_and_soft_labels,
                inputs=LOGITS,
                differentiable=(0, 1),
                ulps=(4, 64),
            ),
        ),
    ),
    Case(
        jaxloss.NLLLoss,
        inputs.logits_and_labels,
        element="example",
        options=({}, {"weight": class_weight}),
        inputs=MANY_EXAMPLES,
        edges=([[0.0, -INF, -1], [-INF, 0, 0]], [0, 1]),
        reference=Torch(nll_classes_first),
        never_negative=False,
        accuracy=(
            Measured(
                gold.nll_loss,
                points.log_probs_and_labels,
                inputs.scores_and_labels,
                inputs=LOGITS,
                never_negative=False,
            ),
        ),
        mistakes=(*class_axis(jaxloss.nll_loss, "log_probs"), complex_weight(jaxloss.nll_loss, i(4))),
    ),
    Case(
        jaxloss.SparsemaxLoss,
        inputs.logits_and_labels,
        element="example",
        inputs={name: MANY_EXAMPLES[name] for name in ("batched", "single", "tiny", "large", "extra")},
        edges=([[2.0, 0, 0], [0.5, 0.25, 0], [1, 2, 3]], [0, 1, -100]),
        reference=Torch(torch_formulas.sparsemax),
        accuracy=(
            Measured(
                gold_vision.sparsemax_loss,
                gold_vision.finite_logits_and_labels,
                gold_vision.ordinary_logits_and_labels,
                inputs=Inputs((200,)),
            ),
        ),
        mistakes=tuple(each for each in class_axis(jaxloss.sparsemax_loss, "logits") if "weight" not in str(each.id)),
    ),
    Case(
        jaxloss.SparsemaxLoss,
        inputs.logits_and_soft_labels,
        element="example",
        variant="probabilities",
        inputs={name: MANY_EXAMPLES[name] for name in ("batched", "tiny", "extra")},
        differentiable=(0, 1),
        reference=Torch(torch_formulas.sparsemax),
        never_negative=False,
    ),
]
