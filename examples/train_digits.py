"""Train a small convolutional network on handwritten digits, and draw what it gets wrong.

The data are scikit-learn's 1,797 scans of 8x8 pixels, half of them held out (the same people wrote both halves).
Batches have one size, so that the step is compiled once: the last one is filled up, and `where=` leaves that out of the
loss. `jaxloss.parts` makes the loss of an epoch exact, however many digits each batch holds. Run it without a network:

    pip install "jaxloss[examples]" && python examples/train_digits.py --picture digits.png
"""

import argparse
from pathlib import Path

import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import jaxloss

BATCH_SIZE = 48
LOSS = jaxloss.CrossEntropyLoss(label_smoothing=0.1)
Images, Labels, Mask = Float[Array, "digits 8 8 1"], Int[Array, "digits"], Bool[Array, "digits"]


class Net(nnx.Module):
    """Two convolutions, a pooling and two dense layers: images to one logit per class."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1, self.conv2 = nnx.Conv(1, 32, (3, 3), rngs=rngs), nnx.Conv(32, 64, (3, 3), rngs=rngs)
        self.dense, self.head = nnx.Linear(4 * 4 * 64, 128, rngs=rngs), nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, images: Images) -> Float[Array, "digits 10"]:
        hidden = nnx.relu(self.conv2(nnx.relu(self.conv1(images))))
        hidden = nnx.max_pool(hidden, (2, 2), strides=(2, 2))
        return self.head(nnx.relu(self.dense(hidden.reshape(len(hidden), -1))))


@nnx.jit
def train_step(net: Net, optimizer: nnx.Optimizer, images: Images, labels: Labels, mask: Mask) -> jaxloss.Mean:
    """Learn from a batch; its loss comes back as a part of the epoch's."""

    def objective(net: Net) -> tuple[Float[Array, ""], jaxloss.Mean]:
        loss = jaxloss.parts(LOSS)(net(images), labels, where=mask)
        return loss.value, loss

    gradient, loss = nnx.grad(objective, has_aux=True)(net)
    optimizer.update(net, gradient)
    return loss


def draw(path: Path, curves: dict[str, list[float]], images: np.ndarray, labels: np.ndarray, logits: Array) -> None:
    """Left the losses after each epoch, right the held-out digits of the highest loss."""
    guesses, losses = np.argmax(logits, axis=-1), jaxloss.cross_entropy(logits, labels, reduction="none")
    figure = Figure(figsize=(7, 3.6), layout="constrained")  # without pyplot no display is needed
    left, *cells = figure.subplot_mosaic("LLL123\nLLL456").values()
    for name, curve in curves.items():
        left.plot(range(1, len(curve) + 1), curve, label=name, linewidth=2)
    left.axhline(0.5003, label="entropy of a smoothed label", color="gray", linestyle=":")
    left.set(xlabel="epoch", ylabel="smoothed cross-entropy (nats)")
    left.legend(frameon=False)
    wrong = np.sum(guesses != labels)
    figure.suptitle(f"{wrong} of {len(labels)} held-out digits read wrongly; the six of the highest loss")
    for cell, digit in zip(cells, np.argsort(-losses)[:6], strict=True):
        cell.axis("off")
        cell.imshow(images[digit, ..., 0], cmap="gray_r")
        cell.set_title(f"{labels[digit]} read as {guesses[digit]}", fontsize="medium")
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("digits.png"), help="where to write it")
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    arguments = parser.parse_args()
    pixels, digits = load_digits(return_X_y=True)
    scans = np.float32(pixels / 16).reshape(-1, 8, 8, 1)
    images, unseen, labels, answers = train_test_split(scans, digits, test_size=0.5, stratify=digits, random_state=0)
    net, rng, learning, tested = Net(nnx.Rngs(0)), np.random.default_rng(0), [], []
    epochs, count = 4 if arguments.quick else 30, -(-len(labels) // BATCH_SIZE)
    optimizer = nnx.Optimizer(net, optax.adamw(optax.cosine_decay_schedule(2e-3, epochs * count)), wrt=nnx.Param)
    for _ in (bar := tqdm(range(epochs), unit="epoch")):
        order = np.resize(rng.permutation(len(labels)), (count, BATCH_SIZE))  # filled up with its beginning
        mask = np.arange(order.size).reshape(order.shape) < len(labels)
        batches = zip(images[order], labels[order], mask, strict=True)
        epoch = sum(train_step(net, optimizer, *batch) for batch in batches)
        logits = net(unseen)
        learning.append(float(epoch.value))
        tested.append(float(LOSS(logits, answers)))
        bar.set_postfix(held_out=f"{tested[-1]:.3f}")
    draw(arguments.picture, {"while it learns": learning, "held out": tested}, unseen, answers, logits)
    print(f"held-out loss {tested[-1]:.4f}, accuracy {np.mean(logits.argmax(-1) == answers):.2%}")


if __name__ == "__main__":
    main()
