"""Checks of arguments when a loss is traced: dtypes, shapes and options. An array's values are never looked at."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.domains import Domain, within
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import ArrayLike, Like, Mask, Scalar, Values


def floats(**arrays: Shaped[ArrayLike, "..."]) -> tuple[list[Values], jnp.dtype]:
    """Convert arrays to the dtype of the maths. Also return the dtype they promote to, which the unreduced loss has.

    An array named `targets` may also be of integers or booleans.
    """
    converted = {name: jnp.asarray(array) for name, array in arrays.items()}
    for name, array in converted.items():
        whole = jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == jnp.bool_
        if not (whole and name == "targets"):
            floating(name, array)
    # Integer targets take the floating dtype. `jax.numpy` promotes them in the same way, but not if it is set to
    # "strict", so that they are left out of the call.
    dtype = jnp.result_type(*(array for array in converted.values() if jnp.issubdtype(array.dtype, jnp.floating)))
    return [array.astype(accumulator(dtype)) for array in converted.values()], dtype


def paired(
    predictions: Shaped[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    where: Mask | None,
    *,
    fill: float = 0.0,
    name: str = "predictions",
) -> tuple[Values, Values, jnp.dtype]:
    """Check predictions and targets, which must have one shape, and fill them where masked.

    Also return the dtype of the unreduced loss.
    """
    (first, second), dtype = aligned(where, fill, **{name: predictions, "targets": targets})
    return first, second, dtype


def aligned(
    where: Mask | None, fill: float = 0.0, /, **arrays: Shaped[ArrayLike, "..."]
) -> tuple[list[Values], jnp.dtype]:
    """Check arrays of one shape, and fill them where masked. Also return the dtype of the unreduced loss."""
    converted, dtype = floats(**arrays)
    same_shape(**dict(zip(arrays, converted, strict=True)))
    keep = mask(where, converted[0].shape)
    return [filled(array, keep, fill) for array in converted], dtype


def same_shape(**arrays: Shaped[Array, "..."] | Like) -> None:
    """Raise for shapes that differ. Broadcasting (3, 1) against (3,) would make nine errors from three."""
    (first, wanted), *others = arrays.items()
    for name, array in others:
        if array.shape != wanted.shape:
            fix = f": use `{name}.reshape({first}.shape)`" if array.size == wanted.size else ""
            raise ValueError(
                f"`{name}` has shape {array.shape}, but `{first}` has shape {wanted.shape}, "
                f"and losses do not broadcast them{fix}."
            )


def has_shape(wanted: tuple[int, ...], reason: str, **arrays: Shaped[Array, "..."] | Like) -> None:
    """Raise for an array that has not the shape `wanted`, which follows from `reason`."""
    for name, array in arrays.items():
        if array.shape != wanted:
            raise ValueError(f"`{name}` has shape {array.shape}, but must have shape {wanted}: {reason}.")


def broadcast_shape(**arrays: Shaped[Array, "..."]) -> tuple[int, ...]:
    """The shape that the arrays broadcast to. They must have the same number of axes, at least one."""
    shapes = {name: array.shape for name, array in arrays.items()}
    listed = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())
    if len({len(shape) for shape in shapes.values()}) > 1:
        raise ValueError(f"The shapes {listed} have different numbers of axes: insert axes of size 1 by hand.")
    if () in shapes.values():
        raise ValueError(f"The shapes {listed} have no axis: the last one is the embedding's.")
    try:
        return jnp.broadcast_shapes(*shapes.values())
    except ValueError:
        raise ValueError(f"The shapes {listed} do not broadcast.") from None


def same_features(axes: int, **arrays: Shaped[Array, "..."]) -> None:
    """Raise for arrays whose last axes differ: those of the features do not broadcast, only those of the batch do."""
    features = {name: array.shape[array.ndim - axes :] for name, array in arrays.items()}
    if len(set(features.values())) > 1:
        listed = ", ".join(f"`{name}` {array.shape}" for name, array in arrays.items())
        raise ValueError(f"The shapes {listed} differ in the features' axes, and only batch axes broadcast.")


def has_axis(name: str, array: Shaped[Array, "..."], axis: int = -1) -> int:
    """Check that an array has the axis, with at least one entry, and return its number counted from the front."""
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"`{name}` has shape {array.shape}, which has no axis {axis}.")
    if array.shape[axis] == 0:
        raise ValueError(f"`{name}` has shape {array.shape}: axis {axis} is empty, and the loss needs an entry there.")
    return axis % array.ndim


@dataclass(frozen=True)
class Number:
    """The range of an option that is one number."""

    above: float = -math.inf
    at_least: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf
    off: float | None = None
    """The number at which the loss leaves the option's term out of its program."""
    condition: str = ""
    """The words that say when this range holds, if not always."""
    axes: int = 0
    """The most axes of an array of such numbers."""

    def holds(self, number: Values) -> Bool[Array, "..."]:
        return (number > self.above) & (number >= self.at_least) & (number <= self.at_most) & (number < self.below)

    @property
    def words(self) -> str:
        if self.at_least == self.at_most:
            return f"{self.at_most:g}{self.condition}"
        bounds = (
            ("above", self.above),
            ("at least", self.at_least),
            ("at most", self.at_most),
            ("below", self.below),
        )
        words = " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
        return (words or "a number") + self.condition

    def checked(self, name: str, value: float) -> float:
        """A Python number, which must be in the range."""
        if self.above < value < self.below and self.at_least <= value <= self.at_most:
            return float(value)
        raise ValueError(f"`{name}` is {value}, but must be {self.words}.")

    def traced(self, name: str, value: Scalar) -> Values:
        """One number or an array of them: NaN, with a NaN gradient, where it is out of the range."""
        number = jnp.asarray(value)
        if number.ndim > self.axes > 0:
            raise ValueError(f"`{name}` has shape {number.shape}, but is one number or has one axis.")
        if number.ndim > self.axes:
            raise ValueError(f"`{name}` has shape {number.shape}, but is one number: use jax.vmap to try several.")
        if jnp.iscomplexobj(number):
            raise TypeError(f"`{name}` has dtype {number.dtype}, but must be real.")
        number = number.astype(accumulator(number.dtype) if jnp.issubdtype(number.dtype, jnp.floating) else float)
        return nan_unless(within(Domain(self.words, self.holds), **{name: number}), number)


NumberRange: TypeAlias = Number | Callable[[Mapping[str, object]], Number]
"""A range, or a function that chooses it by the other arguments of the loss."""


def is_off(number: Scalar | None) -> bool:
    """Whether an option is the number 0, known while tracing, so that its term is left out of the program."""
    return isinstance(number, int | float) and number == 0


def option(
    name: str,
    value: Scalar,
    like: Like,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    at_most: float = math.inf,
) -> Values:
    """A number among the options, in the dtype of the maths.

    A Python number out of range is refused. A traced one becomes NaN.
    """
    number = Number(above, at_least, at_most)
    is_python = isinstance(value, int | float)
    return jnp.asarray(
        number.checked(name, value) if is_python else number.traced(name, value), accumulator(like.dtype)
    )


def one_of(name: str, value: object, choices: tuple[str, ...], hint: str = "") -> None:
    """Raise for a string option that has another value than these."""
    if value not in choices:
        *others, last = map(repr, choices)
        raise ValueError(f"`{name}` is {value!r}; it must be {', '.join(others)} or {last}.{hint}")


def floating(name: str, array: Shaped[ArrayLike, "..."]) -> Float[Array, "..."]:
    """Convert to an array, which must be real and floating."""
    array = jnp.asarray(array)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"`{name}` has dtype {array.dtype}, but must be real and floating: "
            f"use `{name}.{'real' if jnp.iscomplexobj(array) else 'astype(jnp.float32)'}`."
        )
    return array


def real(name: str, array: Shaped[ArrayLike, "..."]) -> Real[Array, "..."]:
    """Convert to an array, which must not be complex."""
    array = jnp.asarray(array)
    if jnp.iscomplexobj(array):
        raise TypeError(f"`{name}` has dtype {array.dtype}, but must be real: use `{name}.real`.")
    return array


def filled(array: Shaped[Array, "..."], keep: Bool[Array, "..."] | None, value: float) -> Shaped[Array, "..."]:
    """Replace masked elements by `value`. A mask that lacks trailing axes masks all their entries.

    A loss fills its inputs, not only its result: a NaN under the mask would otherwise reach the gradient.
    """
    if keep is None:
        return array
    keep = jnp.expand_dims(keep, range(keep.ndim, array.ndim))
    return jnp.where(keep, array, jnp.asarray(value, array.dtype))


def mask(where: Mask | None, shape: tuple[int, ...], name: str = "where") -> Bool[Array, "..."] | None:
    """Check a mask against a shape, that of the unreduced loss for `where`, and convert it to an array."""
    if where is None:
        return None
    where = jnp.asarray(where)
    if where.dtype != jnp.bool_:
        fix = f"use `{name} != 0`" + (" to keep elements, or `sample_weight` to weigh them" if name == "where" else "")
        raise TypeError(f"`{name}` has dtype {where.dtype}, but a mask is bool: {fix}.")
    return fitted(name, where, shape)


def fitted(name: str, array: Shaped[ArrayLike, "..."], shape: tuple[int, ...]) -> Shaped[Array, "..."]:
    """Check that an array has `shape`, or broadcasts to it with the same number of axes."""
    array = jnp.asarray(array)
    if array.ndim == len(shape) and all(have in (1, want) for have, want in zip(array.shape, shape, strict=True)):
        return array
    raise ValueError(
        f"`{name}` has shape {array.shape}, but this loss has one value per element of {shape}"
        + _hint(name, array, shape)
    )


def _hint(name: str, array: Shaped[Array, "..."], shape: tuple[int, ...]) -> str:
    """The end of the message: the expression that fits, if adding or removing axes of size 1 makes one."""
    missing = len(shape) - array.ndim
    if missing < 0 and array.shape == shape + (1,) * -missing:
        return f": use `{name}[{', '.join(['...'] + ['0'] * -missing)}]`."
    if missing > 0 and array.ndim > 0:
        if array.shape == shape[: array.ndim]:
            return f": use `{name}[{', '.join(['...'] + ['None'] * missing)}]`."
        if array.shape == shape[missing:]:
            return f": use `{name}[{', '.join(['None'] * missing)}]`."
    return "."
