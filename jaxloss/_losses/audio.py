"""Losses of signals, such as the voices that a model separates from a mixture."""

import math
from functools import reduce as folded
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxloss._core.arguments import Number, filled, floats, has_axis, same_shape
from jaxloss._core.elementwise import quotient, ratio
from jaxloss._core.extended_range import power_of_2_over
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.sequences import step_mask
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._losses.audio_permutations import best_permutation, permutation_invariant

__all__ = ["SISDRLoss", "SNRLoss", "best_permutation", "permutation_invariant", "si_sdr_loss", "snr_loss"]


@program(eps=Number(above=0))
def si_sdr_loss(
    predictions: Float[ArrayLike, "*signals time"],
    targets: Shaped[ArrayLike, "*signals time"],
    valid: Bool[ArrayLike, "*signals time"] | None = None,
    *,
    zero_mean: bool = True,
    eps: Scalar = 1e-8,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Minus the scale-invariant signal-to-distortion ratio, in decibels.

    $$ \ell = -10 \log_{10} \left( \frac{\lVert \alpha t \rVert^2}{\lVert x - \alpha t \rVert^2 + \epsilon} + \epsilon
       \right), \qquad \alpha = \frac{\langle x, t \rangle}{\lVert t \rVert^2 + \epsilon} $$

    The target is scaled to the prediction before they are compared. So the loudness of the prediction does not matter.

    Args:
        predictions: Predicted signals $x$, shape (N..., T).
        targets: True signals $t$, in the same shape and units.
        valid: True for the samples of a signal that take part, shape (N..., T). It leaves out the padding of signals
            of different lengths. None stands for all.
        zero_mean: Whether the mean of each signal is subtracted first.
        eps: A number $\epsilon$ above 0 that keeps the ratio finite.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the signals that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each signal, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A target that is silent has the loss 80 at the default `eps`, with a
        gradient of 0: use `where` to leave it out. A signal without a valid sample has the loss 0 and is left out of
        the mean.

    Raises:
        ValueError: The shapes differ, the signals are empty, or `eps` is out of range.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> t = jnp.array([1.0, -1.0, 2.0, -2.0])
        >>> print(f"{jaxloss.si_sdr_loss(3 * t + jnp.array([0.3, 0.3, -0.3, -0.3]), t):.2f}")
        -23.98

    Source: Le Roux et al., "SDR - Half-baked or Well Done?", 2019.
    """
    of = _signals(predictions, targets, valid, where)
    eps, unit, target_unit = jnp.asarray(eps, of.targets.dtype), _unit(of.predictions), _unit(of.targets)
    signals, targets = of.predictions * unit[..., None], of.targets * target_unit[..., None]
    if zero_mean:
        signals, targets = of.centred(signals), of.centred(targets)
    scale = ratio(jnp.sum(signals * targets, -1), _energy(targets) + eps * jnp.square(target_unit))
    scaled = scale[..., None] * targets
    return _reduced(_decibels(scaled, signals - scaled, unit, eps), of, reduction, where, sample_weight)


class SISDRLoss(Loss, fn=si_sdr_loss):
    """Option object of [`si_sdr_loss`][jaxloss.si_sdr_loss]."""

    zero_mean: bool = static(True)
    eps: Scalar = 1e-8
    reduction: Reduction = static("mean")


@program(eps=Number(above=0))
def snr_loss(
    predictions: Float[ArrayLike, "*signals time"],
    targets: Shaped[ArrayLike, "*signals time"],
    valid: Bool[ArrayLike, "*signals time"] | None = None,
    *,
    zero_mean: bool = True,
    eps: Scalar = 1e-8,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Minus the signal-to-noise ratio, in decibels.

    $$ \ell = -10 \log_{10} \left( \frac{\lVert t \rVert^2}{\lVert x - t \rVert^2 + \epsilon} + \epsilon \right) $$

    Args:
        predictions: Predicted signals $x$, shape (N..., T).
        targets: True signals $t$, in the same shape and units.
        valid: True for the samples of a signal that take part, shape (N..., T). It leaves out the padding of signals
            of different lengths. None stands for all.
        zero_mean: Whether the mean of each signal is subtracted first.
        eps: A number $\epsilon$ above 0 that keeps the ratio finite.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the signals that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each signal, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A target that is silent has the loss 80 at the default `eps`, with a
        gradient of 0: use `where` to leave it out. A signal without a valid sample has the loss 0 and is left out of
        the mean.

    Raises:
        ValueError: The shapes differ, the signals are empty, or `eps` is out of range.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> t = jnp.array([1.0, -1.0, 2.0, -2.0])
        >>> print(f"{jaxloss.snr_loss(1.1 * t, t):.2f}")
        -20.00

    Source: Le Roux et al., "SDR - Half-baked or Well Done?", 2019.
    """
    of = _signals(predictions, targets, valid, where)
    eps, unit = jnp.asarray(eps, of.targets.dtype), _unit(of.predictions, of.targets)
    targets = of.targets * unit[..., None]
    error = of.predictions * unit[..., None] - targets
    if zero_mean:  # the mean of the difference, because the rounding of two means would be an error of its own
        targets, error = of.centred(targets), of.centred(error)
    return _reduced(_decibels(targets, error, unit, eps), of, reduction, where, sample_weight)


class SNRLoss(Loss, fn=snr_loss):
    """Option object of [`snr_loss`][jaxloss.snr_loss]."""

    zero_mean: bool = static(True)
    eps: Scalar = 1e-8
    reduction: Reduction = static("mean")


class Signals(NamedTuple):
    """Two batches of signals, 0 where a sample takes no part."""

    predictions: Float[Array, "*signals time"]
    targets: Float[Array, "*signals time"]
    keep: Bool[Array, "..."] | None
    """True for the samples that take part."""
    heard: Float[Array, "*signals"] | None
    """0 for a signal without a valid sample, and 1 for the others. None stands for 1."""
    dtype: jnp.dtype
    """The dtype of the unreduced loss."""

    def centred(self, signals: Values) -> Values:
        """The signals without the means of the samples that take part."""
        mean = ratio(jnp.sum(signals, -1), jnp.sum(_used(signals, self.keep), -1))
        return filled(signals - mean[..., None], self.keep, 0.0)


def _signals(
    predictions: Shaped[ArrayLike, "..."], targets: Shaped[ArrayLike, "..."], valid: Mask | None, where: Mask | None
) -> Signals:
    """Check two batches of signals, and fill the samples that take no part."""
    pair, dtype = floats(predictions=predictions, targets=targets)
    same_shape(predictions=pair[0], targets=pair[1])
    has_axis("predictions", pair[0])
    keep = step_mask(valid, where, pair[0].shape)
    first, second = (filled(signals, keep, 0.0) for signals in pair)
    heard = None if valid is None else jnp.max(_used(first, keep), -1)
    return Signals(first, second, keep, heard, dtype)


def _used(signals: Values, keep: Bool[Array, "..."] | None) -> Values:
    """1 for the samples that take part."""
    return filled(jnp.ones_like(signals), keep, 0.0)


def _unit(*signals: Values) -> Values:
    """A power of 2 whose product with large signals is near 1, so that no square overflows; 1 for signals below 2."""
    largest = folded(jnp.maximum, (jnp.max(jnp.abs(each), -1) for each in signals))
    return power_of_2_over(jnp.maximum(largest, 1.0))


def _energy(signals: Values) -> Values:
    return jnp.sum(signals * signals, -1)


def _decibels(signals: Values, error: Values, unit: Values, eps: Values) -> Values:
    """Minus the ratio of the energies of signals and their errors in decibels, both in a unit.

    The ratio is a power of 2 times a ratio that neither overflows nor vanishes. The error has a unit of its own, which
    is 1 for an error that `eps` matters for.
    """
    shift = jnp.minimum(power_of_2_over(jnp.max(jnp.abs(error), -1)), 1 / unit)
    power = quotient(_energy(signals), _energy(error * shift[..., None]) + eps * jnp.square(unit * shift))
    return -10 / math.log(10) * (jnp.log(power + eps / shift / shift) + 2 * jnp.log(shift))


def _reduced(
    losses: Values, of: Signals, reduction: Reduction, where: Mask | None, sample_weight: Weight | None
) -> Values:
    """Reduce one loss per signal. A signal without a valid sample does not count."""
    losses = losses if of.heard is None else losses * of.heard
    return reduce(losses, reduction, where, sample_weight, count=of.heard, dtype=of.dtype)
