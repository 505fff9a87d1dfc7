"""How far computed losses and derivatives lie from the truth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import compiled
import jax
import jax.numpy as jnp
import numpy as np
from gold import FLUSHED, LARGEST, Truth
from mpmath import isinf, isnan, mpf
from points import Kind

Arrays = tuple[np.ndarray, ...]
Results = tuple[np.ndarray, ...]
"""The losses of all elements, and their derivatives in each differentiable input."""
Wanted = list[list[Any]]
"""For every element a Truth or a list of them, nested as the array is, or None; in the order of the results."""


def computed(loss: Callable[..., Any], arrays: Arrays, differentiable: tuple[int, ...], *, jit: bool = True) -> Results:
    """What JAX makes of an unreduced loss."""

    def both(*arrays: Any) -> tuple[Any, ...]:
        def of_chosen(*chosen: Any) -> Any:
            given = dict(zip(differentiable, chosen, strict=True))
            return loss(*(given.get(i, array) for i, array in enumerate(arrays)))

        losses, pull = jax.vjp(of_chosen, *(arrays[i] for i in differentiable))
        return losses, *pull(jnp.ones_like(losses))

    results = (compiled.jit(both) if jit else both)(*map(jnp.asarray, arrays))
    return tuple(np.asarray(result).astype(float) for result in results)


def truths(formula: Callable[..., list[Any]], arrays: Arrays) -> Wanted:
    """What the results should be."""
    return [formula(*map(_number, element)) for element in zip(*arrays, strict=True)]


def _number(value: Any) -> Any:
    """Floats, and nested lists of them, in mpmath; class numbers as they are."""
    if np.ndim(value):
        return [_number(each) for each in value]
    return int(value) if np.issubdtype(np.asarray(value).dtype, np.integer) else mpf(float(value))


@dataclass(frozen=True)
class Number:
    """One computed number, and what it should be."""

    element: int
    name: str
    got: float
    truth: Truth

    @property
    def is_loss(self) -> bool:
        return self.name.startswith("loss")


def numbers(results: Results, wanted: Wanted) -> Iterator[Number]:
    """Every number that has a truth."""
    for element, row in enumerate(wanted):
        for which, truth in enumerate(row):
            name = f"derivative {which - 1}" if which else "loss"
            for i, (got, each) in enumerate(zip(np.ravel(results[which][element]), _flat(truth), strict=False)):
                if each is not None and not isnan(each.value):
                    at = f"[{i}]" if isinstance(truth, list) else ""
                    yield Number(element, name + at, float(got), each)


def _flat(truth: Any) -> Iterator[Any]:
    if isinstance(truth, list):
        for each in truth:
            yield from _flat(each)
    else:
        yield truth


def fault(number: Number, kind: Kind, *, never_negative: bool, least: float) -> str:
    """What is wrong with a number, if anything.

    It must not be NaN or infinite where the truth is not, nor negative if that cannot be. And it must have half of the
    dtype's digits: of the terms that it is the sum of, or of `least` where they are smaller. Some multiples of the
    smallest number of the dtype, or of normal size in float32, may have vanished.
    """
    got, (truth, scale) = number.got, number.truth
    largest, tolerance = float(kind.info.max), float(kind.info.eps) ** 0.5
    vanishing = 64 * max(float(FLUSHED), float(kind.info.smallest_subnormal))
    if isinf(truth) or abs(truth) > largest * (1 + tolerance):
        plausible = np.isfinite(got) and not (abs(got) > largest / 2 and (got > 0) == (truth > 0))
        return "plausible" if plausible and number.is_loss else ""
    if np.isnan(got):
        return "NaN"
    if np.isinf(got):
        return "infinite" if abs(truth) < largest * (1 - tolerance) and scale < LARGEST else ""
    if abs(got - truth) > max(tolerance * max(scale, least), vanishing):
        return "half its digits lost"
    return "negative" if got < 0 and never_negative and number.is_loss else ""


def faults(
    results: Results,
    wanted: Wanted,
    formula: Callable[..., list[Any]],
    arrays: Arrays,
    kind: Kind,
    *,
    never_negative: bool,
    least: float = 0.0,
) -> list[str]:
    """Every number that is wrong, with its element."""

    def wrong(results: Results, wanted: Wanted) -> Iterator[tuple[Number, str]]:
        for number in numbers(results, wanted):
            if why := fault(number, kind, never_negative=never_negative, least=least):
                yield number, why

    found = list(wrong(results, wanted))
    # XLA's CPU takes numbers of subnormal size for 0, in some of its operations: right is what is right of either.
    suspects = sorted({number.element for number, _ in found})
    flushed = truths(formula, tuple(_flushed(array[suspects]) for array in arrays))
    chosen = tuple(result[suspects] for result in results)
    wrong_too = {(suspects[number.element], number.name) for number, _ in wrong(chosen, flushed)}
    return [
        f"{number.name} of element {number.element} is {number.got:.9g} for {float(number.truth.value):.9g}: {why}, of "
        + ", ".join(str(array[number.element].tolist()) for array in arrays)
        for number, why in found
        if (number.element, number.name) in wrong_too
    ]


def _flushed(array: np.ndarray) -> np.ndarray:
    if not np.issubdtype(array.dtype, np.floating):
        return array
    return np.where(np.abs(array) < float(FLUSHED), np.copysign(0.0, array), array)


def units_of_last_place(results: Results, wanted: Wanted, kind: Kind) -> tuple[float, float]:
    """The largest error of a loss and of a derivative, in units of the last place of the terms they are the sum of."""
    largest = {True: 0.0, False: 0.0}
    for number in numbers(results, wanted):
        size = max(float(number.truth.scale), float(kind.info.tiny))
        unit = 2.0 ** np.floor(np.log2(size)) * float(kind.info.eps)
        error = float(abs(number.got - number.truth.value)) / unit
        largest[number.is_loss] = max(largest[number.is_loss], error)
    return largest[True], largest[False]
