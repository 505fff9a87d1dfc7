"""Domains of arguments' values, and `checked`, the transform that raises for a value outside its domain."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax.experimental import checkify
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Shaped

from jaxloss._core.dtypes import rounding

P = ParamSpec("P")
T = TypeVar("T")


# A user context is part of the key under which `jax.jit` caches traces. A function that is jitted already is traced
# again with the checks in it, and its other trace stays without them.
_checking = jax.make_user_context(False)


@dataclass(frozen=True)
class Domain:
    """A set of values, and the words that describe it in a message: "must be <words>"."""

    words: str
    holds: Callable[[Array], Array]


NOT_NEGATIVE = Domain("at least 0", lambda x: x >= 0)
POSITIVE = Domain("above 0", lambda x: x > 0)
PROBABILITY = Domain("in [0, 1]", lambda x: (x >= 0) & (x <= 1))
BINARY = Domain("0 or 1", lambda x: (x == 0) | (x == 1))
SIGN = Domain("-1 or 1", lambda x: (x == -1) | (x == 1))


def some_probability(dtype: DTypeLike) -> Domain:
    """Probabilities. Rounding in `dtype` may have left one of them a little above 1."""
    return Domain("in [0, 1]", lambda x: (x >= 0) & (x <= 1 + rounding(dtype)))


def log_probabilities(dtype: DTypeLike) -> Domain:
    """Log-probabilities. Rounding in `dtype` may have left one of them a little above 0."""
    return Domain("a log-probability, at most 0", lambda x: x <= rounding(dtype))


def within(domain: Domain, **values: Shaped[Array, "..."]) -> Bool[Array, "..."]:
    """Tell which values of an argument lie in their domain. Under `checked`, raise if one does not."""
    ((name, array),) = values.items()
    ok = domain.holds(array)
    if checking():
        _check(ok, name, array, domain.words)
    return ok


def expect(domain: Domain, keep: Bool[Array, "..."] | None = None, /, **values: Shaped[Array, "..."]) -> None:
    """Under `checked`, raise if a value of an argument lies outside its domain and is not masked."""
    if checking():
        ((name, array),) = values.items()
        ok = domain.holds(array)
        _check(ok if keep is None else ok | ~keep, name, array, domain.words)


def checking() -> bool:
    """Whether the current trace is one of `checked`."""
    return _checking.value is True


def _check(ok: Bool[Array, "..."], name: str, values: Shaped[Array, "..."], words: str) -> None:
    """Raise for the first value that is not ok, with its index."""
    if values.size == 0:  # there is no value to name
        ok, values = jnp.ones(values.ndim * (1,), bool), jnp.zeros(values.ndim * (1,), values.dtype)
    first = jnp.argmin(jnp.ravel(ok))
    index = jnp.unravel_index(first, values.shape)
    at = f"[{', '.join(['{}'] * values.ndim)}]" if values.ndim else ""
    words = words.replace("{", "{{").replace("}", "}}")
    checkify.check(jnp.all(ok), f"`{name}{at}` is {{}}, but must be {words}.", *index, jnp.ravel(values)[first])


def checked(loss: Callable[P, T]) -> Callable[P, T]:
    """Transform a loss so that it refuses a value outside the domain that its documentation gives an argument.

    The error names the argument, the index and the value. Elements that are masked or ignored are not looked at.
    Without `checked` nothing looks at an array's values: most of those outside their domain make a NaN, and the others
    what the formula makes of them.

    Called with arrays, the result raises at once. Inside a function that is jitted, the errors of all losses come out
    of that function, through `jax.experimental.checkify.checkify`:

        step = jax.jit(checkify.checkify(train_step))  # train_step calls jaxloss.checked(loss)
        error, result = step(parameters, batch)
        error.throw()

    Args:
        loss: a function of this library or made of them, jitted or not; one that ends in [`reduce`][jaxloss.reduce]; or
            an option object, a sum of them too.

    Returns:
        A function of the same arguments with the same result. Derivatives and `jax.vmap` may be taken of it, and it may
        be taken of theirs.

    Raises:
        jax.experimental.checkify.JaxRuntimeError: a `ValueError`, when called with a value outside its domain, or if a
            loss is NaN.
        ValueError: when called in a function that is jitted without `checkify`.
        TypeError: when called, if there was nothing to check: the function calls no loss, or one compiled ahead.

    Examples:
        >>> from jax.experimental import checkify
        >>> logits, labels = jnp.zeros((2, 3)), jnp.array([1, 5])
        >>> print(jaxloss.cross_entropy(logits, labels))
        nan
        >>> try:
        ...     jaxloss.checked(jaxloss.cross_entropy)(logits, labels)
        ... except checkify.JaxRuntimeError as error:
        ...     print(error)
        `targets[1]` is 5, but must be a class number from 0 to 2, or -100. (`check` failed)
    """

    @functools.wraps(loss, updated=())
    def refusing(*args: P.args, **kwargs: P.kwargs) -> T:
        with _checking(True):
            error, value = checkify.checkify(loss)(*args, **kwargs)
        if not jax.tree.leaves(error):
            raise TypeError(f"`checked` found no values to check in {loss}: it calls no loss, or one compiled ahead.")
        checkify.check_error(error)
        return value

    return refusing
