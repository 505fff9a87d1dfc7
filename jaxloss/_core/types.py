"""The names that signatures are written in."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import jax.typing
from jax import ShapeDtypeStruct
from jaxtyping import Array, Bool, Float, Real, Shaped

if TYPE_CHECKING:
    # Losses make arrays of lists, which JAX's own `ArrayLike` leaves out. At run time the checks of shapes follow that
    # conversion.
    ArrayLike: TypeAlias = jax.typing.ArrayLike | Sequence[Any]
    """An array, a number, or a list of them."""
else:
    from jaxtyping import ArrayLike

Scalar: TypeAlias = float | Float[jax.typing.ArrayLike, "..."]
"""An option that is one number. It may be an array, so that it can be traced, learnt and mapped over."""

Reduction: TypeAlias = Literal["none", "mean", "sum"]
"""How the losses of the elements become the result."""

Mask: TypeAlias = Bool[ArrayLike, "..."]
"""True where an element is kept."""

Weight: TypeAlias = Real[ArrayLike, "..."]
"""How much an element counts."""

Like: TypeAlias = Float[Array, "..."] | ShapeDtypeStruct
"""An array, or its shape and dtype alone."""

Targets: TypeAlias = Shaped[ArrayLike, "..."]
"""Real numbers, or booleans read as 0 and 1."""

Values: TypeAlias = Float[Array, "..."]
"""A floating array of any shape."""

AnyArray: TypeAlias = Shaped[Array, "..."]
"""An array of any shape and dtype."""
