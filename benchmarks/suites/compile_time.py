"""What the first call costs: to trace and to compile the gradient of every loss."""

from dataclasses import replace

from benchmarks.case import Case
from benchmarks.suites import cross_entropy, ctc, elementwise, embedding, linear_cross_entropy


def cases(quick: bool) -> list[Case]:
    """Of small arrays: a program takes as long to compile for large ones, as the suite `growth` shows."""
    suites = [cross_entropy, linear_cross_entropy, ctc] + ([] if quick else [elementwise, embedding])
    return [replace(case, dtypes=("float32",), modes=("compile",)) for suite in suites for case in suite.cases(True)]
