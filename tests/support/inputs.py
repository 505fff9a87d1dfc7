"""Inputs of the Cases: shapes and sizes, the arrays that losses take, and PyTorch's spelling."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
Options = Mapping[str, Any]
INF = np.inf


@dataclass(frozen=True)
class Inputs:
    """What a Case makes inputs from: the shape of the unreduced loss, a size of logits, a number of classes."""

    shape: tuple[int, ...]
    scale: float = 1.0
    size: int = 5  # of the class axis, or of a vector
    seed: int = 0


@dataclass(frozen=True)
class Domain:
    """Values that are at the edges of what an argument may be, and values that it must not be."""

    good: tuple[float, ...]
    bad: tuple[float, ...] = (np.nan,)


SIZES = (2.0**-130, 2.0**-30, 2.0**-10, 1.0, 17.0, 88.0, 104.0, 1e4)  # the first is 0, or of subnormal size
REAL = Domain((0.0, *SIZES, *(-size for size in SIZES)))
LOG_PROB = Domain((0.0, *(-size for size in SIZES)))
PROBABILITY = Domain((0.0, 2.0**-30, 0.5, 1 - 2.0**-8, 1.0), (-0.5, 1.5, np.nan))
MASS = Domain(PROBABILITY.good, (-0.5, np.nan))
RATE = Domain((2.0**-10, 1.0, 1e4), (-1.0, np.nan))
VARIANCE = Domain((0.0, 2.0**-20, 1.0, 1e4), (-1.0, np.nan))
COUNT = Domain((0.0, 1.0, 2.0, 1e4))
LABEL = Domain((), (-1, 10**6))
LABEL_LIST = Domain((), (-2, 10**6))
LENGTH = Domain((), (-1, 10**6))
SIGN = WEIGHTS = SEQUENCE = Domain((), ())
BOX = IMAGE = Domain((), (np.nan,))
COORDINATE = Domain((0.0, 0.5, 1.0), (-0.5, 1e4, np.nan))

Make = Callable[[np.random.Generator, Inputs], Arrays]


def takes(*domains: Domain) -> Callable[[Make], Make]:
    """Note the domain of each array that a function makes."""

    def noted(make: Make) -> Make:
        make.domains = domains
        return make

    return noted


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
# The ordinary inputs that accuracy is measured at.
VECTORS = Inputs((200,), size=10)
LOGITS = Inputs((200,), size=10, scale=3)


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


@takes(REAL, REAL)
def pair(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), normal(rng, inputs.shape, inputs.scale)


@takes(REAL, COUNT)
def counts(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, min(inputs.scale, 8)), np.asarray(rng.poisson(3, inputs.shape) * 1.0)


@takes(RATE, COUNT)
def rates(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return np.asarray(rng.gamma(2, inputs.scale, inputs.shape) + 0.125), np.asarray(rng.poisson(3, inputs.shape) * 1.0)


@takes(REAL, REAL, VARIANCE)
def means_and_variances(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (*pair(rng, inputs), np.asarray(rng.gamma(2, inputs.scale, inputs.shape) + 0.125))


@takes(REAL, REAL, WEIGHTS)
def rowwise_variances(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (*pair(rng, inputs), np.asarray(rng.gamma(2, inputs.scale, (*inputs.shape[:-1], 1)) + 0.125))


@takes(REAL, REAL, WEIGHTS)
def unsqueezed_variances(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    predictions, targets = pair(rng, inputs)
    return predictions, targets, np.asarray(rng.gamma(2, inputs.scale, inputs.shape[:-1]) + 0.125)


@takes(LOG_PROB, MASS)
def log_probs_and_probs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return -np.abs(normal(rng, inputs.shape, inputs.scale)) - 0.125, np.asarray(rng.uniform(0.05, 1, inputs.shape))


@takes(LOG_PROB, LOG_PROB)
def two_log_probs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    first, second = pair(rng, inputs)
    return -np.abs(first), -np.abs(second)


@takes(PROBABILITY, PROBABILITY)
def probabilities(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return np.asarray(rng.uniform(0.05, 0.95, inputs.shape)), np.asarray(rng.uniform(0, 1, inputs.shape))


@takes(REAL, PROBABILITY)
def logits_and_probabilities(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), np.asarray(rng.uniform(0, 1, inputs.shape))


@takes(REAL, SIGN)
def scores_and_signs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), signs(rng, inputs.shape)


@takes(REAL, REAL, SIGN)
def scores_scores_signs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (*pair(rng, inputs), signs(rng, inputs.shape))


@takes(REAL, LABEL)
def logits_and_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    labels = np.asarray(rng.integers(0, inputs.size, inputs.shape))
    if labels.size > 2:
        labels.flat[1] = -100
    return normal(rng, (*inputs.shape, inputs.size), inputs.scale), labels


@takes(REAL, LABEL)
def scores_and_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, (*inputs.shape, inputs.size), inputs.scale), np.asarray(
        rng.integers(0, inputs.size, inputs.shape)
    )


@takes(REAL, LABEL)
def thresholds_and_grades(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    grades = np.asarray(rng.integers(0, inputs.size + 1, inputs.shape))
    return normal(rng, (*inputs.shape, inputs.size), inputs.scale), grades


@takes(REAL, COORDINATE)
def logits_and_coordinates(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    coordinates = np.asarray(rng.uniform(0, inputs.size - 1, inputs.shape))
    return normal(rng, (*inputs.shape, inputs.size), inputs.scale), coordinates


@takes(IMAGE, IMAGE)
def two_images(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    first, second = (rng.uniform(0, 1, (*inputs.shape, 12, 11, 2)) for _ in range(2))
    return first, (first + second) / 2


@takes(IMAGE)
def one_image(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (rng.uniform(0, 1, (*inputs.shape, 4, 3, 2)),)


@takes(REAL, MASS)
def logits_and_soft_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    soft = rng.dirichlet(np.ones(inputs.size), inputs.shape) if inputs.size > 1 else np.ones((*inputs.shape, 1))
    return normal(rng, (*inputs.shape, inputs.size), inputs.scale), np.asarray(soft)


WIDTH = 3


@takes(REAL, WEIGHTS, LABEL)
def hidden_kernel_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    hidden, kernel = normal(rng, (*inputs.shape, WIDTH), inputs.scale), normal(rng, (WIDTH, inputs.size), 1)
    return hidden, kernel, logits_and_labels(rng, inputs)[1]


@takes(REAL, WEIGHTS, LABEL)
def examples_and_classes(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """As many classes as examples. Every second class has two examples, and the others have none."""
    (number,) = inputs.shape
    embeddings, kernel = normal(rng, (number, WIDTH), inputs.scale), normal(rng, (WIDTH, number), 1)
    return embeddings, kernel, np.arange(number) // 2 * 2


@takes(REAL, WEIGHTS, LABEL)
def hidden_heads_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Two heads: of every example, two classes."""
    hidden, kernel = normal(rng, (*inputs.shape, WIDTH), inputs.scale), normal(rng, (WIDTH, 2, inputs.size), 1)
    labels = np.asarray(rng.integers(0, inputs.size, (*inputs.shape, 2)))
    labels.flat[1] = -100
    return hidden, kernel, labels


@takes(REAL, WEIGHTS, MASS)
def hidden_kernel_soft_labels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    hidden, kernel = normal(rng, (*inputs.shape, WIDTH), inputs.scale), normal(rng, (WIDTH, inputs.size), 1)
    return hidden, kernel, logits_and_soft_labels(rng, inputs)[1]


def head_bias(arrays: Arrays) -> np.ndarray:
    """A bias for each class of each head of the second array, a kernel."""
    shape = arrays[1].shape[1:]
    return np.asarray(np.arange(np.prod(shape)).reshape(shape) % 5 / 4 - 0.5)


def kernel_weight(arrays: Arrays) -> np.ndarray:
    """A weight for each class of the second array, a kernel."""
    return class_weight(arrays[1:])


@takes(REAL, PROBABILITY)
def logits_and_multilabels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = (*inputs.shape, inputs.size)
    return normal(rng, shape, inputs.scale), np.asarray(rng.integers(0, 2, shape) * 1.0)


@takes(REAL, LABEL_LIST)
def scores_and_label_lists(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Lists of up to C classes, the rest -1 or, past the first -1, anything; some name a class twice."""
    shape = (*inputs.shape, inputs.size)
    lists = rng.integers(0, inputs.size, shape)
    ends = rng.integers(0, min(inputs.size, 4) + 1, (*inputs.shape, 1))
    return normal(rng, shape, inputs.scale), np.where(np.arange(inputs.size) == ends, -1, lists)


def vectors(number: int) -> Callable[[np.random.Generator, Inputs], Arrays]:
    @takes(*[REAL] * number)
    def make(rng: np.random.Generator, inputs: Inputs) -> Arrays:
        return tuple(normal(rng, (*inputs.shape, inputs.size), inputs.scale) for _ in range(number))

    return make


@takes(BOX, BOX)
def two_boxes(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Corners that are boxes in every format, because no coordinate is negative."""

    def boxes() -> np.ndarray:
        low = np.abs(normal(rng, (*inputs.shape, 2), inputs.scale))
        return np.concatenate([low, low + (rng.gamma(2, 1, low.shape) + 0.125) * inputs.scale], -1)

    return boxes(), boxes()


@takes(REAL, REAL, SIGN)
def vectors_and_signs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (*vectors(2)(rng, inputs), signs(rng, inputs.shape))


@takes(REAL, REAL, PROBABILITY)
def vectors_and_probabilities(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (*vectors(2)(rng, inputs), np.asarray(rng.integers(0, 5, inputs.shape) / 4))


@takes(REAL, WEIGHTS)
def vectors_and_classes(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Examples of two classes, in turn."""
    (embeddings,) = vectors(1)(rng, inputs)
    return embeddings, np.arange(inputs.shape[0]) % 2


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
    keep = (targets != options.get("ignore_index", -100)) if not soft else losses == losses
    losses = losses + z_loss * keep * logits.logsumexp(-1) ** 2
    weight = options.get("weight")
    count = keep.double() if weight is None or soft else keep * weight[targets.clamp_min(0)]
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / count.sum()}[reduction]


def linear_first(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Any:
    """PyTorch's kernel is transposed and its class axis is 1. Where it lacks an option, its cross-entropy of logits."""
    options = dict(options)
    hidden, kernel, targets = arrays
    options.pop("chunk_size", None)
    bias, softcap = options.pop("bias", None), options.pop("logit_softcap", None)
    labels = targets.ndim == 1 and not targets.is_floating_point()
    plain = kernel.ndim == 2 and labels and softcap is None and not options.get("z_loss")
    if plain and not options.get("label_smoothing"):
        return functional.linear_cross_entropy(
            hidden, kernel.T, targets, linear_bias=bias, reduction=reduction, ignore_index=-100, **options
        )
    logits = (hidden @ kernel.flatten(1)).unflatten(-1, kernel.shape[1:])
    logits = logits if bias is None else logits + bias
    logits = logits if softcap is None else softcap * (logits / softcap).tanh()
    return classes_first(functional, (logits, targets), reduction, options)


def nll_classes_first(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Any:
    return classes_first(functional, arrays, reduction, {**options, "name": "nll_loss"})


@takes(LOG_PROB, SEQUENCE, LENGTH, LENGTH)
def log_probs_and_sequences(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Enough frames, nine at most, and three labels at most, some of them repeated; 0 and 2 are no labels."""
    frames, labels = 9, 3
    log_probs = -np.abs(normal(rng, (*inputs.shape, frames, inputs.size), inputs.scale)) - 0.125
    targets = np.asarray(rng.choice(np.delete(np.arange(inputs.size), [0, 2]), (*inputs.shape, labels)))
    targets[..., 1] = targets[..., 0]
    lengths = np.asarray(rng.integers(0, labels + 1, inputs.shape))
    lengths.flat[0] = labels
    return log_probs, targets, np.asarray(rng.integers(5, frames + 1, inputs.shape)), lengths


@takes(REAL, SEQUENCE, LENGTH, LENGTH)
def logits_and_sequences(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    log_probs, *rest = log_probs_and_sequences(rng, inputs)
    return normal(rng, log_probs.shape, inputs.scale), *rest


def ctc(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Any:
    """PyTorch's frames come first, and its gradient has the class's probability added, where there is a path."""
    log_probs, targets, input_lengths, target_lengths = arrays
    options = dict(options)
    frames_first = log_probs if options.pop("time_major", False) or log_probs.ndim == 2 else log_probs.swapaxes(0, 1)
    rest = (frames_first, targets, input_lengths, target_lengths)
    feasible = functional.ctc_loss(*rest, reduction="none", blank=options.get("blank", 0)).isfinite()
    frame = input_lengths.new_tensor(range(len(frames_first)))
    used = (frame < input_lengths[..., None]).movedim(-1, 0)
    excess = (frames_first.exp().sum(-1) * used * feasible).sum(0)
    excess = excess - excess.detach()
    excess = {"none": excess, "sum": excess.sum(), "mean": (excess / target_lengths.clamp_min(1)).mean()}[reduction]
    return functional.ctc_loss(*rest, reduction=reduction, **options) - excess


def ctc_with_logits(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Any:
    logits, *rest = arrays
    return ctc(functional, (functional.log_softmax(logits, -1), *rest), reduction, options)
