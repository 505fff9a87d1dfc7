"""Evaluate a classifier by many losses at once, batch by batch in one compiled loop, and get the exact means.

The data are scikit-learn's 1,797 scans of handwritten digits, a quarter of them to learn from. Every loss gives a part
of its mean for every batch; the parts add, and are divided once, at the end. What is in which batch, the padding of the
last one, class weights and masks change nothing: the table shows the mean over all digits at once beside it, and the
average of the batches' means, which is another number. Run it with:

    pip install "jaxloss[examples]"
    python examples/batch_evaluation.py
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import jaxloss

BATCH_SIZE = 128
Logits, Labels = Float[Array, "batch 10"], Integer[Array, "batch"]
Means = dict[str, jaxloss.Mean]

RARE = jnp.where(jnp.arange(10) == 8, 5.0, 1.0)
LOSSES = {
    "cross-entropy": jaxloss.CrossEntropyLoss(),
    "  labels smoothed by 0.1": jaxloss.CrossEntropyLoss(label_smoothing=0.1),
    "  with eights five times": jaxloss.CrossEntropyLoss(weight=RARE),
    "multi-class margin": jaxloss.MultiMarginLoss(),
    "  squared": jaxloss.MultiMarginLoss(p=2),
    "both, summed": jaxloss.CrossEntropyLoss() + 0.5 * jaxloss.MultiMarginLoss(),
}


def parts_of(logits: Logits, labels: Labels) -> Means:
    """Every figure of a batch, unfinished. A label of -100 is padding."""
    real = labels >= 0
    right = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
    distances = jnp.square(jax.nn.softmax(logits) - jax.nn.one_hot(labels, 10)).sum(axis=-1)
    share = jaxloss.parts(jaxloss.reduce)  # the mean of anything that has one value per digit
    known = jnp.where(real, labels, 0)  # for losses without `ignore_index`, which look at every label
    found = {name: jaxloss.parts(loss)(logits, known, where=real) for name, loss in LOSSES.items()}
    found |= {"Brier score": share(distances, where=real), "accuracy": share(right, where=real)}
    return found | {f"  of {digit}s": share(right, where=labels == digit) for digit in (1, 8)}


@jax.jit
def evaluate(
    kernel: Float[Array, "64 10"],
    bias: Float[Array, "10"],
    images: Float[Array, "batches batch 64"],
    labels: Integer[Array, "batches batch"],
) -> tuple[Means, Means]:
    """The parts of all batches, added, and those of each."""
    each = jax.lax.map(lambda batch: parts_of(batch[0] @ kernel + bias, batch[1]), (images, labels))
    return jax.tree.map(lambda leaf: leaf.sum(axis=0), each), each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="as every example takes it; this one is quick as it is")
    parser.parse_args()

    pixels, digits = load_digits(return_X_y=True)
    images, held_images, labels, held_labels = train_test_split(pixels / 16, digits, train_size=0.25, random_state=0)
    model = LogisticRegression(max_iter=1000).fit(images, labels)
    kernel, bias = jnp.float32(model.coef_.T), jnp.float32(model.intercept_)

    order = np.argsort(held_labels > 4, kind="stable")  # as files are: not shuffled
    held_images, held_labels = np.float32(held_images[order]), np.int32(held_labels[order])
    missing = -len(held_labels) % BATCH_SIZE
    padded = np.pad(held_images, [(0, missing), (0, 0)]), np.pad(held_labels, (0, missing), constant_values=-100)
    batched = [array.reshape(-1, BATCH_SIZE, *array.shape[1:]) for array in padded]

    total, each = evaluate(kernel, bias, *batched)
    whole = parts_of(held_images @ kernel + bias, held_labels)
    print(f"{len(held_labels)} digits in {len(batched[0])} batches  by parts   at once   average of batches")
    for name, at_once in whole.items():
        mean, average = total[name].value, each[name].value.mean()
        print(f"{name:30}{mean:12.4f}{at_once.value:10.4f}{average:21.4f}")
        np.testing.assert_allclose(mean, at_once.value, rtol=1e-5)


if __name__ == "__main__":
    main()
