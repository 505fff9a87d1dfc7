"""Every row of docs/from_rax.md spells a loss of rax 0.4.0: its values on two lists, one of them padded."""

import math
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

PATH = Path(__file__).parent.parent / "docs/from_rax.md"
if not PATH.exists():
    pytest.skip("a source distribution has no docs", allow_module_level=True)
TABLE = re.search(r"^\| rax \| jaxloss \|\n\|---\|---\|\n((?:\|.*\n)+)", PATH.read_text(), re.MULTILINE)
assert TABLE
CALLS = [row.split(" | ")[1].strip("`| \n") for row in TABLE[1].splitlines()]
NAMES = {
    "scores": jnp.array([[2.0, 1.0, 0.5, np.nan], [1.0, 0.5, 1.5, -1.0]]),
    "labels": jnp.array([[1.0, 0.0, 2.0, 0.0], [0.0, 3.0, 1.0, 0.0]]),
    "where": jnp.array([[True, True, True, False], [True, True, True, True]]),
    "L": 4,
    "log": math.log,
}
# In the order of the rows, as rax computes them in float32.
VALUES = [
    5.138559341430664,
    1.4676859378814697,
    2.324735164642334,
    0.753808856010437,
    6.030470848083496,
    1.0,
    0.5041948556900024,
    0.640355110168457,
    0.6023257970809937,
    1.8214285373687744,
]


@pytest.mark.parametrize(("call", "value"), [*zip(CALLS, VALUES, strict=True)])
def test_row_has_the_value_of_rax(call: str, value: float) -> None:
    np.testing.assert_allclose(eval(call, vars(jaxloss) | NAMES), value, rtol=1e-6)  # float32's rounding
