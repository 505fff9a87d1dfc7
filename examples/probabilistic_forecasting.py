"""Forecast the sunspots of the next year as a distribution, trained with three losses: quantiles, Student-t and CRPS.

The data are the 309 yearly numbers that statsmodels ships. A small network reads twelve years. It predicts seventeen
quantiles, or a location, a scale and degrees of freedom, or a mean and a deviation. The picture shows the held-out
years, and how often the truth was below each predicted quantile. Run it with (some seconds, without a network):

    pip install "jaxloss[examples]"
    python examples/probabilistic_forecasting.py --picture probabilistic_forecasting.png
"""

import argparse
from pathlib import Path

import jax
import numpy as np
import optax
from flax import nnx
from matplotlib.figure import Figure
from scipy import stats
from statsmodels.datasets import sunspots
from tqdm import tqdm

import jaxloss

LAGS, TRAINED = 12, 209
LEVELS = np.arange(0.1, 0.95, 0.05)
COLORS = {"quantiles": "#3949ab", "Student-t": "#d4580a", "CRPS": "#00796b"}


def objective(kind: str, outputs: jax.Array, targets: jax.Array) -> jax.Array:
    if kind == "quantiles":
        return jaxloss.quantile_loss(outputs, targets, quantile=LEVELS)
    location, scale = outputs[:, 0], jax.nn.softplus(outputs[:, 1]) + 1e-2
    if kind == "CRPS":
        return jaxloss.gaussian_crps_loss(location, targets, scale)
    return jaxloss.student_t_nll_loss(location, targets, scale, 2 + jax.nn.softplus(outputs[:, 2]))


def quantiles(kind: str, outputs: np.ndarray) -> np.ndarray:
    """The predicted quantiles of each year, at `LEVELS`."""
    if kind == "quantiles":
        return np.sort(outputs, 1)  # nothing keeps the quantiles of a network in order
    location, scale = outputs[:, :1], np.logaddexp(0, outputs[:, 1:2]) + 1e-2
    if kind == "CRPS":
        return stats.norm.ppf(LEVELS, location, scale)
    return stats.t.ppf(LEVELS, 2 + np.logaddexp(0, outputs[:, 2:]), location, scale)


def train(kind: str, inputs: jax.Array, targets: jax.Array, steps: int) -> nnx.Sequential:
    rngs, width = nnx.Rngs(0), {"quantiles": len(LEVELS), "Student-t": 3, "CRPS": 2}[kind]
    net = nnx.Sequential(nnx.Linear(LAGS, 32, rngs=rngs), nnx.tanh, nnx.Linear(32, width, rngs=rngs))
    optimizer = nnx.Optimizer(net, optax.adamw(3e-3, weight_decay=0.1), wrt=nnx.Param)

    @nnx.jit
    def step(net: nnx.Sequential, optimizer: nnx.Optimizer) -> None:
        optimizer.update(net, nnx.grad(lambda net: objective(kind, net(inputs), targets))(net))

    for _ in tqdm(range(steps), unit="step", desc=kind):
        step(net, optimizer)
    return net


def draw(path: Path, years: np.ndarray, truth: np.ndarray, found: dict[str, np.ndarray]) -> None:
    """Left the intervals between the first and the last quantile, right the calibration."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")  # without pyplot no display is needed
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    left.plot(years, truth, "k.", markersize=3, label="truth")
    right.plot([0, 1], [0, 1], color="gray", linestyle=":")
    for kind, predicted in found.items():
        for edge in (0, -1):
            left.plot(years, predicted[:, edge], color=COLORS[kind], linewidth=1, label=None if edge else kind)
        right.plot(LEVELS, np.mean(truth[:, None] <= predicted, 0), color=COLORS[kind])
    left.set(xlabel="year", ylabel="sunspots", title="10 % and 90 % quantiles")
    left.legend(loc="upper right", ncols=2, frameon=False)
    right.set(xlabel="predicted quantile", ylabel="share of years below it", aspect="equal", title="calibration")
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("probabilistic_forecasting.png"), help="where to write it")
    parser.add_argument("--quick", action="store_true", help="train for a few steps only")
    arguments = parser.parse_args()
    numbers = np.sqrt(sunspots.load_pandas().data.SUNACTIVITY.to_numpy())  # counts vary less at their square roots
    inputs = np.lib.stride_tricks.sliding_window_view(numbers, LAGS)[:-1].astype(np.float32) / 10
    targets = numbers[LAGS:].astype(np.float32) / 10
    found, truth = {}, (10 * targets[TRAINED:]) ** 2
    for kind in COLORS:
        net = train(kind, inputs[:TRAINED], targets[:TRAINED], 30 if arguments.quick else 1500)
        found[kind] = (10 * np.maximum(quantiles(kind, np.asarray(net(inputs[TRAINED:]))), 0)) ** 2
        score = 2 * jaxloss.quantile_loss(found[kind].astype(np.float32), truth, quantile=LEVELS)
        inside = np.mean((found[kind][:, 0] <= truth) & (truth <= found[kind][:, -1]))
        print(f"{kind}: CRPS from the quantiles {score:.2f} sunspots; the intervals for 80 % hold {inside:.0%}")
    draw(arguments.picture, 1700 + LAGS + TRAINED + np.arange(len(truth)), truth, found)


if __name__ == "__main__":
    main()
