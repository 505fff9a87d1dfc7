"""Cases of negative log-likelihoods of counts and of positive amounts."""

import gold_probabilistic as gold
import numpy as np
import probabilistic as made
import scipy.stats
from case import Case
from mistakes import f, row
from references import Formula

import jaxloss
from cases.distributions import FEW, measured


def mean_of(x, log_input):
    return np.exp(x) if log_input else x


def negative_binomial(x, t, k, log_input=True):
    return -scipy.stats.nbinom.logpmf(t, k, k / (k + mean_of(x, log_input)))


def gamma(x, t, k, log_input=True):
    return -scipy.stats.gamma.logpdf(t, k, scale=mean_of(x, log_input) / k)


def tweedie(x, t, power=1.5, log_input=True, full=False):
    mean = mean_of(x, log_input)
    if power == 1:
        return mean - t * np.log(mean) + full * (t * np.log(t) - t)
    if power == 2:
        return t / mean + np.log(mean) - full * (np.log(t) + 1)
    own = t ** (2 - power) / ((1 - power) * (2 - power))
    return mean ** (2 - power) / (2 - power) - t * mean ** (1 - power) / (1 - power) + full * own


CASES = [
    Case(
        jaxloss.NegativeBinomialNLLLoss,
        made.log_means_counts_totals,
        element="count",
        inputs=FEW,
        differentiable=(0, 1, 2),
        never_negative=False,
        reference=Formula(negative_binomial),
        accuracy=(
            measured(
                gold.negative_binomial_nll_loss,
                made.at_counts,
                made.log_means_counts_totals,
                (0,),
                ulps=(16, 16),
            ),
        ),
    ),
    Case(
        jaxloss.GammaNLLLoss,
        made.log_means_amounts,
        element="number",
        inputs=FEW,
        differentiable=(0, 1, 2),
        never_negative=False,
        reference=Formula(gamma),
        accuracy=(measured(gold.gamma_nll_loss, made.at_amounts, made.log_means_amounts, (0,), ulps=(16, 16)),),
    ),
    Case(
        jaxloss.GammaNLLLoss,
        made.means_amounts,
        variant="mean",
        options=({"log_input": False},),
        inputs=FEW,
        differentiable=(0, 1, 2),
        never_negative=False,
        reference=Formula(gamma),
    ),
    Case(
        jaxloss.TweedieLoss,
        made.log_means_and_amounts,
        options=({}, {"full": True}, {"power": 1.0}, {"power": 2.0, "full": True}),
        inputs=FEW,
        differentiable=(0, 1),
        never_negative=False,
        reference=Formula(tweedie),
        accuracy=(measured(gold.tweedie_loss, made.at_two, made.log_means_and_amounts, (0,), ulps=(16, 16)),),
        mistakes=(
            row(
                "tweedie_loss-power",
                lambda: jaxloss.tweedie_loss(f(3), f(3), power=0.5),
                ValueError,
                "`power` is 0.5, but must be at least 1.",
            ),
        ),
    ),
]
