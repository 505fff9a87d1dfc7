"""The names that signatures are written in."""

from typing import Literal, TypeAlias

from jax import ShapeDtypeStruct
from jaxtyping import Array, ArrayLike, Bool, Float, Real, Shaped

Scalar: TypeAlias = float | Float[ArrayLike, "..."]
"""A number, or an array that is one when the loss is called: an option that can be traced, learnt and mapped over."""

Reduction: TypeAlias = Literal["none", "mean", "sum", "parts"]
"""How losses become the result. `"parts"` is the pair that `jaxloss.parts` asks for: [total, weight]."""

BatchReduction: TypeAlias = Literal["none", "mean", "sum", "batchmean", "parts"]
"""`Reduction`, and the sum over the size of the first axis."""

Mask: TypeAlias = Bool[ArrayLike, "..."]
"""True where an element is kept."""

Weight: TypeAlias = Real[ArrayLike, "..."]
"""How much an element counts."""

Like: TypeAlias = Float[Array, "..."] | ShapeDtypeStruct
"""What has the shape and the dtype that is meant: an array, or only these two."""

Targets: TypeAlias = Shaped[ArrayLike, "..."]
"""Real numbers, or booleans read as 0 and 1."""
