"""What the tests of faults measured in other libraries share."""

import jax
import jax.numpy as jnp
import numpy as np

NAN, INF = np.nan, np.inf
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64 with room for a different order of summation


def a(values, dtype=np.float64) -> jax.Array:
    return jnp.asarray(np.asarray(values, dtype))


def value_and_grads(fn, *arrays: jax.Array):
    """The value, and the gradient in every floating array, of a loss reduced to a number."""
    floating = tuple(n for n, array in enumerate(arrays) if jnp.issubdtype(array.dtype, jnp.floating))
    return jax.value_and_grad(fn, floating)(*arrays)


def finite(tree) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))
