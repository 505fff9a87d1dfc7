"""What holds for every loss, over every Case and option set; and, for every law, a loss that breaks it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import breakers
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, Case
from inputs import Arrays, cotangent
from jax.sharding import AxisType, PartitionSpec
from jax.test_util import check_grads

import jaxloss

Function = Callable[..., Any]
close = partial(chex.assert_trees_all_close, rtol=1e-11, atol=1e-12)

# The examples that are kept in laws about masks, and how often each counts in laws about weights.
KEPT = np.array([True, False, True, True, False])
TIMES = np.array([1, 2, 0, 3, 1])


@dataclass(frozen=True)
class Subject:
    """A loss under a law: a function with its options given, and inputs whose first axis is that of five examples."""

    function: Function
    arrays: Arrays
    never_negative: bool = True
    smooth_in: tuple[int, ...] = (0, 1)
    """Positions of the inputs that the loss has a derivative in; not those that only choose a case, like signs."""
    float32_losses: bool = False

    def floating(self) -> list[int]:
        return [i for i, array in enumerate(self.arrays) if np.issubdtype(array.dtype, np.floating)]

    def inputs(self, dtype: str = "float64") -> tuple[jax.Array, ...]:
        return tuple(
            jnp.asarray(a, dtype) if i in self.floating() else jnp.asarray(a) for i, a in enumerate(self.arrays)
        )

    def value_and_gradient(self, *arrays: Any, **keywords: Any) -> tuple[Any, Any]:
        """The loss, weighed if unreduced, and its gradient in every floating input."""

        def value(*floating: Any) -> Any:
            return weighed(self.function(*replaced(arrays, self.floating(), floating), **keywords))

        chosen = [arrays[i] for i in self.floating()]
        return jax.value_and_grad(value, tuple(range(len(chosen))))(*chosen)

    def per_example(self, values: np.ndarray) -> np.ndarray:
        """One value an example, with the other axes of the unreduced loss as 1."""
        losses = jax.eval_shape(partial(self.function, reduction="none"), *self.inputs())
        return values.reshape((-1,) + (1,) * (losses.ndim - 1))


def weighed(value: Any) -> Any:
    return jnp.sum(value * jnp.asarray(cotangent(value.shape), value.dtype))


def replaced(arrays: tuple[Any, ...], positions: list[int], values: tuple[Any, ...]) -> tuple[Any, ...]:
    given = dict(zip(positions, values, strict=True))
    return tuple(given.get(i, array) for i, array in enumerate(arrays))


def rows(arrays: Any, chosen: Any) -> tuple[Any, ...]:
    return tuple(array[chosen] for array in arrays)


def spoilt(subject: Subject) -> tuple[jax.Array, ...]:
    """The inputs with NaN, and class numbers of no class, in the examples that are not kept."""
    arrays = [np.array(array) for array in subject.arrays]
    for array in arrays:
        array[~KEPT] = np.nan if np.issubdtype(array.dtype, np.floating) else 10**6
    return tuple(map(jnp.asarray, arrays))


def jitted_equals_eager(subject: Subject) -> None:
    run = partial(subject.value_and_gradient, reduction="mean")
    close(jax.jit(run)(*subject.inputs()), run(*subject.inputs()))


def vmapped_equals_a_loop(subject: Subject) -> None:
    run = partial(subject.value_and_gradient, reduction="none")
    looped = [run(*rows(subject.inputs(), i)) for i in range(5)]
    close(jax.vmap(run)(*subject.inputs()), jax.tree.map(lambda *each: jnp.stack(each), *looped))


def forward_mode_equals_reverse_mode(subject: Subject) -> None:
    arrays, positions = subject.inputs(), subject.floating()
    primals = tuple(arrays[i] for i in positions)
    tangents = tuple(jnp.asarray(cotangent(array.shape)) for array in primals)

    def value(*floating: Any) -> Any:
        return weighed(subject.function(*replaced(arrays, positions, floating), reduction="none"))

    _, gradients = subject.value_and_gradient(*arrays, reduction="none")
    along = sum(jnp.vdot(gradient, tangent) for gradient, tangent in zip(gradients, tangents, strict=True))
    close(jax.jvp(value, primals, tangents)[1], along)


def derivatives_equal_finite_differences(subject: Subject) -> None:
    # Off the grid that the inputs lie on, and kinks with them.
    rng = np.random.default_rng(0)
    moved = tuple(subject.inputs()[i] + rng.uniform(0, 1e-2, subject.arrays[i].shape) for i in subject.smooth_in)
    arrays = replaced(subject.inputs(), list(subject.smooth_in), moved)

    def value(*floating: Any) -> Any:
        return weighed(subject.function(*replaced(arrays, list(subject.smooth_in), floating), reduction="mean"))

    # 1e-5 is what central differences with this step leave of float64, at second order.
    check_grads(jax.jit(value), moved, order=2, eps=1e-5, atol=1e-5, rtol=1e-5)


def nan_under_the_mask_changes_nothing(subject: Subject) -> None:
    where = subject.per_example(KEPT)
    for reduction in ("none", "mean"):
        run = partial(subject.value_and_gradient, reduction=reduction, where=where)
        clean, gradients = run(*subject.inputs())
        close(run(*spoilt(subject)), (clean, gradients))
        for gradient in gradients:
            chex.assert_trees_all_equal(gradient[~KEPT], jnp.zeros_like(gradient[~KEPT]))

    def steepness(*arrays: Any) -> Any:
        return sum(jnp.sum(gradient**2) for gradient in subject.value_and_gradient(*arrays, where=where)[1])

    def second(arrays: tuple[Any, ...]) -> Any:
        chosen = [arrays[i] for i in subject.floating()]
        return jax.grad(lambda floating: steepness(*replaced(arrays, subject.floating(), floating)))(chosen)

    close(second(spoilt(subject)), second(subject.inputs()))


def masking_equals_dropping(subject: Subject) -> None:
    where = subject.per_example(KEPT)
    for reduction in ("mean", "sum"):
        masked, gradients = subject.value_and_gradient(*subject.inputs(), reduction=reduction, where=where)
        dropped, expected = subject.value_and_gradient(*rows(subject.inputs(), KEPT), reduction=reduction)
        close((masked, rows(gradients, KEPT)), (dropped, expected))


def whole_weights_equal_repeating(subject: Subject) -> None:
    weight = subject.per_example(TIMES)
    repeated = tuple(jnp.repeat(array, TIMES, axis=0) for array in subject.inputs())
    for reduction in ("mean", "sum"):
        weighted = subject.function(*subject.inputs(), reduction=reduction, sample_weight=weight)
        close(weighted, subject.function(*repeated, reduction=reduction))


def nothing_kept_is_zero(subject: Subject) -> None:
    where = subject.per_example(np.zeros(5, bool))
    arrays = tuple(array * np.nan if np.issubdtype(array.dtype, np.floating) else array for array in subject.arrays)
    for inputs in (subject.inputs(), tuple(map(jnp.asarray, arrays))):
        found = subject.value_and_gradient(*inputs, reduction="mean", where=where)
        chex.assert_trees_all_equal(found, jax.tree.map(jnp.zeros_like, found))


def unreduced_losses_add_up_to_the_sum(subject: Subject) -> None:
    for keywords in ({}, {"where": subject.per_example(KEPT), "sample_weight": subject.per_example(TIMES)}):
        losses = subject.function(*subject.inputs(), reduction="none", **keywords)
        close(jnp.sum(losses), subject.function(*subject.inputs(), reduction="sum", **keywords))


def parts_of_halves_add_up_to_the_mean(subject: Subject) -> None:
    def halves(*arrays: Any, reduction: str = "mean", where: Any = None) -> Any:
        def part(chosen: slice) -> jaxloss.Mean:
            return jaxloss.parts(subject.function)(*rows(arrays, chosen), where=where[chosen])

        return (part(slice(0, 2)) + part(slice(2, 5))).value

    where = subject.per_example(KEPT)
    by_halves = Subject(halves, subject.arrays).value_and_gradient(*subject.inputs(), where=where)
    close(by_halves, subject.value_and_gradient(*subject.inputs(), where=where))


def low_precision_is_summed_in_float32(subject: Subject) -> None:
    for dtype in ("bfloat16", "float16", "float32"):
        inputs = subject.inputs(dtype)
        value, gradients = subject.value_and_gradient(*inputs, reduction="mean")
        part = jaxloss.parts(subject.function)(*inputs)
        losses = subject.function(*inputs, reduction="none")
        own = "float32" if subject.float32_losses else dtype
        chex.assert_type([value, part.total, part.weight, losses], [*["float32"] * 3, own])
        chex.assert_type(gradients, dtype)
        # The mean is that of the inputs' values, not of rounded losses.
        wide = subject.function(*tuple(jnp.asarray(a, "float64") if a.dtype == dtype else a for a in inputs))
        chex.assert_trees_all_close(jnp.float64(value), wide, rtol=5e-6, atol=5e-6)


def no_nan_arises_on_the_way(subject: Subject) -> None:
    with jax.debug_nans(True):
        for reduction in ("none", "mean"):
            subject.value_and_gradient(*subject.inputs("float32"), reduction=reduction, where=subject.per_example(KEPT))


def order_does_not_matter(subject: Subject) -> None:
    order = np.array([3, 0, 4, 1, 2])
    close(subject.function(*rows(subject.inputs(), order)), subject.function(*subject.inputs()))
    losses = subject.function(*subject.inputs(), reduction="none")
    close(subject.function(*rows(subject.inputs(), order), reduction="none"), losses[order])


def an_empty_batch_is_zero(subject: Subject) -> None:
    empty = rows(subject.inputs(), slice(0, 0))
    for reduction in ("mean", "sum"):
        value, gradients = subject.value_and_gradient(*empty, reduction=reduction)
        assert value == 0
        chex.assert_trees_all_equal_shapes(gradients, tuple(empty[i] for i in subject.floating()))
    assert subject.function(*empty, reduction="none").shape[0] == 0


def other_values_do_not_compile_again(subject: Subject) -> None:
    traces = []

    def traced(*arrays: Any) -> Any:
        traces.append(None)
        return subject.function(*arrays)

    run, others = jax.jit(traced), rows(subject.inputs(), np.array([4, 4, 2, 2, 2]))
    run(*subject.inputs())
    close(run(*others), subject.function(*others))
    assert len(traces) == 1


def transformations_compose(subject: Subject) -> None:
    """`lax.scan` over examples, `jax.checkpoint`, and `shard_map` over devices, each give the plain result."""
    arrays = subject.inputs()
    value, gradients = subject.value_and_gradient(*arrays, reduction="sum")

    def scanned(*arrays: Any, reduction: str) -> Any:
        def step(total: Any, example: tuple[Any, ...]) -> tuple[Any, None]:
            return total + jax.checkpoint(partial(subject.function, reduction=reduction))(*example), None

        return jax.lax.scan(step, jnp.zeros(()), tuple(array[:, None] for array in arrays))[0]

    by_scan = jax.jit(partial(Subject(scanned, subject.arrays).value_and_gradient, reduction="sum"))(*arrays)
    close(by_scan, (value, gradients))

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    four = rows(arrays, slice(0, 4))

    def sharded(*arrays: Any) -> Any:
        def local(*arrays: Any) -> Any:
            return jax.lax.psum(jaxloss.parts(subject.function)(*arrays), "data").value

        data = PartitionSpec("data")
        return jax.shard_map(local, mesh=mesh, in_specs=(data,) * len(arrays), out_specs=PartitionSpec())(*arrays)

    on_devices = jax.jit(Subject(sharded, subject.arrays).value_and_gradient)(*four)
    close(on_devices, subject.value_and_gradient(*four))


def a_loss_that_cannot_be_negative_is_not(subject: Subject) -> None:
    for dtype in ("float64", "float32", "bfloat16"):
        losses = subject.function(*subject.inputs(dtype), reduction="none")
        assert not subject.never_negative or jnp.all(losses >= 0)


LAWS = [
    jitted_equals_eager,
    vmapped_equals_a_loop,
    forward_mode_equals_reverse_mode,
    derivatives_equal_finite_differences,
    nan_under_the_mask_changes_nothing,
    masking_equals_dropping,
    whole_weights_equal_repeating,
    nothing_kept_is_zero,
    unreduced_losses_add_up_to_the_sum,
    parts_of_halves_add_up_to_the_mean,
    low_precision_is_summed_in_float32,
    no_nan_arises_on_the_way,
    order_does_not_matter,
    an_empty_batch_is_zero,
    other_values_do_not_compile_again,
    transformations_compose,
    a_loss_that_cannot_be_negative_is_not,
]


def subject(case: Case, options: Mapping[str, Any]) -> Subject:
    """A case with one of its option sets, as a function of what there is one of for every example."""
    arrays = case.arrays()
    own = [i for i in range(len(arrays)) if i not in case.shared]

    def function(*given: Any, reduction: Any = "mean", **keywords: Any) -> Any:
        fixed = tuple(jnp.asarray(array, given[0].dtype) for array in arrays)
        return case.loss.fn(*replaced(fixed, own, given), reduction=reduction, **options, **keywords)

    smooth = tuple(own.index(i) for i in case.differentiable if i in own)
    given = tuple(arrays[i] for i in own)
    return Subject(function, given, case.never_negative, smooth, case.float32_losses)


SUBJECTS = [
    pytest.param(subject(case, options), id=f"{case.id}-{number}")
    for case in CASES
    for number, options in enumerate(case.option_sets(case.arrays()))
]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_law(subject: Subject, law: Callable[[Subject], None]) -> None:
    law(subject)


BREAKERS = {
    jitted_equals_eager: breakers.keeping_a_state,
    vmapped_equals_a_loop: breakers.keeping_a_state,
    forward_mode_equals_reverse_mode: breakers.without_forward_mode,
    derivatives_equal_finite_differences: breakers.with_a_constant_for_a_factor,
    nan_under_the_mask_changes_nothing: breakers.plain,  # masks what it computed, not what it was given
    masking_equals_dropping: breakers.dividing_by_all,
    whole_weights_equal_repeating: breakers.not_normalising_weights,
    nothing_kept_is_zero: breakers.of_nothing_is_nan,
    unreduced_losses_add_up_to_the_sum: breakers.unmasked_when_unreduced,
    parts_of_halves_add_up_to_the_mean: breakers.parts_of_weight_one,
    low_precision_is_summed_in_float32: breakers.rounding_the_losses,
    no_nan_arises_on_the_way: breakers.nan_beside_the_point,
    order_does_not_matter: breakers.weighing_by_position,
    an_empty_batch_is_zero: breakers.of_nothing_is_nan,
    other_values_do_not_compile_again: breakers.looking_at_a_value,
    transformations_compose: breakers.normalised_over_the_batch,
    a_loss_that_cannot_be_negative_is_not: breakers.below_zero,
}


@pytest.mark.parametrize("law", LAWS)
def test_law_can_be_broken(law: Callable[[Subject], None]) -> None:
    rng = np.random.default_rng(0)
    subject = Subject(BREAKERS[law], (rng.normal(size=(5, 3)), rng.normal(size=(5, 3))))
    with pytest.raises((AssertionError, FloatingPointError, TypeError, jax.errors.ConcretizationTypeError)):
        law(subject)


@pytest.mark.parametrize(
    "case", [case for case in CASES if "axis" in case.loss.__dataclass_fields__], ids=lambda case: case.id
)
@pytest.mark.parametrize("axis", [0, 1, -2, 3])
def test_the_class_axis_may_be_any(case: Any, axis: int) -> None:
    arrays = case.arrays("extra")
    moved = [jnp.moveaxis(jnp.asarray(a), -1, axis) if a.ndim == 4 else jnp.asarray(a) for a in arrays]
    for options in case.option_sets(arrays):
        losses = case.loss.fn(*map(jnp.asarray, arrays), reduction="none", **options)
        close(case.loss.fn(*moved, reduction="none", axis=axis, **options), losses)
