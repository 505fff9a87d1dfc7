"""Every row of docs/from_scipy_sklearn.md is the value that the other package has."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from fixtures.page_arrays import NAMES
from fixtures.pages import DOCS, HERE, rows

import jaxloss

PAGE = "from_scipy_sklearn"
if not DOCS.exists():
    pytest.skip("a source distribution has no docs", allow_module_level=True)
COMMITTED = json.loads((HERE / "pages" / f"{PAGE}.json").read_text())


@pytest.mark.parametrize(("theirs", "ours"), rows(PAGE), ids=lambda call: call.replace(" ", ""))
def test_a_row_is_the_value_of_the_package(theirs: str, ours: str) -> None:
    names: dict[str, Any] = {name: jnp.asarray(value) for name, value in NAMES.items()}
    found = eval(ours, vars(jaxloss) | names | {"jnp": jnp})
    np.testing.assert_allclose(found, COMMITTED[theirs], rtol=1e-9)


def test_the_tables_are_read() -> None:
    assert len(rows(PAGE)) == len(COMMITTED) == 29
