"""Rows of the mistakes with vectors, with the helpers and with the option objects."""

import inspect

import jax.numpy as jnp
import numpy as np
from mistakes import LOSSES, c, f, i, row

import jaxloss
from jaxloss import Loss, Mean

VECTORS = [
    *(
        row(
            f"{name}-margin={margin}",
            lambda name=name, margin=margin: getattr(jaxloss, name)(f(4, 3), f(4, 3), f(4, 3), margin=margin),
            ValueError,
            f"`margin` is {margin}, but must be above 0.",
        )
        for name in ("triplet_margin_loss", "triplet_margin_with_distance_loss")
        for margin in (0, -1.0)
    ),
    *(
        row(
            f"{name}-{what}",
            lambda name=name, last=last: getattr(jaxloss, name)(f(4, 3), f(4, 3), f(*last)),
            ValueError,
            f"The shapes `anchor` (4, 3), `positive` (4, 3), `negative` {last} {message}",
        )
        for name in ("triplet_margin_loss", "triplet_margin_with_distance_loss")
        for what, last, message in (
            ("other_number_of_axes", (3,), "have different numbers of axes: insert axes of size 1 by hand."),
            ("other_batch", (2, 3), "do not broadcast."),
            ("other_size", (4, 2), "do not broadcast."),
        )
    ),
    row(
        "triplet_margin_loss-no_axis",
        lambda: jaxloss.triplet_margin_loss(f(), f(), f()),
        ValueError,
        "The shapes `anchor` (), `positive` (), `negative` () have no axis: the last one is the embedding's.",
    ),
    row(
        "triplet_margin_with_distance_loss-distance_over_the_batch",
        lambda: jaxloss.triplet_margin_with_distance_loss(
            f(4, 3), f(4, 3), f(4, 3), distance_function=lambda x, y: jnp.sum(x - y, 0)
        ),
        ValueError,
        "`distance_function` returns shape (3,) for inputs of shape (4, 3), which must begin so.",
    ),
    row(
        "cosine_embedding_loss-other_number_of_axes",
        lambda: jaxloss.cosine_embedding_loss(f(4, 3), f(3), f(4)),
        ValueError,
        "The shapes `embeddings1` (4, 3), `embeddings2` (3,) have different numbers of axes",
    ),
    row(
        "cosine_embedding_loss-other_batch",
        lambda: jaxloss.cosine_embedding_loss(f(4, 3), f(2, 3), f(4)),
        ValueError,
        "The shapes `embeddings1` (4, 3), `embeddings2` (2, 3) do not broadcast.",
    ),
    row(
        "cosine_embedding_loss-no_axis",
        lambda: jaxloss.cosine_embedding_loss(f(), f(), f()),
        ValueError,
        "The shapes `embeddings1` (), `embeddings2` () have no axis: the last one is the embedding's.",
    ),
    row(
        "cosine_embedding_loss-broadcast_targets",
        lambda: jaxloss.cosine_embedding_loss(f(4, 3), f(4, 3), f(4, 1)),
        ValueError,
        "`targets` has shape (4, 1), but there is one pair of vectors for each of (4,).",
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
        "cosine_similarity-no_axis",
        lambda: jaxloss.cosine_similarity(f(), f()),
        ValueError,
        "`axis` is -1, but the vectors broadcast to 0 axes.",
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
]

HELPERS = [
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
        "reduce-batchmean",  # which only kl_div has
        lambda: jaxloss.reduce(f(4), "batchmean"),
        ValueError,
        "`reduction` is 'batchmean'; it must be 'none', 'mean' or 'sum'.",
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
]

OBJECTS = [
    each
    for name in jaxloss.__all__
    for cls in [getattr(jaxloss, name)]
    if inspect.isclass(cls) and issubclass(cls, Loss) and cls is not Loss
    for each in (
        row(f"{name}-option_by_position", lambda cls=cls: cls(1.0), TypeError, "takes 1 positional argument but 2"),
        row(
            f"{name}-unknown_option",
            lambda cls=cls: cls(size_average=True),
            TypeError,
            "unexpected keyword argument 'size_average'",
        ),
        # The options are checked where they are used: a loss may be made of what is not yet a number.
        row(
            f"{name}-unknown_reduction",
            lambda cls=cls: cls(reduction="average")(*LOSSES[cls.fn.__name__].but()),
            ValueError,
            "`reduction` is 'average'",
        ),
    )
]
