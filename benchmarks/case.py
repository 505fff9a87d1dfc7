"""What is compared: a loss at one size, ours and what one would use instead."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType

Function = Callable[..., Any]
Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A loss at one size.

    The functions take the arrays and give a number. `peers` has one by the name of each peer; that of "torch" is
    measured twice, as it is and compiled. That of "jax.numpy" in float64 is the reference unless there is another.
    """

    loss: str
    size: str
    arrays: Callable[[np.random.Generator], Arrays]  # floats in float32 and integers in int32
    ours: Function
    peers: Mapping[str, Function]
    reference: Function | None = None
    source: str = ""  # where the size comes from
    gradient_of: tuple[int, ...] = (0,)  # which arrays
    transposed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # which arrays a peer wants transposed
    dtypes: Sequence[str] = ("float32", "bfloat16")
    modes: Sequence[str] = ("value", "gradient")  # or "compile": to trace and to compile the gradient
    limits: Mapping[str, tuple[str, Function]] = field(default_factory=dict)  # by mode, instead of those below
    tolerance: Mapping[str, float] = field(default_factory=dict)  # by dtype, instead of measure.TOLERANCE
    split: tuple[jax.sharding.PartitionSpec, ...] | None = None  # over the mesh axis "devices",
    axis_type: AxisType = AxisType.Auto  # of this type
    grows: tuple[str, int] | None = None  # a point of a curve: the axis that grows, and how far it is

    @property
    def name(self) -> str:
        return f"{self.loss}; {self.size}"

    def limit(self, mode: str) -> tuple[str, Function] | None:
        """What no loss of these arrays can be faster than: to read them, or to write the gradient's bytes anew."""
        if mode in self.limits:
            return self.limits[mode]
        if mode == "value":
            return "read", lambda *arrays: [jnp.sum(a, -1) for a in arrays if jnp.issubdtype(a.dtype, jnp.floating)]
        if mode == "gradient":
            return "copy", lambda *arrays: [-arrays[i] for i in self.gradient_of]
        return None


def mean(function: Function) -> Function:
    """The mean of a function's values, for libraries that leave it to the caller."""
    return lambda *arrays: jnp.mean(function(*arrays))
