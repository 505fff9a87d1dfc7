"""One of two processes that take a training step's loss together: `python two_processes.py ADDRESS NUMBER`."""

import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxloss

TOKENS, CLASSES = PartitionSpec("data"), PartitionSpec(None, "model")


def mean(hidden: Any, kernel: Any, labels: Any) -> Any:
    part = jaxloss.parts(jaxloss.linear_cross_entropy)(hidden, kernel, labels, axis_name="model", chunk_size=2)
    return jax.lax.psum(part, "data").value


def main(address: str, number: int) -> None:
    jax.distributed.initialize(address, num_processes=2, process_id=number, initialization_timeout=60)
    assert len(jax.devices()) == 4
    assert len(jax.local_devices()) == 2
    for shape in ((2, 2), (1, 4)):  # the processes have different tokens, or different classes
        mesh = jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto,) * 2)
        rng = np.random.default_rng(0)
        arrays = rng.normal(size=(8, 4)), rng.normal(size=(4, 16)), rng.integers(0, 16, 8)
        arrays = [np.asarray(array, np.float32 if array.dtype == float else np.int32) for array in arrays]
        specs = TOKENS, CLASSES, TOKENS
        split = [
            jax.make_array_from_callback(array.shape, NamedSharding(mesh, spec), array.__getitem__)
            for array, spec in zip(arrays, specs, strict=True)
        ]
        together = jax.shard_map(mean, mesh=mesh, in_specs=specs, out_specs=PartitionSpec())
        value, gradients = jax.jit(jax.value_and_grad(together, (0, 1)))(*split)
        alone, wanted = jax.value_and_grad(jaxloss.linear_cross_entropy, (0, 1))(*arrays)
        np.testing.assert_allclose(value, alone, rtol=1e-6)
        for found, gradient in zip(gradients, wanted, strict=True):
            for piece in found.addressable_shards:
                np.testing.assert_allclose(piece.data, gradient[piece.index], rtol=1e-5, atol=1e-7)
    sys.stdout.write("the same\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
