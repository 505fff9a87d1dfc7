"""Every row of docs/from_monai.md is the value that the PyTorch package has. Their values are stored."""

import json
import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from fixtures.page_arrays import IMAGES
from fixtures.pages import DOCS, HERE, rows

import jaxloss

PAGE = "from_monai"
if not DOCS.exists():
    pytest.skip("a source distribution has no docs", allow_module_level=True)
COMMITTED = json.loads((HERE / "pages" / f"{PAGE}.json").read_text())


@pytest.mark.parametrize(("theirs", "ours"), rows(PAGE), ids=lambda call: call.replace(" ", ""))
def test_a_row_is_the_value_of_the_package(theirs: str, ours: str) -> None:
    names: dict[str, Any] = {name: jnp.asarray(value) for name, value in IMAGES.items()}
    found = eval(ours, vars(jaxloss) | names)
    # The packages compute in float32, and some add a small number to a divisor.
    np.testing.assert_allclose(found, COMMITTED[theirs], rtol=2e-6)


def test_the_table_is_read() -> None:
    assert len(rows(PAGE)) == len(COMMITTED) == 33


def test_every_loss_of_regions_and_boxes_is_on_the_page() -> None:
    from jaxloss._losses import boxes, segmentation

    losses = [name for family in (boxes, segmentation) for name in family.__all__ if name.islower()]
    own = {"box_iou_loss", "focal_tversky_loss"}  # no package has a function of the same value
    called = {name for _, ours in rows(PAGE) for name in re.findall(r"\w+", ours)}
    assert set(losses) - called == own
    assert set(losses) <= set(jaxloss.__all__)
