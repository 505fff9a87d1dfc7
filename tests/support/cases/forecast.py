"""Cases of losses of forecasts."""

from typing import Any

import gold_robust
import inputs
import numpy as np
import points
from case import Case
from inputs import ELEMENTS, REAL, SIGN, Arrays, Domain, Inputs, normal, pair, takes
from measured import Measured
from mistakes import f, row
from references import Formula

import jaxloss

PAIRS = {"adversarial": points.pairs, "ordinary": inputs.pair, "differentiable": (0, 1)}
ABOVE_MINUS_1 = Domain((-0.5, 0.0, 2.0**-30, 1.0, 1e4), (-1.5, np.nan))
QUANTILES = np.array([0.25, 0.5, 0.75])
SERIES = {
    "batched": Inputs((5,)),
    "unbatched": Inputs(()),
    "prime": Inputs((2,), size=131),
    "tiny": Inputs((7,), scale=0.02),
    "large": Inputs((7,), scale=30),
}


@takes(ABOVE_MINUS_1, ABOVE_MINUS_1)
def positive_pair(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    first, second = (rng.gamma(2, min(inputs.scale, 100), inputs.shape) for _ in range(2))
    return np.asarray(first), np.asarray(second)


@takes(REAL, REAL)
def three_quantiles(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, (*inputs.shape, 3), inputs.scale), normal(rng, inputs.shape, inputs.scale)


@takes(REAL, REAL, SIGN)
def forecasts(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return tuple(normal(rng, (*inputs.shape, steps), inputs.scale) for steps in (inputs.size, inputs.size, 6))


@takes(REAL, REAL)
def two_series(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    first, second = (normal(rng, (*inputs.shape, inputs.size), inputs.scale) for _ in range(2))
    return first, first / 2 + second + 0.5


@takes(REAL, REAL, SIGN)
def two_ragged_series(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    lengths = rng.integers(2, inputs.size + 1, inputs.shape)
    return (*two_series(rng, inputs), np.arange(inputs.size) < lengths[..., None])


def ordinary_nonnegative(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return tuple(np.abs(array) for array in pair(rng, inputs))


def ordinary_sizes(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Targets that are not near 0, where the derivative overflows float16."""
    predictions, targets = pair(rng, inputs)
    return predictions, targets + np.sign(targets)


def nonnegative_pairs(kind: Any) -> Arrays:
    first, second = points.pairs(kind)
    return np.abs(first), np.abs(second)


def quantile(x: np.ndarray, t: np.ndarray, *, quantile: Any = 0.5) -> np.ndarray:
    error = (t if np.ndim(quantile) == 0 else t[..., None]) - x
    return np.maximum(quantile * error, (quantile - 1) * error)


def expectile(x: np.ndarray, t: np.ndarray, *, expectile: float = 0.5) -> np.ndarray:
    return np.abs(expectile - (t < x)) * (t - x) ** 2


def smape(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    size = np.abs(x) + np.abs(t)
    return 2 * np.abs(x - t) / np.where(size == 0, 1, size)


def mase(x: np.ndarray, t: np.ndarray, y: np.ndarray, *, seasonality: int = 1) -> np.ndarray:
    change = np.abs(y[..., seasonality:] - y[..., :-seasonality]).mean(-1, keepdims=True)
    return np.abs(x - t) / change


def concordance(x: np.ndarray, t: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    keep = np.ones(x.shape, bool) if valid is None else valid
    mean_x, mean_t = (np.mean(series, -1, keepdims=True, where=keep) for series in (x, t))
    covariance = np.mean((x - mean_x) * (t - mean_t), -1, where=keep)
    variances = np.mean((x - mean_x) ** 2 + (t - mean_t) ** 2, -1, where=keep)
    return 1 - 2 * covariance / (variances + (mean_x - mean_t)[..., 0] ** 2)


def share(name: str, value: float) -> Any:
    loss = getattr(jaxloss, f"{name}_loss")
    return row(
        f"{name}_loss-{name}={value}",
        lambda: loss(f(3), f(3), **{name: value}),
        ValueError,
        f"`{name}` is {value}, but must be above 0 and below 1.",
    )


QUANTILE_MISTAKES = (
    share("quantile", 1),
    row(
        "quantile_loss-two_axes",
        lambda: jaxloss.quantile_loss(f(3), f(3), quantile=f(2, 2)),
        ValueError,
        "`quantile` has shape (2, 2), but is one number or has one axis.",
    ),
    row(
        "quantile_loss-no_axis",
        lambda: jaxloss.quantile_loss(f(4), f(4), quantile=[0.1, 0.9]),
        ValueError,
        "2 quantiles of `targets` of shape (4,) have shape (4, 2).",
    ),
)
MASE_MISTAKES = (
    row(
        "mase_loss-insample",
        lambda: jaxloss.mase_loss(f(4, 3), f(4, 3), f(9)),
        ValueError,
        "`insample` has shape (9,)",
    ),
    row(
        "mase_loss-seasonality",
        lambda: jaxloss.mase_loss(f(3), f(3), f(4), seasonality=4),
        ValueError,
        "`seasonality` is 4, but must be from 1 to 3 for 4 past steps.",
    ),
)

CASES = [
    Case(
        jaxloss.QuantileLoss,
        inputs.pair,
        options=({}, {"quantile": 0.75}),
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 2], [0.0, 1, 1, 0]),
        differentiable=(0, 1),
        reference=Formula(quantile),
        mistakes=QUANTILE_MISTAKES,
        accuracy=(
            Measured(gold_robust.quantile_loss, **PAIRS),
            Measured(gold_robust.quantile_loss, options={"quantile": 0.75}, **PAIRS),
        ),
    ),
    Case(
        jaxloss.QuantileLoss,
        three_quantiles,
        options=({"quantile": QUANTILES},),
        inputs={"batched": Inputs((5,)), "unbatched": Inputs(()), "extra": Inputs((2, 3, 2))},
        differentiable=(0, 1),
        variant="several",
        reference=Formula(quantile),
    ),
    Case(
        jaxloss.ExpectileLoss,
        inputs.pair,
        options=({}, {"expectile": 0.75}),
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 2], [0.0, 1, 1, 0]),
        differentiable=(0, 1),
        reference=Formula(expectile),
        mistakes=(share("expectile", 0),),
        accuracy=(Measured(gold_robust.expectile_loss, options={"expectile": 0.75}, **PAIRS, ulps=(3, 3)),),
    ),
    Case(
        jaxloss.MSLELoss,
        positive_pair,
        inputs=ELEMENTS,
        edges=([0.0, 3, -0.5, 1e4], [0.0, 1, 1, 1e4]),
        differentiable=(0, 1),
        reference=Formula(lambda x, t: (np.log1p(x) - np.log1p(t)) ** 2),
        accuracy=(
            Measured(
                gold_robust.msle_loss, nonnegative_pairs, ordinary_nonnegative, differentiable=(0, 1), ulps=(8, 8)
            ),
        ),
    ),
    Case(
        jaxloss.MAPELoss,
        inputs.pair,
        options=({}, {"eps": 0.5}),
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 2], [0.5, 1, 1, 4]),
        differentiable=(0, 1),
        reference=Formula(lambda x, t, *, eps=1e-7: np.abs(x - t) / np.maximum(np.abs(t), eps)),
        mistakes=(
            row(
                "mape_loss-eps",
                lambda: jaxloss.mape_loss(f(3), f(3), eps=0.0),
                ValueError,
                "`eps` is 0.0, but must be above 0.",
            ),
        ),
        accuracy=(Measured(gold_robust.mape_loss, points.pairs, ordinary_sizes, differentiable=(0, 1), ulps=(3, 4)),),
    ),
    Case(
        jaxloss.SMAPELoss,
        inputs.pair,
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 2], [0.0, 1, 1, 0]),
        differentiable=(0, 1),
        reference=Formula(smape),
        accuracy=(Measured(gold_robust.smape_loss, **PAIRS, ulps=(3, 4)),),
    ),
    Case(
        jaxloss.MASELoss,
        forecasts,
        element="step",
        options=({}, {"seasonality": 2}),
        inputs={
            "batched": Inputs((5,), size=3),
            "unbatched": Inputs(()),
            "extra": Inputs((2, 3)),
            "large": Inputs((7,), scale=30),
        },
        differentiable=(0, 1),
        reference=Formula(mase),
        mistakes=MASE_MISTAKES,
        accuracy=(
            Measured(
                gold_robust.mase_loss,
                points.vector_tuples(3),
                inputs.vectors(3),
                inputs=inputs.VECTORS,
                differentiable=(0, 1),
                ulps=(4, 4),
            ),
        ),
    ),
    Case(
        jaxloss.ConcordanceLoss,
        two_series,
        element="series",
        inputs=SERIES,
        edges=([[1.0, 1, 1], [0, 1, 2]], [[2.0, 2, 2], [0, 1, 2]]),
        differentiable=(0, 1),
        reference=Formula(concordance),
        accuracy=(
            Measured(
                gold_robust.concordance_loss,
                points.vector_tuples(2),
                inputs.vectors(2),
                inputs=inputs.VECTORS,
                differentiable=(0, 1),
                ulps=(8, 8),
            ),
        ),
    ),
    Case(
        jaxloss.ConcordanceLoss,
        two_ragged_series,
        element="series",
        inputs={"batched": Inputs((5,)), "prime": Inputs((3,), size=17)},
        differentiable=(0, 1),
        variant="ragged",
        reference=Formula(concordance),
    ),
]
