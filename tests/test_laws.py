"""What holds for every loss, over every Case and option set; and, for every law, a loss that breaks it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
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

import jaxloss

Function = Callable[..., Any]
close = partial(chex.assert_trees_all_close, rtol=1e-11, atol=1e-12)

# The examples that are kept in laws about masks, and how often each counts in laws about weights: five times in all, so
# that those repeated are as many as those given, and need no program of their own.
KEPT = np.array([True, False, True, True, False])
TIMES = np.array([1, 2, 0, 1, 1])


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

    def inputs(self, dtype: str = "float64") -> tuple[np.ndarray, ...]:
        return tuple(a.astype(jnp.dtype(dtype)) if i in self.floating() else a for i, a in enumerate(self.arrays))

    def value_and_gradient(self, *arrays: Any, **keywords: Any) -> tuple[Any, Any]:
        """The loss, and its gradient in every floating input: of its weighted sum, if it is unreduced."""

        def value(*floating: Any) -> tuple[Any, Any]:
            loss = self.function(*replaced(arrays, self.floating(), floating), **keywords)
            return weighed(loss), loss

        chosen = [arrays[i] for i in self.floating()]
        gradient, loss = jax.grad(value, tuple(range(len(chosen))), has_aux=True)(*chosen)
        return loss, gradient

    @cached_property
    def compiled(self) -> Function:
        """`value_and_gradient` for each reduction, compiled once for all laws with the same keywords and shapes."""
        reductions = ("none", "mean", "sum")
        return jax.jit(
            lambda *given, **more: {r: self.value_and_gradient(*given, reduction=r, **more) for r in reductions}
        )

    def per_example(self, values: np.ndarray) -> np.ndarray:
        """One value an example, with the other axes of the unreduced loss as 1."""
        losses = jax.eval_shape(partial(self.function, reduction="none"), *self.inputs())
        return values.reshape((-1,) + (1,) * (losses.ndim - 1))


def weighed(value: Any) -> Any:
    return jnp.sum(value * jnp.asarray(cotangent(value.shape), value.dtype))


def replaced(arrays: tuple[Any, ...], positions: Sequence[int], values: Sequence[Any]) -> tuple[Any, ...]:
    given = dict(zip(positions, values, strict=True))
    return tuple(given.get(i, array) for i, array in enumerate(arrays))


def rows(arrays: Any, chosen: Any) -> tuple[Any, ...]:
    return tuple(array[chosen] for array in arrays)


def spoilt(subject: Subject) -> tuple[np.ndarray, ...]:
    """The inputs with NaN, and class numbers of no class, in the examples that are not kept."""
    arrays = tuple(np.array(array) for array in subject.arrays)
    for array in arrays:
        array[~KEPT] = np.nan if np.issubdtype(array.dtype, np.floating) else 10**6
    return arrays


def jitted_equals_eager(subject: Subject) -> None:
    arrays = tuple(map(jnp.asarray, subject.inputs()))
    close(subject.compiled(*arrays)["mean"], subject.value_and_gradient(*arrays, reduction="mean"))


def vmapped_equals_a_loop(subject: Subject) -> None:
    looped = [subject.compiled(*rows(subject.inputs(), i)) for i in range(5)]
    close(jax.vmap(subject.compiled)(*subject.inputs()), jax.tree.map(lambda *each: np.stack(each), *looped))


def forward_mode_equals_reverse_mode(subject: Subject) -> None:
    arrays, positions = subject.inputs(), subject.floating()
    primals = tuple(arrays[i] for i in positions)
    tangents = tuple(cotangent(array.shape) for array in primals)

    def value(*floating: Any) -> Any:
        return weighed(subject.function(*replaced(arrays, positions, floating), reduction="none"))

    _, gradients = subject.compiled(*arrays)["none"]
    along = sum(np.vdot(gradient, tangent) for gradient, tangent in zip(gradients, tangents, strict=True))
    close(jax.jit(partial(jax.jvp, value))(primals, tangents)[1], along)


def derivatives_equal_finite_differences(subject: Subject) -> None:
    """The gradient along a direction, and how it changes along it: forward over reverse, and reverse over reverse."""
    # Off the grid that the inputs lie on, and kinks with them.
    rng = np.random.default_rng(0)
    point = [subject.arrays[i] + rng.uniform(0, 1e-2, subject.arrays[i].shape) for i in subject.smooth_in]
    along = [rng.normal(size=array.shape) for array in point]

    def slope(*smooth: Any) -> Any:
        """The derivative along the direction, and what it consists of."""
        arrays = replaced(subject.inputs(), subject.smooth_in, smooth)
        value, gradients = subject.value_and_gradient(*arrays, reduction="mean")
        chosen = tuple(gradients[subject.floating().index(i)] for i in subject.smooth_in)
        return sum(jnp.vdot(*pair) for pair in zip(chosen, along, strict=True)), (weighed(value), chosen)

    @jax.jit
    def run(*smooth: Any) -> Any:
        (first, (value, gradients)), (second, (_, forward)) = jax.jvp(slope, smooth, tuple(map(jnp.asarray, along)))
        reverse, _ = jax.grad(slope, tuple(range(len(smooth))), has_aux=True)(*smooth)
        return value, first, second, gradients, forward, reverse

    step = 1e-5
    here, after, before = (run(*(x + s * step * d for x, d in zip(point, along, strict=True))) for s in (0, 1, -1))
    value, first, gradients = (jax.tree.map(lambda a, b: (a - b) / (2 * step), after[i], before[i]) for i in (0, 1, 3))
    # 1e-5 is what central differences with this step leave of float64.
    chex.assert_trees_all_close(here[1:3] + here[4:], (value, first, gradients, gradients), rtol=1e-5, atol=1e-5)


def nan_under_the_mask_changes_nothing(subject: Subject) -> None:
    where = subject.per_example(KEPT)
    clean = subject.compiled(*subject.inputs(), where=where)
    close(subject.compiled(*spoilt(subject), where=where), clean)
    for _, gradients in clean.values():
        for gradient in gradients:
            chex.assert_trees_all_equal(gradient[~KEPT], np.zeros_like(gradient[~KEPT]))

    def steepness(*arrays: Any) -> Any:
        _, gradients = subject.value_and_gradient(*arrays, reduction="mean", where=where)
        return sum(jnp.sum(gradient**2) for gradient in gradients)

    second = jax.jit(jax.grad(steepness, subject.floating()))
    close(second(*spoilt(subject)), second(*subject.inputs()))


def masking_equals_dropping(subject: Subject) -> None:
    masked = subject.compiled(*subject.inputs(), where=subject.per_example(KEPT))
    dropped = subject.compiled(*rows(subject.inputs(), KEPT))
    for reduction in ("mean", "sum"):
        value, gradients = masked[reduction]
        close((value, rows(gradients, KEPT)), dropped[reduction])


def whole_weights_equal_repeating(subject: Subject) -> None:
    weighted = subject.compiled(*subject.inputs(), sample_weight=subject.per_example(2 * TIMES))
    repeated = subject.compiled(*(np.repeat(array, TIMES, axis=0) for array in subject.inputs()))
    close((weighted["mean"][0], weighted["sum"][0]), (repeated["mean"][0], 2 * repeated["sum"][0]))


def nothing_kept_is_zero(subject: Subject) -> None:
    where = subject.per_example(np.zeros(5, bool))
    spoilt = tuple(array * np.nan if np.issubdtype(array.dtype, np.floating) else array for array in subject.arrays)
    for inputs in (subject.inputs(), spoilt):
        found = subject.compiled(*inputs, where=where)["mean"]
        chex.assert_trees_all_equal(found, jax.tree.map(np.zeros_like, found))


def unreduced_losses_add_up_to_the_sum(subject: Subject) -> None:
    for keywords in ({}, {"where": subject.per_example(KEPT), "sample_weight": subject.per_example(2 * TIMES)}):
        found = subject.compiled(*subject.inputs(), **keywords)
        close(np.sum(found["none"][0]), found["sum"][0])


def parts_of_halves_add_up_to_the_mean(subject: Subject) -> None:
    def halves(*arrays: Any, where: Any) -> Any:
        def part(chosen: slice) -> jaxloss.Mean:
            return jaxloss.parts(subject.function)(*rows(arrays, chosen), where=where[chosen])

        return (part(slice(0, 2)) + part(slice(2, 5))).value

    where = subject.per_example(KEPT)
    by_halves = jax.jit(Subject(halves, subject.arrays).value_and_gradient)(*subject.inputs(), where=where)
    close(by_halves, subject.compiled(*subject.inputs(), where=where)["mean"])


def low_precision_is_summed_in_float32(subject: Subject) -> None:
    @jax.jit
    def run(*inputs: Any) -> Any:
        losses = subject.function(*inputs, reduction="none")
        value, gradients = subject.value_and_gradient(*inputs, reduction="mean")
        return value, gradients, jaxloss.parts(subject.function)(*inputs), losses

    for dtype in ("bfloat16", "float16", "float32"):
        inputs = subject.inputs(dtype)
        value, gradients, part, losses = run(*inputs)
        own = "float32" if subject.float32_losses else dtype
        chex.assert_type([value, part.total, part.weight, losses], [*["float32"] * 3, own])
        chex.assert_type(gradients, dtype)
        # The mean is that of the inputs' values, not of rounded losses.
        wide = tuple(a.astype("float64") if a.dtype == dtype else a for a in inputs)
        expected, _ = subject.compiled(*wide)["mean"]
        chex.assert_trees_all_close(np.float64(value), expected, rtol=5e-6, atol=5e-6)


def no_nan_arises_on_the_way(subject: Subject) -> None:
    inputs = tuple(map(jnp.asarray, subject.inputs("float32")))
    with jax.debug_nans(True):  # step by step, where it looks at every step
        for reduction in ("none", "mean"):
            subject.value_and_gradient(*inputs, reduction=reduction, where=subject.per_example(KEPT))


def order_does_not_matter(subject: Subject) -> None:
    order = np.array([3, 0, 4, 1, 2])
    found, expected = subject.compiled(*rows(subject.inputs(), order)), subject.compiled(*subject.inputs())
    close(found["mean"][0], expected["mean"][0])
    close(found["none"][0], expected["none"][0][order])


def an_empty_batch_is_zero(subject: Subject) -> None:
    empty = rows(subject.inputs(), slice(0, 0))
    found = subject.compiled(*empty)
    assert found["mean"][0] == found["sum"][0] == 0
    assert found["none"][0].shape[0] == 0
    for _, gradients in found.values():
        chex.assert_trees_all_equal_shapes(gradients, tuple(empty[i] for i in subject.floating()))


def other_values_do_not_compile_again(subject: Subject) -> None:
    traces = []

    def traced(*arrays: Any) -> Any:
        traces.append(None)
        return subject.function(*arrays)

    run, others = jax.jit(traced), rows(subject.inputs(), np.array([4, 4, 2, 2, 2]))
    run(*subject.inputs())
    close(run(*others), subject.compiled(*others)["mean"][0])
    assert len(traces) == 1


def transformations_compose(subject: Subject) -> None:
    """`lax.scan` over examples, `jax.checkpoint`, and `shard_map` over devices, each give the plain result."""
    arrays = subject.inputs()

    def scanned(*arrays: Any) -> Any:
        def step(total: Any, example: tuple[Any, ...]) -> tuple[Any, None]:
            return total + jax.checkpoint(partial(subject.function, reduction="sum"))(*example), None

        return jax.lax.scan(step, jnp.zeros(()), tuple(array[:, None] for array in arrays))[0]

    close(jax.jit(Subject(scanned, arrays).value_and_gradient)(*arrays), subject.compiled(*arrays)["sum"])

    mesh = jax.make_mesh((3,), ("data",), axis_types=(AxisType.Auto,))
    three = rows(arrays, KEPT)

    def sharded(*arrays: Any) -> Any:
        def local(*arrays: Any) -> Any:
            return jax.lax.psum(jaxloss.parts(subject.function)(*arrays), "data").value

        data = PartitionSpec("data")
        return jax.shard_map(local, mesh=mesh, in_specs=(data,) * len(arrays), out_specs=PartitionSpec())(*arrays)

    close(jax.jit(Subject(sharded, arrays).value_and_gradient)(*three), subject.compiled(*three)["mean"])


def a_loss_that_cannot_be_negative_is_not(subject: Subject) -> None:
    run = jax.jit(partial(subject.function, reduction="none"))
    for dtype in ("float64", "float32", "bfloat16"):
        assert not subject.never_negative or np.all(run(*subject.inputs(dtype)) >= 0)


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
    pytest.param(
        subject(case, options),
        id=f"{case.id}-{number}",
        marks=[pytest.mark.exhaustive] if number or case.variant else [],
    )
    for case in CASES
    for number, options in enumerate(case.option_sets(case.arrays()))
]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_law(subject: Subject, law: Callable[[Subject], None]) -> None:
    law(subject)


BREAKERS = {
    jitted_equals_eager: breakers.keeping_a_state,
    vmapped_equals_a_loop: breakers.batched_by_a_rule_of_its_own,
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
