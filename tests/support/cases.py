"""One Case a loss: the only list of losses in the tests.

A Case says how to make inputs, which options to try and which inputs have gradients; the fixtures, the parity tests and
the laws take everything else from it. Inputs have few digits, so that they are the same numbers in every dtype.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from inputs import (
    ELEMENTS,
    EXAMPLES,
    MANY_EXAMPLES,
    Arrays,
    Inputs,
    Options,
    class_weight,
    classes_first,
    counts,
    ctc,
    head_bias,
    hidden_heads_labels,
    hidden_kernel_labels,
    hidden_kernel_soft_labels,
    kernel_weight,
    linear_first,
    log_probs_and_probs,
    log_probs_and_sequences,
    logits_and_labels,
    logits_and_multilabels,
    logits_and_probabilities,
    logits_and_soft_labels,
    means_and_variances,
    nll_classes_first,
    pair,
    probabilities,
    rates,
    reference,
    rowwise_variances,
    scores_and_label_lists,
    scores_and_labels,
    scores_and_signs,
    scores_scores_signs,
    snapped,
    squared_distance,
    two_log_probs,
    unsqueezed_variances,
    vectors,
    vectors_and_signs,
)

import jaxloss


@dataclass(frozen=True)
class Case:
    """A loss, and all that is needed to try it."""

    loss: type[jaxloss.Loss]
    make: Callable[[np.random.Generator, Inputs], Arrays]
    """Inputs for an `Inputs`: predictions first."""
    options: tuple[Options, ...] = ({},)
    """Option sets; `class_weight` stands for an array that depends on the inputs."""
    inputs: Mapping[str, Inputs] = field(default_factory=lambda: EXAMPLES)
    edges: Arrays | None = None
    """Inputs at kinks, zeros and limits."""
    differentiable: tuple[int, ...] = (0,)
    """Positions of the inputs whose gradient PyTorch has."""
    reductions: tuple[str, ...] = ("none", "mean", "sum")
    variant: str = ""
    """Tells apart two Cases of one loss."""
    torch: Callable[..., Any] | None = None
    """Calls PyTorch, where it differs from us in more than the name of the module."""
    never_negative: bool = True
    shared: tuple[int, ...] = ()
    """Positions of the inputs that all examples share, which laws about examples hold fixed."""
    float32_losses: bool = False
    """Whether unreduced losses of low-precision inputs are float32."""

    @property
    def name(self) -> str:
        return self.loss.fn.__name__

    @property
    def id(self) -> str:
        return f"{self.name}_{self.variant}" if self.variant else self.name

    def arrays(self, which: str = "batched", **changes: Any) -> Arrays:
        if which == "edges":
            assert self.edges is not None
            return tuple(map(np.asarray, self.edges))
        inputs = self.inputs[which]
        inputs = Inputs(**(vars(inputs) | changes))
        made = self.make(np.random.default_rng([inputs.seed, len(inputs.shape), inputs.size]), inputs)
        return tuple(snapped(array) if array.dtype == np.float64 else array for array in made)

    def which(self) -> list[str]:
        return [*self.inputs, *(["edges"] if self.edges is not None else [])]

    def option_sets(self, arrays: Arrays) -> list[dict[str, Any]]:
        return [resolved(options, arrays) for options in self.options]

    def reference(self, functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Any:
        return (self.torch or reference(self.name))(functional, arrays, reduction, options)


def resolved(options: Options, arrays: Arrays) -> dict[str, Any]:
    """The options, with the arrays that depend on the inputs made."""
    dependent = (class_weight, kernel_weight, head_bias)
    return {name: value(arrays) if value in dependent else value for name, value in options.items()}


INF = np.inf
CASES = [
    Case(jaxloss.L1Loss, pair, inputs=ELEMENTS, edges=([0.0, 1, -1, 2], [0.0, 1, 1, 0]), differentiable=(0, 1)),
    Case(jaxloss.MSELoss, pair, inputs=ELEMENTS, edges=([0.0, 1, -1, 2], [0.0, 1, 1, 0]), differentiable=(0, 1)),
    Case(
        jaxloss.HuberLoss,
        pair,
        options=({}, {"delta": 0.25}, {"delta": 7.0}),
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 0.25, -7, 1e4], [0.0, 0, 0, 0, 0, 0]),
        differentiable=(0, 1),
    ),
    Case(
        jaxloss.SmoothL1Loss,
        pair,
        options=({}, {"beta": 0.25}, {"beta": 0.0}, {"beta": 7.0}),
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 0.25, -7, 1e4], [0.0, 0, 0, 0, 0, 0]),
        differentiable=(0, 1),
    ),
    Case(
        jaxloss.PoissonNLLLoss,
        counts,
        options=({}, {"full": True}),
        inputs=ELEMENTS,
        edges=([0.0, 0, 1, -30, 8], [0.0, 1, 1, 0, 2]),
        differentiable=(0, 1),
        never_negative=False,
    ),
    Case(
        jaxloss.PoissonNLLLoss,
        rates,
        variant="rate",
        options=({"log_input": False}, {"log_input": False, "full": True, "eps": 0.125}),
        inputs=ELEMENTS,
        edges=([0.0, 1, 1, 0.5, 8], [0.0, 1, 0, 0, 2]),
        differentiable=(0, 1),
        never_negative=False,
    ),
    Case(
        jaxloss.GaussianNLLLoss,
        means_and_variances,
        options=({}, {"full": True}, {"eps": 0.5}),
        inputs=ELEMENTS,
        edges=([0.0, 1, 1, 0.5, 8], [0.0, 0, 1, 0, 2], [0.0, 0, 1e-6, 0.5, 8]),
        differentiable=(0, 1, 2),
        never_negative=False,
    ),
    Case(
        jaxloss.GaussianNLLLoss,
        rowwise_variances,
        variant="rows",
        inputs={name: ELEMENTS[name] for name in ("batched", "extra")},
        differentiable=(0, 1, 2),
        never_negative=False,
    ),
    Case(
        jaxloss.GaussianNLLLoss,
        unsqueezed_variances,
        variant="unsqueezed",
        inputs={name: ELEMENTS[name] for name in ("batched", "extra")},
        differentiable=(0, 1, 2),
        never_negative=False,
    ),
    Case(
        jaxloss.KLDivLoss,
        log_probs_and_probs,
        inputs=ELEMENTS,
        edges=([-1.0, -30, 0, -2], [0.0, 1, 1, 0.5]),
        differentiable=(0, 1),
        reductions=("none", "mean", "sum", "batchmean"),
        never_negative=False,
    ),
    Case(
        jaxloss.KLDivLoss,
        two_log_probs,
        variant="log",
        options=({"log_target": True},),
        inputs=ELEMENTS,
        edges=([-1.0, -30, 0, -2], [-200.0, 0, 0, -2]),
        differentiable=(0, 1),
        reductions=("none", "mean", "sum", "batchmean"),
        never_negative=False,
    ),
    Case(
        jaxloss.CrossEntropyLoss,
        logits_and_labels,
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
        torch=classes_first,
    ),
    Case(
        jaxloss.CrossEntropyLoss,
        scores_and_labels,
        variant="ignoring_a_class",
        options=({"weight": class_weight, "label_smoothing": 0.25, "ignore_index": 0},),
        inputs={name: MANY_EXAMPLES[name] for name in ("batched", "extra")},
        torch=classes_first,
    ),
    Case(
        jaxloss.CrossEntropyLoss,
        logits_and_soft_labels,
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
        torch=classes_first,
    ),
    Case(
        jaxloss.LinearCrossEntropyLoss,
        hidden_kernel_labels,
        options=(
            {},
            {"bias": head_bias, "weight": kernel_weight},
            {"chunk_size": 2, "label_smoothing": 0.125, "z_loss": 0.5, "logit_softcap": 2.0},
        ),
        inputs=MANY_EXAMPLES,
        differentiable=(0, 1),
        torch=linear_first,
        shared=(1,),
        float32_losses=True,
    ),
    Case(
        jaxloss.LinearCrossEntropyLoss,
        hidden_heads_labels,
        variant="heads",
        options=({"chunk_size": 3, "bias": head_bias, "weight": kernel_weight, "label_smoothing": 0.25},),
        inputs={name: MANY_EXAMPLES[name] for name in ("batched", "unbatched", "extra")},
        differentiable=(0, 1),
        torch=linear_first,
        shared=(1,),
        float32_losses=True,
    ),
    Case(
        jaxloss.LinearCrossEntropyLoss,
        hidden_kernel_soft_labels,
        variant="probabilities",
        options=({"chunk_size": 2}, {"chunk_size": 1, "weight": kernel_weight, "label_smoothing": 0.25}),
        inputs={name: MANY_EXAMPLES[name] for name in ("batched", "unbatched", "extra")},
        differentiable=(0, 1, 2),
        torch=linear_first,
        shared=(1,),
        float32_losses=True,
    ),
    Case(
        jaxloss.NLLLoss,
        logits_and_labels,
        options=({}, {"weight": class_weight}),
        inputs=MANY_EXAMPLES,
        edges=([[0.0, -INF, -1], [-INF, 0, 0]], [0, 1]),
        torch=nll_classes_first,
        never_negative=False,
    ),
    Case(
        jaxloss.BCELoss,
        probabilities,
        options=({}, {"weight": class_weight}),
        inputs={name: ELEMENTS[name] for name in ("batched", "unbatched", "vector", "extra")},
        edges=([0.0, 0, 1, 1, 0.5, 1 - 2**-8], [0.0, 1, 0, 1, 0.5, 1]),
        differentiable=(0, 1),
    ),
    Case(
        jaxloss.BCEWithLogitsLoss,
        logits_and_probabilities,
        options=({}, {"pos_weight": class_weight}, {"weight": class_weight, "pos_weight": class_weight}),
        inputs=ELEMENTS,
        edges=([0.0, 0, 1e4, -1e4, 1e4, -1e4, 17, -88], [0.0, 1, 0, 1, 1, 0, 1, 0]),
        differentiable=(0, 1),
    ),
    Case(
        jaxloss.SoftMarginLoss,
        scores_and_signs,
        inputs={name: inputs for name, inputs in ELEMENTS.items() if name != "huge"},  # PyTorch's is inf there
        edges=([0.0, 0, 80, -80], [1.0, -1, 1, 1]),
    ),
    Case(
        jaxloss.MultiLabelSoftMarginLoss,
        logits_and_multilabels,
        options=({}, {"weight": class_weight}),
        inputs=MANY_EXAMPLES,
        edges=([[0.0, 1e4, -1e4], [1e4, -1e4, 0]], [[0.0, 1, 0], [0, 1, 1]]),
    ),
    Case(
        jaxloss.MultiMarginLoss,
        scores_and_labels,
        options=(
            {},
            {"p": 2},
            {"margin": 0.25, "weight": class_weight},
            {"p": 2, "margin": 3.0, "weight": class_weight},
        ),
        edges=([[0.0, 0, 0], [1.0, 0, 2], [-1.0, 0.75, 3]], [0, 0, 2]),
    ),
    Case(
        jaxloss.MultiLabelMarginLoss,
        scores_and_label_lists,
        edges=([[0.0, 1, 0], [1.0, 0, 2], [1.0, 2, 3]], [[1, -1, 0], [-1, 0, 1], [2, 2, 0]]),
    ),
    Case(
        jaxloss.HingeEmbeddingLoss,
        scores_and_signs,
        options=({}, {"margin": 0.25}),
        inputs=ELEMENTS,
        edges=([0.0, 1, 1, 0.25, 2, 3, 0.5], [1.0, -1, 1, -1, -1, 0, 0]),
        never_negative=False,
    ),
    Case(
        jaxloss.MarginRankingLoss,
        scores_scores_signs,
        options=({}, {"margin": 0.25}),
        inputs=ELEMENTS,
        edges=([0.0, 1, 1, 0.25], [0.0, 0, 1, 0], [1.0, -1, 1, 1]),
        differentiable=(0, 1),
    ),
    Case(
        jaxloss.CosineEmbeddingLoss,
        vectors_and_signs,
        options=({}, {"margin": 0.25}),
        edges=(
            [[1.0, 0], [1.0, 0], [0.0, 0], [1.0, 1], [3.0, 4], [3.0, 4]],
            [[1.0, 0], [0.0, 1], [1.0, 0], [1.0, 1], [0.0, 0], [4.0, 3]],
            [1.0, -1, -1, -1, 1, 0.5],
        ),
        differentiable=(0, 1),
    ),
    Case(
        jaxloss.TripletMarginLoss,
        vectors(3),
        options=({}, {"p": 1.0, "swap": True}, {"p": 3.0, "margin": 0.25}, {"swap": True, "eps": 0.125}),
        inputs=MANY_EXAMPLES,
        edges=([[0.0, 0], [1.0, 2], [0.0, 0]], [[0.0, 0], [1.0, 0], [3.0, 4]], [[0.0, 0], [3.0, 2], [0.0, 1]]),
        differentiable=(0, 1, 2),
    ),
    Case(
        jaxloss.TripletMarginWithDistanceLoss,
        vectors(3),
        options=({}, {"swap": True, "margin": 0.25}, {"distance_function": squared_distance}),
        inputs=MANY_EXAMPLES,
        edges=([[0.0, 0], [1.0, 2], [0.0, 0]], [[0.0, 0], [1.0, 0], [3.0, 4]], [[0.0, 0], [3.0, 2], [0.0, 1]]),
        differentiable=(0, 1, 2),
    ),
    Case(
        jaxloss.CTCLoss,
        log_probs_and_sequences,
        options=({}, {"blank": 2, "zero_infinity": True}),
        inputs={
            "batched": Inputs((5,), size=4),
            "unbatched": Inputs((), size=4),
            "prime": Inputs((3,), size=131),
            "tiny": Inputs((7,), scale=0.02, size=4),
            "large": Inputs((7,), scale=30, size=4),
        },
        edges=(
            # A label that another one repeats, exactly as many frames as are needed, one too few; nothing at all.
            np.log(np.tile([0.25, 0.5, 0.125, 0.0625], (6, 5, 1))),
            [[1, 1, 3], [1, 1, 3], [1, 3, 1], [3, 3, 3], [1, 1, 1], [1, 3, 1]],
            [4, 3, 3, 5, 0, 0],
            [3, 3, 3, 3, 0, 1],
        ),
        torch=ctc,
        never_negative=False,
    ),
]
