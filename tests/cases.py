"""One Case a loss: the only list of losses in the tests.

A Case says how to make inputs, which options to try and which inputs have gradients; the fixtures, the parity tests and
the laws take everything else from it. Inputs have few digits, so that they are the same numbers in every dtype.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

import jaxloss

Arrays = tuple[np.ndarray, ...]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What a Case makes inputs from: the shape of the unreduced loss, a size of logits, a number of classes."""

    shape: tuple[int, ...]
    scale: float = 1.0
    size: int = 5  # of the class axis, or of a vector
    seed: int = 0


ELEMENTS = {
    "batched": Inputs((5, 3)),
    "unbatched": Inputs(()),
    "vector": Inputs((7,)),
    "extra": Inputs((2, 3, 2, 2)),
    "tiny": Inputs((11,), scale=0.02),
    "large": Inputs((11,), scale=30),
    "huge": Inputs((11,), scale=1e4),
}
EXAMPLES = {
    "batched": Inputs((5,)),
    "unbatched": Inputs(()),
    "single": Inputs((3,), size=1),
    "prime": Inputs((2,), size=131),
    "tiny": Inputs((7,), scale=0.02),
    "large": Inputs((7,), scale=30),
    "huge": Inputs((7,), scale=1e4),
}
MANY_EXAMPLES = EXAMPLES | {"extra": Inputs((2, 3, 2))}


def reference(name: str) -> Callable[..., Any]:
    """PyTorch's function of the same name, which takes the same arrays in the same order."""

    def call(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Any:
        return getattr(functional, name)(*arrays, reduction=reduction, **options)

    return call


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
    return {name: value(arrays) if value is class_weight else value for name, value in options.items()}


def snapped(values: np.ndarray) -> np.ndarray:
    """Rounded to 8 binary digits and to 0 below 2**-14: exact in float64, float32, bfloat16 and float16."""
    mantissa, exponent = np.frexp(values)
    rounded = np.ldexp(np.round(mantissa * 2**8) / 2**8, exponent)
    return np.where(np.abs(rounded) < 2**-14, 0.0, rounded)


def class_weight(arrays: Arrays) -> np.ndarray:
    """A weight for each entry of the first array's last axis."""
    shape = arrays[0].shape[-1:]
    return np.asarray(0.25 + np.arange(np.prod(shape)).reshape(shape) % 7 / 2)


def cotangent(shape: tuple[int, ...]) -> np.ndarray:
    """What an unreduced loss is weighed with before it is differentiated: numbers that differ, and differ in sign."""
    return np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape).round(2)


def normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    return np.asarray(rng.normal(size=shape) * scale)


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.choice([-1.0, 1.0], size=shape))


def pair(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), normal(rng, inputs.shape, inputs.scale)


def counts(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, min(inputs.scale, 8)), np.asarray(rng.poisson(3, inputs.shape) * 1.0)


def rates(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return np.asarray(rng.gamma(2, inputs.scale, inputs.shape) + 0.125), np.asarray(rng.poisson(3, inputs.shape) * 1.0)


def means_and_variances(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (*pair(rng, inputs), np.asarray(rng.gamma(2, inputs.scale, inputs.shape) + 0.125))


def rowwise_variances(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (*pair(rng, inputs), np.asarray(rng.gamma(2, inputs.scale, (*inputs.shape[:-1], 1)) + 0.125))


def unsqueezed_variances(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    predictions, targets = pair(rng, inputs)
    return predictions, targets, np.asarray(rng.gamma(2, inputs.scale, inputs.shape[:-1]) + 0.125)


def log_probs_and_probs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return -np.abs(normal(rng, inputs.shape, inputs.scale)) - 0.125, np.asarray(rng.uniform(0.05, 1, inputs.shape))


def two_log_probs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    first, second = pair(rng, inputs)
    return -np.abs(first), -np.abs(second)


def probabilities(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return np.asarray(rng.uniform(0.05, 0.95, inputs.shape)), np.asarray(rng.uniform(0, 1, inputs.shape))


def logits_and_probabilities(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), np.asarray(rng.uniform(0, 1, inputs.shape))


def scores_and_signs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), signs(rng, inputs.shape)


def scores_scores_signs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (*pair(rng, inputs), signs(rng, inputs.shape))


def logits_and_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    labels = np.asarray(rng.integers(0, inputs.size, inputs.shape))
    if labels.size > 2:
        labels.flat[1] = -100
    return normal(rng, (*inputs.shape, inputs.size), inputs.scale), labels


def scores_and_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, (*inputs.shape, inputs.size), inputs.scale), np.asarray(
        rng.integers(0, inputs.size, inputs.shape)
    )


def logits_and_soft_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    soft = rng.dirichlet(np.ones(inputs.size), inputs.shape) if inputs.size > 1 else np.ones((*inputs.shape, 1))
    return normal(rng, (*inputs.shape, inputs.size), inputs.scale), np.asarray(soft)


def logits_and_multilabels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = (*inputs.shape, inputs.size)
    return normal(rng, shape, inputs.scale), np.asarray(rng.integers(0, 2, shape) * 1.0)


def scores_and_label_lists(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Lists of up to C classes, the rest -1 or, past the first -1, anything; some name a class twice."""
    shape = (*inputs.shape, inputs.size)
    lists = rng.integers(0, inputs.size, shape)
    ends = rng.integers(0, min(inputs.size, 4) + 1, (*inputs.shape, 1))
    return normal(rng, shape, inputs.scale), np.where(np.arange(inputs.size) == ends, -1, lists)


def vectors(number: int) -> Callable[[np.random.Generator, Inputs], Arrays]:
    def make(rng: np.random.Generator, inputs: Inputs) -> Arrays:
        return tuple(normal(rng, (*inputs.shape, inputs.size), inputs.scale) for _ in range(number))

    return make


def vectors_and_signs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (*vectors(2)(rng, inputs), signs(rng, inputs.shape))


def squared_distance(a: Any, b: Any) -> Any:
    return ((a - b) ** 2).sum(-1)


def classes_first(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Any:
    """PyTorch's class axis is 1, and it has no z-loss: that is written out."""
    options = dict(options)
    z_loss = options.pop("z_loss", 0.0)
    logits, targets = arrays
    name = options.pop("name", "cross_entropy")
    call = getattr(functional, name)

    def first(array: Any) -> Any:
        return array.movedim(-1, 1).contiguous() if array.ndim > 1 else array

    soft = targets.is_floating_point()
    losses = call(
        first(logits), first(targets) if soft else targets, reduction="none" if z_loss else reduction, **options
    )
    if not z_loss:
        return losses
    kept = (targets != options.get("ignore_index", -100)) if not soft else losses == losses
    losses = losses + z_loss * kept * logits.logsumexp(-1) ** 2
    weight = options.get("weight")
    count = kept.double() if weight is None or soft else kept * weight[targets.clamp_min(0)]
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / count.sum()}[reduction]


def nll_classes_first(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Any:
    return classes_first(functional, arrays, reduction, {**options, "name": "nll_loss"})


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
]
