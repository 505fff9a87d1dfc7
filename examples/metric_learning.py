"""Learn where to put handwritten digits in the plane, so that the same digits lie together, from triplets.

The data are scikit-learn's 1,797 scans of 8x8 pixels, half of them held out. A batch holds as many of every digit. In
it every image is an anchor, with each image of the same digit as a positive, and as the negative the nearest image of
another digit that is farther away than the positive, or the farthest of all if none is (Schroff et al., 2015).
Run it with (some seconds on a laptop, without a network):

    pip install "jaxloss[examples]"
    python examples/metric_learning.py --picture metric_learning.png
"""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from tqdm import tqdm

import jaxloss

OF_EACH = 12  # images of every digit in a batch
SAME = np.kron(np.eye(10), np.ones((OF_EACH, OF_EACH))) > 0  # (batch, batch): whether two images show the same digit


class Net(nnx.Module):
    """64 pixels to a point of the plane."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List([nnx.Linear(64, 256, rngs=rngs), nnx.Linear(256, 128, rngs=rngs)])
        self.head = nnx.Linear(128, 2, rngs=rngs)

    def __call__(self, images: Float[Array, "batch 64"]) -> Float[Array, "batch 2"]:
        for layer in self.layers:
            images = nnx.relu(layer(images))
        return self.head(images)


def triplets(points: Float[Array, "batch 2"]) -> Float[Array, ""]:
    """The mean loss of all pairs of the same digit, each with its negative."""
    distance = jaxloss.pairwise_distance(points[:, None], points)
    farther = jnp.where(~SAME[:, None] & (distance[:, None] > distance[:, :, None]), distance[:, None], jnp.inf)
    fallback = jnp.argmax(jnp.where(SAME, -jnp.inf, distance), axis=-1)[:, None]
    negative = jnp.where(jnp.isfinite(farther.min(-1)), jnp.argmin(farther, axis=-1), fallback)
    positives = SAME & ~np.eye(len(SAME), dtype=bool)
    return jaxloss.triplet_margin_loss(points[:, None], points[None], points[negative], where=positives)


@nnx.jit
def step(net: Net, optimizer: nnx.Optimizer, images: Float[Array, "batch 64"]) -> Float[Array, ""]:
    loss, gradient = nnx.value_and_grad(lambda net: triplets(net(images)))(net)
    optimizer.update(net, gradient)
    return loss


def draw(path: Path, panels: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """The points of every panel, each as the digit it is."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")  # without pyplot no display is needed
    for axes, (title, (points, labels)) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for digit in range(10):
            axes.plot(*points[labels == digit].T, linestyle="", marker=f"${digit}$", markersize=4, markeredgewidth=0.2)
        axes.set(title=title, xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("metric_learning.png"), help="where to write it")
    parser.add_argument("--quick", action="store_true", help="train for a few steps only")
    arguments = parser.parse_args()

    pixels, digits = load_digits(return_X_y=True)
    parts = train_test_split(np.float32(pixels / 16), digits, test_size=0.5, stratify=digits, random_state=0)
    images, held_images, labels, held_labels = parts
    net, rng = Net(nnx.Rngs(0)), np.random.default_rng(0)
    steps = 60 if arguments.quick else 600
    optimizer = nnx.Optimizer(net, optax.adamw(optax.cosine_decay_schedule(1e-3, steps)), wrt=nnx.Param)
    before = np.asarray(net(held_images))
    for _ in (bar := tqdm(range(steps), unit="step")):
        chosen = [rng.choice(np.flatnonzero(labels == digit), OF_EACH, replace=False) for digit in range(10)]
        batch = images[np.concatenate(chosen)]
        loss = step(net, optimizer, batch + 0.15 * rng.standard_normal(batch.shape, np.float32))
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

    points, held_points = np.asarray(net(images)), np.asarray(net(held_images))
    accuracy = KNeighborsClassifier(5).fit(points, labels).score(held_points, held_labels)
    draw(arguments.picture, {"before": (before, held_labels), f"after {steps} steps": (held_points, held_labels)})
    print(f"nearest neighbours name {accuracy:.1%} of the held-out digits; picture {arguments.picture}")


if __name__ == "__main__":
    main()
