"""Checks of arguments when a loss is traced: dtypes, shapes and options. An array's values are never looked at."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Real, Shaped

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.domains import Domain, within
from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Like, Mask, Scalar, Values


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
    (first, second), dtype = floats(**{name: predictions, "targets": targets})
    same_shape(**{name: first, "targets": second})
    keep = mask(where, first.shape)
    return filled(first, keep, fill), filled(second, keep, fill), dtype


def same_shape_filled(
    where: Mask | None, *, fill: float, **arrays: Shaped[ArrayLike, "..."]
) -> tuple[list[Values], jnp.dtype]:
    """Check arrays, which must have one shape, and fill them where masked. `paired` is the same for two arrays.

    Also return the dtype of the unreduced loss.
    """
    values, dtype = floats(**arrays)
    same_shape(**dict(zip(arrays, values, strict=True)))
    keep = mask(where, values[0].shape)
    return [filled(each, keep, fill) for each in values], dtype


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
    off: float | None = None
    """The number at which the loss leaves the option's term out of its program."""

    def holds(self, number: Values) -> Bool[Array, "..."]:
        return (number > self.above) & (number >= self.at_least) & (number <= self.at_most)

    @property
    def words(self) -> str:
        bounds = (("above", self.above), ("at least", self.at_least), ("at most", self.at_most))
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound)) or "a number"

    def checked(self, name: str, value: float) -> float:
        """A Python number, which must be in the range."""
        if self.above < value <= self.at_most and value >= self.at_least:
            return float(value)
        raise ValueError(f"`{name}` is {value}, but must be {self.words}.")

    def traced(self, name: str, value: Scalar) -> Values:
        """An array, which must be one number: NaN, with a NaN gradient, if it is out of the range."""
        number = jnp.asarray(value)
        if number.ndim > 0:
            raise ValueError(f"`{name}` has shape {number.shape}, but is one number: use jax.vmap to try several.")
        if jnp.iscomplexobj(number):
            raise TypeError(f"`{name}` has dtype {number.dtype}, but must be real.")
        number = number.astype(accumulator(number.dtype) if jnp.issubdtype(number.dtype, jnp.floating) else float)
        return nan_unless(within(Domain(self.words, self.holds), **{name: number}), number)


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


def mask(where: Mask | None, shape: tuple[int, ...]) -> Bool[Array, "..."] | None:
    """Check `where` against the shape of the unreduced loss, and convert it to an array."""
    if where is None:
        return None
    where = jnp.asarray(where)
    if where.dtype != jnp.bool_:
        raise TypeError(
            f"`where` has dtype {where.dtype}, but a mask is bool: use `where != 0` to keep elements, or "
            "`sample_weight` to weigh them."
        )
    return fitted("where", where, shape)


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
