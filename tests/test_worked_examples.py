"""The numbers that PyTorch's documentation, forum answers and courses print come out of ours too."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

TEXT = (Path(__file__).parent / "worked_examples.json").read_text()
ROWS = json.loads(TEXT, parse_float=Decimal)  # a Decimal remembers how many digits were printed

# The row that is described in words: it would fill a page.
SPELLED_OUT = {
    "logits: (10, 64) all 0.999; targets: (10, 64) all 1; pos_weight: 64 ones": (
        (np.full((10, 64), 0.999), np.ones((10, 64))),
        {"pos_weight": np.ones(64)},
    ),
}


def array(value: Any) -> jax.Array:
    """Whole numbers are class numbers; one with a point makes the array floating."""
    whole = np.asarray(value, dtype=object)
    return jnp.asarray(whole.astype(np.int32 if all(isinstance(v, int) for v in whole.flat) else np.float64))


def option(value: Any) -> Any:
    if isinstance(value, list):
        return array(value)
    return float(value) if isinstance(value, Decimal) else value


def asked(row: dict[str, Any]) -> tuple[tuple[jax.Array, ...], dict[str, Any]]:
    if "note" in row:
        arrays, options = SPELLED_OUT[row["note"]]
        return tuple(map(jnp.asarray, arrays)), {name: jnp.asarray(value) for name, value in options.items()}
    return tuple(map(array, row["args"])), {name: option(value) for name, value in row["options"].items()}


def tolerance(printed: Decimal) -> float:
    """How far the truth may be from a number that was printed with so many digits."""
    places = -int(printed.as_tuple().exponent)
    if places < 4:
        return 1e-12  # not rounded: 0.85 is 0.85
    # Ten digits of a float32 are the digits of its error too: log-sum-exps of about 2, less a logit of about 2.
    return max(0.5 * 10**-places, float(np.finfo(np.float32).eps))


def named(number: int, row: dict[str, Any]) -> str:
    return f"{number}-{row['loss']}"


@pytest.mark.parametrize("row", [pytest.param(row, id=named(i, row)) for i, row in enumerate(ROWS)])
def test_worked_example(row: dict[str, Any]) -> None:
    arrays, options = asked(row)
    value = getattr(jaxloss, row["loss"])(*arrays, **options)
    expected = row["expected"] if isinstance(row["expected"], list) else [row["expected"]]
    assert value.shape == ((len(expected),) if isinstance(row["expected"], list) else ())
    atol = max(map(tolerance, expected))
    chex.assert_trees_all_close(np.atleast_1d(value), np.asarray(expected, np.float64), rtol=0, atol=atol)


def test_every_row_of_the_file_is_run() -> None:
    rows = sum(line.lstrip().startswith("{") for line in TEXT.splitlines())
    ran = test_worked_example.pytestmark[0].args[1]
    assert len(ran) == rows == 24
    assert {row["note"] for row in ROWS if "note" in row} == set(SPELLED_OUT)
