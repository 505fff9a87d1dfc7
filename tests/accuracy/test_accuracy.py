"""Losses and derivatives against formulas in 60 digits, at points made to break them and at ordinary ones.

The Cases list the losses, `points.py` the points, `gold.py` the formulas, `measure.py` says what is wrong with a
number. `python tests/accuracy/table.py` writes the figures of the documentation from the same.
"""

import numpy as np
import pytest
from cases import CASES
from measure import computed, faults, truths, units_of_last_place
from measured import DTYPES, Measured, given
from points import Kind
from subjects import SUBJECTS
from variants import variants

# Losses without a formula in many digits so far: of hidden states, of images at several scales, and of batches.
UNMEASURED = {
    *("linear_distillation_loss", "linear_top_k_distillation_loss", "ms_ssim_loss", "barlow_twins_loss", "vicreg_loss"),
}


def test_every_loss_is_measured() -> None:
    # The formulas are of one element. Losses that compare examples have none.
    names, measured = {case.name for case in CASES if not case.compares_examples}, {each.name for each in SUBJECTS}
    left = names - measured - UNMEASURED
    assert not left, f"give the Cases of these losses an `accuracy`: {', '.join(sorted(left))}"
    assert UNMEASURED <= names - measured, "a loss that is measured is no exception"


every_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.id.replace(" ", "-"))


@every_subject
@pytest.mark.parametrize("dtype", variants(DTYPES, lambda dtype: dtype == "float32"))
def test_no_adversarial_input_has_a_wrong_result(subject: Measured, dtype: str) -> None:
    kind = Kind(dtype)
    arrays = subject.tried_at(kind)
    results = computed(subject.ours, given(arrays, kind), subject.differentiable)
    wanted = truths(subject.truth, arrays)
    found = faults(results, wanted, subject.truth, arrays, kind, never_negative=subject.never_negative)
    assert not found, f"{len(found)} wrong numbers, among them\n" + "\n".join(found[:10])


@every_subject
@pytest.mark.parametrize("dtype", variants(DTYPES, lambda dtype: dtype == "float32"))
def test_ordinary_inputs_have_results_of_a_few_units_in_the_last_place(subject: Measured, dtype: str) -> None:
    kind = Kind(dtype)
    arrays = subject.ordinary_in(kind)
    wanted = truths(subject.truth, arrays)
    off = units_of_last_place(computed(subject.ours, given(arrays, kind), subject.differentiable), wanted, kind)
    # Low precision is computed in float32: what there is to lose is in the last rounding, of each use of an input.
    bars = subject.ulps if dtype == "float32" else (0.51, 1.5)
    assert np.all(np.array(off) <= bars), f"{off[0]:.2f} units in the losses, {off[1]:.2f} in the derivatives"
