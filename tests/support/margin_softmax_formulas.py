"""Losses of cosines with margins in PyTorch's tensors, from their papers. A package that has the loss must agree.

`fixtures/make.py` alone runs them.
"""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

from contrastive_formulas import agreeing
from inputs import classes_first

Tensor = Any
Options = dict[str, Any]
Arrays = tuple[Tensor, ...]


def cosine_cross_entropy(
    functional: ModuleType,
    arrays: Arrays,
    reduction: str,
    options: Options,
    margin: Callable[[Tensor], Tensor],
    package: Callable[[Tensor, Tensor], Tensor] | None,
    clip: float = 0.0,
) -> Tensor:
    """The cross-entropy of scaled cosines. `margin` changes that of the label, and `package` takes kept examples."""
    embeddings, kernel, targets = arrays
    cosines = functional.normalize(embeddings, dim=-1) @ functional.normalize(kernel, dim=0)
    keep = (targets != options.get("ignore_index", -100)) & (targets != -100)
    own = functional.one_hot(targets.where(keep, 0), kernel.shape[1]).bool()
    cosines = cosines.clamp(clip - 1, 1 - clip) if clip else cosines
    # A margin at the other classes would be a gradient of 0 * inf, at an angle of 0.
    at_label = margin(cosines.where(own, 0.5))
    logits = options.get("scale", 64.0) * at_label.where(own, cosines)
    losses = classes_first(functional, (logits, targets.where(keep, -100)), "none", {})
    found = None if package is None else lambda: package(embeddings[keep], targets[keep])
    return agreeing(losses, reduction, found, keep.to(losses.dtype))


def metric_learning(name: str, kernel: Tensor, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of pytorch-metric-learning with these class vectors."""

    def call(embeddings: Tensor, targets: Tensor) -> Tensor:
        import torch
        from pytorch_metric_learning import losses

        loss = getattr(losses, name)(kernel.shape[1], kernel.shape[0], **options)
        loss.W = torch.nn.Parameter(kernel.detach().clone())
        return loss(embeddings, targets)

    return call


def plus_angle(cosine: Tensor, angle: float) -> Tensor:
    t = cosine.clamp(-1, 1).acos()
    return (t + angle).cos().where(t <= math.pi - angle, cosine - angle * math.sin(angle))


def times_angle(cosine: Tensor, multiplier: float, angle: float) -> Tensor:
    turned = multiplier * cosine.clamp(-1, 1).acos() + angle
    half_turns = (turned / math.pi).floor().detach()
    return (-1) ** half_turns * turned.cos() - 2 * half_turns


def arcface(functional: ModuleType, arrays: Arrays, reduction: str, options: Options) -> Tensor:
    angle, easy = options.get("margin", 0.5), options.get("easy_margin", False)

    def margin(cosine: Tensor) -> Tensor:
        turned = plus_angle(cosine, angle)
        return turned.where(cosine > 0, cosine) if easy else turned

    scale = options.get("scale", 64.0)
    package = None if easy else metric_learning("ArcFaceLoss", arrays[1], margin=math.degrees(angle), scale=scale)
    return cosine_cross_entropy(functional, arrays, reduction, options, margin, package)


def cosface(functional: ModuleType, arrays: Arrays, reduction: str, options: Options) -> Tensor:
    subtracted, scale = options.get("margin", 0.35), options.get("scale", 64.0)
    package = metric_learning("CosFaceLoss", arrays[1], margin=subtracted, scale=scale)
    return cosine_cross_entropy(functional, arrays, reduction, options, lambda cosine: cosine - subtracted, package)


def margin_softmax(functional: ModuleType, arrays: Arrays, reduction: str, options: Options) -> Tensor:
    multiplier, angle = options.get("multiplier", 1.0), options.get("angular_margin", 0.0)
    easy, subtracted = options.get("easy_margin", False), options.get("additive_margin", 0.0)

    def margin(cosine: Tensor) -> Tensor:
        turned = plus_angle(cosine, angle) if multiplier == 1 else times_angle(cosine, multiplier, angle)
        return (turned.where(cosine > 0, cosine) if easy else turned) - subtracted

    package = None
    if not (angle or subtracted or easy):  # the package multiplies by the length of the embedding too
        sphere = metric_learning("SphereFaceLoss", arrays[1], margin=multiplier, scale=options.get("scale", 64.0))

        def package(embeddings: Tensor, targets: Tensor) -> Tensor:
            return sphere(functional.normalize(embeddings, dim=-1), targets)

    return cosine_cross_entropy(functional, arrays, reduction, options, margin, package)


def adaface(functional: ModuleType, arrays: Arrays, reduction: str, options: Options) -> Tensor:
    m, eps = options.get("margin", 0.4), 1e-3
    lengths = arrays[0].detach().norm(dim=-1).clamp(0.001, 100)
    mean, std = options.get("mean", 20.0), options.get("std", 100.0)
    quality = ((lengths - mean) / (std + eps) * options.get("h", 0.333)).clamp(-1, 1)[..., None]
    return cosine_cross_entropy(
        functional,
        arrays,
        reduction,
        options,
        lambda cosine: (cosine.acos() - m * quality).clamp(eps, math.pi - eps).cos() - (m + m * quality),
        None,
        clip=eps,
    )


def proxy_anchor(functional: ModuleType, arrays: Arrays, reduction: str, options: Options) -> Tensor:
    embeddings, kernel, targets = arrays
    margin, alpha = options.get("margin", 0.1), options.get("alpha", 32.0)
    cosines = functional.normalize(embeddings, dim=-1) @ functional.normalize(kernel, dim=0)
    own = functional.one_hot(targets, kernel.shape[1]).bool()
    attraction = (-alpha * (cosines - margin)).exp().where(own, 0.0).sum(0).log1p()
    repulsion = (alpha * (cosines + margin)).exp().where(~own, 0.0).sum(0).log1p()
    losses = kernel.shape[1] / own.any(0).sum().double() * attraction + repulsion

    def package() -> Tensor:
        import torch
        from pytorch_metric_learning.losses import ProxyAnchorLoss

        loss = ProxyAnchorLoss(kernel.shape[1], kernel.shape[0], margin, alpha)
        loss.proxies = torch.nn.Parameter(kernel.detach().T.clone())
        return loss(embeddings, targets)

    return agreeing(losses, reduction, package)
