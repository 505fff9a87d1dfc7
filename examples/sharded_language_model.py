"""Train a small language model on eight devices, its vocabulary split over four of them, with one device's losses.

The devices are virtual ones, of the processor, in a mesh of two by four: the batch is split over the first axis, the
output layer's words over the second. The program trains on one device too, compares the losses step by step, and prints
what the compiled steps exchange and how much memory a device needs. Run it with (half a minute on two cores):

    pip install "jaxloss[examples]" && python examples/sharded_language_model.py
"""

import argparse
import os
import re
import textwrap

os.environ |= {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float
from language_model import WIDTH, Hidden, Model, OfHead, Tokens, corpus

import jaxloss

BATCH, LENGTH = 16, 32
Kernel = Float[Array, "width words"]
LOSS = jaxloss.LinearCrossEntropyLoss(axis_name="model")
MESH = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))
EXCHANGE = re.compile(r"= (.+?) (all-\w+|reduce-scatter|collective-permute)\(")


class LanguageModel(nnx.Module):
    """A model of the words so far, and an output layer."""

    def __init__(self, words: int, rngs: nnx.Rngs) -> None:
        self.body = Model(words, rngs)
        self.head = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (WIDTH, words)))


def on_mesh(hidden: Hidden, kernel: Kernel, targets: Tokens) -> Float[Array, ""]:
    """The mean over all tokens, of which a device has some, as it has some of the words."""

    def on_device(hidden: Hidden, kernel: Kernel, targets: Tokens) -> Float[Array, ""]:
        return jax.lax.psum(jaxloss.parts(LOSS)(hidden, kernel, targets), "data").value

    split = P("data"), P(None, "model"), P("data")
    return jax.shard_map(on_device, mesh=MESH, in_specs=split, out_specs=P())(hidden, kernel, targets)


@nnx.jit(static_argnums=1)
def step(model: LanguageModel, of_head: OfHead, optimizer: nnx.Optimizer, tokens: Tokens) -> Float[Array, ""]:
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    loss, gradient = nnx.value_and_grad(lambda model: of_head(model.body(inputs), model.head[...], targets))(model)
    optimizer.update(model, gradient)
    return loss


def place(model: LanguageModel) -> None:
    """Put the output layer's words on their devices, and everything else on all of them."""
    places = jax.tree.map(lambda _: NamedSharding(MESH, P()), state := nnx.state(model))
    places["head"].set_value(NamedSharding(MESH, P(None, "model")))
    nnx.update(model, jax.device_put(state, places))


def train(of_head: OfHead, batches: list[np.ndarray], words: int) -> list[float]:
    model = LanguageModel(words, nnx.Rngs(0))
    if of_head is on_mesh:
        place(model)
        batches = [jax.device_put(batch, NamedSharding(MESH, P("data"))) for batch in batches]
    optimizer = nnx.Optimizer(model, optax.adamw(1e-3), wrt=nnx.Param)
    compiled = step.lower(model, of_head, optimizer, batches[0]).compile()
    memory = compiled.memory_analysis()
    size = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    print(f"{of_head.__name__}: {size / 2**20:.0f} MiB on a device")
    for arrays, kind in EXCHANGE.findall(compiled.as_text()):
        print(f"  {kind} of", textwrap.shorten(re.sub(r"{.*?}|/\*.*?\*/", "", arrays), 90))
    return [float(step(model, of_head, optimizer, batch)) for batch in batches]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for some steps only")
    steps = 3 if parser.parse_args().quick else 30

    words, text, _ = corpus()
    starts = np.random.default_rng(0).integers(0, len(text) - LENGTH, (steps, BATCH, 1))
    batches = list(text[starts + np.arange(LENGTH + 1)])
    classes = -(-len(words) // 4) * 4  # as many on each device: up to three that no word has
    losses = [train(of_head, batches, classes) for of_head in (jaxloss.linear_cross_entropy, on_mesh)]
    for number, pair in enumerate(zip(*losses, strict=True)):
        print("step {}: {:.5f} on one device, {:.5f} on eight".format(number, *pair))
    np.testing.assert_allclose(*losses, rtol=1e-4)


if __name__ == "__main__":
    main()
