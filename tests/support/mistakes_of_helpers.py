"""Rows of the mistakes with the functions that are no losses, and with the operators of option objects."""

import jax.numpy as jnp
import numpy as np
from mistakes import b, c, f, i, row

import jaxloss
from jaxloss import Mean

SUM = jaxloss.L1Loss() + jaxloss.MSELoss()

HELPERS = [
    row(
        "fenchel_young-shapes",
        lambda: jaxloss.fenchel_young(jnp.max)(f(4, 3), f(4, 2)),
        ValueError,
        "`targets` has shape (4, 2), but `scores` has shape (4, 3)",
    ),
    row(
        "permutation_invariant-shapes",
        lambda: jaxloss.permutation_invariant(jaxloss.mse_loss)(f(4, 2, 3), f(4, 3, 3)),
        ValueError,
        "`targets` has shape (4, 3, 3), but must begin with (4, 2), the shape of `predictions` up to its axis",
    ),
    row(
        "best_permutation-sources",
        lambda: jaxloss.best_permutation(jaxloss.mse_loss)(f(7, 3), f(7, 3)),
        ValueError,
        "`predictions` has shape (7, 3), with 7 sources, but all permutations are tried only for 6 at most.",
    ),
    row(
        "class_balanced_weight-beta",
        lambda: jaxloss.class_balanced_weight(i(3), beta=1.0),
        ValueError,
        "`beta` is 1.0, but must be at least 0 and at most 1.",
    ),
    row(
        "class_balanced_weight-complex",
        lambda: jaxloss.class_balanced_weight(c(3)),
        TypeError,
        "`counts` has dtype complex64, but must be real: use `counts.real`.",
    ),
    *(
        row(f"{name}-{what}", call, error, message)
        for name in ("pairwise_distance", "cosine_similarity")
        for fn in [getattr(jaxloss, name)]
        for what, call, error, message in (
            (
                "shapes",
                lambda fn=fn: fn(f(4, 3), f(4, 2)),
                ValueError,
                "`a` has shape (4, 3) and `b` has shape (4, 2), which do not broadcast.",
            ),
            (
                "integers",
                lambda fn=fn: fn(i(3), f(3)),
                TypeError,
                "`a` has dtype int32, but must be real and floating: use `a.astype(jnp.float32)`.",
            ),
            (
                "complex",
                lambda fn=fn: fn(f(3), c(3)),
                TypeError,
                "`b` has dtype complex64, but must be real and floating: use `b.real`.",
            ),
        )
    ),
    row(
        "pairwise_distance-no_axis",
        lambda: jaxloss.pairwise_distance(f(), f()),
        ValueError,
        "`a` and `b` have no axes, but a vector has one.",
    ),
    row(
        "cosine_similarity-axis",
        lambda: jaxloss.cosine_similarity(f(4, 3), f(3), axis=2),
        ValueError,
        "`axis` is 2, but the vectors broadcast to 2 axes.",
    ),
    row(
        "cosine_similarity-eps",
        lambda: jaxloss.cosine_similarity(f(3), f(3), eps=-1e-8),
        ValueError,
        "`eps` is -1e-08, but must be at least 0.",
    ),
    row(
        "log_softmax-integers",
        lambda: jaxloss.log_softmax(i(2, 3)),
        TypeError,
        "`logits` has dtype int32, but must be real and floating: use `logits.astype(jnp.float32)`.",
    ),
    row(
        "log_softmax-axis",
        lambda: jaxloss.log_softmax(f(2, 3), axis=2),
        ValueError,
        "`logits` has shape (2, 3), which has no axis 2.",
    ),
    row("log_softmax-no_class", lambda: jaxloss.log_softmax(f(2, 0)), ValueError, "axis -1 is empty"),
    row(
        "token_log_probs-shapes",
        lambda: jaxloss.token_log_probs(f(2, 3), i(3)),
        ValueError,
        "`targets` has shape (3,), but `logits` (2, 3) without its class axis 1 is (2,).",
    ),
    row(
        "token_log_probs-no_class_of_a_token",
        lambda: jaxloss.token_log_probs(f(2, 3), i(2, 0)),
        ValueError,
        "`targets` has shape (2, 0): its last axis is empty, and a token needs a class.",
    ),
    row(
        "token_log_probs-temperature",
        lambda: jaxloss.token_log_probs(f(2, 3), i(2), temperature=0.0),
        ValueError,
        "`temperature` is 0.0, but must be above 0.",
    ),
    row(
        "token_log_probs-probabilities",
        lambda: jaxloss.token_log_probs(f(2, 3), f(2, 3)),
        TypeError,
        "`targets` has dtype float32, but class numbers are integers: use `astype(int)`.",
    ),
    row(
        "linear_token_log_probs-transposed",
        lambda: jaxloss.linear_token_log_probs(f(2, 3), f(5, 3), i(2)),
        ValueError,
        "(width, heads..., classes) with width 3: use `kernel.T`.",
    ),
    row(
        "linear_token_log_probs_and_entropy-implementation",
        lambda: jaxloss.linear_token_log_probs_and_entropy(f(2, 3), f(3, 5), i(2), implementation="triton"),
        ValueError,
        "`implementation` is 'triton'; it must be 'xla', 'reference' or None.",
    ),
    row(
        "linear_token_entropy-chunk_size",
        lambda: jaxloss.linear_token_entropy(f(2, 3), f(3, 5), chunk_size=0),
        ValueError,
        "`chunk_size` is 0, but a chunk has at least one token.",
    ),
    row(
        "token_entropy-where",
        lambda: jaxloss.token_entropy(f(2, 3), where=b(3)),
        ValueError,
        "`where` has shape (3,), but this loss has one value per element of (2,).",
    ),
    *(
        row(f"sequence_log_probs-{what}", call, error, message)
        for what, call, error, message in (
            (
                "ids_alone",
                lambda: jaxloss.sequence_log_probs(f(2, 3), segment_ids=i(2, 3)),
                ValueError,
                "`segment_ids` is given without `num_segments`: packed rows need both.",
            ),
            (
                "number_alone",
                lambda: jaxloss.sequence_log_probs(f(2, 3), num_segments=2),
                ValueError,
                "`num_segments` is given without `segment_ids`: packed rows need both.",
            ),
            (
                "no_segment",
                lambda: jaxloss.sequence_log_probs(f(2, 3), segment_ids=i(2, 3), num_segments=0),
                ValueError,
                "`num_segments` is 0, but a row has at least one segment.",
            ),
            (
                "ids_of_another_shape",
                lambda: jaxloss.sequence_log_probs(f(2, 3), segment_ids=i(3), num_segments=2),
                ValueError,
                "`segment_ids` has shape (3,), but `log_probs` has shape (2, 3).",
            ),
            (
                "floating_ids",
                lambda: jaxloss.sequence_log_probs(f(2, 3), segment_ids=f(2, 3), num_segments=2),
                TypeError,
                "`segment_ids` has dtype float32, but must be integers: use `astype(int)`.",
            ),
            (
                "axis",
                lambda: jaxloss.sequence_log_probs(f(2, 3), axis=2),
                ValueError,
                "`log_probs` has shape (2, 3), which has no axis 2.",
            ),
        )
    ),
    *(
        row(
            f"reduce-{reduction}",
            lambda reduction=reduction: jaxloss.reduce(f(4), reduction),
            ValueError,
            f"`reduction` is '{reduction}'; it must be 'none', 'mean' or 'sum'.",
        )
        for reduction in ("batchmean", "parts")
    ),
    *(
        row(
            f"parts-of_a_loss_with_{reduction}",
            lambda loss=loss: jaxloss.parts(loss)(f(3), f(3)),
            ValueError,
            f"`parts` is a mean, unfinished: it cannot take `reduction='{reduction}'`.",
        )
        for reduction, loss in (
            ("sum", jaxloss.L1Loss(reduction="sum")),
            ("none", jaxloss.L1Loss(reduction="none")),
            ("batchmean", jaxloss.KLDivLoss(reduction="batchmean")),
        )
    ),
    row(
        "parts-of_a_sum_with_a_sum",
        lambda: jaxloss.parts(jaxloss.L1Loss() + jaxloss.MSELoss(reduction="sum"))(f(3), f(3)),
        ValueError,
        "`parts` is a mean, unfinished: it cannot take `reduction='sum'`.",
    ),
    row(
        "parts-of_what_takes_no_reduction",
        lambda: jaxloss.parts(jaxloss.cosine_similarity),
        TypeError,
        "`parts` needs a loss that takes `reduction` and passes it to `jaxloss.reduce`, not <function cosine_similar",
    ),
    row(
        "checked-of_no_loss",
        lambda: jaxloss.checked(jnp.sin)(f(3)),
        TypeError,
        "`checked` found no values to check in ",
        ": it calls no loss, or one compiled ahead.",
    ),
    row("Mean-added_to_a_number", lambda: 1 + Mean(f(), f()), TypeError, "unsupported operand type(s) for +"),
    row("Loss-added_to_a_number", lambda: jaxloss.L1Loss() + 1, TypeError, "unsupported operand type(s) for +"),
    row(
        "Loss-times_a_loss",
        lambda: jaxloss.L1Loss() * jaxloss.L1Loss(),
        TypeError,
        "unsupported operand type(s) for *",
    ),
    row(
        "Loss-times_an_array",
        lambda: jaxloss.L1Loss() * np.ones(3),
        TypeError,
        "operand 'L1Loss' does not support ufuncs",
    ),
    row(
        "Loss-changed",
        lambda: setattr(jaxloss.HuberLoss(), "delta", 2.0),
        AttributeError,
        "cannot assign to field 'delta'",
    ),
    *(
        row(f"LossSum-{what}", call, TypeError, message)
        for what, call, message in (
            (
                "surplus_array",
                lambda: SUM(f(3), f(3), f(3)),
                "3 arrays are given, but no term of L1Loss() + MSELoss() takes more than 2.",
            ),
            ("named_array", lambda: SUM(f(3), targets=f(3)), "`targets` is given by name, but"),
        )
    ),
]
