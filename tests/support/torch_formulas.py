"""Losses that PyTorch lacks, written from their papers with its tensors, so that it gives their gradients.

`fixtures/make.py` alone runs them.
"""

import importlib
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


def logit_adjusted(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    """PyTorch's cross-entropy with its options, and z-loss beside it."""
    logits, targets = arrays
    options = dict(options)
    prior, z_loss = options.pop("prior"), options.pop("z_loss", 0.0)
    adjusted = logits + options.pop("tau", 1.0) * (prior / prior.sum()).log()
    axis = min(1, adjusted.ndim - 1)
    classes = adjusted.movedim(-1, axis)
    if targets.is_floating_point():
        return functional.cross_entropy(classes, targets.movedim(-1, axis), reduction=reduction, **options)
    losses = functional.cross_entropy(classes, targets, reduction="none", **options)
    keep = targets != -100
    losses = losses + z_loss * adjusted.logsumexp(-1) ** 2 * keep
    weight = options.get("weight", logits.new_ones(logits.shape[-1]))
    return reduced(losses, reduction, weight[targets.where(keep, 0)] * keep)


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


def distribution_focal(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    logits, targets = arrays
    left = targets.detach().floor().clamp(max=logits.shape[-1] - 2)
    log_probs = functional.log_softmax(logits, -1)

    def at(number: Tensor) -> Tensor:
        return log_probs.gather(-1, number.long()[..., None])[..., 0]

    return reduced(-(left + 1 - targets) * at(left) - (targets - left) * at(left + 1), reduction)


def sparsemax(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    """The definition of the paper."""
    logits, targets = arrays
    keep = None
    if not targets.is_floating_point():
        keep = targets != options.get("ignore_index", -100)
        targets = functional.one_hot(targets.where(keep, 0), logits.shape[-1]).to(logits.dtype)
    ordered, _ = logits.detach().sort(-1, descending=True)
    rank = logits.new_ones(logits.shape[-1]).cumsum(0)
    last = (1 + rank * ordered > ordered.cumsum(-1)).sum(-1, keepdim=True)
    inside = logits >= ordered.gather(-1, last - 1)
    threshold = ((logits * inside).sum(-1, keepdim=True) - 1) / last
    losses = ((logits**2 - threshold**2) * inside + targets**2).sum(-1) / 2 - (targets * logits).sum(-1)
    return reduced(losses if keep is None else losses * keep, reduction, keep)


def coral(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    """The loss of coral-pytorch, whose levels are given."""
    from coral_pytorch.losses import coral_loss

    logits, grades = arrays
    thresholds = logits.shape[-1]
    levels = (grades[..., None] > grades.new_ones(thresholds).cumsum(0) - 1).to(logits.dtype)
    losses = coral_loss(
        logits.reshape(-1, thresholds),
        levels.reshape(-1, thresholds),
        importance_weights=options.get("weight"),
        reduction=None,
    )
    return reduced(losses.reshape(grades.shape), reduction)


def corn(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    """The mean is that of coral-pytorch, which has no other reduction."""
    from coral_pytorch.losses import corn_loss

    logits, grades = arrays
    if reduction == "mean":
        return corn_loss(logits.reshape(-1, logits.shape[-1]), grades.reshape(-1), logits.shape[-1] + 1)
    task = grades.new_ones(logits.shape[-1]).cumsum(0) - 1
    above = (grades[..., None] > task).to(logits.dtype)
    nll = functional.binary_cross_entropy_with_logits(logits, above, reduction="none")
    return reduced((nll * (grades[..., None] >= task)).sum(-1), reduction)


def _window(options: Options, like: Tensor) -> Tensor:
    size = options.get("window_size", 11)
    distance = like.new_ones(size).cumsum(0) - (size + 1) / 2
    window = (-(distance**2) / (2 * options.get("window_sigma", 1.5) ** 2)).exp()
    return window / window.sum()


def _package_ssim(name: str, arrays: tuple[Tensor, ...], reduction: str, **options: Any) -> Tensor:
    """A function of pytorch-msssim, with the channels last, and in any number of batch axes."""
    import pytorch_msssim

    first, second = (array.reshape(-1, *array.shape[-3:]).movedim(-1, 1) for array in arrays)
    similarity = getattr(pytorch_msssim, name)(first, second, size_average=False, **options)
    return reduced(1 - similarity.reshape(arrays[0].shape[:-3]), reduction)


def ssim(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    return _package_ssim("ssim", arrays, reduction, **_spelled(options, arrays))


def ms_ssim(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    module = importlib.import_module("pytorch_msssim.ssim")  # the package has a function of this name
    given = _spelled(options, arrays)
    weights = options["scale_weights"]
    first, second = (array.reshape(-1, *array.shape[-3:]).movedim(-1, 1) for array in arrays)
    factors: list[Tensor] = []
    for number, weight in enumerate(weights):
        # The package refuses images below 160 pixels. The two steps of its scales do not.
        whole, structure = module._ssim(first, second, given["data_range"], given["win"], False, given["K"])
        last = number == len(weights) - 1
        factors.append((whole if last else structure).relu() ** weight)
        first, second = functional.avg_pool2d(first, 2), functional.avg_pool2d(second, 2)
    similarity = factors[0] * factors[1]
    return reduced(1 - similarity.mean(-1).reshape(arrays[0].shape[:-3]), reduction)


def _spelled(options: Options, arrays: tuple[Tensor, ...]) -> Options:
    """The options of pytorch-msssim. Its own window is in float32, so that it is given one."""
    channels = arrays[0].shape[-1]
    window = _window(options, arrays[0]).repeat(channels, 1, 1, 1)
    return {
        "data_range": options.get("data_range", 1.0),
        "win": window,
        "K": (options.get("k1", 0.01), options.get("k2", 0.03)),
    }


def total_variation(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    (images,) = arrays
    over = "mean" if options.get("normalize") else "sum"
    losses = sum(getattr(images.diff(dim=axis).abs(), over)((-3, -2, -1)) for axis in (-3, -2))
    return reduced(losses, reduction)
