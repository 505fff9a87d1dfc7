"""Good inputs pass under `jax.debug_nans` and `jax.debug_infs`, with and without `jit`.

Without `jit` JAX looks at the result of every operation, so that no loss may make a NaN or an infinity on the way, not
even a constant for a select that does not take it. A user who looks for the source of a NaN then finds it.
"""

import jax
import jax.numpy as jnp
import pytest
from case import Case
from cases import CASES

SOFT = ("cross_entropy_probabilities",)
ARRAYS = {case.id: case.arrays("batched") for case in CASES}
# The CPU's program of soft targets makes an infinity on purpose.
PENDING = pytest.mark.xfail(raises=FloatingPointError, strict=True, reason="soft targets are bounded by an infinity")
EVERY = [
    pytest.param(case, options, id=f"{case.id}-{number}", marks=[PENDING] if case.id in SOFT else [])
    for case in CASES
    for number, options in enumerate(case.option_sets(ARRAYS[case.id]))
]


@pytest.mark.parametrize(("case", "options"), EVERY)
def test_good_inputs_make_no_nan_and_no_infinity_on_the_way(case: Case, options: dict[str, object]) -> None:
    arrays = list(map(jnp.asarray, ARRAYS[case.id]))
    places = case.differentiable

    def loss(*differentiable: jax.Array) -> jax.Array:
        given = dict(zip(places, differentiable, strict=True))
        return case.loss.fn(*(given.get(place, array) for place, array in enumerate(arrays)), **options)

    with jax.disable_jit(), jax.debug_nans(True), jax.debug_infs(True):
        jax.value_and_grad(loss, tuple(range(len(places))))(*(arrays[place] for place in places))


def test_debug_nans_stops_at_a_bad_value() -> None:
    """The test of every loss would see a NaN: a loss of a bad value raises."""
    case = next(case for case in CASES if case.id == "kl_div")
    log_predictions, targets = map(jnp.asarray, ARRAYS[case.id])
    with jax.disable_jit(), jax.debug_nans(True), pytest.raises(FloatingPointError):
        case.loss.fn(log_predictions, targets.at[0].set(-1.0))
