"""Cases of losses of signals."""

import gold_signals as gold
import numpy as np
import points
from case import Case
from inputs import EXAMPLES, REAL, Arrays, Inputs, normal, takes
from measured import Measured
from mistakes import f, row
from references import Formula

import jaxloss


@takes(REAL, REAL)
def signals(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = (*inputs.shape, inputs.size)
    return normal(rng, shape, inputs.scale), normal(rng, shape, inputs.scale)


def centred(x, zero_mean):
    return x - x.mean(-1, keepdims=True) if zero_mean else x


def decibels(ratio):
    return -10 * np.log10(ratio)


def si_sdr(x, t, zero_mean=True, eps=1e-8):
    x, t = centred(x, zero_mean), centred(t, zero_mean)
    scaled = ((x * t).sum(-1) / ((t**2).sum(-1) + eps))[..., None] * t
    return decibels((scaled**2).sum(-1) / (((x - scaled) ** 2).sum(-1) + eps) + eps)


def snr(x, t, zero_mean=True, eps=1e-8):
    x, t = centred(x, zero_mean), centred(t, zero_mean)
    return decibels((t**2).sum(-1) / (((x - t) ** 2).sum(-1) + eps) + eps)


INPUTS = {name: inputs for name, inputs in EXAMPLES.items() if name != "single"}
# A silent target, a silent prediction, orthogonal signals, a prediction without an error.
EDGES = (
    [[1.0, -1, 2, -2], [0.0, 0, 0, 0], [1.0, -1, 1, -1], [1.0, 2, 3, 4]],
    [[0.0, 0, 0, 0], [1.0, -1, 2, -2], [1.0, 1, -1, -1], [1.0, 2, 3, 4]],
)

CASES = [
    Case(
        loss,
        signals,
        element="signal",
        options=({}, {"zero_mean": False, "eps": 0.125}),
        inputs=INPUTS,
        edges=EDGES,
        differentiable=(0, 1),
        reference=Formula(formula),
        never_negative=False,
        accuracy=(
            Measured(
                getattr(gold, loss.fn.__name__),
                points.vector_tuples(2),
                signals,
                inputs=Inputs((60,), size=6),
                differentiable=(0, 1),
                never_negative=False,
            ),
        ),
        mistakes=(
            row(f"{loss.fn.__name__}-no_axis", lambda loss=loss: loss()(f(), f()), ValueError, "which has no axis -1"),
        ),
    )
    for loss, formula in ((jaxloss.SISDRLoss, si_sdr), (jaxloss.SNRLoss, snr))
]
