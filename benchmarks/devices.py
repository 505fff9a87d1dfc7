"""Devices that programs are compiled for without having one."""

import functools
import importlib.util
import os
from pathlib import Path
from typing import Any, NamedTuple

H100 = Path(__file__).parent / "h100.txtpb"
# libtpu would ask the cloud which TPU it runs on, and would refuse a second process.
TPU_VARIABLES = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


class Device(NamedTuple):
    """A device by its makers' figures: bytes and bfloat16 operations of matrix products in a second, at the peak."""

    platform: str
    title: str
    topology: str
    bandwidth: float
    operations: float


# A TPU 7x has two devices a chip, and the figures are those of one.
DEVICES = {
    "v5e": Device("tpu", "TPU v5e", "v5e:2x2", 819e9, 197e12),
    "v5p": Device("tpu", "TPU v5p", "v5p:2x2x1", 2765e9, 459e12),
    "v6e": Device("tpu", "TPU v6e", "v6e:2x2", 1638e9, 918e12),
    "tpu7x": Device("tpu", "TPU 7x", "tpu7x:2x2x1", 3690e9, 1153e12),
    "h100": Device("cuda", "H100", "1x1x1", 3352e9, 989e12),
}
INSTALL = {"tpu": 'pip install -e ".[bench,tpu]"', "cuda": 'pip install -e ".[bench,cuda]"'}


def why_not(name: str) -> str:
    """Why programs cannot be compiled for the device; empty where they can."""
    platform = DEVICES[name].platform
    modules = ("libtpu",) if platform == "tpu" else ("jax_cuda12_plugin", "jax_cuda13_plugin")
    if any(importlib.util.find_spec(module) for module in modules):
        return ""
    return f"the compiler of the platform {platform} is not installed; install it with: {INSTALL[platform]}"


def prepare() -> None:
    """Set what the compilers read when they are loaded. JAX itself needs no more than the processor."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # JAX cannot load programs for absent devices from its cache
    for variable, value in ({"JAX_PLATFORMS": "cpu"} | TPU_VARIABLES).items():
        os.environ.setdefault(variable, value)


@functools.cache
def described(name: str) -> Any:
    """The device as JAX describes it, for shardings of arrays that do not exist."""
    from jax.experimental import topologies

    device = DEVICES[name]
    if device.platform == "tpu":
        return topologies.get_topology_desc(platform="tpu", topology_name=device.topology).devices[0]
    from jax._src import xla_bridge  # JAX loads the plugins of absent devices nowhere else

    xla_bridge._discover_and_register_pjrt_plugins()
    return topologies.get_topology_desc(
        platform="cuda", topology_name=device.topology, topology=device.topology, target_config=H100.read_text()
    ).devices[0]


def compiled(name: str, function: Any, *arrays: Any) -> Any:
    """The function, compiled for the device with arrays of these shapes and dtypes."""
    import jax
    from jax.sharding import SingleDeviceSharding

    placed = SingleDeviceSharding(described(name))
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=placed) for a in arrays]
    return jax.jit(function).trace(*shapes).lower(lowering_platforms=(DEVICES[name].platform,)).compile()
