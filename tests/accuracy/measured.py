"""A loss whose accuracy is measured: its formula, the points at which it is tried, and its error bounds."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from inputs import Inputs
from points import Kind

import jaxloss

Arrays = tuple[np.ndarray, ...]
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Measured:
    """A loss with its options."""

    formula: Callable[..., list[Any]]
    """Of one element; it has the loss's name, unless `function` says another."""

    adversarial: Callable[[Kind], Arrays]
    ordinary: Callable[[np.random.Generator, Inputs], Arrays]
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs = Inputs((2000,))
    differentiable: tuple[int, ...] = (0,)
    never_negative: bool = True
    ulps: tuple[float, float] = (2, 3)
    """The most that a loss and a derivative of ordinary float32 inputs may be off, in units of the last place."""
    by_element: bool = False
    """Whether the loss takes all elements at once but shares inputs between them, so that it is mapped over them."""
    function: str = ""
    """The name of the loss, where the formula has another."""

    @property
    def name(self) -> str:
        return self.function or self.formula.__name__

    @property
    def group(self) -> str:
        """Tests of one group run in one process, which compiles their programs once."""
        return self.name

    @property
    def id(self) -> str:
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.options.items())])

    def ours(self, *arrays: Any) -> Any:
        function = getattr(jaxloss, self.name)
        reduced = "reduction" in inspect.signature(function).parameters
        keywords = dict(self.options) | ({"reduction": "none"} if reduced else {})
        if not self.by_element:
            return function(*arrays, **keywords)
        return jax.vmap(lambda *element: function(*element, **keywords))(*arrays)

    def truth(self, *numbers: Any) -> list[Any]:
        return self.formula(*numbers, **self.options)

    def tried_at(self, kind: Kind) -> Arrays:
        """The adversarial points, as float64 numbers that the dtype has; class numbers stay integers."""
        return tuple(_in(kind, array) for array in self.adversarial(kind))

    def ordinary_in(self, kind: Kind) -> Arrays:
        return tuple(_in(kind, array) for array in self.ordinary(np.random.default_rng(0), self.inputs))


def _in(kind: Kind, array: np.ndarray) -> np.ndarray:
    return kind.rounded(array).astype(float) if np.issubdtype(array.dtype, np.floating) else array


def given(arrays: Arrays, kind: Kind) -> Arrays:
    """The points as a loss takes them."""
    return tuple(a.astype(kind.dtype) if np.issubdtype(a.dtype, np.floating) else a for a in arrays)
