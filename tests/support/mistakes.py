"""Rows of mistakes: how one is written, and the mistakes that every loss can meet."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

import jaxloss

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
    "linear_cross_entropy": Right(
        ("hidden", "kernel", "targets"), (lambda: f(4, 2), lambda: f(2, 3), lambda: i(4)), (4,)
    ),
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
    "ctc_loss": Right(
        ("log_probs", "targets", "input_lengths", "target_lengths"),
        (lambda: -f(4, 5, 3), lambda: i(4, 2) + 1, lambda: i(4) + 5, lambda: i(4) + 2),
        (4,),
    ),
    "reduce": Right(("losses",), (lambda: f(4, 3),), (4, 3)),
}
TWO_KINDS_OF_TARGETS = ("cross_entropy", "linear_cross_entropy")
INTEGER_TARGETS = (*TWO_KINDS_OF_TARGETS, "nll_loss", "multi_margin_loss", "multilabel_margin_loss", "ctc_loss")


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
        if array.endswith("_lengths"):  # which have rows of their own
            continue
        whole = array == "targets" and name in INTEGER_TARGETS and name not in TWO_KINDS_OF_TARGETS
        wanted = "but class numbers are integers" if whole else "but must be real and floating"
        if not (name in TWO_KINDS_OF_TARGETS and array == "targets"):  # which have rows of their own
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
        if right.names[-1] != "targets" or name in (*TWO_KINDS_OF_TARGETS, "nll_loss", "multi_margin_loss"):
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
