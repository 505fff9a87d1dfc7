"""Cases of losses of tokens' log-probabilities."""

from types import ModuleType
from typing import Any

import gold_classes
import numpy as np
from case import Case
from inputs import ELEMENTS, LOG_PROB, Arrays, Inputs, Options, normal, takes
from measured import Measured
from references import Torch

import jaxloss


@takes(LOG_PROB)
def log_probs(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (-np.abs(normal(rng, inputs.shape, inputs.scale)),)


def probability_times_cost(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Any:
    (log_probs,) = arrays
    losses = -log_probs.exp().detach() * log_probs
    return losses if reduction == "none" else getattr(losses, reduction)()


CASES = [
    Case(
        jaxloss.DFTLoss,
        log_probs,
        element="token",
        inputs=ELEMENTS,
        edges=([0.0, -(2.0**-30), -104.0, -1e4],),
        reference=Torch(probability_times_cost),
        true_gradient=False,
        accuracy=(Measured(gold_classes.dft_loss, gold_classes.log_probs, gold_classes.ordinary_log_probs),),
    ),
]
