"""Every law holds for every Case and option set; and, for every law, a loss breaks it."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import breakers
import jax
import jax.numpy as jnp
import laws
import numpy as np
import pytest
from case import Case
from cases import CASES
from inputs import snapped
from law_subjects import subject
from laws import LAWS, LAWS_WITH_TWO_FORMS, Subject, close

Law = Callable[[Subject], None]
# The most programs that the laws of one Case compile, and the most primitives that its two laws step by step do.
# CTC has the most primitives: 240 if its laws run alone.
MOST_PROGRAMS, MOST_PRIMITIVES = 15, 250

SUBJECTS = [
    pytest.param(
        subject(case, number),
        id=f"{case.id}-{number}",
        marks=[pytest.mark.exhaustive] if number or case.variant else [],
    )
    for case in CASES
    for number in range(len(case.options))
]
PROGRAMS: Counter[tuple[int, bool]] = Counter()


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest, programs: list[str]) -> Iterator[None]:
    """Count the programs that the tests of a subject compile."""
    yield
    callspec = getattr(request.node, "callspec", None)
    if callspec and "subject" in callspec.params:
        stepwise = callspec.params["law"] in laws.STEPWISE
        PROGRAMS[id(callspec.params["subject"]), stepwise] += len(programs)


def rows() -> Iterator[Any]:
    """Every law for the first options of a loss, and the laws of options for the others."""
    for parameter in SUBJECTS:
        for law in [
            *(laws.OF_OPTIONS if parameter.marks else LAWS),
            None,
        ]:  # the count of the programs is the last one of each subject
            name = law.__name__ if law else "few_programs"
            yield pytest.param(*parameter.values, law, id=f"{parameter.id}-{name}", marks=parameter.marks)


@pytest.mark.parametrize(("subject", "law"), list(rows()))
def test_law(subject: Subject, law: Law | None) -> None:
    if law is None:
        assert PROGRAMS[id(subject), False] <= MOST_PROGRAMS
        assert PROGRAMS[id(subject), True] <= MOST_PRIMITIVES
        subject.forget()
    else:
        law(subject)


def compared() -> Subject:
    rng = np.random.default_rng(0)
    arrays = snapped(rng.normal(size=(6, 4))), snapped(rng.normal(size=(6, 4)))
    return Subject(breakers.all_pairs, arrays, compares_examples=True)


COMPARED = compared()


@pytest.mark.parametrize("law", LAWS)
def test_law_of_compared_examples(law: Law) -> None:
    law(COMPARED)


@pytest.mark.parametrize("law", LAWS_WITH_TWO_FORMS)
def test_a_loss_that_hides_that_it_compares_examples_breaks_the_laws(law: Law) -> None:
    with pytest.raises(AssertionError):
        law(Subject(breakers.all_pairs_with_positions, COMPARED.arrays))


BREAKERS = {
    laws.jitted_equals_eager: breakers.keeping_a_state,
    laws.vmapped_equals_a_loop: breakers.with_a_batching_rule,
    laws.forward_mode_equals_reverse_mode: breakers.without_forward_mode,
    laws.derivatives_equal_finite_differences: breakers.with_a_constant_for_a_factor,
    laws.nan_under_the_mask_changes_nothing: breakers.plain,  # masks its result, not its inputs
    laws.masking_equals_dropping: breakers.dividing_by_all,
    laws.whole_weights_equal_repeating: breakers.not_normalising_weights,
    laws.an_empty_mask_is_zero: breakers.nan_for_an_empty_mask,
    laws.unreduced_losses_add_up_to_the_sum: breakers.unmasked_when_unreduced,
    laws.parts_of_halves_add_up_to_the_mean: breakers.parts_of_weight_one,
    laws.low_precision_is_summed_in_float32: breakers.rounding_the_losses,
    laws.no_nan_and_no_infinity_arise_on_the_way: breakers.nan_beside_the_point,
    laws.order_does_not_matter: breakers.weighing_by_position,
    laws.an_empty_batch_is_zero: breakers.nan_for_an_empty_mask,
    laws.other_values_do_not_compile_again: breakers.looking_at_a_value,
    laws.transformations_compose: breakers.normalised_over_the_batch,
    laws.a_loss_that_cannot_be_negative_is_not: breakers.below_zero,
}
BREAKERS_OF_COMPARED_EXAMPLES = {law: BREAKERS[law] for law in LAWS_WITH_TWO_FORMS} | {
    laws.transformations_compose: breakers.parts_of_weight_one,
    laws.masking_equals_dropping: breakers.all_pairs_with_masked_negatives,
    laws.nan_under_the_mask_changes_nothing: breakers.all_pairs_with_masked_negatives,
}


@pytest.mark.parametrize(
    ("law", "breaker", "compares_examples"),
    [
        *((law, BREAKERS[law], False) for law in LAWS),
        *((law, breaker, True) for law, breaker in BREAKERS_OF_COMPARED_EXAMPLES.items()),
    ],
)
def test_law_can_be_broken(law: Law, breaker: Callable[..., Any], compares_examples: bool) -> None:
    rng = np.random.default_rng(0)
    arrays = snapped(rng.normal(size=(6, 3))), snapped(rng.normal(size=(6, 3)))
    with pytest.raises((AssertionError, FloatingPointError, TypeError, jax.errors.ConcretizationTypeError)):
        law(Subject(breaker, arrays, compares_examples=compares_examples))


@pytest.mark.parametrize(
    "case", [case for case in CASES if "axis" in case.loss.__dataclass_fields__], ids=lambda case: case.id
)
@pytest.mark.parametrize("axis", [0, 1, -2, 3])
def test_the_class_axis_may_be_any(case: Case, axis: int) -> None:
    arrays = case.arrays("extra")
    sets = case.option_sets(arrays)
    moved = [jnp.moveaxis(jnp.asarray(a), -1, axis) if a.ndim == 4 else jnp.asarray(a) for a in arrays]

    @jax.jit
    def both(arrays: Any, moved: Any) -> Any:
        return [
            (case.loss.fn(*arrays, reduction="none", **o), case.loss.fn(*moved, reduction="none", axis=axis, **o))
            for o in sets
        ]

    for losses, along_axis in both(arrays, moved):
        close(along_axis, losses)
