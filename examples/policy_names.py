"""Teach a small language model a rule with GRPO: names of functions have three words.

The model first learns the names of the functions in Python's standard library. Then it completes the first letters of
names. A completion with exactly two underscores has the reward 1. `jaxloss.grpo_loss` makes it likelier, without and
with a KL divergence from the first model. Run it without a network:

    pip install "jaxloss[examples]" && python examples/policy_names.py --picture policy_names.png
"""

import argparse
import re
import sysconfig
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int
from matplotlib.figure import Figure
from tqdm import tqdm

import jaxloss

CHARACTERS = "$_abcdefghijklmnopqrstuvwxyz"  # "$" begins and ends a name
LENGTH, GIVEN, COPIES, WIDTH = 24, 3, 8, 128  # characters of a name and of its beginning; completions; hidden units


def standard_names() -> Int[np.ndarray, "names 24"]:
    """The names of the standard library's functions, padded with the end."""
    sources = Path(sysconfig.get_paths()["stdlib"]).glob("[a-z]*.py")
    text = "\n".join(source.read_text(errors="replace") for source in sources)
    names = sorted(set(re.findall(r"def ([a-z][a-z_]{3,20})\(", text)))
    return np.array([[CHARACTERS.index(c) for c in f"${name}".ljust(LENGTH, "$")] for name in names])


class Writer(nnx.Module):
    """Characters to the logits of the next one."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embed, self.cell = nnx.Embed(len(CHARACTERS), 32, rngs=rngs), nnx.GRUCell(32, WIDTH, rngs=rngs)
        self.head = nnx.Linear(WIDTH, len(CHARACTERS), rngs=rngs)

    def read(self, tokens: Int[Array, "names time"]) -> Float[Array, "time names 128"]:
        start = jnp.zeros((len(tokens), WIDTH))
        return jax.lax.scan(lambda h, x: (self.cell(h, x)[0],) * 2, start, self.embed(tokens.T))[1]

    def __call__(self, tokens: Int[Array, "names time"]) -> Float[Array, "names time characters"]:
        return self.head(self.read(tokens)).swapaxes(0, 1)

    def complete(self, beginnings: Int[Array, "names 3"], key: Array) -> Int[Array, "names 21"]:
        def step(hidden: Array, key: Array) -> tuple[Array, Array]:
            token = jax.random.categorical(key, self.head(hidden))
            return self.cell(hidden, self.embed(token))[0], token

        return jax.lax.scan(step, self.read(beginnings)[-1], jax.random.split(key, LENGTH - GIVEN))[1].T


@nnx.jit
def imitate(writer: Writer, optimizer: nnx.Optimizer, names: Int[Array, "names 24"]) -> Float[Array, ""]:
    inputs, targets = names[:, :-1], names[:, 1:]
    where = jnp.cumsum(targets == 0, axis=1) <= (targets == 0)  # up to the end, and with it
    loss, slope = nnx.value_and_grad(lambda w: jaxloss.cross_entropy(w(inputs), targets, where=where))(writer)
    optimizer.update(writer, slope)
    return loss


@nnx.jit
def improve(
    writer: Writer, optimizer: nnx.Optimizer, first: Writer, loss: jaxloss.Loss, beginnings: Array, key: Array
) -> tuple[Float[Array, ""], Float[Array, ""], Int[Array, "names 21"]]:
    """Sample completions, reward them, and take two steps with them. Return the mean reward, the KL, and them."""
    beginnings = jnp.repeat(beginnings, COPIES, axis=0)
    completions = writer.complete(beginnings, key)
    inputs, ended = jnp.concatenate([beginnings, completions[:, :-1]], axis=1), completions == 0
    where = jnp.cumsum(ended, axis=1) <= ended
    three_words = (jnp.sum(completions == 1, axis=1, where=where) == 2) & jnp.any(ended, axis=1)
    rewards = three_words.astype(jnp.float32).reshape(-1, COPIES)
    advantages = (rewards - rewards.mean(axis=1, keepdims=True)).reshape(-1)

    def log_probs(writer: Writer) -> Float[Array, "names 21"]:
        return -jaxloss.cross_entropy(writer(inputs)[:, GIVEN - 1 :], completions, reduction="none")

    old, reference = log_probs(writer), log_probs(first)
    for _ in range(2):
        slope = nnx.grad(lambda w: loss(log_probs(w), old, advantages, reference, where=where))(writer)
        optimizer.update(writer, slope)
    return rewards.mean(), jaxloss.kl_estimate(old, reference, estimator="k1", where=where), completions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("policy_names.png"), help="where to write it")
    parser.add_argument("--quick", action="store_true", help="train for some steps only")
    arguments = parser.parse_args()
    names, rng, quick = standard_names(), np.random.default_rng(0), arguments.quick
    optimizer = nnx.Optimizer(first := Writer(nnx.Rngs(0)), optax.adam(3e-3), wrt=nnx.Param)
    for _ in (bar := tqdm(range(10 if quick else 800), unit="step")):
        bar.set_postfix(loss=f"{imitate(first, optimizer, rng.choice(names, 128)):.3f}", refresh=False)
    left, right = (figure := Figure(figsize=(8, 3), layout="constrained")).subplots(1, 2)
    for beta in (0.0, 0.05):
        writer, loss = nnx.clone(first), jaxloss.GRPOLoss(beta=beta, aggregation="sequence")
        optimizer = nnx.Optimizer(writer, optax.adam(1e-3), wrt=nnx.Param)
        keys = tqdm(jax.random.split(jax.random.key(1), 3 if quick else 120), unit="update")
        found = [improve(writer, optimizer, first, loss, rng.choice(names, 48)[:, :GIVEN], key) for key in keys]
        rewards, kl, written = map(np.array, zip(*found, strict=True))
        left.plot(rewards, label=f"beta={beta}")
        right.plot(kl)
        ends = ["".join(CHARACTERS[c] for c in row).partition("$")[0] for row in written[-1, ::COPIES][:4]]
        print(f"beta={beta}: reward {rewards[0]:.2f}, then {rewards[-5:].mean():.2f}, KL {kl[-5:].mean():.2f}: {ends}")
    left.set(xlabel="update", ylabel="mean reward", ylim=(0, 1))
    right.set(xlabel="update", ylabel="KL, nats a character", ylim=(0, None))
    left.legend()
    figure.savefig(arguments.picture, dpi=160)


if __name__ == "__main__":
    main()
