"""Cases of negative log-likelihoods of numbers, angles and vectors."""

import gold_probabilistic as gold
import numpy as np
import probabilistic as made
import scipy.stats
from case import Case
from inputs import ELEMENTS, MANY_EXAMPLES
from measured import Measured
from mistakes import f, row
from references import Formula
from scipy.special import log_softmax, logsumexp

import jaxloss

FEW = {name: ELEMENTS[name] for name in ("batched", "unbatched", "extra", "tiny", "large")}
VECTORS = {name: MANY_EXAMPLES[name] for name in ("batched", "unbatched", "single", "extra", "tiny")}


def mixture(x, t, s, z):
    return -logsumexp(log_softmax(z, -1) + scipy.stats.norm.logpdf(t[..., None], x, s), axis=-1)


def multivariate(x, t, factor):
    lower = np.tril(factor)
    flat = zip(
        x.reshape(-1, x.shape[-1]), t.reshape(-1, x.shape[-1]), lower.reshape(-1, *lower.shape[-2:]), strict=True
    )
    return np.reshape([-scipy.stats.multivariate_normal.logpdf(b, a, c @ c.T) for a, b, c in flat], x.shape[:-1])


def measured(formula, points, ordinary, differentiable, **more):
    return Measured(
        formula, points, ordinary, inputs=made.SMALL, differentiable=differentiable, never_negative=False, **more
    )


CASES = [
    Case(
        jaxloss.LaplaceNLLLoss,
        made.one_scale,
        inputs=FEW,
        differentiable=(0, 1, 2),
        never_negative=False,
        reference=Formula(lambda x, t, b: -scipy.stats.laplace.logpdf(t, x, b)),
        accuracy=(measured(gold.laplace_nll_loss, made.at_parameters(1), made.one_scale, (0, 1, 2), ulps=(3, 4)),),
    ),
    Case(
        jaxloss.StudentTNLLLoss,
        made.two_scales,
        inputs=FEW,
        differentiable=(0, 1, 2, 3),
        never_negative=False,
        reference=Formula(lambda x, t, s, df: -scipy.stats.t.logpdf(t, df, x, s)),
        accuracy=(measured(gold.student_t_nll_loss, made.at_parameters(2), made.two_scales, (0, 1, 2), ulps=(8, 16)),),
    ),
    Case(
        jaxloss.VonMisesNLLLoss,
        made.one_scale,
        inputs=FEW,
        differentiable=(0, 1, 2),
        never_negative=False,
        reference=Formula(lambda x, t, k: -scipy.stats.vonmises.logpdf(t, k, x)),
        accuracy=(measured(gold.von_mises_nll_loss, made.at_parameters(1), made.one_scale, (0, 1), ulps=(4, 16)),),
    ),
    Case(
        jaxloss.GaussianMixtureNLLLoss,
        made.mixtures,
        inputs=VECTORS,
        differentiable=(0, 1, 2, 3),
        never_negative=False,
        reference=Formula(mixture),
        accuracy=(
            measured(
                gold.gaussian_mixture_nll_loss,
                lambda kind: made.mixtures(np.random.default_rng(1), made.SMALL),
                made.mixtures,
                (0, 1, 2, 3),
                ulps=(8, 80),
            ),
        ),
        mistakes=(
            row(
                "gaussian_mixture_nll_loss-targets",
                lambda: jaxloss.gaussian_mixture_nll_loss(f(3, 2), f(2), f(3, 2), f(3, 2)),
                ValueError,
                "`targets` has shape (2,), but must have shape (3,): that of `predictions` without the components.",
            ),
        ),
    ),
    Case(
        jaxloss.MultivariateGaussianNLLLoss,
        made.vectors_and_factors,
        element="vector",
        inputs=VECTORS,
        differentiable=(0, 1, 2),
        never_negative=False,
        reference=Formula(multivariate),
        accuracy=(
            measured(
                gold.multivariate_gaussian_nll_loss,
                lambda kind: made.vectors_and_factors(np.random.default_rng(1), made.SMALL),
                made.vectors_and_factors,
                (0, 1),
                ulps=(8, 48),
            ),
        ),
        mistakes=(
            row(
                "multivariate_gaussian_nll_loss-scale_tril",
                lambda: jaxloss.multivariate_gaussian_nll_loss(f(4, 3), f(4, 3), f(3, 3)),
                ValueError,
                "`scale_tril` has shape (3, 3), but must have shape (4, 3, 3): one square matrix for each vector of "
                "`predictions`.",
            ),
        ),
    ),
]
