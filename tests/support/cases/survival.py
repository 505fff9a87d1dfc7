"""Cases of losses of the time until an event."""

import gold_probabilistic as gold
import numpy as np
import probabilistic as made
from case import Case
from mistakes import f, row
from references import Formula

import jaxloss
from cases.distributions import VECTORS, measured


def cox(h, d, e, ties="breslow"):
    """The sum over each risk set, and for Efron the mean over the ranks of the tied events."""
    at_risk = d[..., None, :] >= d[..., :, None]
    risk = (at_risk * np.exp(h)[..., None, :]).sum(-1)
    if ties == "breslow":
        return e * (np.log(risk) - h)
    tied = (d[..., None, :] == d[..., :, None]) * e[..., None, :]
    number, events = tied.sum(-1), (tied * np.exp(h)[..., None, :]).sum(-1)
    found = np.zeros(h.shape)
    for rank in range(h.shape[-1]):
        inside = rank < number
        left = np.where(inside, rank / np.maximum(number, 1) * events, 0)
        found += np.where(inside, np.log(risk - left), 0) / np.maximum(number, 1)
    return e * (found - h)


def discrete_hazard(x, d, e):
    number = np.arange(x.shape[-1])
    before, at = number < d[..., None], number == d[..., None]
    signed = np.where(at & (e[..., None] == 1), -x, x)
    return ((before | at) * np.logaddexp(0, signed)).sum(-1)


CASES = [
    Case(
        jaxloss.CoxLoss,
        made.studies,
        element="subject",
        options=({}, {"ties": "efron"}),
        inputs=VECTORS,
        differentiable=(0,),
        reference=Formula(cox, count=lambda h, d, e, **_: e),
        compares_tokens=True,
        never_negative=False,  # by rounding, and with Efron's ties the loss of one event of several
        real=("durations", "events"),
        accuracy=(
            measured(
                gold.cox_loss,
                lambda kind: made.studies(np.random.default_rng(1), made.SMALL),
                made.studies,
                (),
                ulps=(8, 8),
            ),
        ),
        mistakes=(
            row(
                "cox_loss-ties",
                lambda: jaxloss.cox_loss(f(3), f(3), f(3), ties="exact"),
                ValueError,
                "`ties` is 'exact', but must be 'breslow' or 'efron'.",
            ),
        ),
    ),
    Case(
        jaxloss.DiscreteHazardNLLLoss,
        made.hazards,
        element="subject",
        inputs=VECTORS,
        differentiable=(0,),
        reference=Formula(discrete_hazard),
        real=("events",),
        accuracy=(
            measured(
                gold.discrete_hazard_nll_loss,
                lambda kind: made.hazards(np.random.default_rng(1), made.SMALL),
                made.hazards,
                (0,),
                ulps=(8, 8),
            ),
        ),
    ),
]
