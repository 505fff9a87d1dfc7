"""Cross-entropy for TPUs: the formulas of `xla.py`, with the label's logit from the reduction that reads the logits.

A TPU gathers along the classes from a layout of its own. So XLA copies the logits before the gather.
"""

from functools import partial

from jaxloss._core.autodiff import nan_unless
from jaxloss._ops.cross_entropy import xla
from jaxloss._ops.cross_entropy.one_read import Statistics, statistics
from jaxloss._ops.cross_entropy.problem import LabelProblem


def selected(problem: LabelProblem) -> Statistics:
    """The statistics of a problem of labels; the label's logit by a comparison with each class, in the same read."""
    rows = statistics(problem.logits, problem.axis, label=problem.label, mass=problem.share)
    assert rows.picked is not None
    return rows._replace(picked=nan_unless(problem.label.in_range, rows.picked))


value = partial(xla.value, label_statistics=selected)
value_and_slopes = partial(xla.value_and_slopes, label_statistics=selected)
