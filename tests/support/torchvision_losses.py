"""torchvision's losses, as references. `fixtures/make.py` alone runs them."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any


@functools.cache
def operations() -> ModuleType:
    """torchvision's operations.

    Its compiled part loads beside one version of PyTorch only. The losses are written in Python, but the package
    registers derivatives of two compiled operations when it is imported, so that these need a declaration.
    """
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    operations.library = library  # a library that is deleted takes its declarations with it

    import torchvision

    return torchvision.ops


def boxes(name: str) -> Callable[..., Any]:
    """A loss of boxes in every format."""

    def call(_: ModuleType, arrays: tuple[Any, ...], reduction: str, options: dict[str, Any]) -> Any:
        given = dict(options)
        form = given.pop("box_format", "xyxy")
        first, second = (operations().box_convert(each, form, "xyxy") for each in arrays)
        if name != "box_iou_loss":
            return getattr(operations(), name)(first, second, reduction=reduction, **given)
        intersection, union = operations()._utils._loss_inter_union(first, second)
        losses = 1 - intersection / (union + given.get("eps", 1e-7))
        return {"none": losses, "sum": losses.sum(), "mean": losses.mean()}[reduction]

    return call


def sigmoid_focal(_: ModuleType, arrays: tuple[Any, ...], reduction: str, options: dict[str, Any]) -> Any:
    """torchvision writes a negative number where here is None."""
    given = dict(options)
    if given.get("alpha", 0.25) is None:
        given["alpha"] = -1.0
    return operations().sigmoid_focal_loss(*arrays, reduction=reduction, **given)
