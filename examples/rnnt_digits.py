"""Spell strips of handwritten digits as English words, letter by letter, with an RNN transducer.

A strip of scikit-learn's scans, such as "seven three", has fewer frames than letters, so that CTC cannot spell it. Run
it without a network (two minutes):

    pip install "jaxloss[examples]" && python examples/rnnt_digits.py --picture rnnt_digits.png
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import jaxloss

WORDS = "zero one two three four five six seven eight nine".split()
LETTERS = "".join(sorted({" ", *"".join(WORDS)}))
BLANK, MOST, SIZE = len(LETTERS), 4, 128  # the last class; the words of a strip; hidden features
FRAMES, LONGEST = MOST * 5 // 2, MOST * 6 - 1  # ten pixels a digit, four pixels a frame; letters with spaces


def strips(rng: np.random.Generator, scans: np.ndarray, digits: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Random texts, written in scans: images, letters, and the frames and letters in use."""
    images, targets = np.zeros((count, 8, 4 * FRAMES), np.float32), np.zeros((count, LONGEST), int)
    frames, lengths = np.zeros((2, count), int)
    for strip in range(count):
        chosen = rng.integers(len(scans), size=rng.integers(2, MOST + 1))
        for place, scan in enumerate(scans[chosen]):
            images[strip, :, (start := 10 * place + rng.integers(3)) : start + 8] = scan / 16
        text = " ".join(WORDS[digit] for digit in digits[chosen])
        targets[strip, : len(text)] = [LETTERS.index(letter) for letter in text]
        frames[strip], lengths[strip] = 5 * len(chosen) // 2, len(text)
    return images, targets, frames, lengths


class Net(nnx.Module):
    """Strips and the letters so far to the logits of the next letter, or of the blank, in every frame."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1, self.conv2 = nnx.Conv(1, 16, (3, 3), rngs=rngs), nnx.Conv(16, 32, (3, 3), rngs=rngs)
        self.wide, self.dropout = nnx.Conv(64, SIZE, (5,), rngs=rngs), nnx.Dropout(0.2, rngs=rngs)
        self.embed, self.cell = nnx.Embed(BLANK + 1, 32, rngs=rngs), nnx.GRUCell(32, SIZE, rngs=rngs)
        self.head = nnx.Linear(SIZE, BLANK + 1, rngs=rngs)

    def encode(self, images: Float[Array, "strips 8 40"]) -> Float[Array, "strips 10 128"]:
        hidden = nnx.max_pool(nnx.relu(self.conv1(images[..., None])), (2, 2), strides=(2, 2))
        hidden = nnx.max_pool(nnx.relu(self.conv2(hidden)), (2, 2), strides=(2, 2))
        return self.wide(self.dropout(hidden.swapaxes(1, 2).reshape(len(images), FRAMES, 64)))

    def __call__(self, images: Float[Array, "strips 8 40"], targets: Int[Array, "strips 23"]) -> Float[Array, "..."]:
        before = jnp.pad(targets, ((0, 0), (1, 0)), constant_values=BLANK)  # the letter before each letter
        letters = nnx.RNN(self.cell)(self.embed(before))
        return self.head(nnx.relu(self.encode(images)[:, :, None] + letters[:, None]))

    def spell(self, images: Float[Array, "strips 8 40"], used: Int[Array, "strips"]) -> Int[Array, "steps strips"]:
        """The most probable letter of each step, or the blank, which goes on to the next frame."""
        frames, strip = self.encode(images), jnp.arange(len(images))

        def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
            frame, letters = state
            logits = self.head(nnx.relu(frames[strip, jnp.minimum(frame, used - 1)] + letters))
            best = jnp.where(frame < used, jnp.argmax(logits, -1), BLANK)
            letters = jnp.where((best == BLANK)[:, None], letters, self.cell(letters, self.embed(best))[0])
            return (frame + (best == BLANK), letters), best

        nothing = self.cell(jnp.zeros((len(images), SIZE)), self.embed(jnp.full(len(images), BLANK)))[0]
        return jax.lax.scan(step, (jnp.zeros_like(used), nothing), length=FRAMES + LONGEST)[1]


@nnx.jit
def train(net: Net, optimizer: nnx.Optimizer, images: Array, targets: Array, *lengths: Array) -> Float[Array, ""]:
    loss, slopes = nnx.value_and_grad(lambda net: jaxloss.rnnt_loss(net(images, targets), targets, *lengths))(net)
    optimizer.update(net, slopes)
    return loss


def draw(path: str, logits: Float[Array, "10 24 17"], image: np.ndarray, target: np.ndarray, *used: int) -> None:
    """A strip, above the probability that an alignment of its letters passes through each cell of the grid."""
    loss, (frames, length) = jaxloss.RNNTLoss(fused_log_softmax=False), used
    # Minus the gradient is the probability of each step, and an alignment leaves a cell by one step.
    cells = -jax.grad(loss)(jaxloss.log_softmax(logits), target, *used).sum(-1)[:frames, : length + 1]
    above, below = Figure(figsize=(7, 5), layout="constrained").subplots(2, 1, sharex=True, height_ratios=(1, 2.4))
    above.imshow(image[:, : 4 * frames], cmap="gray_r", extent=(0, frames, 0, 2), aspect="auto")
    above.set_yticks([])
    below.imshow(cells.T, cmap="Blues", extent=(0, frames, length + 1, 0), aspect="auto")
    names, places = ["start", *(LETTERS[letter] for letter in target[:length])], np.arange(length + 1) + 0.5
    below.set(xlabel="frame", ylabel="last letter", yticks=places, yticklabels=names)
    below.figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", default="rnnt_digits.png", help="where to write it")
    parser.add_argument("--quick", action="store_true", help="train for some steps only")
    arguments = parser.parse_args()
    pixels, digits = load_digits(return_X_y=True)
    scans, unseen, digits, answers = train_test_split(pixels.reshape(-1, 8, 8), digits, test_size=0.3, random_state=0)
    net, rng, steps = Net(nnx.Rngs(0)), np.random.default_rng(0), 20 if arguments.quick else 600
    optimizer = nnx.Optimizer(net, optax.adamw(optax.cosine_decay_schedule(4e-3, steps)), wrt=nnx.Param)
    for _ in (bar := tqdm(range(steps), unit="step")):
        bar.set_postfix(loss=f"{train(net, optimizer, *strips(rng, scans, digits, 64)):.3f}", refresh=False)
    net.eval()
    images, targets, frames, lengths = test = strips(rng, unseen, answers, 500)
    read, drawn = np.asarray(nnx.jit(Net.spell)(net, images, frames)).T, np.argmax(lengths)
    same = [list(row[row != BLANK]) == list(y[:n]) for row, y, n in zip(read, targets, lengths, strict=True)]
    draw(arguments.picture, net(images, targets)[drawn], *(field[drawn] for field in test))
    print(f"{np.mean(same):.1%} of 500 held-out strips spelled without a mistake; picture {arguments.picture}")


if __name__ == "__main__":
    main()
