"""Losses that PyTorch lacks, written from their papers with its tensors, so that it gives their gradients.

`fixtures/make.py` alone runs them.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

Tensor = Any
Options = dict[str, Any]


def reduced(losses: Tensor, reduction: str, count: Tensor | None = None) -> Tensor:
    total = losses.sum()
    mean = total / (losses.numel() if count is None else count.sum())
    return {"none": losses, "sum": total, "mean": mean}[reduction]


def class_losses(loss: Callable[..., Tensor], *names: str) -> Callable[..., Tensor]:
    """The sum over the classes of weight * target * loss(-log p). `loss` takes the options with these names."""

    def call(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
        logits, targets = arrays
        weight = options.get("weight", logits.new_ones(logits.shape[-1]))
        smoothing = options.get("label_smoothing", 0.0)
        own = {name: options[name] for name in names if name in options}
        count = None
        if targets.is_floating_point():
            mass = targets
        else:
            keep = targets != options.get("ignore_index", -100)
            mass = functional.one_hot(targets.where(keep, 0), logits.shape[-1]).to(logits.dtype) * keep[..., None]
            count = (mass * weight).sum(-1)
        labelled = (mass.sum(-1, keepdim=True) > 0).to(mass.dtype)  # PyTorch multiplies booleans in float32
        smoothed = (1 - smoothing) * mass + smoothing / logits.shape[-1] * labelled
        nll = -functional.log_softmax(logits, -1)
        terms = (smoothed * weight * loss(nll, **own)).where(smoothed > 0, 0.0)
        return reduced(terms.sum(-1), reduction, count)

    return call


def focal(nll: Tensor, gamma: float = 2.0) -> Tensor:
    return (1 - (-nll).exp()) ** gamma * nll


def poly1(nll: Tensor, epsilon: float = 2.0) -> Tensor:
    return nll + epsilon * (1 - (-nll).exp())


def generalized(nll: Tensor, q: float = 0.7) -> Tensor:
    return (1 - (-q * nll).exp()) / q if q else nll


def symmetric(nll: Tensor, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0) -> Tensor:
    return alpha * nll - beta * log_zero * (1 - (-nll).exp())


def asymmetric(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    logits, targets = arrays
    gamma_neg, gamma_pos = options.get("gamma_neg", 4.0), options.get("gamma_pos", 1.0)
    positive = logits.sigmoid()
    negative = (positive - options.get("clip", 0.05)).clamp(min=0)
    nll = -targets * functional.logsigmoid(logits) - (1 - targets) * (1 - negative).log()
    wrong = targets * (1 - positive) + (1 - targets) * negative
    return reduced(wrong ** (gamma_pos * targets + gamma_neg * (1 - targets)) * nll, reduction)


def varifocal(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    logits, targets = arrays
    weight = options.get("alpha", 0.75) * logits.sigmoid() ** options.get("gamma", 2.0)
    nll = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return reduced(targets.where(targets > 0, weight) * nll, reduction)


def quality_focal(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    logits, targets = arrays
    nll = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return reduced((targets - logits.sigmoid()).abs() ** options.get("beta", 2.0) * nll, reduction)


def smoothed_binary(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    """PyTorch's function has no label smoothing."""
    options = dict(options)
    logits, targets = arrays
    smoothing = options.pop("label_smoothing", 0.0)
    targets = (1 - smoothing) * targets + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction=reduction, **options)
