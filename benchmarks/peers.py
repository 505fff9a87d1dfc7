"""What the losses are compared with, and the machine they run on."""

import functools
import importlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any, NamedTuple

import jax

os.environ.setdefault("KERAS_BACKEND", "jax")


class Peer(NamedTuple):
    """A library by the name its column has."""

    module: str
    distribution: str
    torch: bool = False
    gpu: bool = False  # it runs on a GPU only


PEERS = {
    "jax.numpy": Peer("jax", "jax"),
    "optax": Peer("optax", "optax"),
    "keras": Peer("keras", "keras"),
    "jax-cce": Peer("jax_cce", "jax-cce"),
    "tokamax": Peer("tokamax", "tokamax"),
    "rax": Peer("rax", "rax"),
    "torch": Peer("torch", "torch", torch=True),
    "torch.compile": Peer("torch", "torch", torch=True),
    "torch chunked": Peer("torch", "torch", torch=True),
    "MONAI": Peer("monai", "monai", torch=True),
    "SMP": Peer("segmentation_models_pytorch", "segmentation-models-pytorch", torch=True),
    "kornia": Peer("kornia", "kornia", torch=True),
    "torchvision": Peer("torchvision", "torchvision", torch=True),
    "Liger": Peer("liger_kernel", "liger-kernel", torch=True, gpu=True),
    "cut-cross-entropy": Peer("cut_cross_entropy", "cut-cross-entropy", torch=True, gpu=True),
    "quack": Peer("quack", "quack-kernels", torch=True, gpu=True),
}


def optional(module: str) -> Any:
    """The module, or None where it is not installed; `why_not` keeps its functions from being called then."""
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError):  # a package for another version of PyTorch raises the second
        return None


@functools.cache
def why_not(name: str) -> str:
    """Why this peer cannot be measured here; empty where it can."""
    peer = PEERS[name]
    if peer.gpu and jax.default_backend() != "gpu":
        return "runs on a GPU only"
    try:
        module = importlib.import_module(peer.module)
    except (ImportError, RuntimeError) as error:
        return f"does not import: {error}"
    if peer.torch and jax.default_backend() == "gpu" and not module.cuda.is_available():
        return "sees no GPU"
    return ""


def machine() -> dict[str, object]:
    """What the figures depend on: the device, its cores and memory, and every version."""
    packages = dict.fromkeys(["jaxlib", "numpy", *(peer.distribution for peer in PEERS.values())])
    versions = {name: version for name in packages if (version := _version(name))}
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": _processor() if device.platform == "cpu" else device.device_kind,
        "devices": jax.device_count(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name where the system tells it, with the widest vectors it has, on which much depends."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    except OSError:
        return platform.processor() or platform.machine()
    facts = {name.strip(): value.strip() for name, value in lines.items()}
    vectors = [
        name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in facts.get("flags", "").split()
    ]
    return ", ".join([facts.get("model name", platform.machine()), *vectors])
