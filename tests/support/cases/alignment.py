"""Cases of losses of alignments."""

import alignments
import gold_alignment
import numpy as np
import points
from case import Case
from inputs import Inputs
from measured import Measured
from mistakes import f, i, row
from references import Package, Torch

import jaxloss

INPUTS = {
    "batched": Inputs((5,), size=2),
    "unbatched": Inputs((), size=2),
    "tiny": Inputs((7,), scale=0.02, size=1),
    "large": Inputs((7,), scale=30, size=2),
}


def series_call(predictions=(4, 5, 2), targets=(4, 3, 2), lengths=()):
    return lambda: jaxloss.soft_dtw_loss(f(*predictions), f(*targets), *lengths)


CASES = [
    Case(
        jaxloss.SoftDTWLoss,
        alignments.two_series,
        element="pair of series",
        options=({}, {"gamma": 0.125}),
        inputs=INPUTS | {"extra": Inputs((2, 3), size=3)},
        edges=(
            # Equal series, whose alignments tie; one frame against several; several against one; one against one.
            np.tile([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0]], (4, 1, 1)),
            np.tile([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0]], (4, 1, 1)),
            [4, 1, 4, 1],
            [4, 4, 1, 1],
        ),
        differentiable=(0, 1),
        reference=Package(alignments.soft_dtw_loss),
        never_negative=False,
        accuracy=(
            Measured(
                gold_alignment.soft_dtw_loss,
                points.series,
                points.ordinary_series,
                inputs=Inputs((3,)),
                differentiable=(0, 1),
                never_negative=False,
                ulps=(4, 8),
            ),
        ),
        mistakes=(
            *(
                row(
                    f"soft_dtw_loss-{name}",
                    series_call(**shapes),
                    ValueError,
                    "but they must be (N..., T, D) and (N..., S, D): only the numbers of frames may differ.",
                )
                for name, shapes in {
                    "axes": {"predictions": (5,), "targets": (3,)},
                    "features": {"targets": (4, 3, 1)},
                    "batch": {"targets": (3, 2)},
                }.items()
            ),
            row(
                "soft_dtw_loss-no_frame",
                series_call(predictions=(4, 0, 2)),
                ValueError,
                "`predictions` has shape (4, 0, 2): axis -2 is empty",
            ),
            row(
                "soft_dtw_loss-lengths",
                series_call(predictions=(2, 3, 5, 1), targets=(2, 3, 5, 1), lengths=(i(6) + 5,)),
                ValueError,
                "`input_lengths` has shape (6,), but must be one length for each of 6 sequences, in the shape (2, 3).",
            ),
        ),
    ),
    Case(
        jaxloss.ForwardSumLoss,
        alignments.attention,
        element="sequence",
        options=({}, {"blank_log_prob": -3.0, "zero_infinity": True}),
        inputs=INPUTS,
        # All tokens in as many frames; too few frames.
        edges=(np.tile([0.5, -1.0, 2.0], (3, 6, 1)), [3, 2, 6], [3, 3, 1]),
        reference=Torch(alignments.forward_sum_loss),
        never_negative=False,
        accuracy=(
            Measured(
                gold_alignment.forward_sum_loss,
                points.attention,
                points.ordinary_attention,
                inputs=Inputs((3,)),
                never_negative=False,
                ulps=(4, 8),
            ),
        ),
        mistakes=(
            row(
                "forward_sum_loss-axes",
                lambda: jaxloss.forward_sum_loss(f(4, 5, 3, 1), i(4) + 5, i(4) + 3),
                ValueError,
                "`log_probs` has shape (4, 5, 3, 1), but must be (N, T, S), or (T, S) for one sequence.",
            ),
        ),
    ),
]
