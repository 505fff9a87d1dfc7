"""Train a small language model on the standard library's sources, with a loss that never holds all the logits.

The vocabulary is every word, mark and indentation that Python's own modules use more than once. The output layer is
the embedding, transposed, and `jaxloss.linear_cross_entropy` takes both as they are: logits of all tokens times all
words exist neither forward nor backward. The program prints what that saves. Run it with (three minutes on two cores,
without a network; `--quick` takes some steps only):

    pip install "jaxloss[examples]" && python examples/language_model.py
"""

import argparse
import re
import sysconfig
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int
from tqdm import tqdm

import jaxloss

WIDTH, LAYERS, BATCH, LENGTH = 128, 5, 64, 64
Tokens, Hidden = Int[Array, "batch length"], Float[Array, "batch length width"]
OfHead = Callable[[Hidden, Float[Array, "width words"], Tokens], Float[Array, ""]]


class Model(nnx.Module):
    """Words to hidden states: causal convolutions that look back twice as far in every layer."""

    def __init__(self, words: int, rngs: nnx.Rngs) -> None:
        conv = partial(nnx.Conv, WIDTH, WIDTH, (3,), padding="CAUSAL", rngs=rngs)
        self.embed = nnx.Embed(words, WIDTH, rngs=rngs)
        self.convs = nnx.List([conv(kernel_dilation=2**layer) for layer in range(LAYERS)])
        self.norms = nnx.List([nnx.LayerNorm(WIDTH, rngs=rngs) for _ in range(LAYERS + 1)])

    def __call__(self, tokens: Tokens) -> Hidden:
        hidden = self.embed(tokens)
        for conv, norm in zip(self.convs, self.norms, strict=False):
            hidden += nnx.gelu(conv(norm(hidden)))
        return self.norms[-1](hidden)


def objective(model: Model, of_head: OfHead, tokens: Tokens) -> Float[Array, ""]:
    return of_head(model(tokens[:, :-1]), model.embed.embedding[...].T, tokens[:, 1:])


@nnx.jit(static_argnums=1)
def step(model: Model, of_head: OfHead, optimizer: nnx.Optimizer, tokens: Tokens) -> Float[Array, ""]:
    loss, gradient = nnx.value_and_grad(objective)(model, of_head, tokens)
    optimizer.update(model, gradient)
    return loss


def plain(hidden: Hidden, kernel: Float[Array, "width words"], targets: Tokens) -> Float[Array, ""]:
    """The same loss, of logits that are all there."""
    return jaxloss.cross_entropy(hidden @ kernel, targets)


def corpus() -> tuple[list[str], np.ndarray, np.ndarray]:
    """The words, the modules to learn from, and every tenth module, held out; rarer words are number 0."""
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    split = [re.findall(r"\n *|\w+|[^\w\s]", path.read_text("utf-8", "replace")) for path in modules]
    train = [word for number, module in enumerate(split) if number % 10 for word in module]
    held_out = [word for module in split[::10] for word in module]
    words = ["?"] + [word for word, count in Counter(train).items() if count > 1]
    number = {word: index for index, word in enumerate(words)}
    return words, *(np.array([number.get(word, 0) for word in text], np.int32) for text in (train, held_out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for some steps only")
    steps = 10 if parser.parse_args().quick else 150

    words, train, held_out = corpus()
    print(f"{len(train):,} tokens to learn from, {len(words):,} words")
    model, rng = Model(len(words), nnx.Rngs(0)), np.random.default_rng(0)
    optimizer = nnx.Optimizer(model, optax.adamw(optax.cosine_decay_schedule(3e-3, steps)), wrt=nnx.Param)
    for name, of_head in (("all logits at once", plain), ("linear_cross_entropy", jaxloss.linear_cross_entropy)):
        compiled = step.lower(model, of_head, optimizer, train[: BATCH * (LENGTH + 1)].reshape(BATCH, -1)).compile()
        print(f"temporary memory of a step, {name}: {compiled.memory_analysis().temp_size_in_bytes / 2**20:.0f} MiB")
    for _ in (bar := tqdm(range(steps), unit="step")):
        starts = rng.integers(0, len(train) - LENGTH, (BATCH, 1))
        loss = step(model, jaxloss.linear_cross_entropy, optimizer, train[starts + np.arange(LENGTH + 1)])
        bar.set_postfix(loss=f"{loss:.2f}", refresh=False)

    rows = held_out[: len(held_out) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)[:512]
    loss = nnx.jit(objective, static_argnums=1)(model, jaxloss.linear_cross_entropy, rows)
    print(f"held-out modules: {loss:.3f} nats a token, {jnp.exp(loss):.0f} words to choose from")


if __name__ == "__main__":
    main()
