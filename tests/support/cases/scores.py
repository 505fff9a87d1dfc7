"""Cases of proper scores of forecasts."""

import gold_probabilistic as gold
import numpy as np
import probabilistic as made
import scipy.stats
from case import Case
from mistakes import f, row
from references import Formula

import jaxloss
from cases.distributions import FEW, VECTORS, measured


def gaussian_crps(x, t, s):
    z = (x - t) / s
    return s * (z * (2 * scipy.stats.norm.cdf(z) - 1) + 2 * scipy.stats.norm.pdf(z) - 1 / np.sqrt(np.pi))


def energy_score(x, t, estimator="energy"):
    size = x.shape[-2]
    pairs = size**2 if estimator == "energy" else size * (size - 1)
    spread = np.linalg.norm(x[..., None, :] - x[..., None, :, :], axis=-1).sum((-1, -2))
    return np.linalg.norm(x - t[..., None, :], axis=-1).mean(-1) - spread / (2 * pairs)


def ensemble_crps(x, t, estimator="energy", axis=-1):
    return energy_score(np.moveaxis(x, axis, -1)[..., None], t[..., None], estimator)


SEVERAL = {name: VECTORS[name] for name in ("batched", "unbatched", "extra", "tiny")}
BOTH = ({}, {"estimator": "fair"})


def mistakes(name, *shapes):
    function = getattr(jaxloss, name)
    return (
        row(
            f"{name}-estimator",
            lambda: function(*(f(*shape) for shape in shapes), estimator="pwm"),
            ValueError,
            "`estimator` is 'pwm', but must be 'energy' or 'fair'.",
        ),
    )


CASES = [
    Case(
        jaxloss.GaussianCRPSLoss,
        made.any_scale,
        inputs=FEW,
        differentiable=(0, 1, 2),
        reference=Formula(gaussian_crps),
        accuracy=(measured(gold.gaussian_crps_loss, made.at_parameters(1), made.one_scale, (0, 1, 2), ulps=(4, 8)),),
    ),
    Case(
        jaxloss.EnsembleCRPSLoss,
        made.ensembles,
        options=BOTH,
        inputs=SEVERAL,
        differentiable=(0, 1),
        never_negative=False,
        reference=Formula(ensemble_crps),
        accuracy=(
            measured(
                gold.ensemble_crps_loss,
                lambda kind: made.ensembles(np.random.default_rng(1), made.SMALL),
                made.ensembles,
                (0, 1),
                ulps=(4, 8),
            ),
        ),
        mistakes=mistakes("ensemble_crps_loss", (4, 3), (4,)),
    ),
    Case(
        jaxloss.EnergyScoreLoss,
        made.ensembles_of_vectors,
        element="vector",
        options=BOTH,
        inputs=SEVERAL,
        differentiable=(0, 1),
        never_negative=False,
        reference=Formula(energy_score),
        accuracy=(
            measured(
                gold.energy_score_loss,
                lambda kind: made.ensembles_of_vectors(np.random.default_rng(1), made.SMALL),
                made.ensembles_of_vectors,
                (),
                ulps=(8, 8),
            ),
        ),
        mistakes=mistakes("energy_score_loss", (4, 3, 2), (4, 2)),
    ),
]
