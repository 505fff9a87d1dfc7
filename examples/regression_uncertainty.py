"""Predict how a disease progresses, and how far off the prediction may be, with a Gaussian negative log-likelihood.

The data are scikit-learn's 442 diabetes patients: ten measurements each, and the progression a year later. A linear
layer gives every patient a mean and a variance. The picture shows the intervals that should hold nine patients of ten,
and how many they do hold. Run it with (some seconds, without a network):

    pip install "jaxloss[examples]"
    python examples/regression_uncertainty.py --picture regression_uncertainty.png
"""

import argparse
from pathlib import Path
from statistics import NormalDist

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import jaxloss

Inputs, Values = Float[Array, "patients 10"], Float[Array, "patients"]


def predict(net: nnx.Linear, inputs: Inputs) -> tuple[Values, Values]:
    """A mean and a variance, which must be positive, for every patient."""
    mean, log_variance = net(inputs).T
    return mean, jnp.exp(log_variance)


@nnx.jit
def step(net: nnx.Linear, optimizer: nnx.Optimizer, inputs: Inputs, targets: Values) -> None:
    def objective(net: nnx.Linear) -> Float[Array, ""]:
        mean, variance = predict(net, inputs)
        return jaxloss.gaussian_nll_loss(mean, targets, variance)

    optimizer.update(net, nnx.grad(objective)(net))


def interval(level: float) -> float:
    """How many standard deviations on each side hold such a share of a Gaussian."""
    return NormalDist().inv_cdf((1 + level) / 2)


def draw(path: Path, mean: np.ndarray, deviation: np.ndarray, truth: np.ndarray) -> None:
    """Left the interval of every held-out patient, right how many of them intervals of every size hold."""
    figure = Figure(figsize=(7, 3.4), layout="constrained")  # without pyplot no display is needed
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    order, half = np.argsort(mean), interval(0.9) * deviation
    left.bar(range(len(mean)), (2 * half)[order], bottom=(mean - half)[order], color="#c5cae9", width=1)
    left.plot(mean[order], color="#3949ab", linewidth=2, label="mean, interval for 90 %")
    inside = (np.abs(truth - mean) <= half)[order]
    for held, color, name in ((True, "#444444", "inside"), (False, "#d4580a", "outside")):
        left.plot(np.flatnonzero(inside == held), truth[order][inside == held], "o", ms=3, color=color, label=name)
    left.set(xlabel="held-out patient, by predicted mean", ylabel="progression after a year", ylim=(-60, 480))
    left.legend(loc="upper left", frameon=False)

    levels = np.linspace(0.02, 0.98, 49)
    shares = [np.mean(np.abs(truth - mean) <= interval(level) * deviation) for level in levels]
    right.plot([0, 1], [0, 1], color="gray", linestyle=":", label="as it should be")
    right.plot(levels, shares, color="#3949ab", linewidth=2, label="held-out patients")
    right.set(title="share of patients", xlabel="should hold", ylabel="holds", aspect="equal")
    right.legend(loc="upper left", frameon=False)
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("regression_uncertainty.png"), help="where to write it")
    parser.add_argument("--quick", action="store_true", help="train for a few steps only")
    arguments = parser.parse_args()

    data = load_diabetes(return_X_y=True, scaled=False)
    inputs, held_inputs, truth, held_truth = train_test_split(*data, test_size=0.4, random_state=0)
    center, unit = truth.mean(), truth.std()
    held_inputs = jnp.asarray((held_inputs - inputs.mean(0)) / inputs.std(0), jnp.float32)
    inputs = jnp.asarray((inputs - inputs.mean(0)) / inputs.std(0), jnp.float32)
    targets, held_targets = (jnp.asarray((each - center) / unit, jnp.float32) for each in (truth, held_truth))

    net = nnx.Linear(10, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.adamw(1e-2, weight_decay=1.0), wrt=nnx.Param)
    for _ in tqdm(range(30 if arguments.quick else 300), unit="step"):
        step(net, optimizer, inputs, targets)

    mean, variance = predict(net, held_inputs)
    own = jaxloss.gaussian_nll_loss(mean, held_targets, variance)
    one = jaxloss.gaussian_nll_loss(mean, held_targets, jnp.square(predict(net, inputs)[0] - targets).mean())
    draw(arguments.picture, np.asarray(mean) * unit + center, np.sqrt(variance) * unit, held_truth)
    inside = jnp.mean(jnp.abs(held_targets - mean) <= interval(0.9) * jnp.sqrt(variance))
    print(f"held-out loss {own:.3f}, with one variance for all {one:.3f}; intervals for 90 % hold {inside:.0%}")


if __name__ == "__main__":
    main()
