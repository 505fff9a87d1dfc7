"""Linear cross-entropy on a mesh: every device takes its own tokens and classes, and gradients are summed once."""

from functools import partial
from typing import cast

import jax
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxloss._axis import varying
from jaxloss._linear.problem import Head, Tokens

Values = Float[Array, "..."]
Leaf = Shaped[Array, "..."]


def spread(tokens: Tokens, head: Head, weights: Values | None) -> tuple[Tokens, Head, Values | None]:
    """In `shard_map`, the same arrays, of which each device has its own, as far as the loops over tokens know.

    Their gradients are then those of one device, and are summed over devices where they come out of this function:
    once, and not with every chunk. Along the classes that is for hidden, which meets them in a product; what else is
    the same on all devices there stays the same.
    """
    problem = tokens, head, weights
    everywhere = frozenset[str]().union(*map(varying, jax.tree.leaves(problem)))

    def over(names: frozenset[str], leaf: Leaf) -> Leaf:
        missing = tuple(sorted(names - varying(leaf)))
        return cast(Leaf, lax.pcast(leaf, missing, to="varying")) if missing else leaf

    tokens, head, weights = jax.tree.map(partial(over, everywhere - head.axis.names), problem)
    return tokens._replace(hidden=over(everywhere, tokens.hidden)), head, weights
