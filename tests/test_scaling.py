"""What the table of docs/scaling.md foretells is what programs for 1, 2, 4 and 8 devices need; and two processes."""

import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import pytest
from compiled import compiled, exchanges, temporaries
from jax.sharding import AxisType, PartitionSpec
from variants import variants

import jaxloss

ROOT = Path(__file__).parent.parent
MESHES = [(1, 1), (2, 1), (1, 2), (4, 1), (2, 2), (1, 4), (8, 1), (4, 2), (2, 4), (1, 8)]


@pytest.mark.parametrize(("data", "model"), variants(MESHES, lambda data, model: data * model == 8))
def test_model_foretells_compiled_programs(data: int, model: int) -> None:
    scaling = pytest.importorskip("benchmarks.scaling")  # which is not in the package
    step = scaling.Step(2048, 64, 4096, data, model, chunk=128, itemsize=4)
    devices = jax.devices()[: step.data * step.model]
    mesh = jax.make_mesh((data, model), ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=devices)
    loss = partial(jaxloss.linear_cross_entropy, axis_name="model", chunk_size=step.chunk)

    def here(*arrays: Any) -> Any:
        return jax.lax.psum(jaxloss.parts(loss)(*arrays), "data").value

    tokens, classes = PartitionSpec("data"), PartitionSpec(None, "model")
    mean = jax.shard_map(here, mesh=mesh, in_specs=(tokens, classes, tokens), out_specs=PartitionSpec())
    program = compiled(
        jax.value_and_grad(mean, (0, 1)),
        jax.ShapeDtypeStruct((step.tokens, step.width), "float32"),
        jax.ShapeDtypeStruct((step.width, step.classes), "float32"),
        jax.ShapeDtypeStruct((step.tokens,), "int32"),
    )
    small = 64 * step.tokens // step.data  # what there is one of for every token
    assert step.memory - step.hidden < temporaries(program) < step.memory + small
    rounds = step.tokens // step.data // step.chunk
    found = [each.bytes * (rounds if each.looped else 1) for each in exchanges(program) if any(each.shapes)]
    assert sum(found) == step.along_model + step.along_data


def test_table_is_the_models() -> None:
    scaling = pytest.importorskip("benchmarks.scaling")
    assert "\n".join(scaling.rows()) in (ROOT / "docs/scaling.md").read_text()


# Two processes ------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def test_two_processes_find_the_loss_of_one() -> None:
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(Path(__file__).parent / "support/two_processes.py"), f"127.0.0.1:{free_port()}"]
    processes = [
        subprocess.Popen(
            [*command, str(number)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for number in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (output, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors
        assert output.endswith("the same\n")
