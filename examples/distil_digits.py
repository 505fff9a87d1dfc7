"""Distil a large network that reads handwritten digits into a small one.

The teacher has two convolutions, the student one hidden layer. The student has the labels of a tenth of the images. It
learns twice: from these labels alone, and from the teacher's logits of all images too. The temperature falls while it
learns. It is a leaf of the loss, so that all temperatures share one compiled step. Run it without a network:

    pip install "jaxloss[examples]" && python examples/distil_digits.py
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import jaxloss

BATCH_SIZE, LABELLED, HOTTEST, RUNS = 64, 90, 4.0, 5
Images, Logits = Float[Array, "digits 8 8 1"], Float[Array, "digits 10"]


class Teacher(nnx.Module):
    """Two convolutions, a pooling and two dense layers: 151,306 parameters."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1, self.conv2 = nnx.Conv(1, 32, (3, 3), rngs=rngs), nnx.Conv(32, 64, (3, 3), rngs=rngs)
        self.dense, self.head = nnx.Linear(4 * 4 * 64, 128, rngs=rngs), nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, images: Images) -> Logits:
        hidden = nnx.relu(self.conv2(nnx.relu(self.conv1(images))))
        hidden = nnx.max_pool(hidden, (2, 2), strides=(2, 2))
        return self.head(nnx.relu(self.dense(hidden.reshape(len(hidden), -1))))


class Student(nnx.Module):
    """Sixteen hidden units: 1,210 parameters."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.dense, self.head = nnx.Linear(64, 16, rngs=rngs), nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, images: Images) -> Logits:
        return self.head(nnx.relu(self.dense(images.reshape(len(images), -1))))


@nnx.jit
def train_step(
    net: nnx.Module, optimizer: nnx.Optimizer, from_teacher: jaxloss.DistillationLoss | None, *batch: Array
) -> None:
    """Learn from the labels of a batch, and from the teacher's logits. The label -100 stands for no label."""

    def objective(net: nnx.Module) -> Float[Array, ""]:
        images, labels, teacher_logits = batch
        loss = jaxloss.cross_entropy(logits := net(images), labels)
        return loss if from_teacher is None else (loss + from_teacher(logits, teacher_logits)) / 2

    optimizer.update(net, nnx.grad(objective)(net))


def train(net: nnx.Module, epochs: int, seed: int, data: tuple[Array, ...], *, distilled: bool = False) -> nnx.Module:
    rng, count = np.random.default_rng(seed), len(data[0]) // BATCH_SIZE
    temperature = optax.exponential_decay(HOTTEST, epochs, 1 / HOTTEST)  # from the hottest to 1
    optimizer = nnx.Optimizer(net, optax.adam(optax.cosine_decay_schedule(5e-3, epochs * count)), wrt=nnx.Param)
    for epoch in range(epochs):
        loss = jaxloss.DistillationLoss(temperature=temperature(epoch)) if distilled else None
        for chosen in rng.permutation(len(data[0]))[: count * BATCH_SIZE].reshape(count, BATCH_SIZE):
            train_step(net, optimizer, loss, *(array[chosen] for array in data))
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
    epochs, runs = (3, 1) if parser.parse_args().quick else (60, RUNS)
    pixels, digits = load_digits(return_X_y=True)
    scans = np.float32(pixels / 16).reshape(-1, 8, 8, 1)
    images, unseen, labels, answers = train_test_split(scans, digits, test_size=0.5, stratify=digits, random_state=0)
    read = nnx.jit(lambda net, images: net(images))
    teacher = train(Teacher(nnx.Rngs(0)), epochs // 3, 0, (images, labels, np.zeros((len(images), 10))))
    some = np.where(np.arange(len(labels)) < LABELLED, labels, -100)
    data = (images, some, np.asarray(read(teacher, images)))  # the teacher's logits are computed once
    nets = {"teacher": [teacher]}
    for name, distilled in (("student of labels", False), ("student of the teacher", True)):
        seeds = tqdm(range(runs), desc=name)
        nets[name] = [train(Student(nnx.Rngs(seed)), epochs, seed, data, distilled=distilled) for seed in seeds]
    for name, trained in nets.items():
        logits = jnp.stack([read(net, unseen) for net in trained])
        accuracy = np.mean(logits.argmax(-1) == answers)
        loss = jax.vmap(jaxloss.CrossEntropyLoss(), (0, None))(logits, answers).mean()
        print(f"{name:22}  accuracy {accuracy:.1%}, cross-entropy {loss:.3f}, of held-out digits")


if __name__ == "__main__":
    main()
