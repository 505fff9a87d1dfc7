"""A mistake is met, when it is traced already, by a message that says what to type."""

import re
from typing import get_origin

import chex
import jax
import pytest
from cases import CASES
from mistakes import Call, b, common_mistakes, f
from mistakes_of_helpers import HELPERS

import jaxloss

pytestmark = pytest.mark.usefixtures("untyped")

ROWS = [*common_mistakes(CASES), *HELPERS]


# Traced too: whether something is a mistake may depend on no array's value.
@pytest.mark.parametrize(
    "how", [pytest.param(lambda call: call(), id="eager"), pytest.param(jax.eval_shape, id="traced")]
)
@pytest.mark.parametrize(("call", "error", "messages"), ROWS)
def test_mistake_is_named(call: Call, error: type[Exception], messages: tuple[str, ...], how) -> None:
    with pytest.raises(error) as caught:
        how(call)
    for message in messages:
        assert message in str(caught.value)


def test_every_public_name_has_a_row() -> None:
    tried = {param.id.split("-")[0] for param in ROWS}
    # `legacy_reduction` takes PyTorch's flags, `static` any default, and three are results.
    exempt = {"legacy_reduction", "static", "TokenStats", "LogProbAndEntropy", "CTCAlignment"}
    public = {
        name for name in jaxloss.__all__ if callable(getattr(jaxloss, name)) and not get_origin(getattr(jaxloss, name))
    }
    assert public - exempt <= tried


@pytest.mark.parametrize(
    ("shape", "given", "hint"),
    [
        ((4, 3), (4,), "[..., None]"),
        ((4, 3), (3,), "[None]"),
        ((4, 3, 2), (4,), "[..., None, None]"),
        ((4, 3, 2), (4, 3), "[..., None]"),
        ((4, 3, 2), (3, 2), "[None]"),
        ((4, 3, 2), (2,), "[None, None]"),
        ((4,), (4, 1), "[..., 0]"),
    ],
)
@pytest.mark.parametrize("name", ["where", "sample_weight"])
def test_mask_or_weight_of_another_shape_is_told_what_to_type(shape, given, hint, name) -> None:
    array = b(*given) if name == "where" else f(*given)
    with pytest.raises(ValueError, match=rf"^`{name}` has shape ") as caught:
        jaxloss.l1_loss(f(*shape), f(*shape), **{name: array})
    message = str(caught.value)
    assert f"has shape {given}, but this loss has one value per element of {shape}: " in message
    typed = re.search(r"use `(.*)`\.$", message)
    assert typed
    assert typed[1] == name + hint
    # ... and what it says to type works.
    fixed = eval(typed[1], {name: array})
    chex.assert_shape(jaxloss.l1_loss(f(*shape), f(*shape), reduction="none", **{name: fixed}), shape)
