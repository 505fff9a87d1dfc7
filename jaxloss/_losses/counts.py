"""Negative log-likelihoods of counts and of positive amounts."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, aligned, paired
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.domains import NOT_NEGATIVE, POSITIVE, Domain, within
from jaxloss._core.elementwise import exp_excess, softplus, times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.special import STIRLING_FROM, log_gamma_rest, stirling_series
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight

__all__ = [
    "GammaNLLLoss",
    "NegativeBinomialNLLLoss",
    "TweedieLoss",
    "gamma_nll_loss",
    "negative_binomial_nll_loss",
    "tweedie_loss",
]


@program()
def negative_binomial_nll_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    total_count: Float[ArrayLike, "*shape"],
    *,
    log_input: bool = True,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of counts under negative binomial distributions with predicted means, in nats.

    $$ \ell = \log \frac{\Gamma(\theta)\, t!}{\Gamma(t + \theta)} + \theta \log \frac{\theta + \mu}{\theta}
       + t \log \frac{\theta + \mu}{\mu} $$

    The mean is $\mu$ and the variance is $\mu + \mu^2 / \theta$. For a large $\theta$ it is the Poisson distribution.

    Args:
        predictions: Logarithms of the means $\mu$, any shape; or the means, above 0, if `log_input` is False.
        targets: Counts $t$ of at least 0, in the same shape.
        total_count: $\theta$, above 0, in the same shape. It is the inverse of the dispersion "alpha".
        log_input: Whether the predictions are logarithms.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A mean or a `total_count` of 0 or below, and a negative count,
        make their loss and its gradient NaN.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions or `total_count` are not real and floating.

    Examples:
        >>> log_means, theta = jnp.array([0.0, 1.0]), jnp.array([2.0, 2.0])
        >>> print(f"{jaxloss.negative_binomial_nll_loss(log_means, jnp.array([0.0, 3.0]), theta):.4f}")
        1.3978

    Source: Lawless, "Negative Binomial and Mixed Poisson Regression", 1987. The form for large counts is that of
    Loader, "Fast and Accurate Computation of Binomial Probabilities", 2000.
    """
    (predictions, targets, theta), dtype = aligned(
        where, 1.0, predictions=predictions, targets=targets, total_count=total_count
    )
    targets = nan_unless(within(NOT_NEGATIVE, targets=targets), targets)
    theta = nan_unless(within(POSITIVE, total_count=theta), theta)
    log_mean = _log_mean(predictions, log_input)
    # Subtracting log-gammas of large numbers would lose all digits. Instead, with both rates scaled to add up to
    # t + theta, each part is the deviance of its share, plus the rest that Stirling's formula leaves of its log-gamma.
    log_theta, both = jnp.log(theta), targets + theta
    few = targets < theta
    growth = jnp.where(few, jnp.log1p(jnp.where(few, targets / theta, 0.0)), jnp.log(both) - log_theta)
    shrinkage = softplus(log_mean - log_theta)
    # Either form subtracts numbers of the size of the result only.
    log_rate = jnp.where(
        log_mean < log_theta, log_mean + growth - shrinkage, jnp.log(both) - softplus(log_theta - log_mean)
    )
    losses = _count_part(targets, log_rate) + _failure_part(theta, both, growth, growth - shrinkage)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class NegativeBinomialNLLLoss(Loss, fn=negative_binomial_nll_loss):
    """Option object of [`negative_binomial_nll_loss`][jaxloss.negative_binomial_nll_loss]."""

    log_input: bool = static(True)
    reduction: Reduction = static("mean")


def _count_part(counts: Values, log_rate: Values) -> Values:
    """Minus the log-probability of counts under Poisson distributions: rate - t log rate + log t!."""
    large = counts >= STIRLING_FROM
    many, few = jnp.where(large, counts, STIRLING_FROM), jnp.where(large, 1.0, counts)
    deviance = many * exp_excess(log_rate - jnp.log(many)) + log_gamma_rest(many) + jnp.log(many)
    return jnp.where(large, deviance, jnp.exp(log_rate) - times(few, log_rate) + lax.lgamma(few + 1))


def _failure_part(theta: Values, both: Values, growth: Values, log_ratio: Values) -> Values:
    """theta times the excess of `log_ratio`, plus the rests of log-gamma of theta less those of t + theta."""
    large = theta >= STIRLING_FROM
    above, below = jnp.where(large, theta, STIRLING_FROM), jnp.where(large, 1.0, theta)
    # The rests of two large numbers hold halves of their logarithms, whose difference is known exactly: `growth`.
    rest = stirling_series(above) - stirling_series(jnp.where(large, both, STIRLING_FROM)) + growth / 2
    direct = log_gamma_rest(below) - log_gamma_rest(jnp.where(large, 1.0, both))
    return theta * exp_excess(log_ratio) + jnp.where(large, rest, direct)


@program()
def gamma_nll_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    concentration: Float[ArrayLike, "*shape"],
    *,
    log_input: bool = True,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Negative log-likelihood of positive amounts under gamma distributions with predicted means, in nats.

    $$ \ell = \log \Gamma(k) - k \log \frac{k}{\mu} + \frac{k t}{\mu} - (k - 1) \log t $$

    The mean is $\mu$ and the variance is $\mu^2 / k$.

    Args:
        predictions: Logarithms of the means $\mu$, any shape; or the means, above 0, if `log_input` is False.
        targets: Amounts $t$ above 0, in the same shape and in the units of the means.
        concentration: $k$, above 0, in the same shape.
        log_input: Whether the predictions are logarithms.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A mean, a target or a concentration of 0 or below makes its loss
        and gradient NaN.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions or `concentration` are not real and floating.

    Examples:
        >>> log_means, k = jnp.array([0.0, 1.0]), jnp.array([2.0, 2.0])
        >>> print(f"{jaxloss.gamma_nll_loss(log_means, jnp.array([1.0, 3.0]), k):.4f}")
        1.1680

    Source: McCullagh and Nelder, "Generalized Linear Models", 1989, chapter 8.
    """
    (predictions, targets, k), dtype = aligned(
        where, 1.0, predictions=predictions, targets=targets, concentration=concentration
    )
    targets = nan_unless(within(POSITIVE, targets=targets), targets)
    k = nan_unless(within(POSITIVE, concentration=k), k)
    log_targets = jnp.log(targets)
    excess = exp_excess(log_targets - _log_mean(predictions, log_input))
    losses = k * excess + log_targets + log_gamma_rest(k)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class GammaNLLLoss(Loss, fn=gamma_nll_loss):
    """Option object of [`gamma_nll_loss`][jaxloss.gamma_nll_loss]."""

    log_input: bool = static(True)
    reduction: Reduction = static("mean")


@program(power=Number(at_least=1))
def tweedie_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    power: Scalar = 1.5,
    log_input: bool = True,
    full: bool = False,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Tweedie loss of amounts that may be 0, such as insurance claims or rain, with predicted means.

    $$ \ell = \frac{\mu^{2 - p}}{2 - p} - t\, \frac{\mu^{1 - p}}{1 - p} $$

    At $p = 1$ it is $\mu - t \log \mu$, Poisson's. At $p = 2$ it is $t / \mu + \log \mu$, the gamma distribution's.

    Args:
        predictions: Logarithms of the means $\mu$, any shape; or the means, above 0, if `log_input` is False.
        targets: Amounts $t$ in the same shape, of at least 0; above 0 if `power` is 2 or more.
        power: $p$, at least 1. The variance is proportional to $\mu^p$. For a power between 1 and 2 the distribution
            has a positive probability of 0. `mse_loss` is twice the loss of power 0.
        log_input: Whether the predictions are logarithms.
        full: Whether to add the terms of the targets, so that the loss is half the deviance: 0 at equality.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A mean of 0 or below and a target out of its range make their loss
        and gradient NaN. Without `full` the derivative in `power` is not defined at 1 and 2.

    Raises:
        ValueError: The shapes differ, or `power` is below 1.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(f"{jaxloss.tweedie_loss(jnp.array([0.0, 1.0]), jnp.array([0.0, 3.0]), full=True):.4f}")
        1.0042

    Source: Jorgensen, "Exponential Dispersion Models", 1987.
    """
    predictions, targets, dtype = paired(predictions, targets, where, fill=1.0)
    p = jnp.asarray(power, predictions.dtype)
    allowed = Domain("at least 0, or above 0 if `power` is at least 2", lambda t: (t > 0) | (t == 0) & (p < 2))
    valid = within(allowed, targets=targets)
    targets = nan_unless(valid, targets)  # its gradient is NaN even where the loss does not depend on it
    log_mean = _log_mean(predictions, log_input)
    if full:
        some = targets > 0
        log_targets = jnp.log(jnp.where(some, targets, 1.0))
        ratio = log_mean - log_targets
        # The two powers of the mean cancel near equality. Their excesses over the linear terms do not.
        excess = jnp.exp((2 - p) * log_targets) * (_excess(2 - p, ratio) - _excess(1 - p, ratio))
        losses = jnp.where(some, excess, _power(2 - p, log_mean))
    else:
        losses = _power(2 - p, log_mean) - times(targets, _power(1 - p, log_mean))
    return reduce(nan_unless(valid, losses), reduction, where, sample_weight, dtype=dtype)


class TweedieLoss(Loss, fn=tweedie_loss):
    """Option object of [`tweedie_loss`][jaxloss.tweedie_loss]."""

    power: Scalar = 1.5
    log_input: bool = static(True)
    full: bool = static(False)
    reduction: Reduction = static("mean")


def _power(exponent: Values, log_mean: Values) -> Values:
    """mean ** exponent / exponent, and log mean for an exponent of 0."""
    zero = exponent == 0
    return jnp.where(zero, log_mean, jnp.exp(exponent * log_mean) / jnp.where(zero, 1.0, exponent))


def _excess(exponent: Values, log_ratio: Values) -> Values:
    """(expm1(exponent * u) - exponent * u) / exponent, with its limit 0 for an exponent of 0."""
    zero = exponent == 0
    limit = exponent * jnp.square(jnp.where(zero, log_ratio, 0.0)) / 2  # has the right derivative in the exponent
    return jnp.where(zero, limit, exp_excess(exponent * log_ratio) / jnp.where(zero, 1.0, exponent))


def _log_mean(predictions: Values, log_input: bool) -> Values:
    """The logarithms of the means, NaN for a mean of 0 or below."""
    if log_input:
        return predictions
    return jnp.log(nan_unless(within(POSITIVE, predictions=predictions), predictions))
