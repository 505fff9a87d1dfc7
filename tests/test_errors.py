"""A mistake is met by a message that says what to type, or by NaN where only the values could tell."""

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from jaxloss import Loss, Mean

pytestmark = pytest.mark.usefixtures("untyped")

Call = Callable[[], Any]


def f(*shape: int) -> jax.Array:
    return jnp.full(shape, 0.5, jnp.float32)


def i(*shape: int) -> jax.Array:
    return jnp.zeros(shape, jnp.int32)


def c(*shape: int) -> jax.Array:
    return jnp.zeros(shape, jnp.complex64)


def b(*shape: int) -> jax.Array:
    return jnp.ones(shape, jnp.bool_)


class Right(NamedTuple):
    """A call without a mistake, for the mistakes that every loss can meet."""

    names: tuple[str, ...]
    arrays: tuple[Callable[[], jax.Array], ...]
    shape: tuple[int, ...]
    """Of the unreduced loss."""

    def but(self, **changed: jax.Array) -> list[jax.Array]:
        return [changed.get(name, make()) for name, make in zip(self.names, self.arrays, strict=True)]


def elementwise(first: str = "predictions", *others: str) -> Right:
    names = (first, *others, "targets")
    return Right(names, (lambda: f(4, 3),) * len(names), (4, 3))


def labelled(first: str) -> Right:
    return Right((first, "targets"), (lambda: f(4, 3), lambda: i(4)), (4,))


LOSSES = {
    "l1_loss": elementwise(),
    "mse_loss": elementwise(),
    "huber_loss": elementwise(),
    "smooth_l1_loss": elementwise(),
    "poisson_nll_loss": elementwise(),
    "gaussian_nll_loss": Right(("predictions", "targets", "var"), (lambda: f(4, 3),) * 3, (4, 3)),
    "kl_div": elementwise("log_predictions"),
    "cross_entropy": labelled("logits"),
    "nll_loss": labelled("log_probs"),
    "binary_cross_entropy": elementwise(),
    "binary_cross_entropy_with_logits": elementwise("logits"),
    "soft_margin_loss": elementwise(),
    "multilabel_soft_margin_loss": Right(("logits", "targets"), (lambda: f(4, 3),) * 2, (4,)),
    "multi_margin_loss": labelled("predictions"),
    "multilabel_margin_loss": Right(("predictions", "targets"), (lambda: f(4, 3), lambda: i(4, 3)), (4,)),
    "hinge_embedding_loss": elementwise(),
    "margin_ranking_loss": elementwise("predictions1", "predictions2"),
    "cosine_embedding_loss": Right(
        ("embeddings1", "embeddings2", "targets"), (lambda: f(4, 3), lambda: f(4, 3), lambda: f(4)), (4,)
    ),
    "triplet_margin_loss": Right(("anchor", "positive", "negative"), (lambda: f(4, 3),) * 3, (4,)),
    "triplet_margin_with_distance_loss": Right(("anchor", "positive", "negative"), (lambda: f(4, 3),) * 3, (4,)),
    "reduce": Right(("losses",), (lambda: f(4, 3),), (4, 3)),
}
INTEGER_TARGETS = ("cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss")


def row(id: str, call: Call, error: type[Exception], *messages: str) -> Any:
    return pytest.param(call, error, messages, id=id)


def of_every_loss() -> list[Any]:
    """The mistakes that every loss can meet."""
    rows = []
    for name, right in LOSSES.items():
        rows += of_arrays(name, getattr(jaxloss, name), right)
        rows += of_shared_keywords(name, getattr(jaxloss, name), right)
    return rows


def of_arrays(name: str, fn: Callable[..., Any], right: Right) -> list[Any]:
    rows = []
    for array in right.names:
        whole = array == "targets" and name in INTEGER_TARGETS and name != "cross_entropy"
        wanted = "but class numbers are integers" if whole else "but must be real and floating"
        if not (name == "cross_entropy" and array == "targets"):  # its two kinds of targets have rows of their own
            rows.append(
                row(
                    f"{name}-complex_{array}",
                    lambda array=array: fn(*right.but(**{array: c(4, 3)})),
                    TypeError,
                    f"`{array}` has dtype complex64, {wanted}: use `",
                )
            )
        if array == "targets" and not whole:
            continue
        given = f(*right.shape) if whole else i(4, 3)
        rows.append(
            row(
                f"{name}-{'floating' if whole else 'integer'}_{array}",
                lambda array=array, given=given: fn(*right.but(**{array: given})),
                TypeError,
                f"`{array}` has dtype {given.dtype}, {wanted}: use `"
                + ("astype(int)`" if whole else f"{array}.astype(jnp.float32)`"),
            )
        )
    return rows


def of_shared_keywords(name: str, fn: Callable[..., Any], right: Right) -> list[Any]:
    unfit = (2, *right.shape[1:])
    rows = [
        row(
            f"{name}-unknown_reduction",
            lambda: fn(*right.but(), reduction="average"),
            ValueError,
            "`reduction` is 'average'; it must be ",
            "'none'",
            "'mean'",
            "'sum'",
            *(["'batchmean'"] if name == "kl_div" else []),
        ),
        row(
            f"{name}-where_of_numbers",
            lambda: fn(*right.but(), where=f(*right.shape)),
            TypeError,
            "`where` has dtype float32, but a mask is bool: use `where != 0` to keep elements, or `sample_weight` to ",
        ),
        row(
            f"{name}-where_that_does_not_fit",
            lambda: fn(*right.but(), where=b(*unfit)),
            ValueError,
            f"`where` has shape {unfit}, but this loss has one value per element of {right.shape}.",
        ),
        row(
            f"{name}-sample_weight_that_does_not_fit",
            lambda: fn(*right.but(), sample_weight=f(*unfit)),
            ValueError,
            f"`sample_weight` has shape {unfit}, but this loss has one value per element of {right.shape}.",
        ),
        row(
            f"{name}-complex_sample_weight",
            lambda: fn(*right.but(), sample_weight=c(*right.shape)),
            TypeError,
            "`sample_weight` has dtype complex64, but must be real",
        ),
    ]
    if name != "reduce":
        rows.append(
            row(
                f"{name}-parts_of_a_sum",
                lambda: jaxloss.parts(fn)(*right.but(), reduction="sum"),
                ValueError,
                "`parts` is a mean, unfinished: it cannot take `reduction='sum'`.",
            )
        )
    return rows


def silent_broadcasts() -> list[Any]:
    """A (3, 1) against a (3,), which other libraries turn into nine errors."""
    rows = []
    for name, right in LOSSES.items():
        if right.names[-1] != "targets" or name in ("cross_entropy", "nll_loss", "multi_margin_loss"):
            continue
        if name == "cosine_embedding_loss":
            continue
        first, last = right.names[0], i if name in INTEGER_TARGETS else f
        rows.append(
            row(
                f"{name}-broadcast",
                lambda name=name, right=right, last=last: getattr(jaxloss, name)(
                    *[f(3)] * (len(right.names) - 1), last(3, 1)
                ),
                ValueError,
                f"`targets` has shape (3, 1), but `{first}` has shape (3,), and losses do not broadcast them: "
                f"use `targets.reshape({first}.shape)`.",
            )
        )
        rows.append(
            row(
                f"{name}-other_size",
                lambda name=name, right=right, last=last: getattr(jaxloss, name)(
                    *[f(4, 3)] * (len(right.names) - 1), last(3)
                ),
                ValueError,
                f"`targets` has shape (3,), but `{first}` has shape (4, 3), and losses do not broadcast them.",
            )
        )
    return rows


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
        "`axis` is -1, but the vectors broadcast to shape ().",
    ),
    row(
        "cosine_similarity-axis",
        lambda: jaxloss.cosine_similarity(f(4, 3), f(3), axis=2),
        ValueError,
        "`axis` is 2, but the vectors broadcast to shape (4, 3).",
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

ROWS = [
    *of_every_loss(),
    *silent_broadcasts(),
    *REGRESSION,
    *CLASSIFICATION,
    *MARGINS,
    *VECTORS,
    *HELPERS,
    *OBJECTS,
]


# Traced too: whether something is a mistake may depend on no array's value.
@pytest.mark.parametrize(
    "how", [pytest.param(lambda call: call(), id="eager"), pytest.param(jax.eval_shape, id="traced")]
)
@pytest.mark.parametrize(("call", "error", "messages"), ROWS)
def test_mistake_is_named(call: Call, error: type[Exception], messages: tuple[str, ...], how) -> None:
    with pytest.raises(error) as caught:
        how(call)
    for message in messages:
        assert message in str(caught.value)


def test_every_public_name_has_a_row() -> None:
    tried = {param.id.split("-")[0] for param in ROWS}
    # `legacy_reduction` takes what PyTorch's does, and `static` anything.
    assert set(jaxloss.__all__) - {"legacy_reduction", "static"} <= tried


@pytest.mark.parametrize(
    ("shape", "given", "hint"),
    [
        ((4, 3), (4,), "[..., None]"),
        ((4, 3), (3,), "[None]"),
        ((4, 3, 2), (4,), "[..., None, None]"),
        ((4, 3, 2), (4, 3), "[..., None]"),
        ((4, 3, 2), (3, 2), "[None]"),
        ((4, 3, 2), (2,), "[None, None]"),
        ((4,), (4, 1), "[..., 0]"),
    ],
)
@pytest.mark.parametrize("name", ["where", "sample_weight"])
def test_mask_or_weight_of_another_shape_is_told_what_to_type(shape, given, hint, name) -> None:
    array = b(*given) if name == "where" else f(*given)
    with pytest.raises(ValueError, match=rf"^`{name}` has shape ") as caught:
        jaxloss.l1_loss(f(*shape), f(*shape), **{name: array})
    message = str(caught.value)
    assert f"has shape {given}, but this loss has one value per element of {shape}: " in message
    typed = re.search(r"use `(.*)`\.$", message)
    assert typed
    assert typed[1] == name + hint
    # ... and what it says to type works.
    fixed = eval(typed[1], {name: array})
    chex.assert_shape(jaxloss.l1_loss(f(*shape), f(*shape), reduction="none", **{name: fixed}), shape)


@pytest.mark.parametrize(
    ("loss", "arrays"),
    [
        (jaxloss.HuberLoss(delta=0.0), (f(3), f(3))),
        (jaxloss.HuberLoss(delta=-1.0), (f(3), f(3))),
        (jaxloss.SmoothL1Loss(beta=-1.0), (f(3), f(3))),
        (jaxloss.GaussianNLLLoss(eps=0.0), (f(3), f(3), f(3))),
        (jaxloss.CrossEntropyLoss(label_smoothing=-0.5), (f(4, 3), i(4))),
        (jaxloss.CrossEntropyLoss(label_smoothing=1.5), (f(4, 3), i(4))),
        (jaxloss.CrossEntropyLoss(label_smoothing=1.5), (f(4, 3), f(4, 3))),
        (jaxloss.TripletMarginLoss(margin=0.0), (f(4, 3), f(4, 3), f(4, 3))),
        (jaxloss.TripletMarginLoss(margin=-1.0), (f(4, 3), f(4, 3), f(4, 3))),
        (jaxloss.TripletMarginWithDistanceLoss(margin=-1.0), (f(4, 3), f(4, 3), f(4, 3))),
    ],
    ids=lambda value: repr(value) if isinstance(value, Loss) else "",
)
def test_traced_option_out_of_range_is_nan(loss: Loss, arrays: tuple[jax.Array, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        loss(*arrays)
    assert np.isnan(jax.jit(lambda loss: loss(*arrays))(loss))  # the loss is a pytree: its options are traced


def test_traced_eps_out_of_range_is_nan() -> None:
    similarity = jax.jit(lambda eps: jaxloss.cosine_similarity(f(4, 3), f(4, 3), eps=eps))
    assert np.isnan(similarity(-1.0)).all()
    assert np.isfinite(similarity(1e-8)).all()


LABELLED = {
    "cross_entropy": jaxloss.cross_entropy,
    "cross_entropy_with_options": lambda logits, targets, **keywords: jaxloss.cross_entropy(
        logits, targets, weight=CLASS_WEIGHT, label_smoothing=0.25, z_loss=0.5, **keywords
    ),
    "nll_loss": jaxloss.nll_loss,
    "multi_margin_loss": jaxloss.multi_margin_loss,
    "multi_margin_loss_with_options": lambda scores, targets, **keywords: jaxloss.multi_margin_loss(
        scores, targets, p=2, weight=CLASS_WEIGHT, **keywords
    ),
}
CLASS_WEIGHT = np.array([0.5, 2.0, 1.0])
SCORES = np.array([[0.25, -1.5, 2.0], [1.0, 0.5, 0.0], [-0.5, 3.0, 0.125], [0.75, 0.5, -2.0]])
BAD = 1
"""The row that is out of range."""

OUT_OF_RANGE = [
    ("int32", 3),
    ("int32", -1),
    ("int32", 10**6),
    ("int64", 2**32),  # 0 once in 32 bits
    ("int64", -(2**32) + 1),
    ("int8", 3),
    ("int8", -1),
    ("int8", 127),
    ("int16", -1),
    ("uint8", 3),
    ("uint8", 255),
    ("uint8", 156),  # -100 in 8 bits, but not ignored: PyTorch's is -100
    ("uint16", 65535),
    ("uint32", 2**31),
    ("uint32", 2**32 - 1),
    ("uint64", 2**63),
    ("uint64", 2**64 - 1),
]


def losses_and_gradients(loss, arrays: tuple[np.ndarray, ...], floating: tuple[int, ...]):
    """The unreduced losses, and the gradients of their sum."""

    def summed(*chosen: jax.Array):
        given = [jnp.asarray(array) for array in arrays]
        for position, array in zip(floating, chosen, strict=True):
            given[position] = array
        losses = loss(*given, reduction="none")
        return jnp.sum(losses), losses

    chosen = [jnp.asarray(arrays[position]) for position in floating]
    gradients, losses = jax.grad(summed, tuple(range(len(chosen))), has_aux=True)(*chosen)
    return losses, gradients


def only_the_bad_one_is_nan(loss, bad: tuple[np.ndarray, ...], good: tuple[np.ndarray, ...], floating=(0,)) -> None:
    losses, gradients = losses_and_gradients(loss, bad, floating)
    wanted, wanted_gradients = losses_and_gradients(loss, good, floating)
    for ours, clean in zip((losses, *gradients), (wanted, *wanted_gradients), strict=True):
        assert np.isfinite(clean).all()
        assert np.isnan(ours[BAD]).all()
        chex.assert_trees_all_equal(np.delete(ours, BAD, 0), np.delete(clean, BAD, 0))  # to the last digit


@pytest.mark.parametrize(("dtype", "label"), OUT_OF_RANGE)
@pytest.mark.parametrize("name", LABELLED)
def test_label_out_of_range_is_nan_there_only(name: str, dtype: str, label: int) -> None:
    good = np.array([0, 1, 2, 1], dtype)
    bad = good.copy()
    bad[BAD] = label
    only_the_bad_one_is_nan(LABELLED[name], (SCORES, bad), (SCORES, good))
    assert np.isnan(LABELLED[name](jnp.asarray(SCORES), jnp.asarray(bad)))


@pytest.mark.parametrize(("dtype", "label"), [(d, label) for d, label in OUT_OF_RANGE if label != -1] + [("int32", -2)])
@pytest.mark.parametrize("position", [0, 1])
def test_label_out_of_range_in_a_list_is_nan_there_only(dtype: str, label: int, position: int) -> None:
    good = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 1, 1]], dtype)
    bad = good.copy()
    bad[BAD, position] = label
    only_the_bad_one_is_nan(jaxloss.multilabel_margin_loss, (SCORES, bad), (SCORES, good))


def test_what_follows_the_end_of_a_list_may_be_out_of_range() -> None:
    lists = np.array([[0, 1, -1], [2, -1, 0], [-1, 0, 0], [1, -1, 1]])
    junk = np.where(np.cumsum(lists == -1, -1) > 1, 0, lists)
    junk = np.where((np.cumsum(lists == -1, -1) == 1) & (lists != -1), 10**6, junk)
    assert (junk == 10**6).any()
    chex.assert_trees_all_equal(
        losses_and_gradients(jaxloss.multilabel_margin_loss, (SCORES, junk), (0,)),
        losses_and_gradients(jaxloss.multilabel_margin_loss, (SCORES, lists), (0,)),
    )


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int16", "uint64"])
def test_label_of_many_classes_does_not_wrap(dtype: str) -> None:
    scores = np.arange(200.0)[None] / 100
    value = jaxloss.nll_loss(jnp.asarray(scores), jnp.asarray(np.array([130], dtype)))
    assert value == -1.3


def test_label_beyond_8_bits_is_out_of_range_of_many_classes() -> None:
    # -56 is 200 in 8 bits, a class there would be if the sign were lost.
    value = jaxloss.nll_loss(jnp.zeros((1, 300)), jnp.asarray(np.array([-56], np.int8)))
    assert np.isnan(value)


@pytest.mark.parametrize("label", [3, -1, 10**6])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "multi_margin_loss"])
def test_label_out_of_range_under_the_mask_changes_nothing(name: str, reduction: str, label: int) -> None:
    fn = getattr(jaxloss, name)
    keep = jnp.arange(4) != BAD

    def run(targets: np.ndarray):
        def summed(scores, weight):
            value = fn(scores, jnp.asarray(targets), weight=weight, where=keep, reduction=reduction)
            return jnp.sum(value), value

        return jax.grad(summed, (0, 1), has_aux=True)(jnp.asarray(SCORES), jnp.asarray(CLASS_WEIGHT))

    good = np.array([0, 1, 2, 1])
    bad = good.copy()
    bad[BAD] = label
    masked, clean = run(bad), run(good)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(masked))
    assert (np.asarray(masked[0][0])[BAD] == 0).all()
    assert np.any(masked[0][1])
    chex.assert_trees_all_equal(masked, clean)


def test_list_out_of_range_under_the_mask_changes_nothing() -> None:
    keep = jnp.arange(4) != BAD

    def loss(scores, targets, reduction):
        return jaxloss.multilabel_margin_loss(scores, targets, where=keep, reduction=reduction)

    good = np.array([[0, 1, -1], [2, -1, 0], [1, 0, 2], [1, -1, 1]])
    bad = good.copy()
    bad[BAD] = 10**6
    masked = losses_and_gradients(loss, (SCORES, bad), (0,))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(masked))
    chex.assert_trees_all_equal(masked, losses_and_gradients(loss, (SCORES, good), (0,)))


def log_probs_and_probs() -> tuple[np.ndarray, ...]:
    return np.array([-0.5, -1.0, -2.0]), np.array([0.25, 0.5, 0.25])


@pytest.mark.parametrize(
    ("loss", "good", "position", "value"),
    [
        pytest.param(loss, good, position, value, id=f"{id}={value}")
        for id, loss, good, position, values in (
            (
                "binary_cross_entropy-predictions",
                jaxloss.binary_cross_entropy,
                (np.array([0.25, 0.5, 0.75]), np.array([0.0, 1.0, 0.5])),
                0,
                (-0.125, 1.125, np.inf, np.nan),
            ),
            (
                "binary_cross_entropy-targets",
                jaxloss.binary_cross_entropy,
                (np.array([0.25, 0.5, 0.75]), np.array([0.0, 1.0, 0.5])),
                1,
                (-0.125, 1.125, np.inf, np.nan),
            ),
            (
                "gaussian_nll_loss-var",
                jaxloss.gaussian_nll_loss,
                (np.array([0.5, 1.0, 2.0]), np.array([0.0, 1.5, 2.0]), np.array([1.0, 0.5, 2.0])),
                2,
                (-1.0, -1e-9, np.nan),
            ),
            (
                "poisson_nll_loss-rate",
                lambda rates, counts, reduction: jaxloss.poisson_nll_loss(
                    rates, counts, log_input=False, reduction=reduction
                ),
                (np.array([0.5, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])),
                0,
                (-1.0, -0.5),
            ),
            ("kl_div-targets", jaxloss.kl_div, log_probs_and_probs(), 1, (-0.5, -1e-9)),
        )
        for value in values
    ],
)
def test_value_out_of_its_domain_is_nan_there_only(loss, good, position: int, value: float) -> None:
    bad = tuple(array.copy() for array in good)
    bad[position][BAD] = value
    only_the_bad_one_is_nan(loss, bad, good, tuple(range(len(good))))


def test_rate_of_a_count_of_zero_is_nan_below_zero_too() -> None:
    # 0 log(x) is where a library that guards its logarithms says nothing.
    good = np.array([0.5, 1.0, 2.0]), np.array([0.0, 0.0, 2.0])
    bad = np.array([0.5, -1.0, 2.0]), good[1]

    def loss(rates, counts, reduction):
        return jaxloss.poisson_nll_loss(rates, counts, log_input=False, reduction=reduction)

    only_the_bad_one_is_nan(loss, bad, good)
