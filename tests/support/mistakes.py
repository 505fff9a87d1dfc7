"""Rows of mistakes: how one is written, and the mistakes that many losses can meet."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from case import Case, resolved
from jax.experimental.sparse import BCOO

import jaxloss

Call = Callable[[], Any]


# In NumPy, so that the rows compile nothing when they are collected.
def f(*shape: int) -> np.ndarray:
    return np.full(shape, 0.5, np.float32)


def i(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int32)


def c(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.complex64)


def b(*shape: int) -> np.ndarray:
    return np.ones(shape, np.bool_)


def row(id: str, call: Call, error: type[Exception], *messages: str) -> Any:
    return pytest.param(call, error, messages, id=id)


# Mistakes that every loss can meet ----------------------------------------------------------------------------------


class Right(NamedTuple):
    """A call without a mistake, for the mistakes that every loss can meet."""

    fn: Callable[..., Any]
    arrays: dict[str, np.ndarray]
    shape: tuple[int, ...]
    """The shape of the unreduced loss."""
    kept: tuple[int, ...]
    """The shape of `where`."""
    two_kinds: tuple[str, ...] = ()
    """Arrays that may be class numbers or probabilities."""
    real: tuple[str, ...] = ()
    """Arrays of any real dtype."""

    @property
    def name(self) -> str:
        return self.fn.__name__

    def but(self, **changed: Any) -> list[Any]:
        return list((self.arrays | changed).values())

    @property
    def elementwise(self) -> bool:
        """Whether targets come last, and all arrays have one shape."""
        return [*self.arrays][-1] == "targets" and len({array.shape for array in self.arrays.values()}) == 1


REDUCE = Right(jaxloss.reduce, {"losses": np.ones((4, 3), np.float32)}, (4, 3), (4, 3))


def right(case: Case, cases: Iterable[Case]) -> Right:
    """A call of a Case's loss, with the names of its arrays from the signature."""
    made = [array.astype(np.float32) if array.dtype == np.float64 else array for array in case.arrays()]
    arrays = dict(zip(inspect.signature(case.loss.fn).parameters, made, strict=False))
    kinds = [[array.dtype.kind for array in other.arrays()] for other in cases if other.loss is case.loss]
    # Not strict: the last array of a loss may be optional, and some of its Cases leave it out.
    two_kinds = tuple(name for name, *seen in zip(arrays, *kinds, strict=False) if len(set(seen)) > 1)
    required = resolved(case.required, tuple(made))
    shape = jax.eval_shape(case.loss(**required, reduction="none"), *made).shape
    fn = functools.update_wrapper(functools.partial(case.loss.fn, **required), case.loss.fn)
    return Right(fn if case.required else case.loss.fn, arrays, shape, case.kept(shape), two_kinds, case.real)


def common_mistakes(cases: list[Case]) -> list[Any]:
    """The mistakes that every loss can meet."""
    rows = [*keyword_mistakes(REDUCE), *array_mistakes(REDUCE)]
    for case in cases:
        if not case.variant:
            call = right(case, cases)
            rows += array_mistakes(call) + keyword_mistakes(call) + silent_broadcasts(call)
            rows += [*foreign_mistakes(call), *object_mistakes(case, call), *case.mistakes]
    return rows


def array_mistakes(call: Right) -> list[Any]:
    """Arrays of the wrong kind; lengths, and arrays of two kinds, have rows in the loss's Case."""
    rows = []
    for name, array in call.arrays.items():
        if name.endswith("_lengths") or name in call.two_kinds:
            continue
        whole = array.dtype.kind == "i"
        wanted = "but class numbers are integers" if whole else "but must be real and floating"
        wanted = "but must be real" if name in call.real else wanted
        rows.append(
            row(
                f"{call.name}-complex_{name}",
                lambda name=name, array=array: call.fn(*call.but(**{name: c(*array.shape)})),
                TypeError,
                f"`{name}` has dtype complex64, {wanted}: use `",
            )
        )
        if name in call.real or (name == "targets" and not whole):  # which may be whole
            continue
        given = f(*array.shape) if whole else i(*array.shape)
        rows.append(
            row(
                f"{call.name}-{'floating' if whole else 'integer'}_{name}",
                lambda name=name, given=given: call.fn(*call.but(**{name: given})),
                TypeError,
                f"`{name}` has dtype {given.dtype}, {wanted}: use `"
                + ("astype(int)`" if whole else f"{name}.astype(jnp.float32)`"),
            )
        )
    return rows


def foreign_mistakes(call: Right) -> list[Any]:
    """An option by position, a key of random numbers, and a sparse array."""
    first, array = next(iter(call.arrays.items()))
    sparse = BCOO.fromdense(np.ones(array.shape, np.float32))
    return [
        row(
            f"{call.name}-option_by_position",
            lambda: call.fn(*inspect.signature(call.fn).parameters.keys()),
            TypeError,
            f"`{call.name}` takes ",
            "arrays by position: ",
            "Options are keywords: use `",
        ),
        row(
            f"{call.name}-key",
            lambda: call.fn(*call.but(**{first: jax.random.key(0)})),
            TypeError,
            f"`{first}` is a key of random numbers",
        ),
        row(
            f"{call.name}-sparse",
            lambda: call.fn(*call.but(**{first: sparse})),
            TypeError,
            f"`{first}` is sparse, but losses take dense arrays: use `{first}.todense()`.",
        ),
    ]


def keyword_mistakes(call: Right) -> list[Any]:
    fn, name = call.fn, call.name
    unfit, unfit_mask = (2, *call.shape[1:]), (2, *call.kept[1:])
    rows = [
        row(
            f"{name}-unknown_reduction",
            lambda: fn(*call.but(), reduction="average"),
            ValueError,
            "`reduction` is 'average'; it must be ",
            "'none'",
            "'mean'",
            "'sum'",
            *(["'batchmean'"] if name == "kl_div" else []),
        ),
        row(
            f"{name}-old_reduction",
            lambda: fn(*call.but(), reduction="elementwise_mean"),
            ValueError,
            "use `jaxloss.legacy_reduction(size_average, reduce)`",
        ),
        row(
            f"{name}-where_of_numbers",
            lambda: fn(*call.but(), where=f(*call.kept)),
            TypeError,
            "`where` has dtype float32, but a mask is bool: use `where != 0` to keep elements, or `sample_weight` to ",
        ),
        row(
            f"{name}-where_that_does_not_fit",
            lambda: fn(*call.but(), where=b(*unfit_mask)),
            ValueError,
            f"`where` has shape {unfit_mask}, but this loss has one value per element of {call.kept}.",
        ),
        row(
            f"{name}-sample_weight_that_does_not_fit",
            lambda: fn(*call.but(), sample_weight=f(*unfit)),
            ValueError,
            f"`sample_weight` has shape {unfit}, but this loss has one value per element of {call.shape}.",
        ),
        row(
            f"{name}-complex_sample_weight",
            lambda: fn(*call.but(), sample_weight=c(*call.shape)),
            TypeError,
            "`sample_weight` has dtype complex64, but must be real",
        ),
    ]
    if name != "reduce":
        rows.append(
            row(
                f"{name}-parts_of_a_sum",
                lambda: jaxloss.parts(fn)(*call.but(), reduction="sum"),
                ValueError,
                "`parts` is a mean, unfinished: it cannot take `reduction='sum'`.",
            )
        )
    return rows


def silent_broadcasts(call: Right) -> list[Any]:
    """A (3, 1) against a (3,), which other libraries turn into nine errors."""
    if not call.elementwise:
        return []
    first, (*others, targets) = next(iter(call.arrays)), call.arrays.values()
    last = i if targets.dtype.kind == "i" else f
    return [
        row(
            f"{call.name}-broadcast",
            lambda: call.fn(*[f(3) for _ in others], last(3, 1)),
            ValueError,
            f"`targets` has shape (3, 1), but `{first}` has shape (3,), and losses do not broadcast them: "
            f"use `targets.reshape({first}.shape)`.",
        ),
        row(
            f"{call.name}-other_size",
            lambda: call.fn(*[f(4, 3) for _ in others], last(3)),
            ValueError,
            f"`targets` has shape (3,), but `{first}` has shape (4, 3), and losses do not broadcast them.",
        ),
    ]


def object_mistakes(case: Case, call: Right) -> list[Any]:
    """Mistakes with the option object."""
    loss, name = case.loss, case.loss.__name__
    return [
        row(
            f"{name}-arrays_when_made",
            lambda: loss(*call.but()),
            TypeError,
            f"`{name}` takes its options by keyword: `",
            f"Arrays are given to the object: use `{name}()(...)`.",
        ),
        row(
            f"{name}-unknown_option",
            lambda: loss(size_average=True),
            TypeError,
            f"`{name}` has no option `size_average`. It has `",
        ),
        # The options are checked where they are used: a loss may hold placeholders.
        row(
            f"{name}-unknown_reduction",
            lambda: loss(**resolved(case.required, tuple(call.but())), reduction="average")(*call.but()),
            ValueError,
            "`reduction` is 'average'",
        ),
    ]


# Mistakes that several losses can meet, for the Cases of each -------------------------------------------------------


def not_a_number(fn: Callable[..., Any], *arrays: np.ndarray) -> Any:
    """A margin may be any number."""
    return row(
        f"{fn.__name__}-margin=nan",
        lambda: fn(*arrays, margin=float("nan")),
        ValueError,
        "`margin` is nan, but must be a number.",
    )


def unfit_weight(fn: Callable[..., Any], weight: str = "weight") -> Any:
    return row(
        f"{fn.__name__}-{weight}_that_does_not_fit",
        lambda: fn(f(4, 3), f(4, 3), **{weight: f(4)}),
        ValueError,
        f"`{weight}` has shape (4,), which does not broadcast to (4, 3).",
    )


def complex_weight(fn: Callable[..., Any], targets: np.ndarray, weight: str = "weight") -> Any:
    return row(
        f"{fn.__name__}-complex_{weight}",
        lambda: fn(f(4, 3), targets, **{weight: c(3)}),
        TypeError,
        f"`{weight}` has dtype complex64, but must be real",
    )


def class_axis(fn: Callable[..., Any], first: str) -> list[Any]:
    """Mistakes with the class axis, and with weights of the classes."""
    without = f"`{first}` (4, 3) without its class axis 1 is (4,)."
    return [
        row(f"{fn.__name__}-{what}", call, ValueError, message)
        for what, call, message in (
            (
                "labels_of_one_column",
                lambda: fn(f(4, 3), i(4, 1)),
                f"`targets` has shape (4, 1), but {without[:-1]}: use `targets[:, 0]`.",
            ),
            (
                "classes_on_another_axis",
                lambda: fn(f(2, 4, 5), i(2, 5)),
                "without its class axis 2 is (2, 4): use `axis=1`.",
            ),
            ("other_batch", lambda: fn(f(4, 3), i(3)), f"`targets` has shape (3,), but {without}"),
            (
                "weight_of_other_classes",
                lambda: fn(f(4, 3), i(4), weight=f(4)),
                "`weight` has shape (4,), but there are 3 classes.",
            ),
            (
                "weight_of_each_example",
                lambda: fn(f(4, 3), i(4), weight=f(4, 3)),
                "`weight` has shape (4, 3), but there are 3 classes.",
            ),
            ("axis", lambda: fn(f(4, 3), i(4), axis=2), f"`{first}` has shape (4, 3), which has no axis 2."),
            (
                "axis_from_the_end",
                lambda: fn(f(4, 3), i(4), axis=-3),
                f"`{first}` has shape (4, 3), which has no axis -3.",
            ),
            ("no_axis", lambda: fn(f(), i()), f"`{first}` has shape (), which has no axis -1."),
            (
                "no_classes",
                lambda: fn(f(4, 0), i(4)),
                f"`{first}` has shape (4, 0): axis -1 is empty, and the loss needs an entry there.",
            ),
        )
    ]


def triplets(fn: Callable[..., Any]) -> list[Any]:
    """Mistakes with an anchor, a positive and a negative."""
    shapes = "The shapes `anchor` (4, 3), `positive` (4, 3), `negative`"
    return [
        *(
            row(
                f"{fn.__name__}-margin={margin}",
                lambda margin=margin: fn(f(4, 3), f(4, 3), f(4, 3), margin=margin),
                ValueError,
                f"`margin` is {margin}, but must be above 0.",
            )
            for margin in (0, -1.0)
        ),
        *(
            row(
                f"{fn.__name__}-{what}",
                lambda last=last: fn(f(4, 3), f(4, 3), f(*last)),
                ValueError,
                f"{shapes} {last} {message}",
            )
            for what, last, message in (
                ("other_number_of_axes", (3,), "have different numbers of axes: insert axes of size 1 by hand."),
                ("other_batch", (2, 3), "do not broadcast."),
                ("other_size", (4, 2), "do not broadcast."),
            )
        ),
    ]
