"""Every call in the table of docs/from_monai.md runs, and the equations between its rows hold."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxloss

PAGE = Path(__file__).parent.parent / "docs/from_monai.md"
if not PAGE.exists():  # a source distribution has no docs
    pytest.skip("there are no docs", allow_module_level=True)
TEXT = PAGE.read_text()
CALLS = dict(re.findall(r"^\| (.+) \| `(.+)` \|$", TEXT, re.MULTILINE))


def names() -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1], found)
    return found


def value(row: str) -> np.ndarray:
    return np.asarray(eval(CALLS[row], names()))


def test_every_call_runs() -> None:
    given = names()
    assert len(CALLS) == len(re.findall(r"^\| (?!there|---)", TEXT, re.MULTILINE))
    for call in CALLS.values():
        assert np.isfinite(np.asarray(eval(call, given))).all(), call


def test_values_are_those_of_the_packages_formulas() -> None:
    """MONAI's, SMP's and kornia's definitions in NumPy, with the classes second."""
    given = names()
    logits, masks = np.asarray(given["logits"], float), np.asarray(given["masks"], float)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    def dice(p: np.ndarray, t: np.ndarray, axes: tuple[int, ...], smooth: float) -> np.ndarray:
        hit, size = (p * t).sum(axes), p.sum(axes) + t.sum(axes)
        return 1 - (2 * hit + smooth) / (size + smooth)

    def near(row: str, wanted: np.ndarray) -> None:
        np.testing.assert_allclose(value(row), wanted, rtol=1e-6)

    near("MONAI `DiceLoss(softmax=True)`", dice(p, masks, (2, 3), 1e-5).mean())
    near("MONAI `batch=True`", dice(p, masks, (0, 2, 3), 1e-5).mean())
    near("MONAI `include_background=False`", dice(p, masks, (2, 3), 1e-5)[:, 1:].mean())
    near("MONAI `weight=`", (dice(p, masks, (2, 3), 1e-5) * np.asarray(given["weight"])).mean())
    near('SMP `DiceLoss("multiclass")`', dice(p, masks, (0, 2, 3), 0.0).mean())
    nll = -np.log((p * masks).sum(1))
    near("MONAI `DiceCELoss(softmax=True)`", dice(p, masks, (2, 3), 1e-5).mean() + nll.mean())
    row = "MONAI `FocalLoss(use_softmax=True)`, which also divides by the number of classes"
    near(row, ((1 - np.exp(-nll)) ** 2 * nll).mean() / 3)


def test_every_loss_of_regions_and_boxes_is_on_the_page() -> None:
    from jaxloss._losses import boxes, segmentation

    losses = [name for family in (boxes, segmentation) for name in family.__all__ if name.islower()]
    own = {"box_iou_loss", "focal_tversky_loss"}  # no package has a function of the same value
    assert [name for name in losses if f"jaxloss.{name}(" not in TEXT] == [name for name in losses if name in own]
    assert set(losses) <= set(jaxloss.__all__)
