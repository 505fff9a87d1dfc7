"""The platform that a program is compiled for, and the choice of an implementation.

The platform is a property of the program and not of the process: `jax.export` and ahead-of-time compilation make
programs for TPUs and GPUs on a host that has neither. So no file of the package asks for `jax.default_backend()`.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar, TypeVarTuple, cast

import jax
from jax import lax
from jax.sharding import AxisType
from jaxtyping import Array, Shaped

T = TypeVar("T")


Arrays = TypeVarTuple("Arrays")


def on_cpu(cpu: Callable[..., T], elsewhere: Callable[..., T], *arrays: object) -> T:
    """`cpu(*arrays)` in a program that is compiled for CPUs, `elsewhere(*arrays)` in any other.

    Both are traced on every platform and must agree in shapes, dtypes and shardings. A derivative must not be taken
    through the choice, because it would store the residuals of both functions. So an op calls this within a function
    that has a custom derivative, or gives it to `recomputed`.
    """
    return cast(T, lax.platform_dependent(*arrays, cpu=cpu, default=elsewhere))


def by_platform(cpu: Callable[..., T], tpu: Callable[..., T], elsewhere: Callable[..., T], *arrays: object) -> T:
    """`on_cpu` with a third function, for programs that are compiled for TPUs."""
    return cast(T, lax.platform_dependent(*arrays, cpu=cpu, tpu=tpu, default=elsewhere))


def recomputed(choice: Callable[..., T], *arrays: object) -> T:
    """`choice(*arrays)`, which JAX may differentiate: a derivative stores the arrays alone and recomputes the rest.

    `choice` calls `on_cpu` or `by_platform` with functions whose loops recompute each step for the derivative in any
    case. Then it costs nothing.
    """
    # The loops keep XLA from merging the two computations. So `prevent_cse`, which costs barriers, is off.
    return cast(T, jax.checkpoint(choice, prevent_cse=False)(*arrays))


def unshared(*arrays: *Arrays) -> tuple[*Arrays]:
    """The same arrays behind a barrier: XLA shares no intermediate result between computations before and after it."""
    return cast(tuple[*Arrays], lax.optimization_barrier(arrays))


def explicitly_sharded(array: Shaped[Array, "..."]) -> bool:
    """Whether the array's type says how it is split, so that JAX refuses reshapes that would split it otherwise."""
    return AxisType.Explicit in jax.typeof(array).sharding.mesh.axis_types


def choose(name: str | None, implementations: Mapping[str, T], refuses: Callable[[T], str | None]) -> T:
    """The implementation of that name, or the first that does not refuse the problem.

    `refuses` gives an implementation's reason, from what is known while tracing, or None. A named implementation runs
    or raises: a silent replacement would make a comparison of two implementations meaningless.
    """
    if name is None:
        return next(each for each in implementations.values() if refuses(each) is None)
    if name not in implementations:
        names = ", ".join(map(repr, implementations))
        raise ValueError(f"`implementation` is {name!r}; it must be {names} or None.")
    reason = refuses(implementations[name])
    if reason is not None:
        raise ValueError(f"`implementation` is {name!r}, which does not run here: {reason}.")
    return implementations[name]
