"""Separate two signals that were added, with a loss that accepts them in any order.

The signals are windows of the sunspots' yearly numbers and of the weekly carbon dioxide in Hawaii's air without its
growth, both from statsmodels. A mixture adds a window of each, at random loudness. A small convolutional network
predicts two signals. It is trained with the scale-invariant signal-to-distortion ratio of the best order, because
nothing says which of its outputs is for the sunspots. Run it with (a minute on a CPU, without a network):

    pip install "jaxloss[examples]"
    python examples/separate_signals.py
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from statsmodels.datasets import co2, sunspots
from tqdm import tqdm

import jaxloss

LENGTH, BATCH = 96, 32
separation_loss = jaxloss.permutation_invariant(jaxloss.si_sdr_loss)


def series() -> list[np.ndarray]:
    """The sunspots, and carbon dioxide's cycle of a year: its difference from the mean of the 53 weeks around."""
    dioxide = co2.load().data["co2"].interpolate().to_numpy()
    cycle = dioxide[26:-26] - np.convolve(dioxide, np.ones(53) / 53, "valid")
    return [sunspots.load().data["SUNACTIVITY"].to_numpy(), cycle]


def sources(rng: np.random.Generator, parts: list[np.ndarray], number: int) -> np.ndarray:
    """Windows of both series in random order, shape (number, 2, LENGTH), without their means."""
    starts = [rng.integers(0, len(part) - LENGTH + 1, (number, 1)) for part in parts]
    windows = np.stack([part[start + np.arange(LENGTH)] for part, start in zip(parts, starts, strict=True)], 1)
    windows -= windows.mean(-1, keepdims=True)
    windows *= rng.uniform(0.5, 2, (number, 2, 1)) / windows.std(-1, keepdims=True)
    flipped = rng.random(number) < 0.5
    windows[flipped] = windows[flipped, ::-1]
    return windows.astype("float32")


class Separator(nnx.Module):
    """Convolutions in time. The last one has two channels, the sources."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(1, 32, (25,), rngs=rngs)
        self.second = nnx.Conv(32, 32, (25,), rngs=rngs)
        self.last = nnx.Conv(32, 2, (25,), rngs=rngs)

    def __call__(self, mixtures: jax.Array) -> jax.Array:
        hidden = nnx.gelu(self.second(nnx.gelu(self.first(mixtures[..., None]))))
        return jnp.swapaxes(self.last(hidden), -1, -2)


@nnx.jit
def step(net: Separator, optimizer: nnx.Optimizer, batch: jax.Array) -> None:
    gradient = nnx.grad(lambda net: separation_loss(net(batch.sum(1)), batch))(net)
    optimizer.update(net, gradient)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--quick", action="store_true", help="train for 30 steps alone")
    arguments = parser.parse_args()

    parts = series()
    ends = [len(part) * 3 // 5 for part in parts]  # the rest is held out
    trained = [part[:end] for part, end in zip(parts, ends, strict=True)]
    held_out = [part[end:] for part, end in zip(parts, ends, strict=True)]
    rng, net = np.random.default_rng(0), Separator(nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.adam(1e-3), wrt=nnx.Param)
    for _ in tqdm(range(30 if arguments.quick else arguments.steps), unit="step"):
        step(net, optimizer, jnp.asarray(sources(rng, trained, BATCH)))

    tests = jnp.asarray(sources(rng, held_out, 256))
    mixtures = tests.sum(1)
    predictions = net(mixtures)
    before = -separation_loss(jnp.broadcast_to(mixtures[:, None], tests.shape), tests)
    print(f"signal-to-distortion ratio: {before:.1f} dB in the mixtures, {-separation_loss(predictions, tests):.1f} dB")
    order = jaxloss.best_permutation(jaxloss.si_sdr_loss)(predictions, tests)
    aligned = jnp.take_along_axis(predictions, order[..., None], axis=-2)
    print(f"in the order of the targets: {-jaxloss.si_sdr_loss(aligned, tests):.1f} dB")


if __name__ == "__main__":
    main()
