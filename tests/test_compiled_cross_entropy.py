"""A program for TPUs reads the logits once for a value, and once more for the gradient.

The compiler of a TPU runs without a TPU. Without the package `libtpu` these tests are skipped.
"""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu")

# Another process: it needs settings of the environment before it imports JAX, and only one process may hold libtpu.
PROGRAM = """
import json, jax, jax.numpy as jnp, jaxloss
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding
device = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices[0]
def shape(sizes, dtype):
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=SingleDeviceSharding(device))
def bytes_of(function, *arguments):
    program = jax.jit(function).trace(*arguments).lower(lowering_platforms=("tpu",)).compile()
    return program.cost_analysis()["bytes accessed"], program.memory_analysis().temp_size_in_bytes
rows, classes = ROWS, CLASSES
found = {}
for dtype in ("float32", "bfloat16"):
    logits, labels = shape((rows, classes), dtype), shape((rows,), "int32")
    for name, function in (("value", jaxloss.cross_entropy), ("gradient", jax.value_and_grad(jaxloss.cross_entropy))):
        found[f"{dtype} {name}"] = bytes_of(function, logits, labels)
    weighted = lambda x, y, w: jaxloss.cross_entropy(x, y, weight=w)
    found[f"{dtype} weight"] = bytes_of(weighted, logits, labels, shape((classes,), "float32"))
    found[f"{dtype} soft"] = bytes_of(jaxloss.cross_entropy, logits, logits)
print(json.dumps(found))
"""
ROWS, CLASSES = 8192, 32000
# In reads of the logits: the soft targets are a second array.
MOST = {"value": 1.05, "gradient": 3.05, "weight": 1.1, "soft": 2.1}
SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def test_a_tpu_reads_the_logits_once() -> None:
    program = PROGRAM.replace("ROWS", str(ROWS)).replace("CLASSES", str(CLASSES))
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **SETTINGS}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, (moved, temporaries) in json.loads(done.stdout.splitlines()[-1]).items():
        dtype, kind = name.split()
        unit = ROWS * CLASSES * np.dtype("float32" if dtype == "float32" else "float16").itemsize
        assert moved <= MOST[kind] * unit, name
        assert temporaries < 2**20, name
