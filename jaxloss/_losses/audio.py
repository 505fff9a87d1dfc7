"""Losses of signals, such as the voices that a model separates from a mixture."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, filled, floats, has_axis, mask, same_shape
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight

__all__ = ["SISDRLoss", "SNRLoss", "si_sdr_loss", "snr_loss"]


@program(eps=Number(above=0))
def si_sdr_loss(
    predictions: Float[ArrayLike, "*signals time"],
    targets: Shaped[ArrayLike, "*signals time"],
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
        zero_mean: Whether the mean of each signal is subtracted first.
        eps: A number $\epsilon$ above 0 that keeps the ratio finite.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the signals that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each signal, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A target that is silent has the loss 80 at the default `eps`, with a
        gradient of 0: use `where` to leave it out.

    Raises:
        ValueError: The shapes differ, the signals are empty, or `eps` is out of range.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> t = jnp.array([1.0, -1.0, 2.0, -2.0])
        >>> print(f"{jaxloss.si_sdr_loss(3 * t + jnp.array([0.3, 0.3, -0.3, -0.3]), t):.2f}")
        -23.98

    Source: Le Roux et al., "SDR - Half-baked or Well Done?", 2019.
    """
    signals, targets, dtype = _signals(predictions, targets, where, zero_mean)
    eps = jnp.asarray(eps, signals.dtype)
    scale = jnp.sum(signals * targets, -1, keepdims=True) / (_energy(targets)[..., None] + eps)
    scaled = scale * targets
    losses = _decibels(_energy(scaled) / (_energy(signals - scaled) + eps) + eps)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class SISDRLoss(Loss, fn=si_sdr_loss):
    """Option object of [`si_sdr_loss`][jaxloss.si_sdr_loss]."""

    zero_mean: bool = static(True)
    eps: Scalar = 1e-8
    reduction: Reduction = static("mean")


@program(eps=Number(above=0))
def snr_loss(
    predictions: Float[ArrayLike, "*signals time"],
    targets: Shaped[ArrayLike, "*signals time"],
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
        zero_mean: Whether the mean of each signal is subtracted first.
        eps: A number $\epsilon$ above 0 that keeps the ratio finite.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the signals that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each signal, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A target that is silent has the loss 80 at the default `eps`, with a
        gradient of 0: use `where` to leave it out.

    Raises:
        ValueError: The shapes differ, the signals are empty, or `eps` is out of range.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> t = jnp.array([1.0, -1.0, 2.0, -2.0])
        >>> print(f"{jaxloss.snr_loss(1.1 * t, t):.2f}")
        -20.00

    Source: Le Roux et al., "SDR - Half-baked or Well Done?", 2019.
    """
    signals, targets, dtype = _signals(predictions, targets, where, zero_mean)
    eps = jnp.asarray(eps, signals.dtype)
    losses = _decibels(_energy(targets) / (_energy(signals - targets) + eps) + eps)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class SNRLoss(Loss, fn=snr_loss):
    """Option object of [`snr_loss`][jaxloss.snr_loss]."""

    zero_mean: bool = static(True)
    eps: Scalar = 1e-8
    reduction: Reduction = static("mean")


def _signals(
    predictions: Shaped[ArrayLike, "..."], targets: Shaped[ArrayLike, "..."], where: Mask | None, zero_mean: bool
) -> tuple[Values, Values, jnp.dtype]:
    """Check two batches of signals, fill them where masked, and subtract their means."""
    pair, dtype = floats(predictions=predictions, targets=targets)
    same_shape(predictions=pair[0], targets=pair[1])
    has_axis("predictions", pair[0])
    keep = mask(where, pair[0].shape[:-1])
    first, second = (filled(signals, keep, 0.0) for signals in pair)
    if zero_mean:
        first, second = (signals - jnp.mean(signals, -1, keepdims=True) for signals in (first, second))
    return first, second, dtype


def _energy(signals: Values) -> Values:
    return jnp.sum(signals * signals, -1)


def _decibels(ratio: Values) -> Values:
    """Minus ten times the decimal logarithm."""
    return -10 / math.log(10) * jnp.log(ratio)
