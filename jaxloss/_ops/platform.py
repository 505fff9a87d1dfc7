"""The platform that a program is compiled for.

It is a property of the program and not of the process: `jax.export` and ahead-of-time compilation make programs for
TPUs and GPUs on a host that has neither. So no file of the package asks for `jax.default_backend()`.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from jax import lax

T = TypeVar("T")


def on_cpu(cpu: Callable[..., T], elsewhere: Callable[..., T], *arrays: object) -> T:
    """`cpu(*arrays)` in a program that is compiled for CPUs, `elsewhere(*arrays)` in any other.

    Both are traced on every platform and must agree in shapes and dtypes. A derivative must not be taken through the
    choice, because it would hold what both of them need: call this inside a function that has a custom derivative.
    """
    return cast(T, lax.platform_dependent(*arrays, cpu=cpu, default=elsewhere))
