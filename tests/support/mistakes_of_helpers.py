"""Rows of the mistakes with the functions that are no losses, and with the operators of option objects."""

import jax.numpy as jnp
import numpy as np
from mistakes import c, f, i, row

import jaxloss
from jaxloss import Mean

SUM = jaxloss.L1Loss() + jaxloss.MSELoss()

HELPERS = [
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
