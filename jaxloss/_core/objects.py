"""Option objects: a loss and its options as one frozen pytree, which is called like the function."""

import dataclasses
import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from typing import ClassVar, Generic, ParamSpec, TypeAlias, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxloss._core.pytree import fields, register_pytree
from jaxloss._core.reduction import Mean, unfinished_mean
from jaxloss._core.types import ArrayLike, Mask, Scalar, Weight

P = ParamSpec("P")
T = TypeVar("T")
Arrays: TypeAlias = tuple[Shaped[ArrayLike, "..."], ...]


# `static` is not named as a field specifier, because type checkers would then look for `default=` in its calls. They
# take the value that it returns for the field's default.
@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
class Loss:
    """Base of the option objects: `class HuberLoss(Loss, fn=huber_loss)` has the options of `huber_loss` as fields.

    A subclass is a frozen, keyword-only dataclass and a pytree. Its numbers and arrays are leaves: `jax.grad` with
    respect to a loss gives a loss, `jax.vmap` maps over a loss whose option is an array of values, and a jitted
    function that takes a loss does not compile again for another value. A field with the default `static(value)` is
    part of the program.

    Losses can be added and scaled: `L1Loss() + 0.5 * MSELoss()` is a loss. Its `terms` returns the value of each term
    by name.

    Examples:
        >>> loss = jaxloss.HuberLoss(delta=2.0)
        >>> loss, float(loss(jnp.array([0.0, 4.0]), jnp.array([1.0, 1.0])))
        (HuberLoss(delta=2.0), 2.25)
        >>> jax.grad(lambda loss: loss(jnp.array([0.0, 4.0]), jnp.array([1.0, 1.0])))(loss)
        HuberLoss(delta=array(0.5))
    """

    fn: ClassVar[Callable[..., Float[Array, "..."]]]

    def __init_subclass__(cls, fn: Callable[..., Float[Array, "..."]] | None = None) -> None:
        dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)(cls)
        register_pytree(cls)
        if fn is not None:
            _check_fields(cls, fn)
            cls.fn = staticmethod(fn)
            _describe(cls, fn)

    def __new__(cls: type[T], *arrays: object, **options: object) -> T:
        # Python would say how many arguments the class takes, and not what to do.
        if arrays:
            raise TypeError(
                f"`{cls.__name__}` takes its options by keyword: {_named(fields(cls))}. Arrays are given to the "
                f"object: use `{cls.__name__}()(...)`."
            )
        if unknown := options.keys() - {field.name for field in fields(cls)}:
            raise TypeError(f"`{cls.__name__}` has no option `{min(unknown)}`. It has {_named(fields(cls))}.")
        return object.__new__(cls)

    def __call__(
        self,
        *arrays: Shaped[ArrayLike, "..."],
        where: Mask | None = None,
        sample_weight: Weight | None = None,
        **named: Shaped[ArrayLike, "..."],
    ) -> Float[Array, "..."]:
        """The loss of the function's arrays, given by position or by name, with its mask and weights."""
        return type(self).fn(*arrays, where=where, sample_weight=sample_weight, **named, **_options(self))

    def terms(
        self,
        *arrays: Shaped[ArrayLike, "..."],
        where: Mask | None = None,
        sample_weight: Weight | None = None,
        **named: Shaped[ArrayLike, "..."],
    ) -> dict[str, Float[Array, "..."]]:
        """The terms of a sum by name (`L1Loss`, `L1Loss_2`, ...). They are scaled, so that they add up to the sum."""
        return {type(self).__name__: self(*arrays, where=where, sample_weight=sample_weight, **named)}

    def parts(
        self,
        *arrays: Shaped[ArrayLike, "..."],
        where: Mask | None = None,
        sample_weight: Weight | None = None,
        **named: Shaped[ArrayLike, "..."],
    ) -> Mean:
        """The unfinished mean, as a [`Mean`][jaxloss.Mean]: `jaxloss.parts(loss)` calls it."""
        options = _options(self)
        finished = options.pop("reduction", "mean")
        unfinished = parts(functools.partial(type(self).fn, **options))
        return unfinished(*arrays, where=where, sample_weight=sample_weight, reduction=finished, **named)

    def __add__(self, other: "Loss") -> "Loss":
        if not isinstance(other, Loss):  # pyright: ignore[reportUnnecessaryIsInstance]  # for a TypeError of Python's own
            return NotImplemented
        (losses, scales), (more, more_scales) = _scaled(self), _scaled(other)
        return LossSum(losses=losses + more, scales=scales + more_scales)

    def __radd__(self, other: object) -> "Loss":
        return self if isinstance(other, int | float) and other == 0 else NotImplemented  # sum() starts at 0

    def __neg__(self) -> "Loss":
        return -1.0 * self

    def __sub__(self, other: "Loss") -> "Loss":
        if self.__add__(other) is NotImplemented:
            return NotImplemented
        return self + -1.0 * other

    def __truediv__(self, scale: Scalar) -> "Loss":
        return self * (1 / scale) if np.ndim(scale) == 0 else NotImplemented

    def __mul__(self, scale: Scalar) -> "Loss":
        if isinstance(scale, Loss) or np.ndim(scale) != 0:
            return NotImplemented
        losses, scales = _scaled(self)
        return LossSum(losses=losses, scales=tuple(scale * each for each in scales))

    __rmul__ = __mul__
    __array_ufunc__ = None  # so that `np.float32(0.5) * loss` asks the loss

    def __eq__(self, other: object) -> bool:
        # Tracers cannot be compared, and neither can a loss that holds one.
        if not isinstance(other, Loss) or jax.tree.structure(self) != jax.tree.structure(other):
            return False
        return all(map(np.array_equal, jax.tree.leaves(self), jax.tree.leaves(other)))

    def __hash__(self) -> int:
        return hash(jax.tree.structure(self))  # pyright: ignore[reportUnknownArgumentType]  # leaves may be arrays, which do not hash

    def __repr__(self) -> str:
        defaults = {field.name: field.default for field in fields(type(self))}
        changed = {name: value for name, value in _options(self).items() if not _same(value, defaults[name])}
        return f"{type(self).__name__}({', '.join(f'{name}={_shown(value)}' for name, value in changed.items())})"


class LossSum(Loss):
    """A weighted sum of losses, made by `+` and `*`; its scales are leaves too.

    Arrays are given by position, and each term takes as many of the first ones as its function has: in
    `GaussianNLLLoss() + 0.1 * L1Loss()` the second term does not see the variances.
    """

    losses: tuple[Loss, ...]
    scales: tuple[Scalar, ...]

    def __call__(
        self,
        *arrays: Shaped[ArrayLike, "..."],
        where: Mask | None = None,
        sample_weight: Weight | None = None,
        **named: Shaped[ArrayLike, "..."],
    ) -> Float[Array, "..."]:
        terms = self.terms(*arrays, where=where, sample_weight=sample_weight, **named)
        return functools.reduce(jnp.add, terms.values())

    def terms(
        self,
        *arrays: Shaped[ArrayLike, "..."],
        where: Mask | None = None,
        sample_weight: Weight | None = None,
        **named: Shaped[ArrayLike, "..."],
    ) -> dict[str, Float[Array, "..."]]:
        terms: dict[str, Array] = {}
        for loss, scale, taken in self._scaled_terms(arrays, named):
            name = type(loss).__name__
            numbered = (f"{name}_{number}" for number in range(2, len(self.losses) + 2))
            value = loss(*taken, where=where, sample_weight=sample_weight)
            terms[next(name for name in (name, *numbered) if name not in terms)] = _times(scale, value)
        return terms

    def parts(
        self,
        *arrays: Shaped[ArrayLike, "..."],
        where: Mask | None = None,
        sample_weight: Weight | None = None,
        **named: Shaped[ArrayLike, "..."],
    ) -> Mean:
        mean: Mean | None = None
        for loss, scale, taken in reversed(self._scaled_terms(arrays, named)):
            part = loss.parts(*taken, where=where, sample_weight=sample_weight)
            mean = Mean(_times(scale, part.total), part.weight, rest=mean)
        assert mean is not None  # a sum has terms
        return mean

    def _scaled_terms(self, arrays: Arrays, named: Iterable[str]) -> list[tuple[Loss, Scalar, Arrays]]:
        """Each term with its scale and the arrays that it takes."""
        counts = [_array_count(type(loss)) for loss in self.losses]
        for name in named:
            raise TypeError(
                f"`{name}` is given by name, but terms may name their arrays differently: give it by position."
            )
        if len(arrays) > max(counts):
            raise TypeError(f"{len(arrays)} arrays are given, but no term of {self!r} takes more than {max(counts)}.")
        return [
            (loss, scale, arrays[:count]) for loss, scale, count in zip(self.losses, self.scales, counts, strict=True)
        ]

    def __repr__(self) -> str:
        scaled = zip(self.losses, self.scales, strict=True)
        terms = [repr(loss) if _same(scale, 1.0) else f"{_shown(scale)} * {loss!r}" for loss, scale in scaled]
        return " + ".join(terms).replace("+ -", "- ")


def parts(loss: Callable[P, Float[Array, "..."]]) -> Callable[P, Mean]:
    """Transform a loss so that it returns its unfinished mean, a [`Mean`][jaxloss.Mean].

    `jaxloss.parts(loss)(*arrays, **options).value` equals `loss(*arrays, **options)`. Add the parts of several batches
    (`a + b`), or sum them over a mesh axis (`jax.lax.psum`), before you take the value. The average of the batches'
    means is not the mean of their elements if they hold different numbers of unmasked elements.

    Args:
        loss: an option object, a function of this library, or your own that takes `reduction`, by name or among its
            `**keywords`, and ends in [`reduce`][jaxloss.reduce].

    Returns:
        A function that returns a `Mean`. It takes the same arguments without `reduction`.

    Raises:
        TypeError: a function that takes no `reduction`, or that does not return what `reduce` returns.
        ValueError: when called with a reduction other than `"mean"`.

    Examples:
        >>> predictions, targets = jnp.array([1.0, 2.0, 6.0]), jnp.zeros(3)
        >>> mean = jaxloss.parts(jaxloss.l1_loss)
        >>> batches = mean(predictions[:2], targets[:2]) + mean(predictions[2:], targets[2:])
        >>> print(batches.value, jaxloss.l1_loss(predictions, targets))
        3.0 3.0
    """
    if isinstance(loss, Loss):
        return loss.parts  # pyright: ignore[reportReturnType]  # whose parameters are those of its __call__
    return _Parts(loss)


class _Parts(Generic[P]):
    """A loss function that returns its unfinished mean. Unlike a closure it can be pickled."""

    def __init__(self, loss: Callable[P, Float[Array, "..."]]) -> None:
        signature = inspect.signature(loss)
        keywords = {name for name, each in signature.parameters.items() if each.kind is each.VAR_KEYWORD}
        # The keywords that a loss passes on may be called `**reduction`. They are no parameter of that name.
        taken = {name: each for name, each in signature.parameters.items() if name not in keywords}
        if "reduction" not in taken and not keywords:
            raise TypeError(
                f"`parts` needs a loss that takes `reduction` and passes it to `jaxloss.reduce`, not {loss}."
            )
        functools.update_wrapper(self, loss)
        self.default = taken["reduction"].default if "reduction" in taken else "mean"
        others = [each for name, each in signature.parameters.items() if name != "reduction" or name in keywords]
        self.__signature__ = signature.replace(parameters=others, return_annotation=Mean)
        self.loss = loss

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Mean:
        reduction = kwargs.pop("reduction", self.default)
        if reduction != "mean":
            raise ValueError(f"`parts` is a mean, unfinished: it cannot take `reduction={reduction!r}`.")
        return unfinished_mean(self.loss, *args, **kwargs)

    def __reduce__(self) -> tuple[object, ...]:
        return parts, (self.loss,)


def _check_fields(cls: type[Loss], fn: Callable[..., object]) -> None:
    """Raise if an option object has a field that its function does not take."""
    taken = inspect.signature(fn).parameters
    if any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        return
    for field in fields(cls):
        if field.name not in taken:
            raise TypeError(
                f"`{cls.__name__}` has the field `{field.name}`, but `{getattr(fn, '__name__', fn)}` takes no such "
                "option."
            )


def _named(options: Iterable[dataclasses.Field[object]]) -> str:
    return ", ".join(f"`{each.name}`" for each in options)


def _describe(cls: type[Loss], fn: Callable[..., object]) -> None:
    """Document the options of an option object, and name the arrays in the signatures of its methods.

    Both are taken from the function, so that they are written once.
    """
    section = (inspect.getdoc(fn) or "").partition("\nArgs:\n")[2].split("\n\n")[0]
    entries: list[str] = re.findall(r"^    \w+:.*\n?(?:        .*\n?)*", section, re.MULTILINE)
    named = {entry.partition(":")[0].strip(): entry for entry in entries}
    options = "".join(named.get(field.name, "") for field in fields(cls))
    if cls.__doc__ and options:
        cls.__doc__ = f"{inspect.cleandoc(cls.__doc__)}\n\nArgs:\n{options.rstrip()}\n"
    shared = ("where", "sample_weight")
    parameters = inspect.signature(fn).parameters.values()
    called_with = [each for each in parameters if each.kind is not each.KEYWORD_ONLY or each.name in shared]
    called_with.insert(0, inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD))
    for method in (Loss.__call__, Loss.terms, Loss.parts):
        if method.__name__ not in vars(cls):
            setattr(cls, method.__name__, _with_parameters(method, called_with))


def _with_parameters(method: Callable[P, T], parameters: list[inspect.Parameter]) -> Callable[P, T]:
    @functools.wraps(method)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        return method(*args, **kwargs)

    vars(called)["__signature__"] = inspect.signature(method).replace(parameters=parameters)
    return called


@functools.cache
def _array_count(cls: type[Loss]) -> int:
    """The number of arrays that a loss takes by position."""
    parameters = list(inspect.signature(cls.__call__).parameters.values())[1:]
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return sys.maxsize
    return sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)


def _options(loss: Loss) -> dict[str, object]:
    return {field.name: getattr(loss, field.name) for field in fields(type(loss))}


def _scaled(loss: Loss) -> tuple[tuple[Loss, ...], tuple[Scalar, ...]]:
    return (loss.losses, loss.scales) if isinstance(loss, LossSum) else ((loss,), (1.0,))


def _times(scale: Scalar, value: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.asarray(scale, value.dtype) * value


def _concrete(value: object) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None:
    """The value of an array, or None for a tracer and for what is no array."""
    try:
        return np.asarray(value) if hasattr(value, "dtype") else None
    except jax.errors.TracerArrayConversionError:
        return None


def _same(value: object, default: object) -> bool:
    if hasattr(value, "dtype"):
        known = _concrete(value)
        return known is not None and known.ndim == 0 and known.item() == default
    return value == default


def _shown(value: object) -> str:
    """The text of an option in a loss's repr: a short array in full, a long one by its dtype and shape."""
    known = _concrete(value)
    if known is not None and known.size <= 8:
        return f"array({np.array2string(known, separator=', ')})"
    if hasattr(value, "dtype"):
        return str(jax.typeof(value))
    return getattr(value, "__name__", repr(value))
