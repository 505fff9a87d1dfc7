"""Cases of losses of preferences. Their references are Liger's functions, and TRL's formulas where Liger lacks one."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import gold_language
import numpy as np
import points
from case import Case
from inputs import ELEMENTS, LOG_PROB, REAL, SIGN, Arrays, Domain, Inputs, cotangent, normal, takes
from measured import Measured
from mistakes import b, f, row
from references import Found, Package

import jaxloss

MODERATE = Domain((0.0, 2.0**-30, 0.25, -3.0, -17.0, 17.0))  # whose exponentials stay far from overflow


@takes(REAL, REAL, REAL, REAL)
def policy_and_reference(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Log-probabilities of a chosen and a rejected completion, by the policy and by the reference model."""
    return tuple(normal(rng, inputs.shape, inputs.scale) for _ in range(4))


@takes(MODERATE, MODERATE, MODERATE, MODERATE)
def near_the_reference(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return tuple(normal(rng, inputs.shape, min(inputs.scale, 4)) for _ in range(4))


@takes(REAL, REAL)
def two_policies(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), normal(rng, inputs.shape, inputs.scale)


@takes(REAL, REAL, SIGN)
def completions(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return *two_policies(rng, inputs), np.asarray(rng.integers(0, 2, inputs.shape) == 1)


@takes(LOG_PROB, LOG_PROB)
def averages(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Log-probabilities below 0, where the gradient is finite."""
    chosen, rejected = two_policies(rng, inputs)
    return -np.abs(chosen) - 0.125, -np.abs(rejected) - 0.125


def log_probs_near_certainty(kind: points.Kind) -> Arrays:
    return points.grid(kind.log_probabilities(), kind.log_probabilities())


def moderate(number: int) -> Callable[[points.Kind], Arrays]:
    """Tuples of numbers whose differences do not overflow."""
    return lambda kind: points.sampled(*[bounded(kind)] * number, number=1000)


def bounded(kind: points.Kind) -> np.ndarray:
    return kind.real()[np.abs(kind.real()) <= 1e30]


def sampled_completions(kind: points.Kind) -> Arrays:
    return points.sampled(bounded(kind), bounded(kind), np.array([0, 1]), number=1000)


# Each function takes the tensors of one element.


def liger(module: str, loss: str) -> Callable[..., Any]:
    from importlib import import_module

    return getattr(import_module(f"liger_kernel.chunked_loss.{module}"), loss).preference_loss_fn


def by_element(call: Callable[..., Any], differentiable: int) -> Package:
    """A reference that is asked for each element by itself."""

    def ask(arrays: Arrays, reduction: str, options: Mapping[str, Any]) -> Found:
        import torch

        tensors = [torch.tensor(array, requires_grad=i < differentiable) for i, array in enumerate(arrays)]
        losses = torch.stack([call(torch, *element, **options) for element in zip(*map(split, tensors), strict=True)])
        losses = losses.reshape(arrays[0].shape)
        value = {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[reduction]
        weighted = (value * torch.tensor(cotangent(tuple(value.shape)))).sum()
        slopes = torch.autograd.grad(weighted, tensors[:differentiable], materialize_grads=True)
        return value.detach().numpy(), [slope.numpy() for slope in slopes]

    def split(tensor: Any) -> Any:
        return tensor.reshape(-1, 1)

    return Package(ask)


def pair(torch: Any) -> Any:
    """Liger divides by the number of pairs, half the length of the targets."""
    return torch.zeros(2)


def first(found: Any) -> Any:
    return (found[0] if isinstance(found, tuple) else found).reshape(())


def bradley_terry(
    torch: Any, chosen: Any, rejected: Any, *, margin: float = 0.0, center: float = 0.0, label_smoothing: float = 0.0
) -> Any:
    logit, log_sigmoid = chosen - rejected - margin, torch.nn.functional.logsigmoid
    loss = -(1 - label_smoothing) * log_sigmoid(logit) - label_smoothing * log_sigmoid(-logit)
    return (loss + center * (chosen + rejected) ** 2).reshape(())


def dpo(
    torch: Any,
    *arrays: Any,
    beta: float = 0.1,
    loss_type: str = "sigmoid",
    label_smoothing: float = 0.0,
    divergence: str = "reverse_kl",
    alpha: float = 0.5,
) -> Any:
    chosen, rejected, ref_chosen, ref_rejected = arrays
    # Liger has no IPO, ignores the label smoothing of "sigmoid", and takes logarithms of that of "exo_pair" in float32.
    lacking = loss_type in ("ipo", "exo_pair") or (loss_type == "sigmoid" and label_smoothing > 0)
    if divergence == "reverse_kl" and not lacking:
        call = liger("dpo_loss", "LigerFusedLinearDPOFunction")
        options = {"beta": beta, "loss_type": loss_type, "label_smoothing": label_smoothing}
        return first(call(chosen, rejected, pair(torch), ref_chosen, ref_rejected, **options))
    log_sigmoid = torch.nn.functional.logsigmoid
    scores: dict[str, Callable[[Any], Any]] = {
        "reverse_kl": lambda x: x,
        "forward_kl": lambda x: 1 - torch.exp(-x),
        "js": lambda x: math.log(2) + log_sigmoid(x),
        "alpha": lambda x: torch.expm1((alpha - 1) * x) / (alpha - 1),
    }
    margin = scores[divergence](chosen - ref_chosen) - scores[divergence](rejected - ref_rejected)
    if loss_type == "ipo":
        return ((margin - 1 / (2 * beta)) ** 2).reshape(())
    logit = beta * margin
    if loss_type == "exo_pair":
        chosen = torch.sigmoid(logit) * (log_sigmoid(logit) - math.log1p(-label_smoothing))
        return (chosen + torch.sigmoid(-logit) * (log_sigmoid(-logit) - math.log(label_smoothing))).reshape(())
    return (-(1 - label_smoothing) * log_sigmoid(logit) - label_smoothing * log_sigmoid(-logit)).reshape(())


def cpo(torch: Any, chosen: Any, rejected: Any, *, loss_type: str = "sigmoid", beta: float = 0.1, **rest: Any) -> Any:
    if loss_type == "sigmoid":
        call = liger("cpo_loss", "LigerFusedLinearCPOFunction")
        return first(call(chosen, rejected, pair(torch), beta=beta, **rest))
    logit = chosen - rejected
    return (torch.relu(1 - beta * logit) if loss_type == "hinge" else (logit - 1 / (2 * beta)) ** 2).reshape(())


def simpo(torch: Any, chosen: Any, rejected: Any, *, beta: float = 2.0, gamma: float = 0.5, **rest: Any) -> Any:
    call = liger("simpo_loss", "LigerFusedLinearSimPOFunction")
    return first(call(chosen, rejected, pair(torch), beta=beta, gamma=gamma, **rest))


def orpo(torch: Any, chosen: Any, rejected: Any, *, beta: float = 0.1, sft_weight: float = 1.0) -> Any:
    call = liger("orpo_loss", "LigerFusedLinearORPOFunction")
    return first(call(chosen, rejected, pair(torch), beta=beta)) - sft_weight * chosen.reshape(())


def kto(
    torch: Any,
    log_probs: Any,
    reference: Any,
    targets: Any,
    *,
    loss_type: str = "kto",
    reference_point: float = 0.0,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Any:
    weight = desirable_weight if targets else undesirable_weight
    if loss_type == "bco":
        gain = beta * (log_probs - reference - reference_point)
        return -weight * torch.nn.functional.logsigmoid(gain if targets else -gain).reshape(())
    point = torch.tensor(max(reference_point, 0.0)) if loss_type == "kto" else None
    call = liger("kto_loss", "LigerFusedLinearKTOFunction")
    return weight * first(call(log_probs, targets, torch.zeros(1), reference, beta=beta, kl=point))


FEW = Inputs((400,))  # ordinary points: the formulas in many digits take their time
TWO = {"adversarial": moderate(2), "ordinary": two_policies, "differentiable": (0, 1), "inputs": FEW}
FOUR = {
    "adversarial": moderate(4),
    "ordinary": policy_and_reference,
    "differentiable": (0, 1),
    "ulps": (3, 4),
    "inputs": FEW,
}
UNPAIRED = {"adversarial": sampled_completions, "ordinary": completions, "inputs": FEW}
SMALL = {name: ELEMENTS[name] for name in ("batched", "tiny")}
INPUTS = {name: ELEMENTS[name] for name in ("batched", "unbatched", "tiny", "large", "huge")}

CASES = [
    Case(
        jaxloss.BradleyTerryLoss,
        two_policies,
        element="pair",
        options=({}, {"center": 0.25}, {"margin": 0.75, "center": 0.01, "label_smoothing": 0.1}),
        inputs=INPUTS,
        edges=([0.0, 900, -900], [0.0, -900, 900]),
        differentiable=(0, 1),
        reference=by_element(bradley_terry, 2),
        accuracy=(Measured(gold_language.bradley_terry_loss, **TWO),),
        mistakes=(
            row(
                "bradley_terry_loss-margin_that_does_not_fit",
                lambda: jaxloss.bradley_terry_loss(f(3), f(3), margin=f(2)),
                ValueError,
                "`margin` has shape (2,), but this loss has one value per element of (3,).",
            ),
            row(
                "bradley_terry_loss-center",
                lambda: jaxloss.bradley_terry_loss(f(3), f(3), center=-1.0),
                ValueError,
                "`center` is -1.0, but must be at least 0.",
            ),
        ),
    ),
    Case(
        jaxloss.DPOLoss,
        policy_and_reference,
        element="pair",
        options=(
            {},
            {"loss_type": "robust", "label_smoothing": 0.125},
            {"loss_type": "hinge"},
            {"loss_type": "ipo"},
            {"loss_type": "exo_pair", "label_smoothing": 0.125},
            {"loss_type": "apo_zero"},
            {"loss_type": "apo_down"},
            {"loss_type": "sppo_hard"},
            {"loss_type": "nca_pair"},
            {"loss_type": "bco_pair", "beta": 0.5},
            {"beta": 0.5, "label_smoothing": 0.25},
        ),
        inputs=INPUTS,
        edges=([0.0, 10, 900, -900], [0.0, 0, -900, 900], [0.0, 0, 0, 0], [0.0, 0, 0, 0]),
        differentiable=(0, 1),
        never_negative=False,
        reference=by_element(dpo, 2),
        accuracy=tuple(
            Measured(gold_language.dpo_loss, options=options, never_negative=False, **FOUR)
            for options in ({}, {"loss_type": "ipo"}, {"loss_type": "apo_zero"}, {"loss_type": "nca_pair"})
        ),
        mistakes=(
            row(
                "dpo_loss-unknown_type",
                lambda: jaxloss.dpo_loss(f(3), f(3), f(3), f(3), loss_type="sigmoid_norm"),
                ValueError,
                "`loss_type` is 'sigmoid_norm'; it must be 'sigmoid', 'robust', ",
                "'nca_pair' or 'bco_pair'.",
            ),
            row(
                "dpo_loss-unknown_divergence",
                lambda: jaxloss.dpo_loss(f(3), f(3), f(3), f(3), divergence="kl"),
                ValueError,
                "`divergence` is 'kl'; it must be 'reverse_kl', 'forward_kl', 'js' or 'alpha'.",
            ),
            row(
                "dpo_loss-divergence_of_rewards",
                lambda: jaxloss.dpo_loss(f(3), f(3), f(3), f(3), loss_type="apo_zero", divergence="js"),
                ValueError,
                "`loss_type` is 'apo_zero', which takes no other `divergence` than 'reverse_kl'.",
            ),
            *(
                row(
                    f"dpo_loss-label_smoothing_of_{loss_type}",
                    lambda loss_type=loss_type, smoothing=smoothing: jaxloss.dpo_loss(
                        f(3), f(3), f(3), f(3), loss_type=loss_type, label_smoothing=smoothing
                    ),
                    ValueError,
                    f"`label_smoothing` is {smoothing}, but must be {words} if `loss_type` is '{loss_type}'.",
                )
                for loss_type, smoothing, words in (
                    ("sigmoid", 1.5, "at least 0 and at most 1"),
                    ("robust", 0.5, "at least 0 and below 0.5"),
                    ("exo_pair", 0.0, "above 0 and below 1"),
                    ("hinge", 0.1, "0"),
                )
            ),
            row(
                "dpo_loss-reference_of_another_batch",
                lambda: jaxloss.dpo_loss(f(3), f(3), f(3), f(3, 1)),
                ValueError,
                "`ref_rejected_log_probs` has shape (3, 1), but `chosen_log_probs` has shape (3,), and losses do not ",
            ),
        ),
    ),
    Case(
        jaxloss.DPOLoss,
        near_the_reference,
        element="pair",
        variant="divergence",
        options=(
            {"divergence": "forward_kl"},
            {"divergence": "js"},
            {"divergence": "alpha", "alpha": 0.25, "beta": 0.5, "label_smoothing": 0.125},
        ),
        inputs=SMALL,
        differentiable=(0, 1),
        reference=by_element(dpo, 2),
    ),
    Case(
        jaxloss.CPOLoss,
        two_policies,
        element="pair",
        options=({}, {"loss_type": "hinge"}, {"loss_type": "ipo"}, {"beta": 0.5, "label_smoothing": 0.125}),
        inputs=INPUTS,
        edges=([0.0, 10, 900, -900], [0.0, 0, -900, 900]),
        differentiable=(0, 1),
        reference=by_element(cpo, 2),
        accuracy=(Measured(gold_language.cpo_loss, **TWO),),
        mistakes=(
            row(
                "cpo_loss-type_with_a_reference",
                lambda: jaxloss.cpo_loss(f(3), f(3), loss_type="apo_zero"),
                ValueError,
                "`loss_type` is 'apo_zero'; it must be 'sigmoid', 'hinge' or 'ipo'.",
            ),
        ),
    ),
    Case(
        jaxloss.SimPOLoss,
        two_policies,
        element="pair",
        options=({}, {"beta": 2.5, "gamma": 0.25, "label_smoothing": 0.125}),
        inputs=INPUTS,
        edges=([0.0, 0.25, 900, -900], [0.0, 0, -900, 900]),
        differentiable=(0, 1),
        reference=by_element(simpo, 2),
        accuracy=(Measured(gold_language.simpo_loss, **TWO),),
    ),
    Case(
        jaxloss.ORPOLoss,
        averages,
        element="pair",
        options=({}, {"beta": 0.5, "sft_weight": 0.25}),
        inputs=INPUTS,
        edges=([0.0, -1, -0.5, -50], [-1.0, -1, -50, -0.5]),
        differentiable=(0, 1),
        reference=by_element(orpo, 2),
        accuracy=(
            Measured(gold_language.orpo_loss, log_probs_near_certainty, averages, differentiable=(0, 1), ulps=(3, 8)),
        ),
    ),
    Case(
        jaxloss.KTOLoss,
        completions,
        element="completion",
        options=(
            {},
            {"loss_type": "apo_zero_unpaired"},
            {"loss_type": "bco", "reference_point": -0.5},
            {"reference_point": 0.25, "beta": 0.5, "desirable_weight": 0.75, "undesirable_weight": 1.25},
        ),
        inputs=INPUTS,
        edges=([0.0, 0, 900, -900], [0.0, 0, 0, 0], np.array([True, False, True, True])),
        constants=("reference_point",),
        reference=by_element(kto, 1),
        accuracy=(
            Measured(gold_language.kto_loss, **UNPAIRED),
            Measured(gold_language.kto_loss, options={"loss_type": "bco"}, **UNPAIRED),
        ),
        mistakes=(
            row(
                "kto_loss-unknown_type",
                lambda: jaxloss.kto_loss(f(3), f(3), b(3), loss_type="sigmoid"),
                ValueError,
                "`loss_type` is 'sigmoid'; it must be 'kto', 'apo_zero_unpaired' or 'bco'.",
            ),
        ),
    ),
]
