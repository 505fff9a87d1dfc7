"""Cases of losses of transducers."""

import gold_alignment
import numpy as np
import points
import transducers
from case import Case
from inputs import Inputs
from measured import Measured
from mistakes import f, i, row
from references import Package

import jaxloss

INPUTS = {
    "batched": Inputs((5,), size=4),
    "unbatched": Inputs((), size=4),
    "prime": Inputs((3,), size=131),
    "tiny": Inputs((7,), scale=0.02, size=4),
    "large": Inputs((7,), scale=30, size=4),
}
# One frame; no label; both; a full grid; no frame.
FRAMES, LABELS = [1, 4, 1, 4, 0], [3, 0, 0, 3, 2]


def rnnt_call(logits=(4, 5, 3, 6), targets=(4, 2), lengths=(4,), **options):
    arrays = f(*logits), i(*targets) + 1, i(*lengths) + 5, i(*lengths) + 2
    return lambda: jaxloss.rnnt_loss(*arrays, **options)


CASES = [
    Case(
        jaxloss.RNNTLoss,
        transducers.logits_and_targets,
        element="sequence",
        options=({}, {"blank": 0, "fused_log_softmax": False}),
        inputs=INPUTS,
        edges=(
            np.log(np.tile([0.25, 0.5, 0.125, 0.0625], (5, 4, 4, 1))),
            [[1, 1, 2], [1, 2, 1], [1, 1, 1], [2, 2, 2], [1, 2, 2]],
            FRAMES,
            LABELS,
        ),
        reference=Package(transducers.rnnt_loss),
        never_negative=False,
        accuracy=(
            Measured(
                gold_alignment.rnnt_loss,
                points.joint_logits,
                points.ordinary_joint_logits,
                inputs=Inputs((3,)),
                never_negative=False,
                ulps=(4, 64),
            ),
        ),
        mistakes=(
            row(
                "rnnt_loss-axes",
                rnnt_call(logits=(5, 3)),
                ValueError,
                "`logits` has shape (5, 3), but must be (N, T, U + 1, C), or (T, U + 1, C) for one sequence.",
            ),
            row("rnnt_loss-blank", rnnt_call(blank=6), ValueError, "`blank` is 6, but must be a class number from -6"),
            row(
                "rnnt_loss-columns",
                rnnt_call(targets=(4, 3)),
                ValueError,
                "`logits` has shape (4, 5, 3, 6), but its axis -2 must have 4 entries, one more than the 3 labels",
            ),
        ),
    ),
    Case(
        jaxloss.TransducerLoss,
        transducers.blanks_and_labels,
        element="sequence",
        inputs=INPUTS,
        edges=(
            np.log(np.tile([0.25, 0.5, 0.125, 0.0625], (5, 4, 1))),
            np.log(np.tile([0.75, 0.5, 0.125], (5, 4, 1))),
            FRAMES,
            LABELS,
        ),
        differentiable=(0, 1),
        reference=Package(transducers.transducer_loss),
        never_negative=False,
        accuracy=(
            Measured(
                gold_alignment.transducer_loss,
                points.grid_log_probs,
                points.ordinary_grid_log_probs,
                inputs=Inputs((3,)),
                differentiable=(0, 1),
                never_negative=False,
                ulps=(4, 64),
            ),
        ),
        mistakes=(
            row(
                "transducer_loss-axes",
                lambda: jaxloss.transducer_loss(-f(3), -f(2), 1, 2),
                ValueError,
                "`blank_log_probs` has shape (3,), but must be (N, T, U + 1), or (T, U + 1) for one sequence.",
            ),
            row(
                "transducer_loss-as_many_labels",
                lambda: jaxloss.transducer_loss(-f(4, 5, 3), -f(4, 5, 3), i(4) + 5, i(4) + 2),
                ValueError,
                "`label_log_probs` has shape (4, 5, 3), but must be (4, 5, 2): one label less in each frame",
            ),
        ),
    ),
]
