"""Cases of robust losses: outliers count less."""

from collections.abc import Callable
from typing import Any

import gold_robust
import inputs
import numpy as np
import points
from case import Case
from inputs import ELEMENTS
from measured import Measured
from mistakes import f, row
from references import Formula

import jaxloss

PAIRS = {"adversarial": points.pairs, "ordinary": inputs.pair, "differentiable": (0, 1)}
EDGES = ([0.0, 1, -1, 0.25, -7, 1e4], [0.0, 0, 0, 0, 0, 0])


def log_cosh(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.logaddexp(x - t, t - x) - np.log(2)


def charbonnier(x: np.ndarray, t: np.ndarray, *, eps: float = 1e-3) -> np.ndarray:
    return np.sqrt((x - t) ** 2 + eps**2)


def pseudo_huber(x: np.ndarray, t: np.ndarray, *, delta: float = 1.0) -> np.ndarray:
    return delta**2 * (np.sqrt(1 + ((x - t) / delta) ** 2) - 1)


def barron(x: np.ndarray, t: np.ndarray, *, alpha: float = 1.0, scale: float = 1.0) -> np.ndarray:
    z = ((x - t) / scale) ** 2
    if alpha == 2:
        return z / 2
    if alpha == 0:
        return np.log1p(z / 2)
    b = abs(alpha - 2)
    return b / alpha * ((z / b + 1) ** (alpha / 2) - 1)


def of_square(losses: Callable[[Any], Any]) -> Formula:
    return Formula(lambda x, t, *, scale=1.0: losses(((x - t) / scale) ** 2))


def tukey(x: np.ndarray, t: np.ndarray, *, c: float = 4.685) -> np.ndarray:
    return c**2 / 6 * (1 - (1 - np.minimum(((x - t) / c) ** 2, 1)) ** 3)


def out_of_range(loss: Callable[..., Any], **options: float) -> Any:
    ((name, value),) = options.items()
    words = "at least 0" if name == "eps" else "above 0"
    return row(
        f"{loss.__name__}-{name}",
        lambda: loss(f(3), f(3), **options),
        ValueError,
        f"`{name}` is {value}, but must be {words}.",
    )


def robust_case(
    loss: type[jaxloss.Loss],
    reference: Formula,
    options: tuple[dict[str, float], ...],
    mistakes: tuple[Any, ...] = (),
    # The error is rounded before a curve amplifies it.
    ulps: tuple[float, float] = (8, 10),
) -> Case:
    formula = getattr(gold_robust, loss.fn.__name__)
    return Case(
        loss,
        inputs.pair,
        options=options,
        inputs=ELEMENTS,
        edges=EDGES,
        differentiable=(0, 1),
        reference=reference,
        mistakes=mistakes,
        accuracy=tuple(Measured(formula, options=each, ulps=ulps, **PAIRS) for each in options),
    )


CASES = [
    robust_case(jaxloss.LogCoshLoss, Formula(log_cosh), ({},)),
    robust_case(
        jaxloss.PseudoHuberLoss,
        Formula(pseudo_huber),
        ({}, {"delta": 0.25}),
        (out_of_range(jaxloss.pseudo_huber_loss, delta=0),),
    ),
    robust_case(
        jaxloss.CharbonnierLoss,
        Formula(charbonnier),
        ({"eps": 0.5}, {"eps": 0.0}),
        (out_of_range(jaxloss.charbonnier_loss, eps=-1.0),),
    ),
    robust_case(
        jaxloss.RobustLoss,
        Formula(barron),
        ({}, {"alpha": 2.0}, {"alpha": 0.0, "scale": 2.0}, {"alpha": -1.5, "scale": 0.5}),
        (out_of_range(jaxloss.robust_loss, scale=0),),
    ),
    robust_case(
        jaxloss.CauchyLoss,
        of_square(lambda z: np.log1p(z / 2)),
        ({}, {"scale": 2.0}),
        (out_of_range(jaxloss.cauchy_loss, scale=0),),
    ),
    robust_case(
        jaxloss.GemanMcClureLoss,
        of_square(lambda z: 2 * z / (z + 4)),
        ({}, {"scale": 2.0}),
        (out_of_range(jaxloss.geman_mcclure_loss, scale=0),),
    ),
    robust_case(
        jaxloss.WelschLoss,
        of_square(lambda z: -np.expm1(-z / 2)),
        ({}, {"scale": 2.0}),
        (out_of_range(jaxloss.welsch_loss, scale=0),),
        # An exponential loses a unit for each unit of its exponent.
        ulps=(8, 20),
    ),
    robust_case(
        jaxloss.TukeyBiweightLoss,
        Formula(tukey),
        ({}, {"c": 2.0}),
        (out_of_range(jaxloss.tukey_biweight_loss, c=0),),
    ),
]
