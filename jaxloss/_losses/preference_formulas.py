"""The formulas of the preference losses, of one pair or one completion each.

A log-ratio is the log-probability of a completion minus that of the reference model. The margin is the log-ratio of the
chosen completion minus that of the rejected one.
"""

import math
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from jaxloss._core.elementwise import hinge, log1mexp, sigmoid, softplus, times
from jaxloss._core.types import Values

PairType: TypeAlias = Literal[
    "sigmoid",
    "robust",
    "hinge",
    "ipo",
    "exo_pair",
    "apo_zero",
    "apo_down",
    "sppo_hard",
    "nca_pair",
    "bco_pair",
]
"""The losses of a pair."""

Divergence: TypeAlias = Literal["reverse_kl", "forward_kl", "js", "alpha"]
"""The divergences from the reference model that `dpo_loss` may penalise."""

PAIR_TYPES: tuple[PairType, ...] = get_args(PairType)
DIVERGENCES: tuple[Divergence, ...] = get_args(Divergence)
MARGIN_TYPES = ("sigmoid", "robust", "hinge", "ipo", "exo_pair")
"""The losses that depend on the margin alone. They go with every divergence."""
SMOOTHED_TYPES = ("sigmoid", "robust", "exo_pair")
"""The losses that know label smoothing."""


def smoothed(logit: Values, smoothing: Values) -> Values:
    """-log sigmoid(logit), where a share `smoothing` of the pairs has its labels exchanged."""
    # A share of 0 leaves its term out, even if the term is infinite.
    return times(1 - smoothing, softplus(-logit)) + times(smoothing, softplus(logit))


def pair_loss(
    loss_type: PairType, chosen: Values, rejected: Values, margin: Values, beta: Values, smoothing: Values
) -> Values:
    """The loss of a pair, by its two log-ratios and its margin."""
    logit, high, low = beta * margin, beta * chosen, beta * rejected  # `high` and `low` are the implicit rewards
    match loss_type:
        case "sigmoid":
            return smoothed(logit, smoothing)
        case "robust":
            clean, exchanged = times(1 - smoothing, softplus(-logit)), times(smoothing, softplus(logit))
            return (clean - exchanged) / (1 - 2 * smoothing)
        case "hinge":
            return hinge(1 - logit)
        case "ipo":
            return jnp.square(margin - 0.5 / beta)
        case "exo_pair":
            right = times(sigmoid(logit), -softplus(-logit) - jnp.log1p(-smoothing))
            return right + times(sigmoid(-logit), -softplus(logit) - jnp.log(smoothing))
        case "apo_zero":
            return sigmoid(-high) + sigmoid(low)  # 1 - sigmoid(high) would lose all digits of a large reward
        case "apo_down":
            return sigmoid(high) + sigmoid(-logit)
        case "sppo_hard":
            return jnp.square(chosen - 0.5 / beta) + jnp.square(rejected + 0.5 / beta)
        case "nca_pair":
            return softplus(-high) + (softplus(high) + softplus(low)) / 2
        case "bco_pair":
            return softplus(-high) + softplus(low)


def score(divergence: Divergence, log_ratio: Values, alpha: Values) -> Values:
    """The derivative of the divergence's generator at a ratio of probabilities, without constants."""
    match divergence:
        case "reverse_kl":
            return log_ratio
        case "forward_kl":
            return -jnp.exp(-log_ratio)
        case "js":
            return -softplus(-log_ratio)
        case "alpha":
            # (exp(u) - 1) / (alpha - 1) with u = (alpha - 1) * log-ratio, which is the log-ratio at alpha = 1.
            return log_ratio * relative_expm1((alpha - 1) * log_ratio)


def relative_expm1(x: Values) -> Values:
    """(exp(x) - 1) / x; 1 at 0."""
    small = jnp.abs(x) < 0.5
    # The quotient has wrong derivatives near 0. The terms after the twelfth are below float64's precision there.
    near = jnp.where(small, x, 0.0)
    series = jnp.zeros_like(x)
    for n in range(14, 0, -1):
        series = series * near + 1 / math.factorial(n)
    far = jnp.where(small, 1.0, x)
    return jnp.where(small, series, jnp.expm1(far) / far)


@jax.custom_jvp
def log_odds_ratio_loss(chosen: Values, rejected: Values) -> Values:
    """-log sigmoid(logit(p) - logit(q)) of two probabilities p and q, which are given as logarithms.

    It is exact where a probability is 1: 0 for p = 1, inf for q = 1, log 2 for both.
    """
    # Where both are equal, their odds are: two infinite odds have no difference.
    equal = chosen == rejected
    return softplus(jnp.where(equal, 0.0, _log_odds_quotient(chosen, jnp.where(equal, chosen - 1, rejected))))


@log_odds_ratio_loss.defjvp
def _log_odds_ratio_loss_jvp(primals: tuple[Values, Values], tangents: tuple[Values, Values]) -> tuple[Values, Values]:
    chosen, rejected = primals
    loss = log_odds_ratio_loss(chosen, rejected)
    share = -jnp.expm1(-loss)  # sigmoid(-log-odds ratio)
    # The slope in `chosen` is -share / (1 - p). Both vanish at p = 1, where it is the exponential of their logarithms.
    small = loss < math.log(2)
    near, other, lost = (
        jnp.where(small, value, fill) for value, fill in ((chosen, 0.0), (rejected, -1.0), (loss, 0.0))
    )
    exponential = -jnp.exp(other - near - log1mexp(other) - lost)
    by_chosen = jnp.where(small, exponential, -share / jnp.abs(jnp.expm1(jnp.where(small, -1.0, chosen))))
    by_rejected = share / jnp.abs(jnp.expm1(rejected))
    return loss, by_chosen * tangents[0] + by_rejected * tangents[1]


def _log_odds_quotient(chosen: Values, rejected: Values) -> Values:
    """The logarithm of the odds of the rejected completion over those of the chosen one."""
    return rejected - chosen + log1mexp(chosen) - log1mexp(rejected)
