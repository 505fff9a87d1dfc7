"""The arguments of a cross-entropy, checked, and the results per row that every implementation computes."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Shaped

from jaxloss._core.arguments import filled, is_off, mask, same_shape
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels, class_weight
from jaxloss._core.domains import Domain, checking, expect, some_probability
from jaxloss._core.dtypes import accumulator, rounding
from jaxloss._core.types import ArrayLike, Like, Mask, Scalar, Values

Keep: TypeAlias = Bool[Array, "..."] | None


class Probabilities(NamedTuple):
    """Soft targets in the logits' shape, with zeros in masked examples."""

    values: Values
    keep: Keep

    @classmethod
    def of(
        cls,
        targets: Values,
        logits: Like,
        axis: ClassAxis,
        where: Mask | None,
        ignore_index: int,
        *,
        name: str = "logits",
    ) -> "Probabilities":
        number = axis.number
        numbers = logits.shape[:number] + logits.shape[number + 1 :]
        if targets.shape in (numbers, (*numbers, 1)) and targets.shape != logits.shape:
            column = "" if targets.shape == numbers else "[..., 0]"
            raise ValueError(
                f"`targets` has dtype {targets.dtype} and the shape of class numbers, {targets.shape}, but class "
                f"numbers are integers: use `targets{column}.astype(int)`."
            )
        same_shape(**{name: logits, "targets": targets})
        if ignore_index >= 0:
            raise ValueError(f"`ignore_index` is {ignore_index}, but probabilities name no class: use `where`.")
        keep = mask(where, logits.shape[:number] + logits.shape[number + 1 :])
        keep = None if keep is None else jnp.expand_dims(keep, number)
        if checking():
            expect(some_probability(targets.dtype), keep, targets=targets)
            # Only `checked` looks at the sums, which takes an extra pass over the targets.
            total = axis.sum(targets.astype(accumulator(targets.dtype)))
            one = Domain("1", lambda x: jnp.abs(x - 1) <= rounding(targets.dtype))
            expect(one, keep, **{f"targets.sum({number}, keepdims=True)": total})
        return cls(filled(targets, keep, 0.0), keep)


class Options(NamedTuple):
    """The options of an example's loss. None means off: the program then has no term for the option."""

    weight: Values | None = None
    """One weight a class, shaped to multiply the logits."""
    smoothing: Values | None = None
    z_loss: Values | None = None


def cross_entropy_options(
    logits: Like, axis: ClassAxis, weight: Shaped[ArrayLike, "classes"] | None, label_smoothing: Scalar, z_loss: Scalar
) -> Options:
    """The options of cross-entropy, checked."""
    weight = None if weight is None else class_weight(weight, logits, axis.number)
    smoothing = None if is_off(label_smoothing) else jnp.asarray(label_smoothing, accumulator(logits.dtype))
    return Options(weight, smoothing, None if is_off(z_loss) else jnp.asarray(z_loss, accumulator(logits.dtype)))


class LabelProblem(NamedTuple):
    """Rows of logits and the class number of each row."""

    logits: Values
    label: Labels
    share: Values | None
    """The weights of the sum in `RowTerms.gap`, shaped to multiply the logits; None if no one needs that sum."""
    axis: ClassAxis

    @property
    def keep(self) -> Keep:
        return self.label.keep


class SoftProblem(NamedTuple):
    """Rows of logits and of soft targets.

    The smoothing and the class weights are part of the problem, because they change the weight of each class in a row.
    As arithmetic on the results they would take a further sum over the classes.
    """

    logits: Values
    targets: Values
    smoothing: Values | None
    weight: Values | None
    keep: Keep
    axis: ClassAxis


Problem: TypeAlias = LabelProblem | SoftProblem


class RowTerms(NamedTuple):
    """The numbers of each row that a loss is made of. Each array has a class axis of size 1."""

    nll: Values
    """-log(softmax) at the label; for soft targets its sum over the classes, weighted by their mass."""
    log_sum: Values
    """log(sum(exp(logits - largest)))."""
    largest: Values
    """The largest logit. It has no derivative, because no loss depends on what is subtracted from all logits."""
    label_logit: Values | None
    """The label's logit minus the largest, without a derivative; None for soft targets."""
    gap: Values | None
    """The sum over the classes of share * (largest - logit), where 0 * inf is 0; None without a share."""


class Slopes(NamedTuple):
    """The derivatives of two of a row's terms in its logits."""

    nll: Values
    log_sum: Values
    """The softmax."""


class Engine(NamedTuple):
    """An implementation: it computes the terms, or the terms and their slopes. It applies no mask in either."""

    refuses: Callable[[Problem], str | None]
    value: Callable[[Problem], RowTerms]
    value_and_slopes: Callable[[Problem], tuple[RowTerms, Slopes]]
