"""Name the digit that each pixel of a strip belongs to, where the faint borders of the strokes belong to no class.

A strip is six of scikit-learn's scans at random heights; those to test on are of held-out scans. Dark pixels have the
class of their digit, white ones are background. The faint pixels between have the label 255, which neither term of the
loss counts. A small U-Net in Flax's linen learns in a `TrainState`. Run it without a network (a minute):

    pip install "jaxloss[examples]" && python examples/segmentation.py --picture segmentation.png
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.training.train_state import TrainState
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import jaxloss

IGNORED, HEIGHT, WIDTH = 255, 16, 48  # class 0 is the background, and class 1 + d the digit d
POOLED = (0, 1, 2)  # a region is a class in all strips of a batch, because a strip lacks most digits
LOSS = jaxloss.DiceLoss(pixel_axes=POOLED, ignore_index=IGNORED) + jaxloss.CrossEntropyLoss(ignore_index=IGNORED)
Images, Labels = Float[Array, "strips 16 48"], Int[Array, "strips 16 48"]


def strips(rng: np.random.Generator, scans: np.ndarray, digits: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Random digits side by side, and the class of each pixel."""
    images, labels = np.zeros((count, HEIGHT, WIDTH), np.float32), np.zeros((count, HEIGHT, WIDTH), int)
    for image, label in zip(images, labels, strict=True):
        for left, chosen in enumerate(rng.integers(len(scans), size=WIDTH // 8)):
            place = np.s_[(top := rng.integers(HEIGHT - 7)) : top + 8, 8 * left : 8 * left + 8]
            image[place], label[place] = scans[chosen], np.where(scans[chosen] > 0.5, 1 + digits[chosen], 0)
    return images, np.where((images > 0) & (images <= 0.5), IGNORED, labels)


class Net(nn.Module):
    """Strips to the logits of the eleven classes of each pixel."""

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "strips 16 48 11"]:
        fine = nn.relu(nn.Conv(16, (3, 3))(images[..., None]))
        half = nn.relu(nn.Conv(32, (3, 3))(nn.max_pool(fine, (2, 2), (2, 2))))
        quarter = nn.relu(nn.Conv(128, (3, 3))(nn.max_pool(half, (2, 2), (2, 2))))
        half = nn.relu(nn.Conv(32, (3, 3))(jnp.concatenate([half, quarter.repeat(2, 1).repeat(2, 2)], -1)))
        fine = nn.relu(nn.Conv(16, (3, 3))(jnp.concatenate([fine, half.repeat(2, 1).repeat(2, 2)], -1)))
        return nn.Conv(11, (1, 1))(fine)


@jax.jit
def step(state: TrainState, images: Images, labels: Labels) -> tuple[TrainState, Float[Array, ""]]:
    loss, gradient = jax.value_and_grad(lambda params: LOSS(state.apply_fn(params, images), labels))(state.params)
    return state.apply_gradients(grads=gradient), loss


def draw(path: Path, image: np.ndarray, label: np.ndarray, guess: np.ndarray, overlap: Array) -> None:
    """A strip, its labels and the classes that the network names; below, the overlap of each digit."""
    figure = Figure(figsize=(7, 6), layout="constrained")  # without pyplot no display is needed
    *rows, below = figure.subplots(4, 1, height_ratios=(1, 1, 1, 1.4))
    inks = [np.ma.masked_where((each == 0) | (each == IGNORED), each - 1) for each in (label, guess)]
    titles = "a held-out strip", "its labels, ignored pixels in gray", "the network's"
    for row, picture, title in zip(rows, (image, *inks), titles, strict=True):
        row.imshow(picture, vmin=0, **({"cmap": "gray_r"} if picture is image else {"cmap": "tab10", "vmax": 9}))
        row.set(title=title, xticks=[], yticks=[])
    rows[1].imshow(np.ma.masked_where(label != IGNORED, label), cmap="gray", vmin=0, vmax=300)
    below.bar(range(10), overlap[1:], color=[f"C{digit}" for digit in range(10)])
    below.set(title="held-out intersection over union", xlabel="digit", xticks=range(10), ylim=(0, 1))
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("segmentation.png"), help="where to write it")
    parser.add_argument("--quick", action="store_true", help="train for some steps only")
    arguments = parser.parse_args()
    scans, digits = np.float32(load_digits().images / 16), load_digits().target
    scans, unseen, digits, answers = train_test_split(scans, digits, test_size=0.3, stratify=digits, random_state=0)
    net, rng, steps = Net(), np.random.default_rng(0), 20 if arguments.quick else 1000
    parameters, rates = net.init(jax.random.key(0), scans[:1]), optax.cosine_decay_schedule(3e-3, steps)
    state = TrainState.create(apply_fn=net.apply, params=parameters, tx=optax.adamw(rates))
    for _ in (bar := tqdm(range(steps), unit="step")):
        state, loss = step(state, *strips(rng, scans, digits, 32))
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
    images, labels = strips(rng, unseen, answers, 200)
    guesses = np.asarray(net.apply(state.params, images)).argmax(-1)
    options = {"activation": None, "pixel_axes": POOLED, "ignore_index": IGNORED, "reduction": "none"}
    overlap = 1 - jaxloss.jaccard_loss(np.eye(11)[guesses], labels, **options)
    draw(arguments.picture, images[0], labels[0], guesses[0], overlap)
    print(f"mean intersection over union {overlap.mean():.1%}; picture {arguments.picture}")


if __name__ == "__main__":
    main()
