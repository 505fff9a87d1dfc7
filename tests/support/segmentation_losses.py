"""The losses of segmentation of MONAI and kornia, as references. `fixtures/make.py` runs them.

Each package is asked about one image at a time, with its valid pixels alone. So the references have every option that
leaves out pixels or regions.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

from torch_formulas import reduced

Tensor = Any
Options = dict[str, Any]
ImageLosses = Callable[[Tensor, Tensor, Options], Tensor]
"""The losses of one image: probabilities (P, C), truth (P, C) and options give (C,)."""


def regions(losses: ImageLosses, absent: str = "keep", *, odds: bool = False) -> Callable[..., Tensor]:
    """A loss of regions with the package's losses of each image. `absent` is the default of the option.

    With `odds` the package is given log-odds for probabilities.
    """

    def call(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
        given = dict(options)
        logits, targets = arrays
        classes, weight = logits.shape[-1], given.pop("weight", 1.0)
        activation, ignored = given.pop("activation", "softmax"), given.pop("ignore_index", -100)
        background, missing = given.pop("include_background", True), given.pop("absent", absent)
        rows, counts = [], []
        for image, truth in zip(logits, targets, strict=True):
            probabilities = {"softmax": lambda x: x.softmax(-1), "sigmoid": lambda x: x.sigmoid(), None: lambda x: x}
            p = _log_odds(image, activation) if odds else probabilities[activation](image)
            p, t = p.reshape(-1, classes), truth
            if not targets.is_floating_point():
                valid = truth.reshape(-1) != ignored
                p, t = p[valid], functional.one_hot(truth.reshape(-1)[valid], classes).to(p.dtype)
            t = t.reshape(-1, classes)
            size, chosen = t.sum(0), p.new_ones(classes)
            row = losses(p, t, given) if len(p) else 0 * image.reshape(-1, classes).sum(0)
            if missing != "keep":
                row = row.where(size > 0, 0.0)
            chosen = chosen * (size > 0) if missing == "skip" else chosen
            chosen = chosen * (len(p) > 0)
            if not background:
                chosen[0] = 0
            rows.append(row * chosen * weight)
            counts.append(chosen)
        import torch

        return reduced(torch.stack(rows), reduction, torch.stack(counts))

    return call


def images(losses: ImageLosses) -> Callable[..., Tensor]:
    """A loss with one value for each image. Every image has a valid pixel."""

    def whole(p: Tensor, t: Tensor, options: Options) -> Tensor:
        return losses(p, t, options)

    def call(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
        given = dict(options)
        background = given.pop("include_background", True)

        def first(p: Tensor, t: Tensor, rest: Options) -> Tensor:
            start = 0 if background else 1
            return whole(p[:, start:], t[:, start:], rest).expand(p.shape[-1])

        unreduced = regions(first)(functional, arrays, "none", given)[:, 0]
        return reduced(unreduced, reduction)

    return call


def _monai(name: str, p: Tensor, t: Tensor, **options: Any) -> Tensor:
    from monai import losses

    # MONAI sums some counts in float32.
    with mock.patch("torch.Tensor.float", lambda self: self.double()):
        found = getattr(losses, name)(reduction="none", **options)(p.T[None], t.T[None])
    return found.reshape(-1)


def _translated(options: Options) -> Options:
    named = {"overlap": "soft_label", "squared": "squared_pred", "class_weighting": "w_type"}
    given = {named.get(name, name): value for name, value in options.items()}
    if "soft_label" in given:
        given["soft_label"] = given["soft_label"] == "minimum"
    return given


def dice(p: Tensor, t: Tensor, options: Options) -> Tensor:
    return _monai("DiceLoss", p, t, **_translated(options))


def jaccard(p: Tensor, t: Tensor, options: Options) -> Tensor:
    return _monai("DiceLoss", p, t, jaccard=True, **_translated(options))


def tversky(p: Tensor, t: Tensor, options: Options) -> Tensor:
    return _monai("TverskyLoss", p, t, **_translated(options))


def focal_tversky(p: Tensor, t: Tensor, options: Options) -> Tensor:
    """No package raises the loss of a region to a power, but Tversky's loss is MONAI's."""
    given = {"alpha": 0.3, "beta": 0.7, **options}
    gamma = given.pop("gamma", 0.75)
    return tversky(p, t, given) ** gamma


def generalized_dice(p: Tensor, t: Tensor, options: Options) -> Tensor:
    return _monai("GeneralizedDiceLoss", p, t, **_translated(options))


def _log_odds(x: Tensor, activation: str) -> Tensor:
    """The log-odds of each class against all others, from logits."""
    import torch

    if activation == "sigmoid":
        return x
    others = [torch.cat([x[..., :c], x[..., c + 1 :]], -1) for c in range(x.shape[-1])]
    return x - torch.stack([each.logsumexp(-1) for each in others], -1)


def lovasz_softmax(odds: Tensor, t: Tensor, options: Options) -> Tensor:
    """kornia averages over all classes of a softmax. Two classes, one without a weight, give the loss of one class."""
    import torch
    from kornia.losses import lovasz_softmax_loss

    def of_class(c: int) -> Tensor:
        two = torch.stack([torch.zeros_like(odds[:, c]), odds[:, c]])[None, :, :, None]
        return lovasz_softmax_loss(two, t[None, :, c, None].long(), odds.new_tensor([0.0, 2.0]))

    return torch.stack([of_class(c) for c in range(odds.shape[-1])])


def lovasz_hinge(_: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    import torch
    from kornia.losses import lovasz_hinge_loss

    pairs = zip(*arrays, strict=True)
    losses = [lovasz_hinge_loss(x.reshape(1, 1, -1, 1), t.reshape(1, -1, 1)) for x, t in pairs]
    return reduced(torch.stack(losses), reduction)
