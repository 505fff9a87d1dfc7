"""Train a language model on packed sequences, with gradients that are accumulated over micro-batches.

Functions and classes of Python's own modules share rows. Segment ids keep the attention within each of them, and a
target of -100 masks a place without a next token. So micro-batches hold different numbers of targets. `jaxloss.parts`
makes the accumulated gradient that of the whole batch, and the program compares both. Run it without a network:

    pip install "jaxloss[examples]" && python examples/packed_language_model.py
"""

import argparse
import re
import sysconfig
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int
from tqdm import tqdm

import jaxloss

WIDTH, LENGTH, ROWS, MICRO_BATCHES = 64, 128, 8, 4
LOSS = jaxloss.parts(jaxloss.linear_cross_entropy)
Ids = Int[Array, "*batch rows length"]
Batch = tuple[Ids, Ids, Ids]  # tokens, targets, segment ids


class Model(nnx.Module):
    """Words to hidden states: attention within each sequence of a row, in two layers."""

    def __init__(self, words: int, rngs: nnx.Rngs) -> None:
        small = nnx.initializers.normal(0.05)
        self.embed, self.place = (nnx.Embed(n, WIDTH, embedding_init=small, rngs=rngs) for n in (words, LENGTH))
        self.attention = nnx.List([nnx.MultiHeadAttention(4, WIDTH, decode=False, rngs=rngs) for _ in range(2)])
        self.dense = nnx.List([nnx.Linear(WIDTH, WIDTH, rngs=rngs) for _ in range(2)])
        self.norms = nnx.List([nnx.LayerNorm(WIDTH, rngs=rngs) for _ in range(5)])

    def __call__(self, tokens: Ids, segment_ids: Ids) -> Float[Array, "rows length width"]:
        mask = (segment_ids[:, :, None] == segment_ids[:, None, :]) & jnp.tri(LENGTH, dtype=bool)[None]
        hidden = self.embed(tokens) + self.place(mask.sum(-1) - 1)  # places count from the start of a sequence
        for i, (attention, dense) in enumerate(zip(self.attention, self.dense, strict=True)):
            hidden += attention(self.norms[i](hidden), mask=mask[:, None])
            hidden += nnx.gelu(dense(self.norms[i + 2](hidden)))
        return self.norms[4](hidden)


def definitions() -> tuple[list[list[str]], list[list[str]]]:
    """The words of functions and classes: those to learn from, and those of every tenth module."""
    found: tuple[list[list[str]], list[list[str]]] = [], []
    for number, path in enumerate(sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))):
        for source in re.split(r"\n(?=def |class )", path.read_text("utf-8", "replace"))[1:]:
            found[number % 10 == 0].append(re.findall(r"\n *|\w+|[^\w\s]", source)[:LENGTH])
    return found


def packed(sequences: list[np.ndarray]) -> np.ndarray:
    """Tokens, targets and segment ids of rows that hold as many sequences as fit; -1 is the id of a free place."""
    rows, end, segment = [], LENGTH, 0
    for sequence in sequences:
        if end + len(sequence) > LENGTH:
            rows, end, segment = [*rows, np.repeat([[0], [-100], [-1]], LENGTH, 1)], 0, 0
        places, ids = slice(end, end := end + len(sequence)), np.full(len(sequence), segment)
        rows[-1][:, places], segment = (sequence, np.append(sequence[1:], -100), ids), segment + 1
    return np.stack(rows, 1).astype(np.int32)


def total(params: nnx.State, graph: nnx.GraphDef, batch: Batch) -> tuple[Float[Array, ""], jaxloss.Mean]:
    model, (tokens, targets, segment_ids) = nnx.merge(graph, params), batch
    mean = LOSS(model(tokens, segment_ids), model.embed.embedding[...].T, targets)
    return mean.total, mean


def accumulated(params: nnx.State, graph: nnx.GraphDef, batches: Batch) -> tuple[nnx.State, Float[Array, ""]]:
    """The gradient of the mean over all micro-batches, and that mean, in the memory of one micro-batch."""

    def add(sums: tuple[nnx.State, jaxloss.Mean], batch: Batch) -> tuple[object, None]:
        return jax.tree.map(jnp.add, sums, jax.grad(total, has_aux=True)(params, graph, batch)), None

    zeros = jax.tree.map(jnp.zeros_like, (params, jaxloss.Mean(jnp.zeros(()), jnp.zeros(()))))
    (gradient, mean), _ = jax.lax.scan(add, zeros, batches)
    return jax.tree.map(lambda x: x / mean.weight, gradient), mean.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for some steps only")
    steps, (train, held_out), rng = 3 if parser.parse_args().quick else 300, definitions(), np.random.default_rng(0)
    words = ["?"] + [w for w, count in Counter(w for each in train for w in each).items() if count > 1]
    number = dict(zip(words, range(len(words)), strict=True))
    rows, tests = (packed([np.array([number.get(w, 0) for w in each]) for each in some]) for some in (train, held_out))
    print(f"{len(train):,} sequences in {rows.shape[1]:,} rows, {(rows[2] >= 0).mean():.0%} full; {len(words):,} words")
    graph, params = nnx.split(Model(len(words), nnx.Rngs(0)), nnx.Param)
    state = (optimizer := optax.adamw(optax.cosine_decay_schedule(3e-3, steps))).init(params)

    def batches() -> Batch:
        return tuple(rows[:, rng.choice(rows.shape[1], (MICRO_BATCHES, ROWS), replace=False)])

    @jax.jit
    def step(params: nnx.State, state: optax.OptState, batches: Batch) -> tuple[nnx.State, optax.OptState, jax.Array]:
        gradient, mean = accumulated(params, graph, batches)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, mean

    pair = (some := batches()), tuple(each.reshape(1, -1, LENGTH) for each in some)
    gradients = [jax.jit(accumulated)(params, graph, each)[0] for each in pair]
    off = optax.tree.norm(jax.tree.map(jnp.subtract, *gradients)) / optax.tree.norm(gradients[0])
    print(f"micro-batches of {(some[1] >= 0).sum((1, 2))} targets; their gradient is off by {off:.0e}")
    for _ in (bar := tqdm(range(steps), unit="step")):
        params, state, mean = step(params, state, batches())
        bar.set_postfix(loss=f"{mean:.2f}", refresh=False)
    print(f"held-out functions: {jax.jit(total)(params, graph, tuple(tests))[1].value:.3f} nats a token")


if __name__ == "__main__":
    main()
