"""Find the lower half of a handwritten digit by its upper half, as CLIP finds texts by images, on eight devices.

Each half has an encoder. The devices are virtual ones of the processor, and the 1,024 pairs of a batch, split over
them, are each other's negatives. The gradient is cached: encoders run in micro-batches and run again in the backward
pass, so that the activations of one micro-batch are in memory at a time. Run it with (two minutes on two cores):

    pip install "jaxloss[examples]" && python examples/clip_pairs.py
"""

import argparse
import os
from collections.abc import Callable
from functools import partial

os.environ |= {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import jaxloss

BATCH, MICRO_BATCH = 1024, 16  # pairs of all devices, and halves that an encoder takes at a time
MESH = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
Images, Halves, Embeddings = Float[Array, "pairs 8 8 1"], Float[Array, "halves 4 8 1"], Float[Array, "halves 64"]


class Encoder(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List([nnx.Conv(1, 32, (3, 3), rngs=rngs), nnx.Conv(32, 64, (3, 3), strides=2, rngs=rngs)])
        self.head = nnx.Linear(2 * 4 * 64, 64, rngs=rngs)

    def __call__(self, halves: Halves) -> Embeddings:
        for layer in self.layers:
            halves = nnx.relu(layer(halves))
        return self.head(halves.reshape(len(halves), -1))


class Model(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.upper, self.lower = Encoder(rngs), Encoder(rngs)
        self.log_scale = nnx.Param(jnp.log(1 / 0.07))  # minus the logarithm of the temperature


def in_micro_batches(encoder: Encoder, halves: Halves) -> Embeddings:
    return jax.lax.map(jax.checkpoint(encoder), halves.reshape(-1, MICRO_BATCH, *halves.shape[1:])).reshape(-1, 64)


def loss(embed: Callable[[Encoder, Halves], Embeddings], model: Model, pairs: Images) -> Float[Array, ""]:
    @partial(jax.shard_map, mesh=MESH, in_specs=(P(), P("data")), out_specs=P())
    def on_device(model: Model, pairs: Images) -> Float[Array, ""]:
        clip = jaxloss.CLIPLoss(temperature=1 / jnp.minimum(jnp.exp(model.log_scale[...]), 100), axis_name="data")
        embeddings = embed(model.upper, pairs[:, :4]), embed(model.lower, pairs[:, 4:])
        return jax.lax.psum(jaxloss.parts(clip)(*embeddings), "data").value

    return on_device(model, pairs)


@nnx.jit
def step(model: Model, optimizer: nnx.Optimizer, pairs: Images) -> Float[Array, ""]:
    value, gradient = nnx.value_and_grad(partial(loss, in_micro_batches))(model, pairs)
    optimizer.update(model, gradient)
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="train for a few steps only")
    steps = 3 if parser.parse_args().quick else 200

    train, held = train_test_split(np.float32(load_digits().images[..., None] / 16), test_size=0.25, random_state=0)
    model, rng, gradients = Model(nnx.Rngs(0)), np.random.default_rng(0), []
    for name, embed in {"at once": Encoder.__call__, "in micro-batches": in_micro_batches}.items():
        gradient = nnx.jit(nnx.grad(partial(loss, embed))).lower(model, train[:BATCH]).compile()
        gradients.append(jax.tree.leaves(gradient(model, train[:BATCH])))
        print(f"{name}: {gradient.memory_analysis().temp_size_in_bytes / 2**20:.1f} MiB on a device")
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6), *gradients)

    optimizer = nnx.Optimizer(model, optax.adamw(optax.cosine_decay_schedule(1e-3, steps)), wrt=nnx.Param)
    for _ in (bar := tqdm(range(steps), unit="step")):
        batch = train[rng.permutation(len(train))[:BATCH]]
        bar.set_postfix(loss=f"{step(model, optimizer, batch + rng.normal(0, 0.1, batch.shape)):.3f}", refresh=False)

    cosines = jaxloss.cosine_similarity(model.upper(held[:, :4])[:, None], model.lower(held[:, 4:])[None])
    better = np.sum(cosines > np.diagonal(cosines)[:, None], axis=1)
    print(f"of {len(held)} lower halves, the right one is first for {np.mean(better == 0):.1%} of the upper halves")
    print(f"and among the first five for {np.mean(better < 5):.1%}; temperature {np.exp(-model.log_scale[...]):.3f}")


if __name__ == "__main__":
    main()
