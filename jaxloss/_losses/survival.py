"""Losses of the time until an event, which is censored for some subjects: they left before it."""

from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Integer, Shaped

from jaxloss._core.arguments import filled, floating, has_axis, has_shape, mask, real
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_numbers import class_numbers, signed
from jaxloss._core.domains import BINARY, Domain, within
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import softplus
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import NUMBER, reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Values, Weight

__all__ = ["CoxLoss", "DiscreteHazardNLLLoss", "cox_loss", "discrete_hazard_nll_loss"]

Ties: TypeAlias = Literal["breslow", "efron"]


@program()
def cox_loss(
    log_hazards: Float[ArrayLike, "*batch subjects"],
    durations: Shaped[ArrayLike, "*batch subjects"],
    events: Shaped[ArrayLike, "*batch subjects"],
    *,
    ties: Ties = "breslow",
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative partial log-likelihood of Cox's proportional hazards, in nats per event.

    $$ \ell_i = e_i \Bigl( \log \sum_{j : d_j \ge d_i} e^{h_j} - h_i \Bigr) $$

    Args:
        log_hazards: $h$, the logarithm of each subject's hazard relative to the baseline, shape (..., n). The subjects
            of the last axis are compared with each other.
        durations: $d$, the time of each subject's event or censoring, shape (..., n), in any unit.
        events: $e$, 1 or True where the event was observed, 0 or False where it was censored, shape (..., n).
        ties: How events at equal times share their risk set. `"breslow"` gives all of them the whole set. `"efron"`
            averages over the orders in which they may have happened, and is closer to the exact likelihood.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce]. The mean is per observed event.
        where: True for the subjects that take part, shape (..., n). A masked subject is in no risk set.
        sample_weight: The weight of each subject's term and of its event in the mean. The risk sets are not weighed.

    Returns:
        A scalar, or the losses in shape (..., n), 0 for a censored subject. A mean without an event is 0. A duration of
        NaN, or an event that is not 0 or 1, makes its subject's loss NaN.

    Raises:
        ValueError: The shapes differ, there is no subject, or `ties` is unknown.
        TypeError: `log_hazards` is not real and floating.

    Examples:
        >>> log_hazards, durations = jnp.array([0.5, 0.0, -0.5]), jnp.array([1.0, 2.0, 3.0])
        >>> print(f"{jaxloss.cox_loss(log_hazards, durations, jnp.array([True, False, True])):.4f}")
        0.3401

    Source: Cox, "Regression Models and Life-Tables", 1972; Breslow, 1974, and Efron, 1977, for ties.
    """
    if ties not in ("breslow", "efron"):
        raise ValueError(f"`ties` is {ties!r}, but must be 'breslow' or 'efron'.")
    hazards = floating("log_hazards", log_hazards)
    dtype, hazards = hazards.dtype, hazards.astype(accumulator(hazards.dtype))
    durations, events = real("durations", durations), real("events", events)
    has_axis("log_hazards", hazards)
    has_shape(hazards.shape, "that of `log_hazards`", durations=durations, events=events)
    keep = mask(where, hazards.shape)
    known = within(BINARY, events=filled(events, keep, 0)) & within(NUMBER, durations=filled(durations, keep, 0))
    known &= within(NUMBER, log_hazards=filled(hazards, keep, 0.0))
    observed = (events != 0) if keep is None else (events != 0) & keep
    # A masked subject comes last in time and has no hazard, so that it is in no sum.
    taking_part = jnp.ones(hazards.shape, bool) if keep is None else jnp.broadcast_to(keep, hazards.shape)
    hazards = filled(hazards, taking_part, 0.0)
    risk = _log_risk(hazards, durations, observed, taking_part, ties)
    losses = nan_unless(known, jnp.where(observed, risk - hazards, 0.0))
    count = observed.astype(losses.dtype)
    return reduce(losses, reduction, where, sample_weight, count=count, dtype=dtype)


class CoxLoss(Loss, fn=cox_loss):
    """Option object of [`cox_loss`][jaxloss.cox_loss]."""

    ties: Ties = static("breslow")
    reduction: Reduction = static("mean")


class _Tied(NamedTuple):
    """Subjects in the order of their durations, with the first index of the subjects of equal duration."""

    order: Integer[Array, "..."]
    first: Integer[Array, "..."]

    def sort(self, values: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
        return jnp.take_along_axis(values, self.order, -1)

    def unsort(self, values: Values) -> Values:
        return jnp.take_along_axis(values, jnp.argsort(self.order, axis=-1), -1)

    def of_first(self, values: Values) -> Values:
        return jnp.take_along_axis(values, self.first, -1)

    def sum(self, values: Values) -> Values:
        """The sum over the subjects of equal duration. A difference of cumulative sums would lose digits."""
        size = values.shape[-1]
        groups = self.first.reshape(-1, size) + size * jnp.arange(values.size // size, dtype=self.first.dtype)[:, None]
        sums = jax.ops.segment_sum(values.ravel(), groups.ravel(), values.size)
        return self.of_first(sums.reshape(values.shape))


def _tied(durations: Shaped[Array, "..."], taking_part: Bool[Array, "..."]) -> _Tied:
    """Sort by duration, with the subjects that take no part before all others."""
    number = lax.broadcasted_iota(jnp.int32, durations.shape, durations.ndim - 1)
    present, times, order = lax.sort((taking_part.astype(jnp.int32), durations, number), num_keys=2)
    new = (present[..., 1:] != present[..., :-1]) | (times[..., 1:] != times[..., :-1])
    starts = jnp.where(new, number[..., 1:], 0)
    starts = jnp.concatenate([jnp.zeros_like(number[..., :1]), starts], axis=-1)
    return _Tied(order, lax.cummax(starts, axis=starts.ndim - 1))


def _log_risk(
    hazards: Values,
    durations: Shaped[Array, "..."],
    observed: Bool[Array, "..."],
    taking_part: Bool[Array, "..."],
    ties: Ties,
) -> Values:
    """The logarithm of the summed hazards of each subject's risk set."""
    tied = _tied(durations, taking_part)
    hazards = tied.sort(hazards)
    # A cumulative sum of logarithms: a hazard that is far below the largest one of all may lead its own risk set.
    risk = tied.of_first(lax.cumlogsumexp(hazards, axis=hazards.ndim - 1, reverse=True))
    if ties == "efron":
        event = tied.sort(observed)
        share = tied.sum(jnp.where(event, jnp.exp(hazards - risk), 0.0))
        events = tied.sum(event.astype(risk.dtype))
        number = event.astype(jnp.int32)
        counted = jnp.cumsum(number, axis=-1, dtype=jnp.int32) - number
        rank = (counted - jnp.take_along_axis(counted, tied.first, -1)).astype(risk.dtype)
        # In each possible order, the events that came before have left the risk set: on average a part of each.
        left = jnp.where(event, rank / jnp.maximum(events, 1.0), 0.0) * share
        risk = risk + tied.sum(jnp.where(event, jnp.log1p(-left), 0.0)) / jnp.maximum(events, 1.0)
    return tied.unsort(risk)


@program(integers=("durations",))
def discrete_hazard_nll_loss(
    logits: Float[ArrayLike, "*shape intervals"],
    durations: Integer[ArrayLike, "*shape"],
    events: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of the interval of an event, with a predicted hazard for each interval, in nats.

    $$ \ell = -\sum_{k < d} \log (1 - p_k) - e \log p_d - (1 - e) \log (1 - p_d), \qquad p = \sigma(x) $$

    Args:
        logits: $x$, shape (..., K). The sigmoid of one is the probability of the event in its interval, if it did not
            happen before.
        durations: The index $d$ of the interval of the event or of the censoring, from 0 to K - 1, shape (...).
        events: $e$, 1 or True where the event was observed, 0 or False where it was censored, shape (...). A censored
            subject is known to be without the event at the end of its interval.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the subjects that take part, shape (...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each subject. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in shape (...). A duration out of range, or an event that is not 0 or 1, makes its
        subject's loss and gradient NaN.

    Raises:
        ValueError: The shapes do not fit, or there is no interval.
        TypeError: The logits are not real and floating, or the durations are not integers.

    Examples:
        >>> logits, durations = jnp.zeros((2, 3)), jnp.array([0, 2])
        >>> print(f"{jaxloss.discrete_hazard_nll_loss(logits, durations, jnp.array([True, False])):.4f}")
        1.3863

    Source: Gensheimer and Narasimhan, "A Scalable Discrete-Time Survival Model for Neural Networks", 2019.
    """
    logits = floating("logits", logits)
    dtype, logits = logits.dtype, logits.astype(accumulator(logits.dtype))
    size = logits.shape[has_axis("logits", logits)]
    durations, events = class_numbers(durations, name="durations"), real("events", events)
    has_shape(logits.shape[:-1], "that of `logits` without the intervals", durations=durations, events=events)
    keep = mask(where, durations.shape)
    logits, durations, events = filled(logits, keep, 0.0), filled(signed(durations), keep, 0), filled(events, keep, 0)
    interval = Domain(f"an interval from 0 to {size - 1}", lambda n: (n >= 0) & (n < size))
    known = within(interval, durations=durations) & within(BINARY, events=events)
    logits = nan_unless(known[..., None], logits)  # and with them the gradient, which no term may reach
    number = lax.broadcasted_iota(durations.dtype, logits.shape, logits.ndim - 1)
    last = durations[..., None]
    signed_logits = jnp.where((number == last) & (events[..., None] != 0), -logits, logits)
    terms = jnp.where(number <= last, softplus(signed_logits), 0.0)
    losses = nan_unless(known, jnp.sum(terms, axis=-1))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class DiscreteHazardNLLLoss(Loss, fn=discrete_hazard_nll_loss):
    """Option object of [`discrete_hazard_nll_loss`][jaxloss.discrete_hazard_nll_loss]."""

    reduction: Reduction = static("mean")
