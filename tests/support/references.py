"""Where the expected values of a Case come from: PyTorch, another package, or a formula in NumPy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from inputs import Arrays, Options, cotangent

Found = tuple[np.ndarray, list[np.ndarray]]
"""A value, and the gradient of sum(value * cotangent) in each differentiable input."""


@dataclass(frozen=True)
class Torch:
    """PyTorch's function of the same name, or a call that spells it. `fixtures/make.py` alone runs it."""

    call: Callable[..., Any] | None = None
    """Takes `torch.nn.functional`, the arrays, the reduction and the options, all as PyTorch's tensors."""

    def ask(
        self, name: str, arrays: Arrays, options: Options, reduction: str, differentiable: tuple[int, ...]
    ) -> Found:
        import torch

        tensors = tuple(torch.tensor(array, requires_grad=i in differentiable) for i, array in enumerate(arrays))
        given = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
        functional = torch.nn.functional
        if self.call is None:
            value = getattr(functional, name)(*tensors, reduction=reduction, **given)
        else:
            value = self.call(functional, tensors, reduction, given)
        weighted = (value * torch.tensor(cotangent(tuple(value.shape)))).sum()
        gradients = torch.autograd.grad(weighted, [tensors[i] for i in differentiable], materialize_grads=True)
        return value.detach().numpy(), [gradient.numpy() for gradient in gradients]


@dataclass(frozen=True)
class Package:
    """A function of another package. `fixtures/make.py` alone runs it, and it alone needs the package."""

    call: Callable[[Arrays, str, Mapping[str, Any]], Found]
    """Takes the arrays, the reduction and the options, and imports the package itself."""

    def ask(
        self, name: str, arrays: Arrays, options: Options, reduction: str, differentiable: tuple[int, ...]
    ) -> Found:
        value, gradients = self.call(arrays, reduction, options)
        assert len(gradients) == len(differentiable), f"the reference of {name} has another number of gradients"
        return value, gradients


@dataclass(frozen=True)
class Formula:
    """The definition in NumPy. The tests evaluate it: it needs no fixture.

    Gradients have no reference then; the laws compare them with finite differences.
    """

    losses: Callable[..., np.ndarray]
    """Takes the arrays and the options, and returns the unreduced losses."""
    count: Callable[..., np.ndarray] | None = None
    """How much each element adds to the mean's denominator; 1 if not given."""

    def value(self, arrays: Arrays, options: Options, reduction: str) -> np.ndarray:
        losses = np.asarray(self.losses(*arrays, **options))
        if reduction == "none":
            return losses
        count = losses.size if self.count is None else self.count(*arrays, **options).sum()
        return losses.sum() if reduction == "sum" else losses.sum() / count


Reference = Torch | Package | Formula
