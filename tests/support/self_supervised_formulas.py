"""Barlow Twins, VICReg and DINO with PyTorch's tensors, from their papers. Where lightly has the loss, it must agree.

`fixtures/make.py` alone runs them.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from contrastive_formulas import agreeing

Tensor = Any
Options = dict[str, Any]


def mean_of_batches(batches: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The mean of a loss of two matrices over all batches, as a package computes it one by one."""
    first, second = (each.flatten(0, -3) for each in batches)
    return sum(loss(a, b) for a, b in zip(first, second, strict=True)) / len(first)


def off_diagonal(product: Tensor) -> Tensor:
    """The sum of the squares of the entries off the diagonal."""
    return product.square().sum((-2, -1)) - product.diagonal(dim1=-2, dim2=-1).square().sum(-1)


def barlow_twins(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    weight, eps = options.get("off_diagonal_weight", 5e-3), options.get("eps", 1e-5)
    first, second = (
        (each - each.mean(-2, keepdim=True)) / (each.var(-2, correction=0, keepdim=True) + eps).sqrt()
        for each in arrays
    )
    product = first.mT @ second / first.shape[-2]
    losses = (1 - product.diagonal(dim1=-2, dim2=-1)).square().sum(-1) + weight * off_diagonal(product)

    def package() -> Tensor:
        from lightly.loss import BarlowTwinsLoss

        return mean_of_batches(arrays, BarlowTwinsLoss(lambda_param=weight))

    # The package has no loss of one row, and only the usual eps.
    plain = arrays[0].ndim > 2 and arrays[0].shape[-2] > 1 and "eps" not in options
    return agreeing(losses, reduction, package if plain else None)


def vicreg(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    weights = [options.get(f"{name}_weight", by_default) for name, by_default in WEIGHTS.items()]
    eps = options.get("eps", 1e-4)
    variances = covariances = 0.0
    for each in arrays:
        centred = each - each.mean(-2, keepdim=True)
        covariance = centred.mT @ centred / (each.shape[-2] - 1)
        spread = (covariance.diagonal(dim1=-2, dim2=-1) + eps).sqrt()
        variances = variances + functional.relu(1 - spread).mean(-1) / 2
        covariances = covariances + off_diagonal(covariance) / each.shape[-1]
    differences = (arrays[0] - arrays[1]).square().mean((-2, -1))
    losses = weights[0] * differences + weights[1] * variances + weights[2] * covariances

    def package() -> Tensor:
        from lightly.loss import VICRegLoss

        names = ("lambda_param", "mu_param", "nu_param")
        return mean_of_batches(arrays, VICRegLoss(**dict(zip(names, weights, strict=True)), eps=eps))

    return agreeing(losses, reduction, package if arrays[0].ndim > 2 else None)


WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}


def dino(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    student, teacher = (each.movedim(options.get("view_axis", 0), 0) for each in arrays)
    center, temperature = options.get("center", 0.0), options.get("teacher_temperature", 0.04)
    p = ((teacher - center) / temperature).softmax(-1)
    log_q = (student / options.get("student_temperature", 0.1)).log_softmax(-1)
    pairs = [(t, s) for t in range(len(teacher)) for s in range(len(student)) if t != s]
    losses = sum(-(p[t] * log_q[s]).sum(-1) for t, s in pairs) / len(pairs)

    def package() -> Tensor:
        from lightly.loss import DINOLoss

        call = DINOLoss(teacher.shape[-1], student_temp=options.get("student_temperature", 0.1)).to(p.dtype)
        call.center.data = call.center.data + center
        return call(list(teacher), list(student), teacher_temp=temperature)

    return agreeing(losses, reduction, package if student.ndim == 3 else None)
