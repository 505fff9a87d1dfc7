"""Read strips of handwritten digits as numbers, with CTC, which is not told where in a strip each digit stands.

A strip is three to six of scikit-learn's scans side by side, with gaps of up to three pixels; those to test on are of
held-out scans. A convolutional network names a digit, or none, for every second column of pixels, and
`jaxloss.ctc_loss` sums over all the ways to name them that spell the number. Run it without a network (a minute):

    pip install "jaxloss[examples]" && python examples/ctc_digits.py --picture ctc_digits.png
"""

import argparse
from pathlib import Path

import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import jaxloss

MOST, WIDTH = 6, 72  # digits of a strip, and pixels; class 0 is CTC's blank, and class 1 + d the digit d


def strips(rng: np.random.Generator, scans: np.ndarray, digits: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Random numbers, written in scans: images, targets, the frames and the digits in use."""
    lengths, frames = rng.integers(3, MOST + 1, count), np.zeros(count, int)
    images, targets = np.zeros((count, 8, WIDTH), np.float32), np.zeros((count, MOST), int)
    for strip, length in enumerate(lengths):
        end = 0
        for place, chosen in enumerate(rng.integers(len(scans), size=length)):
            start = end + rng.integers(4)
            end = start + 8
            images[strip, :, start:end], targets[strip, place] = scans[chosen], 1 + digits[chosen]
        frames[strip] = -(-end // 2)
    return images, targets, frames, lengths


class Net(nnx.Module):
    """Strips to the log-probabilities of the eleven classes in every frame."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1, self.conv2 = nnx.Conv(1, 16, (3, 3), rngs=rngs), nnx.Conv(16, 32, (3, 3), rngs=rngs)
        self.wide, self.head = nnx.Conv(128, 128, (5,), rngs=rngs), nnx.Linear(128, 11, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)

    def __call__(self, images: Float[Array, "strips 8 72"]) -> Float[Array, "strips 36 11"]:
        hidden = nnx.relu(self.conv2(nnx.relu(self.conv1(images[..., None]))))
        hidden = nnx.max_pool(hidden, (2, 2), strides=(2, 2)).swapaxes(1, 2).reshape(len(images), WIDTH // 2, 128)
        return jaxloss.log_softmax(self.head(self.dropout(nnx.relu(self.wide(hidden)))))


@nnx.jit
def step(net: Net, optimizer: nnx.Optimizer, images: Float[Array, "strips 8 72"], *targets: Array) -> Float[Array, ""]:
    loss, gradient = nnx.value_and_grad(lambda net: jaxloss.ctc_loss(net(images), *targets))(net)
    optimizer.update(net, gradient)
    return loss


def draw(path: Path, log_probs: Float[Array, "36 11"], image: np.ndarray, target: np.ndarray, *used: int) -> None:
    """A strip, above the probability that a frame is a class, given the number that the strip shows."""
    posterior, (frames, length) = jaxloss.ctc_alignment(log_probs, target, *used).posterior, used
    figure = Figure(figsize=(7, 3.6), layout="constrained")  # without pyplot no display is needed
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.6))
    above.imshow(image[:, : 2 * frames], cmap="gray_r", extent=(0, frames, 0, 4), aspect="auto")
    above.set(title=f"the number {''.join(str(digit - 1) for digit in target[:length])}", yticks=[])
    below.imshow(posterior.T[:, :frames], cmap="Blues", extent=(0, frames, 11, 0), aspect="auto")
    below.set(xlabel="frame", yticks=np.arange(11) + 0.5, yticklabels=["blank", *map(str, range(10))])
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("ctc_digits.png"), help="where to write it")
    parser.add_argument("--quick", action="store_true", help="train for some steps only")
    arguments = parser.parse_args()
    pixels, digits = load_digits(return_X_y=True)
    scans = np.float32(pixels / 16).reshape(-1, 8, 8)
    scans, unseen, digits, answers = train_test_split(scans, digits, test_size=0.3, stratify=digits, random_state=0)
    net, rng, steps = Net(nnx.Rngs(0)), np.random.default_rng(0), 30 if arguments.quick else 600
    optimizer = nnx.Optimizer(net, optax.adamw(optax.cosine_decay_schedule(5e-3, steps)), wrt=nnx.Param)
    for _ in (bar := tqdm(range(steps), unit="step")):
        loss = step(net, optimizer, *strips(rng, scans, digits, 64))
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

    net.eval()
    images, targets, frames, lengths = test = strips(rng, unseen, answers, 500)
    log_probs, longest = net(images), np.argmax(lengths)
    read, found = jaxloss.ctc_greedy_decode(log_probs, frames)
    same = [list(row[:n]) == list(target[:m]) for row, n, target, m in zip(read, found, targets, lengths, strict=True)]
    draw(arguments.picture, log_probs[longest], *(field[longest] for field in test))
    print(f"{np.mean(same):.1%} of 500 held-out strips read without a mistake; picture {arguments.picture}")


if __name__ == "__main__":
    main()
