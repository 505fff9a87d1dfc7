"""One cached program per loss: an eager call dispatches once, where JAX would dispatch every operation.

`@program` compiles a loss for each set of shapes, dtypes and static options. Python numbers among the options are
checked on every call, outside the program, and enter it as arrays: another value does not compile again. Inside a
user's `jax.jit` the loss is called as it is, because a program within a program changes how XLA schedules both.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec, TypeAlias, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array

from jaxloss._core.arguments import Number, NumberRange

P = ParamSpec("P")
T = TypeVar("T")
Static: TypeAlias = tuple[tuple[str, type, object], ...]
"""Static options: name, type and value. `jax.jit` compares them with `==`, to which True and 1 are the same."""
Named: TypeAlias = dict[str, object]


def program(*arrays: str, **numbers: NumberRange) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a loss one cached program.

    Args:
        arrays: names of the options that are arrays. The positional arguments, `where` and `sample_weight` are arrays
            too.
        numbers: the options that are numbers, with their ranges. The loss receives them as arrays, which are NaN where
            a traced number is out of range. It receives a number that is off, or None, as it came. A range may
            depend on the other arguments.

    All other options are static: each of their values has a program of its own.
    """

    def decorate(loss: Callable[P, T]) -> Callable[P, T]:
        parameters = inspect.signature(loss).parameters
        positional = [name for name, each in parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
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
            ordered: list[object] = list(given)
            for name in positional[len(given) :]:
                if name not in options:
                    break
                ordered.append(options.pop(name))
            static: list[tuple[str, type, object]] = []
            named: Named = {}
            python: Named = {}
            numeric: dict[str, Array] = {}
            for name, value in (defaults | options).items():
                if name in names:
                    named[name] = _array(value)
                elif name not in numbers or value is None:
                    static.append((name, type(value), value))
                elif not isinstance(value, int | float):
                    numeric[name] = jnp.asarray(cast(Array, value))
                elif value == (number := _range(numbers[name], parameters, ordered, options)).off:
                    static.append((name, float, value))
                else:
                    python[name] = number.checked(name, value)
            run = traced if _staged() else compiled
            return run(tuple(sorted(static, key=_name)), tuple(map(_array, ordered)), named, python, numeric)

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


def _name(option: tuple[str, type, object]) -> str:
    return option[0]


def _array(value: object) -> object:
    """An argument as `jax.jit` takes it: a list, and an object that knows how to become an array, are made arrays."""
    if isinstance(value, list) or type(value) is tuple or hasattr(value, "__jax_array__"):
        return jnp.asarray(cast(list[float], value))
    return value
