"""Cases of losses of a student's distribution against its teacher's."""

import math
from types import ModuleType
from typing import Any

from case import Case
from inputs import MANY_EXAMPLES, vectors
from mistakes import f, row
from references import Torch
from torch_formulas import Options, Tensor, reduced

import jaxloss

FEW = {name: MANY_EXAMPLES[name] for name in ("batched", "unbatched", "single", "tiny", "large", "extra")}
EDGES = ([[0.0, 0, 0], [30.0, 0, 0], [1.0, 2, 3], [0.0, 0, 1]], [[0.0, 0, 0], [0.0, 30, 0], [1.0, 2, 3], [1.0, 0, 0]])


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
]
