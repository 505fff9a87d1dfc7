"""Cases of divergences between distributions."""

import gold
import gold_margin
import gold_probabilistic
import inputs
import numpy as np
import points
from case import Case
from inputs import ELEMENTS
from measured import Measured
from probabilistic import SMALL, at_two
from references import Formula

import jaxloss

DIVERGENCE = {"differentiable": (0, 1), "never_negative": False}


def generalized_kl(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.exp(x) - t + np.where(t == 0, 0, t * (np.log(np.where(t == 0, 1, t)) - x))


CASES = [
    Case(
        jaxloss.KLDivLoss,
        inputs.log_probs_and_probs,
        element="term",
        inputs=ELEMENTS,
        edges=([-1.0, -30, 0, -2], [0.0, 1, 1, 0.5]),
        differentiable=(0, 1),
        reductions=("none", "mean", "sum", "batchmean"),
        never_negative=False,
        accuracy=(Measured(gold.kl_div, points.log_probs_and_probs, inputs.log_probs_and_probs, **DIVERGENCE),),
    ),
    Case(
        jaxloss.KLDivLoss,
        inputs.two_log_probs,
        variant="log",
        options=({"log_target": True},),
        element="term",
        inputs=ELEMENTS,
        edges=([-1.0, -30, 0, -2], [-200.0, 0, 0, -2]),
        differentiable=(0, 1),
        reductions=("none", "mean", "sum", "batchmean"),
        never_negative=False,
        accuracy=(
            Measured(gold.kl_div, points.two_log_probs, inputs.two_log_probs, {"log_target": True}, **DIVERGENCE),
        ),
    ),
    Case(
        jaxloss.GeneralizedKLDivLoss,
        inputs.log_probs_and_probs,
        element="term",
        inputs=ELEMENTS,
        edges=([-1.0, 0.5, 0, 2], [0.0, 1, 1, 0.5]),
        differentiable=(0, 1),
        reference=Formula(generalized_kl),
        accuracy=(
            Measured(
                gold_margin.generalized_kl_div,
                points.log_probs_and_probs,
                inputs.log_probs_and_probs,
                differentiable=(0, 1),
                ulps=(4, 4),
            ),
        ),
    ),
    Case(
        jaxloss.GaussianKLLoss,
        inputs.pair,
        inputs={name: ELEMENTS[name] for name in ("batched", "unbatched", "extra", "tiny")},
        edges=([0.0, 1, -1], [0.0, 0, 1e-4]),
        differentiable=(0, 1),
        reference=Formula(lambda mean, log_var: (np.expm1(log_var) - log_var + mean**2) / 2),
        accuracy=(
            Measured(
                gold_probabilistic.gaussian_kl_loss,
                at_two,
                inputs.pair,
                inputs=SMALL,
                differentiable=(0, 1),
                ulps=(5, 4),
            ),
        ),
    ),
]
