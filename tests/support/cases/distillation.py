"""Cases of losses of a student's distribution against its teacher's."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import gold_lists
import numpy as np
from case import Case
from inputs import LABEL, LOG_PROB, MANY_EXAMPLES, REAL, WEIGHTS, Arrays, Inputs, head_bias, normal, takes, vectors
from measured import Measured
from mistakes import f, i, row
from references import Torch
from torch_formulas import Options, Tensor, reduced

import jaxloss

FEW = {name: MANY_EXAMPLES[name] for name in ("batched", "unbatched", "single", "tiny", "large", "extra")}
EDGES = ([[0.0, 0, 0], [30.0, 0, 0], [1.0, 2, 3], [0.0, 0, 1]], [[0.0, 0, 0], [0.0, 30, 0], [1.0, 2, 3], [1.0, 0, 0]])

DISTRIBUTIONS = {
    "adversarial": gold_lists.two_distributions,
    "ordinary": gold_lists.ordinary_distributions,
    "inputs": gold_lists.LISTS,
    "differentiable": (0, 1),
}


def divergence(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Tensor:
    student, teacher = arrays
    temperature, beta = options.get("temperature", 1.0), options.get("beta", 0.5)
    log_p, log_q = functional.log_softmax(teacher / temperature, -1), functional.log_softmax(student / temperature, -1)

    def kl(first: Tensor, second: Tensor) -> Tensor:
        return (first.exp() * (first - second)).sum(-1)

    name, losses = options.get("divergence", "kl"), {}
    if name in ("js", "skew_kl"):
        log_m = (log_p + math.log(beta)).logaddexp(log_q + math.log(1 - beta))
        losses = {"js": beta * kl(log_p, log_m) + (1 - beta) * kl(log_q, log_m), "skew_kl": kl(log_p, log_m)}
    losses |= {"kl": kl(log_p, log_q), "reverse_kl": kl(log_q, log_p)}
    losses["tv"] = (log_p.exp() - log_q.exp()).abs().sum(-1) / 2
    scale = temperature**2 if options.get("rescale", True) else 1
    return reduced(scale * losses[name], reduction)


@takes(REAL, WEIGHTS, REAL, WEIGHTS)
def hidden_and_kernels(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    widths = (3, 2)
    pairs = ((normal(rng, (*inputs.shape, w), inputs.scale), normal(rng, (w, inputs.size), 1)) for w in widths)
    return tuple(array for pair in pairs for array in pair)


def linear_divergence(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Tensor:
    hidden, kernel, teacher_hidden, teacher_kernel = arrays
    options = {name: value for name, value in options.items() if name != "chunk_size"}
    cap = options.pop("logit_softcap", None)
    biases = [options.pop(name, 0.0) for name in ("bias", "teacher_bias")]
    logits = [h @ k + b for h, k, b in zip((hidden, teacher_hidden), (kernel, teacher_kernel), biases, strict=True)]
    if cap is not None:
        logits = [cap * (each / cap).tanh() for each in logits]
    return divergence(functional, tuple(logits), reduction, options)


@takes(REAL, LABEL, LOG_PROB)
def logits_and_top_k(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """The teacher has two classes of each distribution, not in the order of their probabilities."""
    logits = normal(rng, (*inputs.shape, inputs.size), inputs.scale)
    classes = rng.permuted(np.broadcast_to(np.arange(inputs.size), logits.shape), axis=-1)[..., :2]
    return logits, classes, -np.abs(normal(rng, classes.shape, inputs.scale)) - 0.75


@takes(REAL, WEIGHTS, LABEL, LOG_PROB)
def hidden_and_top_k(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    _, classes, log_probs = logits_and_top_k(rng, inputs)
    hidden, kernel = normal(rng, (*inputs.shape, 3), inputs.scale), normal(rng, (3, inputs.size), 1)
    return hidden, kernel, classes, log_probs


def top_k_divergence(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Tensor:
    logits, classes, log_p = arrays
    temperature = options.get("temperature", 1.0)
    log_q = functional.log_softmax(logits / temperature, -1).gather(-1, classes)
    if options.get("renormalize"):
        log_p, log_q = (functional.log_softmax(each, -1) for each in (log_p, log_q))
    scale = temperature**2 if options.get("rescale", True) else 1
    return reduced(scale * (log_p.exp() * (log_p - log_q)).sum(-1), reduction)


def linear_top_k_divergence(
    functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options
) -> Tensor:
    hidden, kernel, classes, log_p = arrays
    logits, cap = hidden @ kernel + options.get("bias", 0.0), options.get("logit_softcap")
    logits = logits if cap is None else cap * (logits / cap).tanh()
    return top_k_divergence(functional, (logits, classes, log_p), reduction, options)


def unfit_classes(loss: Callable[..., Any], *given: Any) -> list[Any]:
    """Mistakes with the teacher's classes, which follow the arrays of the student for 4 examples and 3 classes."""
    return [
        row(
            f"{loss.__name__}-{what}",
            lambda classes=classes, log_probs=log_probs: loss(*given, classes, log_probs),
            error,
            message,
        )
        for what, classes, log_probs, error, message in (
            ("floating", f(4, 2), f(4, 2), TypeError, "`teacher_classes` has dtype float32, but class numbers are"),
            ("other_k", i(4, 2), f(4, 1), ValueError, "`teacher_log_probs` has shape (4, 1), but `teacher_classes`"),
            ("no_k", i(4), f(4), ValueError, "`teacher_classes` has shape (4,)"),
            ("other_batch", i(5, 2), f(5, 2), ValueError, "must be (4, 'k') with at least one class."),
        )
    ]


CASES = [
    Case(
        jaxloss.DistillationLoss,
        vectors(2),
        element="distribution",
        options=(
            {},
            {"divergence": "js", "beta": 0.25, "temperature": 2.0, "rescale": False},
            {"divergence": "reverse_kl", "temperature": 3.0},
            {"divergence": "skew_kl", "beta": 0.125},
            {"divergence": "tv"},
        ),
        inputs=FEW,
        edges=EDGES,
        differentiable=(0, 1),
        reference=Torch(divergence),
        accuracy=(
            Measured(gold_lists.distillation_loss, **DISTRIBUTIONS),
            Measured(gold_lists.distillation_loss, options={"divergence": "js"}, **DISTRIBUTIONS),
        ),
        mistakes=(
            row(
                "distillation_loss-divergence",
                lambda: jaxloss.distillation_loss(f(4, 3), f(4, 3), divergence="jsd"),
                ValueError,
                "`divergence` is 'jsd'; it must be 'kl', 'reverse_kl', 'js', 'skew_kl' or 'tv'.",
            ),
            *(
                row(
                    f"distillation_loss-js_beta={beta}",
                    lambda beta=beta: jaxloss.distillation_loss(f(4, 3), f(4, 3), divergence="js", beta=beta),
                    ValueError,
                    f"`beta` is {beta}, but must be above 0 and below 1",
                    'use divergence="kl"',
                )
                for beta in (0.0, 1.0)
            ),
            row(
                "distillation_loss-beta",
                lambda: jaxloss.distillation_loss(f(4, 3), f(4, 3), divergence="skew_kl", beta=1.5),
                ValueError,
                "`beta` is 1.5, but must be at least 0 and at most 1.",
            ),
            row(
                "distillation_loss-temperature",
                lambda: jaxloss.distillation_loss(f(4, 3), f(4, 3), temperature=0.0),
                ValueError,
                "`temperature` is 0.0, but must be above 0.",
            ),
            row(
                "distillation_loss-classes",
                lambda: jaxloss.distillation_loss(f(4, 3), f(4, 2)),
                ValueError,
                "`teacher_logits` has shape (4, 2), but `logits` has shape (4, 3)",
            ),
        ),
    ),
    Case(
        jaxloss.LinearDistillationLoss,
        hidden_and_kernels,
        element="distribution",
        options=(
            {"chunk_size": 2},
            {"divergence": "js", "beta": 0.25, "temperature": 2.0, "bias": head_bias, "teacher_bias": head_bias},
            {"divergence": "reverse_kl", "temperature": 3.0, "rescale": False, "logit_softcap": 2.0, "chunk_size": 3},
            {"divergence": "skew_kl", "beta": 0.125, "chunk_size": 1},
            {"divergence": "tv"},
        ),
        # Not "large": a rounding of float32 logits of size 100 is multiplied by hidden states of size 30.
        inputs={name: FEW[name] for name in ("batched", "unbatched", "tiny", "extra")},
        differentiable=(0, 1, 2, 3),
        reference=Torch(linear_divergence),
        shared=(1, 3),
        float32_losses=True,
        mistakes=(
            row(
                "linear_distillation_loss-classes",
                lambda: jaxloss.linear_distillation_loss(f(4, 2), f(2, 3), f(4, 2), f(2, 5)),
                ValueError,
                "`kernel` has shape (2, 3) and `teacher_kernel` (2, 5), but they must be (width, classes) with",
            ),
            row(
                "linear_distillation_loss-tokens",
                lambda: jaxloss.linear_distillation_loss(f(4, 2), f(2, 3), f(3, 2), f(2, 3)),
                ValueError,
                "`teacher_hidden` has shape (3, 2), but `hidden` (4, 2) has the tokens (4,).",
            ),
            row(
                "linear_distillation_loss-teacher_width",
                lambda: jaxloss.linear_distillation_loss(f(4, 2), f(2, 3), f(4, 5), f(3, 5)),
                ValueError,
                "`teacher_kernel` has shape (3, 5), but for `teacher_hidden` (4, 5) it must be (width, classes)",
                "use `teacher_kernel.T`",
            ),
        ),
    ),
    Case(
        jaxloss.TopKDistillationLoss,
        logits_and_top_k,
        element="distribution",
        options=({}, {"renormalize": True, "temperature": 2.0, "rescale": False}, {"temperature": 2.0}),
        inputs={name: FEW[name] for name in ("batched", "unbatched", "tiny", "extra")},
        edges=([[0.0, 0, 0], [30.0, 0, 0], [1.0, 2, 3]], [[0, 1], [1, 2], [2, 0]], [[-1.0, -1], [-2, -1], [-0.5, -3]]),
        differentiable=(0, 2),
        never_negative=False,
        reference=Torch(top_k_divergence),
        accuracy=(
            Measured(
                gold_lists.top_k_distillation_loss,
                gold_lists.top_k,
                gold_lists.ordinary_top_k,
                inputs=gold_lists.LISTS,
                differentiable=(0, 2),
                never_negative=False,
            ),
        ),
        mistakes=tuple(unfit_classes(jaxloss.top_k_distillation_loss, f(4, 3))),
    ),
    Case(
        jaxloss.LinearTopKDistillationLoss,
        hidden_and_top_k,
        element="distribution",
        options=(
            {"chunk_size": 2, "temperature": 2.0, "bias": head_bias},
            {"chunk_size": 3, "renormalize": True, "rescale": False, "logit_softcap": 2.0},
        ),
        inputs={name: FEW[name] for name in ("batched", "unbatched", "extra")},
        differentiable=(0, 1, 3),
        never_negative=False,
        reference=Torch(linear_top_k_divergence),
        shared=(1,),
        float32_losses=True,
        mistakes=tuple(unfit_classes(jaxloss.linear_top_k_distillation_loss, f(4, 2), f(2, 3))),
    ),
]
