"""What holds of every loss whatever it is given: shapes, dtypes, options and special values drawn by hypothesis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from case import Case
from cases import CASES
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from inputs import LABEL, LABEL_LIST, Arrays, Inputs

import jaxloss

pytestmark = [pytest.mark.usefixtures("untyped"), pytest.mark.exhaustive]  # the types are checked everywhere else

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
# Every process draws the same examples, and none fails for the time that it takes.
drawn = settings(
    max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@partial(jax.jit, static_argnames="differentiable")
def evaluated(
    loss: jaxloss.Loss, arrays: tuple[jax.Array, ...], differentiable: tuple[int, ...], where: jax.Array | None
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """The loss, and the gradient of its sum. Examples of one case, dtype and shape share a program."""

    def of_chosen(*chosen: Any) -> Any:
        changed = dict(zip(differentiable, chosen, strict=True))
        return loss(*(changed.get(i, array) for i, array in enumerate(arrays)), where=where)

    losses, pull = jax.vjp(of_chosen, *(arrays[i] for i in differentiable))
    return losses, pull(jnp.ones_like(losses))


@dataclass(frozen=True)
class Example:
    """A loss with its options, and what it is given."""

    case: Case
    options: Mapping[str, Any]
    arrays: Arrays
    dtype: str

    def run(self, arrays: Arrays, where: Any = None, reduction: str = "none") -> tuple[Any, tuple[Any, ...]]:
        """The loss, and the gradient of its sum."""
        dtype = jnp.dtype(self.dtype)
        converted = tuple(a.astype(dtype) if a.dtype == np.float64 else a for a in arrays)
        loss = self.case.loss(**self.options, reduction=reduction)
        if where is not None and self.case.regions:
            axes = jax.eval_shape(self.case.loss(**self.options, reduction="none"), *converted).ndim
            where = where.reshape(where.shape + (1,) * (axes - where.ndim))
        return jax.device_get(evaluated(loss, converted, self.case.differentiable, where))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the unreduced loss; of its images if they have several losses each."""
        found = jax.eval_shape(self.case.loss(**self.options, reduction="none"), *self.arrays).shape
        return found[:1] if self.case.regions else found

    def of_examples(self, shape: tuple[int, ...]) -> list[int]:
        """Positions of the arrays that have a value, or several, for each element of the loss alone."""
        return [
            i for i, array in enumerate(self.arrays) if array.shape[: len(shape)] == shape and i not in self.case.shared
        ]


@st.composite
def examples(draw: st.DrawFn, case: Case, *, special: bool, dtypes: Sequence[str] = ("float32",)) -> Example:
    # These have one batch axis.
    of_sequences = ("ctc_loss", "ctc_loss_with_logits", "rnnt_loss", "transducer_loss", "forward_sum_loss")
    one_axis = case.name in of_sequences or case.compares_examples
    many = (3,) if one_axis else (2, 2)
    shapes = [many] + ([()] if "unbatched" in case.inputs else [])  # few: there is a program for each
    inputs = Inputs(
        draw(st.sampled_from(shapes)),
        scale=draw(st.sampled_from([0.02, 1.0, 30.0])),
        size=3,
    )
    arrays = tuple(map(np.array, case.make(np.random.default_rng(draw(st.integers(0, 99))), inputs)))
    options = draw(st.sampled_from(case.option_sets(arrays)))
    for array, domain in zip(arrays, case.make.domains, strict=False):
        if special and domain.good:
            places = st.lists(st.tuples(st.integers(0, array.size - 1), st.sampled_from(domain.good)), max_size=3)
            for place, value in draw(places):
                array.flat[place] = value
    return Example(case, options, arrays, draw(st.sampled_from(dtypes)))


@every_case
@drawn
@given(data=st.data())
def test_finite_numbers_in_their_domains_give_no_nan(case: Case, data: st.DataObject) -> None:
    example = data.draw(examples(case, special=True, dtypes=("float32", "bfloat16", "float16")))
    losses, gradients = example.run(example.arrays)
    for array in (losses, *gradients):
        assert not np.isnan(np.asarray(array, float)).any()
    assert losses.dtype == ("float32" if case.float32_losses else example.dtype)
    if case.never_negative:
        assert (losses >= 0).all()


# A mask of classes leaves the examples of a masked class in the loss.
@pytest.mark.parametrize("case", [case for case in CASES if not case.of_classes], ids=lambda case: case.id)
@drawn
@given(data=st.data())
def test_what_is_masked_does_not_matter(case: Case, data: st.DataObject) -> None:
    example = data.draw(examples(case, special=False))
    shape = example.shape
    kept = st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
    where = np.array(data.draw(kept), bool).reshape(shape)
    junk = [array.copy() for array in example.arrays]
    for i in example.of_examples(shape):
        junk[i][~where] = 10**6 if junk[i].dtype != np.float64 else np.nan
    reduction = data.draw(st.sampled_from(["none", "mean", "sum"]))
    mask = where[..., None] if case.masks_items else where
    wanted, found = (example.run(arrays, mask, reduction) for arrays in (example.arrays, tuple(junk)))
    chex.assert_trees_all_equal(found, wanted)
    for i, gradient in zip(case.differentiable, found[1], strict=True):
        if i in example.of_examples(shape):
            assert not np.any(np.asarray(gradient, float)[~where])


@every_case
@drawn
@given(data=st.data())
def test_a_bad_value_is_nan_in_its_element_and_nowhere_else(case: Case, data: st.DataObject) -> None:
    example = data.draw(examples(case, special=False))
    shape = example.shape
    element = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    arrays = [array.copy() for array in example.arrays]
    for array, domain in zip(arrays, case.make.domains, strict=False):
        if domain is LABEL:  # one that is not ignored
            assume(example.options.get("ignore_index") != array.max())
            array[element] = array.max()
        elif domain is LABEL_LIST:  # one label: without any the loss is 0
            array[element] = [0, *[-1] * (array.shape[-1] - 1)]
    clean, _ = example.run(tuple(arrays))
    chosen = data.draw(st.sampled_from([i for i in example.of_examples(shape) if case.make.domains[i].bad]))
    assume(not case.compares_examples or clean[element] != 0)  # without another to compare it with there is no loss
    bad = data.draw(st.sampled_from(case.make.domains[chosen].bad))
    arrays[chosen][element] = bad
    losses, gradients = example.run(tuple(arrays))
    assert np.isnan(np.asarray(losses, float)[element]).any()  # an option may leave out a region of an image
    for i, gradient in zip(case.differentiable, gradients, strict=True):
        # That of a NaN is whatever the slope is.
        if i in example.of_examples(shape) and not np.isnan(bad):
            assert np.isnan(np.asarray(gradient, float)[element]).any()
    others = np.ones(shape, bool)
    others[element[:-1] if case.compares_tokens else element] = False
    if case.compares_examples:  # an example that is NaN is compared with the others
        return
    # A NaN among vectors has all of them scaled, which may round their distances otherwise.
    rounding = 8 * float(jnp.finfo(losses.dtype).eps)
    clean, losses = (np.asarray(array, float)[others] for array in (clean, losses))
    chex.assert_trees_all_close(losses, clean, rtol=rounding, atol=rounding * max(1, abs(clean).max(initial=0)))
