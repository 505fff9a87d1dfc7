"""The laws that hold for every loss, and the programs that they share.

The laws of one loss compile few programs: inputs have the same shapes in all laws, a mask and weights are always
given, and each program returns the results of all reductions. `test_laws.py` counts the programs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from inputs import Arrays, cotangent
from jax.sharding import AxisType, PartitionSpec

import jaxloss

Function = Callable[..., Any]
close = partial(chex.assert_trees_all_close, rtol=1e-11, atol=1e-12)

REDUCTIONS = ("none", "mean", "sum")
# Two batches of three examples. The first mask leaves three examples, as many as a batch has. The second one leaves
# batches of different weight, and no example without another to compare it with. The repetitions are six in all.
KEEP = np.array([True, False, True, True, False, False])
TIMES = np.array([1, 2, 0, 1, 1, 1])
MOST = np.array([True, True, True, True, False, True])
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.25, 3.0, 1.5])
BATCHES = (slice(0, 3), slice(3, 6))


@dataclass(frozen=True)
class Subject:
    """A loss under a law: a function with its options given, and inputs whose first axis is that of six examples."""

    function: Function
    arrays: Arrays
    group: str = ""
    """The name of the loss. Tests of one group run in one process, which compiles their programs once."""
    never_negative: bool = True
    smooth_in: tuple[int, ...] = (0, 1)
    """Positions of the inputs that the loss has a derivative in; not those that only choose a case, like signs."""
    float32_losses: bool = False
    compares_examples: bool = False
    """Whether the loss of one example depends on the others."""
    regions: bool = False
    """Whether an example is an image with pixels of its own, which needs the axis of the examples."""
    true_gradient: bool = True
    """Whether the gradient is the derivative of the value."""
    dtypes: tuple[str, ...] = ("bfloat16", "float16")

    def floating(self) -> list[int]:
        return [i for i, array in enumerate(self.arrays) if np.issubdtype(array.dtype, np.floating)]

    def inputs(self, dtype: str = "float64") -> tuple[np.ndarray, ...]:
        return tuple(a.astype(jnp.dtype(dtype)) if i in self.floating() else a for i, a in enumerate(self.arrays))

    def value_and_gradient(self, *arrays: Any, **keywords: Any) -> tuple[Any, Any]:
        """The loss and its gradient in every floating input. An unreduced loss is summed with weights first."""

        def value(*floating: Any) -> tuple[Any, Any]:
            loss = self.function(*replaced(arrays, self.floating(), floating), **keywords)
            return weighed(loss), loss

        chosen = [arrays[i] for i in self.floating()]
        gradient, loss = jax.grad(value, tuple(range(len(chosen))), has_aux=True)(*chosen)
        return loss, gradient

    @cached_property
    def traces(self) -> list[tuple[int, ...]]:
        """The shapes for which `compiled` was traced."""
        return []

    @cached_property
    def compiled(self) -> Function:
        """`value_and_gradient` for each reduction, of inputs, a mask and weights."""

        def run(*arrays: Any, where: Any, sample_weight: Any) -> Any:
            self.traces.append(where.shape)
            call = partial(self.value_and_gradient, *arrays, where=where, sample_weight=sample_weight)
            return {reduction: call(reduction=reduction) for reduction in REDUCTIONS}

        return jax.jit(run)

    def run(self, *arrays: Any, where: Any = None, sample_weight: Any = None) -> dict[str, tuple[Any, Any]]:
        """The results of `compiled`, with a mask of ones and weights of one where there are none."""
        arrays = arrays or self.inputs()
        keywords = shared_keywords(self, len(arrays[0]), where, sample_weight)
        return jax.device_get(self.compiled(*arrays, **keywords))

    @cached_property
    def second_order(self) -> Function:
        """The mean, its slope along a direction, and how the slope and the gradient change along it.

        The change of the gradient is computed forward over reverse and reverse over reverse.
        """
        positions, floating = self.smooth_in, self.floating()

        @jax.jit
        def run(arrays: Any, along: Any, **keywords: Any) -> Any:
            def slope(*smooth: Any) -> Any:
                given = replaced(arrays, positions, smooth)
                value, gradients = self.value_and_gradient(*given, reduction="mean", **keywords)
                chosen = tuple(gradients[floating.index(i)] for i in positions)
                return sum(jnp.vdot(*pair) for pair in zip(chosen, along, strict=True)), (value, chosen)

            smooth = tuple(jnp.asarray(arrays[i]) for i in positions)
            (first, (value, gradients)), (second, (_, forward)) = jax.jvp(slope, smooth, along)
            reverse, _ = jax.grad(slope, tuple(range(len(smooth))), has_aux=True)(*smooth)
            return {
                "value": value,
                "slope": first,
                "gradients": gradients,
                "slope's slope": second,
                "forward": forward,
                "reverse": reverse,
            }

        return run

    @cached_property
    def low_precision(self) -> dict[str, Any]:
        """Losses, mean, gradients and parts in each dtype, of one program."""

        @jax.jit
        def run(given: Any) -> Any:
            return {dtype: one(*inputs) for dtype, inputs in given.items()}

        def one(*inputs: Any) -> Any:
            value, gradients = self.value_and_gradient(*inputs, reduction="mean")
            part = jaxloss.parts(self.function)(*inputs)
            return self.function(*inputs, reduction="none"), value, gradients, part

        return jax.device_get(run({dtype: self.inputs(dtype) for dtype in self.dtypes}))

    def forget(self) -> None:
        """Let go of the programs, which have done their work."""
        for name in ("compiled", "second_order", "low_precision"):
            vars(self).pop(name, None)

    @cached_property
    def axes(self) -> int:
        """The number of axes of the unreduced loss."""
        return jax.eval_shape(partial(self.function, reduction="none"), *self.inputs()).ndim

    def per_example(self, values: np.ndarray) -> np.ndarray:
        """One value an example, with the other axes of the unreduced loss as 1."""
        return values.reshape((-1,) + (1,) * (self.axes - 1))


def shared_keywords(subject: Subject, size: int, where: Any = None, sample_weight: Any = None) -> dict[str, Any]:
    where = np.ones(size, bool) if where is None else where
    sample_weight = np.ones(size) if sample_weight is None else np.asarray(sample_weight, float)
    return {"where": subject.per_example(where), "sample_weight": subject.per_example(sample_weight)}


def weighed(value: Any) -> Any:
    return jnp.sum(value * jnp.asarray(cotangent(value.shape), value.dtype))


def replaced(arrays: tuple[Any, ...], positions: Sequence[int], values: Sequence[Any]) -> tuple[Any, ...]:
    given = dict(zip(positions, values, strict=True))
    return tuple(given.get(i, array) for i, array in enumerate(arrays))


def rows(arrays: Any, chosen: Any) -> tuple[Any, ...]:
    return tuple(array[chosen] for array in arrays)


def spoilt(subject: Subject) -> tuple[np.ndarray, ...]:
    """The inputs with NaN, and class numbers of no class, in the masked examples."""
    arrays = tuple(np.array(array) for array in subject.arrays)
    for array in arrays:
        array[~KEEP] = np.nan if np.issubdtype(array.dtype, np.floating) else 10**6
    return arrays


def mean_of_batches(subject: Subject, where: np.ndarray) -> tuple[Any, Any]:
    """The mean over both batches, and its gradient, from each batch's sum and its weight, which may be 0."""
    weigh = jax.jit(lambda *arrays, where: jaxloss.parts(subject.function)(*arrays, where=where).weight)
    totals, weights, gradients = [], [], []
    for batch in BATCHES:
        arrays = rows(subject.inputs(), batch)
        found, weight = (
            subject.run(*arrays, where=where[batch]),
            weigh(*arrays, where=subject.per_example(where[batch])),
        )
        close(found["mean"][0] * np.asarray(weight), found["sum"][0])
        totals.append(found["sum"][0])
        weights.append(np.asarray(weight))
        gradients.append(found["sum"][1])
    pairs = zip(*gradients, strict=True)
    return sum(totals) / sum(weights), tuple(np.concatenate(pair) / sum(weights) for pair in pairs)


def mean_of_all(subject: Subject, where: np.ndarray) -> tuple[Any, Any]:
    """The mean over all examples, and its gradient; each batch is a loss by itself if examples are compared."""
    return mean_of_batches(subject, where) if subject.compares_examples else subject.run(where=where)["mean"]


def jitted_equals_eager(subject: Subject) -> None:
    """An eager call may be one program. Without any program the operations run one by one."""
    arrays, wanted = tuple(map(jnp.asarray, subject.inputs())), subject.run()["mean"]
    close(subject.value_and_gradient(*arrays, reduction="mean"), wanted)
    with jax.disable_jit():
        close(subject.value_and_gradient(*arrays, reduction="mean"), wanted)


def vmapped_equals_a_loop(subject: Subject) -> None:
    keywords = shared_keywords(subject, 6, KEEP, WEIGHTS)
    looped = [
        subject.run(*rows(subject.inputs(), batch), where=KEEP[batch], sample_weight=WEIGHTS[batch])
        for batch in BATCHES
    ]
    batches, keywords = jax.tree.map(lambda a: a.reshape(2, 3, *a.shape[1:]), (subject.inputs(), keywords))
    close(jax.vmap(subject.compiled)(*batches, **keywords), jax.tree.map(lambda *each: np.stack(each), *looped))
    if not subject.compares_examples:  # then a batch is a loop over its examples too

        def one(*arrays: Any) -> Any:
            if not subject.regions:
                return subject.value_and_gradient(*arrays, reduction="sum")
            value, gradients = subject.value_and_gradient(*(array[None] for array in arrays), reduction="sum")
            return value, tuple(gradient[0] for gradient in gradients)

        values, gradients = jax.jit(jax.vmap(one))(*subject.inputs())
        whole = subject.run()
        close((values, gradients), (whole["none"][0].reshape(6, -1).sum(1), whole["sum"][1]))


def forward_mode_equals_reverse_mode(subject: Subject) -> None:
    arrays, positions = subject.inputs(), subject.floating()
    primals = tuple(arrays[i] for i in positions)
    tangents = tuple(cotangent(array.shape) for array in primals)

    def value(*floating: Any) -> Any:
        return weighed(subject.function(*replaced(arrays, positions, floating), reduction="none"))

    _, gradients = subject.run()["none"]
    along = sum(np.vdot(gradient, tangent) for gradient, tangent in zip(gradients, tangents, strict=True))
    close(jax.jit(partial(jax.jvp, value))(primals, tangents)[1], along)


def derivatives_equal_finite_differences(subject: Subject) -> None:
    """The gradient along a direction, and how it changes along it: forward over reverse, and reverse over reverse."""
    if not subject.true_gradient:  # a test of its own states its gradient
        return
    # Off the grid that the inputs lie on, and kinks with them.
    rng = np.random.default_rng(0)
    point = [subject.arrays[i] + rng.uniform(0, 1e-2, subject.arrays[i].shape) for i in subject.smooth_in]
    along = tuple(rng.normal(size=array.shape) for array in point)
    keywords, step = shared_keywords(subject, 6), 1e-5

    def at(steps: int) -> Any:
        moved = [x + steps * step * d for x, d in zip(point, along, strict=True)]
        return jax.device_get(
            subject.second_order(replaced(subject.inputs(), subject.smooth_in, moved), along, **keywords)
        )

    here, after, before = at(0), at(1), at(-1)
    by = {name: jax.tree.map(lambda a, b: (a - b) / (2 * step), after[name], before[name]) for name in here}
    found = (here["slope"], here["slope's slope"], here["forward"], here["reverse"])
    # Central differences with this step leave 1e-5 of the precision of float64.
    wanted = (by["value"], by["slope"], by["gradients"], by["gradients"])
    chex.assert_trees_all_close(found, wanted, rtol=1e-5, atol=1e-5)


def nan_under_the_mask_changes_nothing(subject: Subject) -> None:
    clean = subject.run(where=KEEP)
    close(subject.run(*spoilt(subject), where=KEEP), clean)
    for _, gradients in clean.values():
        for gradient in gradients:
            chex.assert_trees_all_equal(gradient[~KEEP], np.zeros_like(gradient[~KEEP]))
    along = tuple(cotangent(subject.arrays[i].shape) for i in subject.smooth_in)
    keywords = shared_keywords(subject, 6, KEEP)
    found, wanted = (subject.second_order(inputs, along, **keywords) for inputs in (spoilt(subject), subject.inputs()))
    close(found, wanted)


def masking_equals_dropping(subject: Subject) -> None:
    """It holds for compared examples too: a masked one is no anchor, no positive and no negative."""
    masked, dropped = subject.run(where=KEEP), subject.run(*rows(subject.inputs(), KEEP))
    for reduction in ("mean", "sum"):
        value, gradients = masked[reduction]
        close((value, rows(gradients, KEEP)), dropped[reduction])


def whole_weights_equal_repeating(subject: Subject) -> None:
    """A repeated example would be compared with its copy. So the law of compared examples is that weights add."""
    if subject.compares_examples:
        found = [subject.run(sample_weight=weight) for weight in (TIMES, WEIGHTS, TIMES + WEIGHTS)]
        first, second, both = ((each["sum"][0], each["sum"][0] / each["mean"][0]) for each in found)
        close(tuple(map(sum, zip(first, second, strict=True))), both)
        return
    weighted = subject.run(sample_weight=2 * TIMES)
    repeated = subject.run(*(np.repeat(array, TIMES, axis=0) for array in subject.inputs()))
    close((weighted["mean"][0], weighted["sum"][0]), (repeated["mean"][0], 2 * repeated["sum"][0]))


def an_empty_mask_is_zero(subject: Subject) -> None:
    spoilt = tuple(array * np.nan if np.issubdtype(array.dtype, np.floating) else array for array in subject.arrays)
    for inputs in (subject.inputs(), spoilt):
        found = subject.run(*inputs, where=np.zeros(6, bool))["mean"]
        chex.assert_trees_all_equal(found, jax.tree.map(np.zeros_like, found))


def unreduced_losses_add_up_to_the_sum(subject: Subject) -> None:
    for found in (subject.run(), subject.run(where=KEEP, sample_weight=WEIGHTS)):
        close(np.sum(found["none"][0]), found["sum"][0])


def parts_of_halves_add_up_to_the_mean(subject: Subject) -> None:
    def halves(*arrays: Any, where: Any) -> Any:
        first, second = (jaxloss.parts(subject.function)(*rows(arrays, b), where=where[b]) for b in BATCHES)
        return (first + second).value

    by_halves = jax.jit(Subject(halves, subject.arrays).value_and_gradient)
    close(by_halves(*subject.inputs(), where=subject.per_example(MOST)), mean_of_all(subject, MOST))


def low_precision_is_summed_in_float32(subject: Subject) -> None:
    # The inputs are the same numbers in every dtype, and the mean is that of the inputs' values, not of rounded losses.
    expected, _ = subject.run()["mean"]
    for dtype, (losses, value, gradients, part) in subject.low_precision.items():
        unreduced = "float32" if subject.float32_losses else dtype
        chex.assert_type([value, part.total, part.weight, losses], [*["float32"] * 3, unreduced])
        chex.assert_type(gradients, dtype)
        chex.assert_trees_all_close(np.float64(value), expected, rtol=5e-6, atol=5e-6)


def no_nan_and_no_infinity_arise_on_the_way(subject: Subject) -> None:
    inputs = tuple(map(jnp.asarray, subject.inputs()))  # in float64, as in `jitted_equals_eager`, for the same programs
    # Operation by operation, so that JAX looks at the result of every one.
    with jax.disable_jit(), jax.debug_nans(True), jax.debug_infs(True):
        for reduction in ("none", "mean"):
            subject.value_and_gradient(*inputs, reduction=reduction, where=subject.per_example(KEEP))


def order_does_not_matter(subject: Subject) -> None:
    order = np.array([3, 0, 4, 1, 5, 2])
    found, expected = subject.run(*rows(subject.inputs(), order)), subject.run()
    close(found["mean"][0], expected["mean"][0])
    if not subject.compares_examples:  # whose unreduced loss may have an axis of examples more
        close(found["none"][0], expected["none"][0][order])


def an_empty_batch_is_zero(subject: Subject) -> None:
    empty = rows(subject.inputs(), slice(0, 0))
    found = subject.run(*empty)
    assert found["mean"][0] == found["sum"][0] == 0
    assert found["none"][0].shape[0] == 0
    for _, gradients in found.values():
        chex.assert_trees_all_equal_shapes(gradients, tuple(empty[i] for i in subject.floating()))


def other_values_do_not_compile_again(subject: Subject) -> None:
    subject.run()
    traced = len(subject.traces)
    subject.run(*rows(subject.inputs(), np.array([4, 4, 2, 2, 2, 5])), where=KEEP, sample_weight=WEIGHTS)
    assert len(subject.traces) == traced


def transformations_compose(subject: Subject) -> None:
    """`lax.scan` over batches, `jax.checkpoint`, and `shard_map` over devices, each give the plain result."""
    arrays, where = subject.inputs(), subject.per_example(MOST)

    def scanned(*arrays: Any) -> Any:
        def step(total: Any, batch: tuple[Any, ...]) -> tuple[Any, None]:
            return total + jax.checkpoint(partial(subject.function, reduction="sum"))(*batch), None

        return jax.lax.scan(step, jnp.zeros(()), tuple(a.reshape(2, 3, *a.shape[1:]) for a in arrays))[0]

    each = [subject.run(*rows(arrays, batch))["sum"] for batch in BATCHES]
    wanted = sum(value for value, _ in each), tuple(map(np.concatenate, zip(*(g for _, g in each), strict=True)))
    close(jax.jit(Subject(scanned, arrays).value_and_gradient)(*arrays), wanted)

    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))

    def sharded(*arrays: Any, where: Any) -> Any:
        def local(*arrays: Any) -> Any:
            *inputs, where = arrays
            return jax.lax.psum(jaxloss.parts(subject.function)(*inputs, where=where), "data").value

        data, none = PartitionSpec("data"), PartitionSpec()
        given = (*arrays, where)
        return jax.shard_map(local, mesh=mesh, in_specs=(data,) * len(given), out_specs=none)(*given)

    close(jax.jit(Subject(sharded, arrays).value_and_gradient)(*arrays, where=where), mean_of_all(subject, MOST))


def a_loss_that_cannot_be_negative_is_not(subject: Subject) -> None:
    losses = [subject.run()["none"][0], *(low[0] for low in subject.low_precision.values())]
    assert not subject.never_negative or all(np.all(each >= 0) for each in losses)


LAWS = [
    jitted_equals_eager,
    vmapped_equals_a_loop,
    forward_mode_equals_reverse_mode,
    derivatives_equal_finite_differences,
    nan_under_the_mask_changes_nothing,
    masking_equals_dropping,
    whole_weights_equal_repeating,
    an_empty_mask_is_zero,
    unreduced_losses_add_up_to_the_sum,
    parts_of_halves_add_up_to_the_mean,
    low_precision_is_summed_in_float32,
    no_nan_and_no_infinity_arise_on_the_way,
    order_does_not_matter,
    an_empty_batch_is_zero,
    other_values_do_not_compile_again,
    transformations_compose,
    a_loss_that_cannot_be_negative_is_not,
]
STEPWISE = [jitted_equals_eager, no_nan_and_no_infinity_arise_on_the_way]  # which compile every primitive by itself
# They depend on the formula. The others depend on the steps around it, which all options share.
OF_OPTIONS = [derivatives_equal_finite_differences, nan_under_the_mask_changes_nothing]
LAWS_WITH_TWO_FORMS = [
    vmapped_equals_a_loop,
    whole_weights_equal_repeating,
    parts_of_halves_add_up_to_the_mean,
    order_does_not_matter,
    transformations_compose,
]
