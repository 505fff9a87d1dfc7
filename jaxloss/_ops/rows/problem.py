"""The arguments of the op: rows times a shared matrix, and a loss of each row of the product."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxloss._core.arguments import filled
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.types import AnyArray, Values

Stats = TypeVar("Stats")


class Rows(NamedTuple):
    """The arrays with one entry per row. Chunks are taken along the first axis."""

    hidden: Float[Array, "rows width"]
    data: object
    """A tree of further arrays, such as targets: the axes of `keep` come first."""
    keep: Bool[Array, "rows *heads"]

    def zero_masked(self) -> "Rows":
        """The rows with zeros under the mask.

        Masked hidden states may be NaN. The kernel's gradient is a product over the rows, where 0 * NaN is NaN.
        """
        used = jnp.any(self.keep, tuple(range(1, self.keep.ndim)))

        def zeroed(leaf: AnyArray) -> AnyArray:
            return filled(leaf, self.keep, 0)

        data = jax.tree.map(zeroed, self.data)
        return self._replace(hidden=filled(self.hidden, used, 0.0), data=data)


class Shared(NamedTuple):
    """The arrays that all rows share."""

    kernel: Float[Array, "width *heads classes"]
    parameters: object
    """A tree of further arrays: numbers, or arrays whose last axes are the last axes of the kernel, or of size 1."""
    axis: ClassAxis
    """The class axis in a chunk of the product."""


class Problem(NamedTuple):
    """Rows, shared arrays, and the weight of each loss in the total; None if the losses themselves are wanted."""

    rows: Rows
    shared: Shared
    weights: Values | None


RowLoss: TypeAlias = Callable[..., tuple[Values, Stats]]
"""The losses of a chunk of rows, 0 where masked, and further results per row without a derivative.

If the losses are not summed, they may have further axes after those of `keep`.

It is called with the product hidden @ kernel, the chunk's data and mask, the parameters, and the class axis. It is a
function of a module, because the loops are compiled once for each function.
"""


class Engine(NamedTuple):
    """An implementation: it computes the losses of all rows, or their weighted sum. Both return the further results."""

    refuses: Callable[..., str | None]
    losses: Callable[..., tuple[Values, object]]
    total: Callable[..., tuple[Values, object]]
