"""One cached program per loss: an eager call dispatches once, where JAX would dispatch every operation.

`@program` compiles a loss for each set of shapes, dtypes and static options. Python numbers among the options are
checked on every call, outside the program, and enter it as arrays: another value does not compile again. Inside a
user's `jax.jit` the loss is called as it is, because a program within a program changes how XLA schedules both.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeAlias, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array

from jaxloss._core.arguments import Number, NumberRange
from jaxloss._core.integers import untruncated

P = ParamSpec("P")
T = TypeVar("T")
Static: TypeAlias = tuple[tuple[str, type, object], ...]
"""Static options: name, type and value. `jax.jit` compares them with `==`, to which True and 1 are the same."""
Named: TypeAlias = dict[str, object]


def program(
    *arrays: str, integers: tuple[str, ...] = (), **numbers: NumberRange
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a loss one cached program.

    Args:
        arrays: names of the options that are arrays. The positional arguments, `where` and `sample_weight` are arrays
            too.
        integers: the arrays whose integers name something: a class, or a number of frames. Those of other arrays are
            quantities.
        numbers: the options that are numbers, with their ranges. The loss receives them as arrays, which are NaN where
            a traced number is out of range. It receives a number that is off, or None, as it came. A range may
            depend on the other arguments.

    All other options are static: each of their values has a program of its own.
    """

    def decorate(loss: Callable[P, T]) -> Callable[P, T]:
        parameters = inspect.signature(loss).parameters
        positional = _positional(parameters)
        names = frozenset((*positional, "where", "sample_weight", *arrays))
        defaults = {name: cast(object, parameters[name].default) for name in numbers}

        def traced(
            static: Static, given: tuple[object, ...], named: Named, python: Named, numeric: dict[str, Array]
        ) -> T:
            options = {name: value for name, _, value in static}
            ranges = {name: _range(numbers[name], parameters, given, options) for name in numeric}
            ranged = {name: ranges[name].traced(name, value) for name, value in numeric.items()}
            return cast(Callable[..., T], loss)(*given, **options, **named, **python, **ranged)

        compiled = cast(Callable[..., T], jax.jit(traced, static_argnums=0))

        @functools.wraps(loss)
        def called(*given: P.args, **options: P.kwargs) -> T:
            if not options.keys() <= parameters.keys():
                return loss(*given, **options)  # Python says which keyword is unknown
            _check_count(loss.__name__, len(given), positional, parameters)
            ordered = [*given, *_given_by_name(positional[len(given) :], options)]
            static: list[tuple[str, type, object]] = []
            named, python = Named(), Named()
            numeric: dict[str, Array] = {}
            for name, value in (defaults | options).items():
                if name in names:
                    named[name] = untruncated(value, names=name in integers)
                elif name not in numbers or value is None:
                    static.append((name, type(value), value))
                elif not isinstance(value, int | float):
                    numeric[name] = jnp.asarray(cast(Array, untruncated(value, names=False)))
                elif value == (number := _range(numbers[name], parameters, ordered, options)).off:
                    static.append((name, float, value))
                else:
                    python[name] = number.checked(name, value)
            run = traced if _staged() else compiled
            taken = _taken(positional, ordered, integers)
            return run(tuple(sorted(static, key=_name)), taken, named, python, numeric)

        return called

    return decorate


def _range(
    number: NumberRange, parameters: Mapping[str, inspect.Parameter], given: Sequence[object], options: Named
) -> Number:
    """The range of a number in a call with these arguments."""
    if isinstance(number, Number):
        return number
    defaults = {name: cast(object, each.default) for name, each in parameters.items()}
    return number(defaults | dict(zip(parameters, given, strict=False)) | options)


@functools.partial(jax.jit, inline=True)
def _zero() -> Array:
    return jnp.zeros(())


def _staged() -> bool:
    """Whether JAX records operations for a program, as in `jax.jit`, `lax.scan` or `shard_map`.

    It then records this operation too, although nothing depends on it. In an eager call it runs the operation, and so
    it does in an eager `jax.grad` or `jax.vmap`.
    """
    return isinstance(_zero(), Tracer)


def keyword_options(loss: Callable[P, T]) -> Callable[P, T]:
    """Refuse options by position, as `program` does, for a loss that is no program itself."""
    parameters = inspect.signature(loss).parameters
    positional = _positional(parameters)

    @functools.wraps(loss)
    def called(*given: P.args, **options: P.kwargs) -> T:
        _check_count(loss.__name__, len(given), positional, parameters)
        return loss(*given, **options)

    return called


def _positional(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    return [name for name, each in parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD]


def _check_count(loss: str, given: int, positional: list[str], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Raise for options that are given by position. Python's own message does not say what to do."""
    if given <= len(positional):
        return
    options = [f"`{name}=...`" for name in parameters if name not in positional]
    raise TypeError(
        f"`{loss}` takes {len(positional)} arrays by position: {', '.join(map(repr, positional))}. Options are "
        f"keywords: use {options[0]}."
    )


def _check_kind(name: str, value: object) -> None:
    """Raise for two kinds of arrays that JAX has and that hold no numbers, or not all of them."""
    if hasattr(value, "todense"):
        raise TypeError(f"`{name}` is sparse, but losses take dense arrays: use `{name}.todense()`.")
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        raise TypeError(f"`{name}` is a key of random numbers and no array of numbers: check the order of the arrays.")


def _given_by_name(names: list[str], options: Named) -> Iterator[object]:
    """The arrays that follow those given by position. They leave the options."""
    for name in names:
        if name not in options:
            return
        yield options.pop(name)


def _taken(names: list[str], values: list[object], integers: tuple[str, ...]) -> tuple[object, ...]:
    """The arrays given by position, as `jax.jit` takes them. Those at the end may be missing."""
    given = list(zip(names, values, strict=False))
    for name, value in given:
        _check_kind(name, value)
    return tuple(untruncated(value, names=name in integers) for name, value in given)


def _name(option: tuple[str, type, object]) -> str:
    return option[0]
