"""Rows of the mistakes that single losses of regression, of classification and with margins can meet."""

import jax
from mistakes import LOSSES, b, c, f, i, row

import jaxloss

REGRESSION = [
    row(
        "margin_ranking_loss-broadcast_predictions",
        lambda: jaxloss.margin_ranking_loss(f(3), f(3, 1), f(3)),
        ValueError,
        "`predictions2` has shape (3, 1), but `predictions1` has shape (3,), and losses do not broadcast them: "
        "use `predictions2.reshape(predictions1.shape)`.",
    ),
    *(
        row(
            f"huber_loss-delta={delta}",
            lambda delta=delta: jaxloss.huber_loss(f(3), f(3), delta=delta),
            ValueError,
            f"`delta` is {delta}, but must be above 0.",
        )
        for delta in (0, -1.0, float("nan"))
    ),
    row(
        "huber_loss-delta_of_an_array",
        lambda: jaxloss.huber_loss(f(3), f(3), delta=f(3)),
        ValueError,
        "`delta` has shape (3,), but is one number: use jax.vmap to try several.",
    ),
    row(
        "huber_loss-delta_complex",
        lambda: jaxloss.huber_loss(f(3), f(3), delta=c()),
        TypeError,
        "`delta` has dtype complex64, but must be real.",
    ),
    row(
        "smooth_l1_loss-beta",
        lambda: jaxloss.smooth_l1_loss(f(3), f(3), beta=-0.5),
        ValueError,
        "`beta` is -0.5, but must be at least 0.",
    ),
    row(
        "gaussian_nll_loss-eps",
        lambda: jaxloss.gaussian_nll_loss(f(3), f(3), f(3), eps=0.0),
        ValueError,
        "`eps` is 0.0, but must be above 0.",
    ),
    row(
        "gaussian_nll_loss-broadcast",
        lambda: jaxloss.gaussian_nll_loss(f(3), f(3, 1), f(3)),
        ValueError,
        "`targets` has shape (3, 1), but `predictions` ends in no such shape: (3,).",
    ),
    row(
        "gaussian_nll_loss-targets_of_rows",
        lambda: jaxloss.gaussian_nll_loss(f(4, 3), f(4), f(4, 3)),
        ValueError,
        "`targets` has shape (4,), but `predictions` ends in no such shape: (4, 3).",
    ),
    *(
        row(
            f"gaussian_nll_loss-var{shape}",
            lambda shape=shape: jaxloss.gaussian_nll_loss(f(4, 3), f(4, 3), f(*shape)),
            ValueError,
            f"`var` has shape {shape}, but must have the predictions' (4, 3), or lack the last axis of it, or have "
            "axes of size 1 instead, or be one number.",
        )
        for shape in ((3,), (2, 3), (4, 3, 1))
    ),
]

CLASSIFICATION = [
    row(
        "cross_entropy-complex_targets",
        lambda: jaxloss.cross_entropy(f(4, 3), c(4, 3)),
        TypeError,
        "`targets` has dtype complex64, but class numbers are integers",
    ),
    row(
        "cross_entropy-bool_targets",
        lambda: jaxloss.cross_entropy(f(4, 3), b(4)),
        TypeError,
        "`targets` has dtype bool, but class numbers are integers: use `astype(int)`.",
    ),
    row(
        "cross_entropy-floating_labels",
        lambda: jaxloss.cross_entropy(f(4, 3), f(4)),
        ValueError,
        "`targets` has shape (4,), but `logits` has shape (4, 3)",
    ),
    row(
        "cross_entropy-one_hot_integers",
        lambda: jaxloss.cross_entropy(f(4, 3), i(4, 3)),
        ValueError,
        "`targets` has shape (4, 3), but `logits` (4, 3) without its class axis 1 is (4,): "
        "for one-hot or soft targets use `targets.astype(float)`.",
    ),
    row(
        "cross_entropy-classes_first_without_axis",
        lambda: jaxloss.cross_entropy(f(2, 5, 3), i(2, 3)),
        ValueError,
        "`targets` has shape (2, 3), but `logits` (2, 5, 3) without its class axis 2 is (2, 5).",
    ),
    row(
        "linear_cross_entropy_with_stats-probabilities",
        lambda: jaxloss.linear_cross_entropy_with_stats(f(4, 2), f(2, 3), f(4, 3)),
        ValueError,
        "`targets` are probabilities, but the stats are of the label: use class numbers.",
    ),
    row(
        "cross_entropy-probabilities_of_other_classes",
        lambda: jaxloss.cross_entropy(f(4, 3), f(4, 2)),
        ValueError,
        "`targets` has shape (4, 2), but `logits` has shape (4, 3), and losses do not broadcast them.",
    ),
    row(
        "cross_entropy-ignored_probabilities",
        lambda: jaxloss.cross_entropy(f(4, 3), f(4, 3), ignore_index=0),
        ValueError,
        "`ignore_index` is 0, but probabilities name no class: use `where`.",
    ),
    *(
        row(
            f"cross_entropy-label_smoothing={smoothing}",
            lambda smoothing=smoothing, targets=targets: jaxloss.cross_entropy(
                f(4, 3), targets(), label_smoothing=smoothing
            ),
            ValueError,
            f"`label_smoothing` is {smoothing}, but must be at least 0 and at most 1.",
        )
        for smoothing, targets in ((-0.1, lambda: i(4)), (1.5, lambda: f(4, 3)), (float("nan"), lambda: i(4)))
    ),
    row(
        "cross_entropy-z_loss_of_an_array",
        lambda: jaxloss.cross_entropy(f(4, 3), i(4), z_loss=f(3)),
        ValueError,
        "`z_loss` has shape (3,), but is one number: use jax.vmap to try several.",
    ),
    *(
        row(f"{name}-{what}", call, ValueError, message)
        for name, first in (("cross_entropy", "logits"), ("nll_loss", "log_probs"))
        for fn in [getattr(jaxloss, name)]
        for what, call, message in (
            (
                "labels_of_one_column",
                lambda fn=fn: fn(f(4, 3), i(4, 1)),
                f"`targets` has shape (4, 1), but `{first}` (4, 3) without its class axis 1 is (4,).",
            ),
            (
                "other_batch",
                lambda fn=fn: fn(f(4, 3), i(3)),
                f"`targets` has shape (3,), but `{first}` (4, 3) without its class axis 1 is (4,).",
            ),
            (
                "weight_of_other_classes",
                lambda fn=fn: fn(f(4, 3), i(4), weight=f(4)),
                "`weight` has shape (4,), but there are 3 classes.",
            ),
            (
                "weight_of_each_example",
                lambda fn=fn: fn(f(4, 3), i(4), weight=f(4, 3)),
                "`weight` has shape (4, 3), but there are 3 classes.",
            ),
            ("axis", lambda fn=fn: fn(f(4, 3), i(4), axis=2), f"`{first}` has shape (4, 3), which has no axis 2."),
            (
                "axis_from_the_end",
                lambda fn=fn: fn(f(4, 3), i(4), axis=-3),
                f"`{first}` has shape (4, 3), which has no axis -3.",
            ),
            ("no_axis", lambda fn=fn: fn(f(), i()), f"`{first}` has shape (), which has no axis -1."),
            (
                "no_classes",
                lambda fn=fn: fn(f(4, 0), i(4)),
                f"`{first}` has shape (4, 0): axis -1 is empty, and the loss needs an entry there.",
            ),
        )
    ),
    *(
        row(
            f"{name}-{weight}_that_does_not_fit",
            lambda name=name, weight=weight: getattr(jaxloss, name)(f(4, 3), f(4, 3), **{weight: f(4)}),
            ValueError,
            f"`{weight}` has shape (4,), which does not broadcast to (4, 3).",
        )
        for name, weight in (
            ("binary_cross_entropy", "weight"),
            ("binary_cross_entropy_with_logits", "weight"),
            ("binary_cross_entropy_with_logits", "pos_weight"),
            ("multilabel_soft_margin_loss", "weight"),
        )
    ),
    row(
        "binary_cross_entropy-weight_that_would_grow_the_loss",
        lambda: jaxloss.binary_cross_entropy(f(3), f(3), weight=f(4, 3)),
        ValueError,
        "`weight` has shape (4, 3), which does not broadcast to (3,).",
    ),
    *(
        row(
            f"{name}-complex_{weight}",
            lambda name=name, weight=weight, targets=targets: getattr(jaxloss, name)(
                f(4, 3), targets(), **{weight: c(3)}
            ),
            TypeError,
            f"`{weight}` has dtype complex64, but must be real",
        )
        for name, weight, targets in (
            ("cross_entropy", "weight", lambda: i(4)),
            ("nll_loss", "weight", lambda: i(4)),
            ("multi_margin_loss", "weight", lambda: i(4)),
            ("binary_cross_entropy", "weight", lambda: f(4, 3)),
            ("binary_cross_entropy_with_logits", "pos_weight", lambda: f(4, 3)),
            ("multilabel_soft_margin_loss", "weight", lambda: f(4, 3)),
        )
    ),
    row(
        "multilabel_soft_margin_loss-no_classes",
        lambda: jaxloss.multilabel_soft_margin_loss(f(4, 0), f(4, 0)),
        ValueError,
        "`logits` has shape (4, 0): axis -1 is empty",
    ),
    row(
        "multilabel_soft_margin_loss-no_axis",
        lambda: jaxloss.multilabel_soft_margin_loss(f(), f()),
        ValueError,
        "`logits` has shape (), which has no axis -1.",
    ),
]

MARGINS = [
    *(
        row(
            f"multi_margin_loss-p={p!r}",
            lambda p=p: jaxloss.multi_margin_loss(f(4, 3), i(4), p=p),
            ValueError,
            f"`p` is {p!r}, but must be 1 or 2.",
        )
        for p in (0, 3, 1.5, "2")
    ),
    row(
        "multi_margin_loss-other_batch",
        lambda: jaxloss.multi_margin_loss(f(4, 3), i(1)),
        ValueError,
        "`targets` has shape (1,), but `predictions` (4, 3) without its class axis 1 is (4,).",
    ),
    row(
        "multi_margin_loss-weight_of_other_classes",
        lambda: jaxloss.multi_margin_loss(f(4, 3), i(4), weight=f(4)),
        ValueError,
        "`weight` has shape (4,), but there are 3 classes.",
    ),
    row(
        "multi_margin_loss-no_classes",
        lambda: jaxloss.multi_margin_loss(f(4, 0), i(4)),
        ValueError,
        "`predictions` has shape (4, 0): axis -1 is empty, and the loss needs an entry there.",
    ),
    row(
        "multilabel_margin_loss-no_classes",
        lambda: jaxloss.multilabel_margin_loss(f(4, 0), i(4, 0)),
        ValueError,
        "`predictions` has shape (4, 0): axis -1 is empty, and the loss needs an entry there.",
    ),
    row(
        "multilabel_margin_loss-one_label_each",
        lambda: jaxloss.multilabel_margin_loss(f(4, 3), i(4)),
        ValueError,
        "`targets` has shape (4,), but `predictions` has shape (4, 3), and losses do not broadcast them.",
    ),
    # Every margin is allowed here, but not what is no number.
    *(
        row(
            f"{name}-margin=nan",
            lambda name=name: getattr(jaxloss, name)(*LOSSES[name].but(), margin=float("nan")),
            ValueError,
            "`margin` is nan, but must be a number.",
        )
        for name in ("multi_margin_loss", "hinge_embedding_loss", "margin_ranking_loss", "cosine_embedding_loss")
    ),
]


def ctc(log_probs=(4, 5, 3), targets=(4, 2), input_lengths=(4,), target_lengths=(4,), **options):
    arrays = -f(*log_probs), i(*targets) + 1, i(*input_lengths) + 5, i(*target_lengths) + 2
    return lambda: jaxloss.ctc_loss(*arrays, **options)


SEQUENCES = [
    row(
        "ctc_loss-axes",
        ctc(log_probs=(4, 5, 3, 1)),
        ValueError,
        "`log_probs` has shape (4, 5, 3, 1), but must be (N, T, C), or (T, C) for one sequence.",
    ),
    row(
        "ctc_loss-axes_with_time_first",
        ctc(log_probs=(3,), time_major=True),
        ValueError,
        "`log_probs` has shape (3,), but must be (T, N, C), or (T, C) for one sequence.",
    ),
    row("ctc_loss-no_class", ctc(log_probs=(4, 5, 0)), ValueError, "axis -1 is empty"),
    row("ctc_loss-blank", ctc(blank=3), ValueError, "`blank` is 3, but must be a class number from 0 to 2."),
    row("ctc_loss-blank_from_behind", ctc(blank=-1), ValueError, "`blank` is -1, but must be a class number from 0 to"),
    row(
        "ctc_loss-other_batch",
        ctc(targets=(3, 2)),
        ValueError,
        "`targets` has shape (3, 2), but must be (4, S), or one axis with all labels one after another.",
    ),
    row(
        "ctc_loss-batch_of_targets",
        ctc(log_probs=(5, 3), input_lengths=(), target_lengths=()),
        ValueError,
        "`targets` has shape (4, 2), but must be (S,), for one sequence.",
    ),
    *(
        row(
            f"ctc_loss-{name}",
            ctc(**{name: (3,)}),
            ValueError,
            f"`{name}` has shape (3,), but must be one length for each of 4 sequences.",
        )
        for name in ("input_lengths", "target_lengths")
    ),
    row(
        "ctc_loss-lengths_of_one_sequence",
        ctc(log_probs=(5, 3), targets=(2,), target_lengths=()),
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
        lambda: jax.eval_shape(lambda lengths: jaxloss.ctc_loss(-f(4, 5, 3), i(8) + 1, i(4) + 5, lengths), i(4) + 2),
        ValueError,
        "`targets` has one axis with all labels one after another, which shapes the program, but `target_lengths` is "
        "traced: pad the targets to (N, S).",
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
]
