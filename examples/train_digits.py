"""Train a small convolutional network on handwritten digits, and draw what it gets wrong.

The data are scikit-learn's 1,797 scans of 8x8 pixels, half of them held out (the same people wrote both halves).
Batches have one size, so that the step is compiled once: the last one is padded, and `where=` leaves the padding out
of the loss. `jaxloss.parts` makes the loss of many batches exact, however many digits each of them holds.

Run it with (under a minute on a laptop, without a network; `--quick` takes a few epochs only):

    pip install "jaxloss[examples]"
    python examples/train_digits.py --picture digits.png
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
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


class Digits(NamedTuple):
    """Digits, or a batch of them; NumPy's arrays outside of a compiled function and JAX's inside."""

    images: Float[np.ndarray | Array, "digits 8 8 1"]
    labels: Int[np.ndarray | Array, "digits"]
    mask: Bool[np.ndarray | Array, "digits"]  # False where a batch is padded

    def batches(self, order: Int[np.ndarray, "digits"]) -> Iterator["Digits"]:
        """All digits in this order, in batches of one size: the last one is filled up with zeros."""
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            missing = BATCH_SIZE - len(chosen)
            yield Digits(*(np.pad(field[chosen], [(0, missing)] + [(0, 0)] * (field.ndim - 1)) for field in self))


def load() -> tuple[Digits, Digits]:
    """The digits to learn from, and the held-out ones."""
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    mask = np.full(len(labels), True)
    halves = train_test_split(images, labels, mask, test_size=0.5, stratify=labels, random_state=0)
    return Digits(*halves[0::2]), Digits(*halves[1::2])


class Net(nnx.Module):
    """Two convolutions, a pooling and two dense layers: images to one logit per class."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 32, (3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, (3, 3), rngs=rngs)
        self.dense = nnx.Linear(4 * 4 * 64, 128, rngs=rngs)
        self.head = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, images: Float[np.ndarray | Array, "digits 8 8 1"]) -> Float[Array, "digits 10"]:
        hidden = nnx.relu(self.conv2(nnx.relu(self.conv1(images))))
        hidden = nnx.max_pool(hidden, (2, 2), strides=(2, 2))
        hidden = nnx.relu(self.dense(hidden.reshape(len(hidden), -1)))
        return self.head(hidden)


@nnx.jit
def train_step(net: Net, optimizer: nnx.Optimizer, batch: Digits) -> jaxloss.Mean:
    """Learn from a batch; its loss comes back as a part of the epoch's."""

    def objective(net: Net) -> tuple[Float[Array, ""], jaxloss.Mean]:
        loss = jaxloss.parts(LOSS)(net(batch.images), batch.labels, where=batch.mask)
        return loss.value, loss

    (_, loss), gradient = nnx.value_and_grad(objective, has_aux=True)(net)
    optimizer.update(net, gradient)
    return loss


@nnx.jit
def evaluate_batch(net: Net, batch: Digits) -> tuple[jaxloss.Mean, jaxloss.Mean]:
    """The batch's part of the loss and of the accuracy: `reduce` makes a loss, or a score, of your own."""
    logits = net(batch.images)
    correct = (jnp.argmax(logits, axis=-1) == batch.labels).astype(jnp.float32)
    loss = jaxloss.parts(LOSS)(logits, batch.labels, where=batch.mask)
    accuracy = jaxloss.parts(jaxloss.reduce)(correct, where=batch.mask)
    return loss, accuracy


def evaluate(net: Net, digits: Digits) -> tuple[float, float]:
    """Loss and accuracy over all digits: the parts of the batches add, and are divided once, at the end."""
    batches = digits.batches(np.arange(len(digits.labels)))
    losses, accuracies = zip(*(evaluate_batch(net, batch) for batch in batches), strict=True)
    return float(sum(losses).value), float(sum(accuracies).value)


def draw(path: Path, curves: dict[str, list[float]], net: Net, held_out: Digits, shown: int = 12) -> None:
    """Left the losses after each epoch, right the held-out digits that the network gets wrong."""
    logits = net(held_out.images)
    guesses = np.argmax(logits, axis=-1)
    losses = jaxloss.cross_entropy(logits, held_out.labels, reduction="none")
    wrong = [digit for digit in np.argsort(-losses) if guesses[digit] != held_out.labels[digit]]  # the worst first
    matplotlib.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(10, 4.2), layout="constrained")  # without pyplot no display is needed
    left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1), wspace=0.06)

    axes = left.subplots()
    for name, curve in curves.items():
        axes.plot(range(1, len(curve) + 1), curve, label=name, linewidth=2)
    smoothed = optax.smooth_labels(jax.nn.one_hot(0, 10), LOSS.label_smoothing)
    least = float(jaxloss.cross_entropy(jnp.log(smoothed), smoothed))  # not 0: a smoothed label has an entropy
    axes.axhline(least, label="least possible", color="gray", linestyle=":")
    axes.set(xlabel="epoch", ylabel="loss (nats)", title="cross-entropy, labels smoothed by 0.1")
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False)

    some = f"; the worst {shown}" if len(wrong) > shown else ""
    right.suptitle(f"{len(wrong)} of {len(guesses)} held-out digits wrong{some}", fontsize="large")
    rows = 2 if len(wrong) <= 6 else 3
    cells = right.subplots(rows, rows + 1).ravel()
    for cell in cells:
        cell.axis("off")
    for cell, digit in zip(cells, wrong, strict=False):
        cell.imshow(held_out.images[digit, ..., 0], cmap="gray_r")
        cell.set_title(f"{held_out.labels[digit]} read as {guesses[digit]}", fontsize="medium")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("digits.png"), help="where to write it")
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    arguments = parser.parse_args()
    epochs = 4 if arguments.quick else 30

    train, held_out = load()
    net, rng = Net(nnx.Rngs(0)), np.random.default_rng(0)
    steps = epochs * -(-len(train.labels) // BATCH_SIZE)
    optimizer = nnx.Optimizer(net, optax.adamw(optax.cosine_decay_schedule(2e-3, steps)), wrt=nnx.Param)

    learning, tested = [], []
    for _ in (bar := tqdm(range(epochs), unit="epoch")):
        order = rng.permutation(len(train.labels))
        epoch = sum(train_step(net, optimizer, batch) for batch in train.batches(order))
        loss, accuracy = evaluate(net, held_out)
        learning.append(float(epoch.value))
        tested.append(loss)
        bar.set_postfix(held_out=f"{loss:.3f}", accuracy=f"{accuracy:.1%}")

    draw(arguments.picture, {"training, while it learns": learning, "held out": tested}, net, held_out)
    print(f"held-out loss {loss:.4f}, accuracy {accuracy:.2%}, picture {arguments.picture}")


if __name__ == "__main__":
    main()
