"""Cases of losses of sequences."""

import gold_structured
import inputs
import jax
import numpy as np
import points
from case import Case
from inputs import Inputs, ctc, ctc_with_logits
from measured import Measured
from mistakes import b, c, f, i, row
from references import Torch

import jaxloss


def ctc_call(log_probs=(4, 5, 3), targets=(4, 2), input_lengths=(4,), target_lengths=(4,), **options):
    arrays = -f(*log_probs), i(*targets) + 1, i(*input_lengths) + 5, i(*target_lengths) + 2
    return lambda: jaxloss.ctc_loss(*arrays, **options)


CASES = [
    Case(
        jaxloss.CTCLoss,
        inputs.log_probs_and_sequences,
        element="sequence",
        options=({}, {"blank": 2, "zero_infinity": True}),
        inputs={
            "batched": Inputs((5,), size=4),
            "unbatched": Inputs((), size=4),
            "prime": Inputs((3,), size=131),
            "tiny": Inputs((7,), scale=0.02, size=4),
            "large": Inputs((7,), scale=30, size=4),
        },
        edges=(
            # A label that another one repeats, exactly as many frames as are needed, one too few; nothing at all.
            np.log(np.tile([0.25, 0.5, 0.125, 0.0625], (6, 5, 1))),
            [[1, 1, 3], [1, 1, 3], [1, 3, 1], [3, 3, 3], [1, 1, 1], [1, 3, 1]],
            [4, 3, 3, 5, 0, 0],
            [3, 3, 3, 3, 0, 1],
        ),
        reference=Torch(ctc),
        never_negative=False,
        accuracy=(
            Measured(
                gold_structured.ctc_loss,
                points.sequences,
                points.ordinary_sequences,
                inputs=Inputs((3,)),
                never_negative=False,
                ulps=(4, 64),
            ),
        ),
        mistakes=(
            row(
                "ctc_loss-axes",
                ctc_call(log_probs=(4, 5, 3, 1)),
                ValueError,
                "`log_probs` has shape (4, 5, 3, 1), but must be (N, T, C), or (T, C) for one sequence.",
            ),
            row(
                "ctc_loss-axes_with_time_first",
                ctc_call(log_probs=(3,), time_major=True),
                ValueError,
                "`log_probs` has shape (3,), but must be (T, N, C), or (T, C) for one sequence.",
            ),
            row("ctc_loss-no_class", ctc_call(log_probs=(4, 5, 0)), ValueError, "axis -1 is empty"),
            row(
                "ctc_loss-blank", ctc_call(blank=3), ValueError, "`blank` is 3, but must be a class number from 0 to 2."
            ),
            row(
                "ctc_loss-blank_from_behind",
                ctc_call(blank=-1),
                ValueError,
                "`blank` is -1, but must be a class number from 0 to",
            ),
            row(
                "ctc_loss-other_batch",
                ctc_call(targets=(3, 2)),
                ValueError,
                "`targets` has shape (3, 2), but must be (4, S), or one axis with all labels one after another.",
            ),
            row(
                "ctc_loss-batch_of_targets",
                ctc_call(log_probs=(5, 3), input_lengths=(), target_lengths=()),
                ValueError,
                "`targets` has shape (4, 2), but must be (S,), for one sequence.",
            ),
            *(
                row(
                    f"ctc_loss-{name}",
                    ctc_call(**{name: (3,)}),
                    ValueError,
                    f"`{name}` has shape (3,), but must be one length for each of 4 sequences.",
                )
                for name in ("input_lengths", "target_lengths")
            ),
            row(
                "ctc_loss-lengths_of_one_sequence",
                ctc_call(log_probs=(5, 3), targets=(2,), target_lengths=()),
                ValueError,
                "`input_lengths` has shape (4,), but must be one length, for one sequence.",
            ),
            *(
                row(
                    f"ctc_loss-{kind.__name__}_lengths",
                    lambda kind=kind: jaxloss.ctc_loss(-f(4, 5, 3), i(4, 2) + 1, kind(4), i(4)),
                    TypeError,
                    f"`input_lengths` has dtype {kind(4).dtype}, but lengths are integers: use `astype(int)`.",
                )
                for kind in (f, b, c)
            ),
            row(
                "ctc_loss-labels_left_over",
                lambda: jaxloss.ctc_loss(-f(4, 5, 3), i(7) + 1, i(4) + 5, [2, 2, 2, 2]),
                ValueError,
                "`targets` has 7 labels, but `target_lengths` add up to 8.",
            ),
            row(
                "ctc_loss-labels_of_traced_lengths",
                lambda: jax.eval_shape(
                    lambda lengths: jaxloss.ctc_loss(-f(4, 5, 3), i(8) + 1, i(4) + 5, lengths), i(4) + 2
                ),
                ValueError,
                "`targets` has one axis with all labels one after another, which shapes the program, but "
                "`target_lengths` is traced: pad the targets to (N, S).",
            ),
            row(
                "ctc_alignment-blank",
                lambda: jaxloss.ctc_alignment(-f(5, 3), i(2) + 1, 5, 2, blank=3),
                ValueError,
                "`blank` is 3, but must be a class number from 0 to 2.",
            ),
            row(
                "ctc_greedy_decode-lengths",
                lambda: jaxloss.ctc_greedy_decode(f(4, 5, 3), [5, 5, 5]),
                ValueError,
                "`input_lengths` has shape (3,), but must be one length for each of 4 sequences.",
            ),
            row(
                "ctc_greedy_decode-integer",
                lambda: jaxloss.ctc_greedy_decode(i(4, 5, 3), [5, 5, 5, 5]),
                TypeError,
                "`log_probs` has dtype int32, but must be real and floating",
            ),
        ),
    ),
    Case(
        jaxloss.CTCWithLogitsLoss,
        inputs.logits_and_sequences,
        element="sequence",
        options=({}, {"blank": 2, "zero_infinity": True}),
        inputs={
            "batched": Inputs((5,), size=4),
            "unbatched": Inputs((), size=4),
            "large": Inputs((7,), scale=30, size=4),
        },
        reference=Torch(ctc_with_logits),
        accuracy=(
            Measured(
                gold_structured.ctc_loss_with_logits,
                points.sequences_of_logits,
                points.ordinary_sequences_of_logits,
                inputs=Inputs((3,)),
                ulps=(4, 64),
            ),
        ),
        mistakes=(
            row(
                "ctc_loss_with_logits-axes",
                lambda: jaxloss.ctc_loss_with_logits(f(4, 5, 3, 1), i(4, 2) + 1, i(4) + 5, i(4) + 2),
                ValueError,
                "`logits` has shape (4, 5, 3, 1), but must be (N, T, C), or (T, C) for one sequence.",
            ),
        ),
    ),
]
