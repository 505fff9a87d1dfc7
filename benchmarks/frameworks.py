"""A function on arrays made ready to run: compiled by JAX, or as PyTorch runs it, eagerly or compiled."""

import ctypes
import gc
import math
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding

from benchmarks.case import Arrays, Case, Function
from benchmarks.peers import PEERS

if TYPE_CHECKING:
    import torch

MIB = 2**20


class Ready(NamedTuple):
    """An implementation, its arrays in place."""

    run: Callable[[], object]  # one call, finished when it returns
    result: Callable[[], list[np.ndarray]] | None  # value and gradients as the reference has them; None of a limit
    facts: dict[str, Any]  # its memory: by the compiler of JAX; of a call that was observed, in PyTorch


def is_torch(name: str) -> bool:
    return name in PEERS and PEERS[name].torch


class Inputs:
    """The arrays of a case as each framework has them, which its implementations share."""

    def __init__(self, case: Case, arrays: Arrays, dtype: str) -> None:
        self.case, self.arrays, self.dtype = case, arrays, dtype
        self._made: dict[tuple[object, ...], Any] = {}

    def of(self, name: str, make: Callable[[np.ndarray, int], Any]) -> list[Any]:
        """The arrays made by `make`, those that the peer wants transposed transposed."""
        turned = self.case.transposed.get(name, ())
        for i, array in enumerate(self.arrays):
            if (make.__name__, i, i in turned) not in self._made:
                array = np.ascontiguousarray(array.T) if i in turned else array
                self._made[make.__name__, i, i in turned] = make(array, i)
        return [self._made[make.__name__, i, i in turned] for i in range(len(self.arrays))]

    def jax(self, array: np.ndarray, i: int) -> jax.Array:
        made = jnp.asarray(array, jnp.dtype(self.dtype) if array.dtype.kind == "f" else None)
        if self.case.split is None:
            return made
        mesh = jax.make_mesh((jax.device_count(),), ("devices",), axis_types=(self.case.axis_type,))
        return jax.device_put(made, NamedSharding(mesh, self.case.split[i]))

    def torch(self, array: np.ndarray, i: int) -> "torch.Tensor":
        import torch

        if array.dtype.kind != "f":
            return torch.from_numpy(array.astype(np.int64)).to(torch_device())
        return torch.from_numpy(array.copy()).to(torch_device(), getattr(torch, self.dtype))


def torch_device() -> str:
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def prepare(name: str, function: Function, inputs: Inputs, mode: str) -> Ready:
    ready = (_torch if is_torch(name) else _jax)(name, function, inputs, mode)
    turned = inputs.case.transposed.get(name, ())
    if ready.result is None or not turned or mode != "gradient":
        return ready

    def result() -> list[np.ndarray]:
        value, *gradients = ready.result()
        pairs = zip(inputs.case.gradient_of, gradients, strict=True)
        return [value, *(gradient.T if i in turned else gradient for i, gradient in pairs)]

    return ready._replace(result=result)


def _jax(name: str, function: Function, inputs: Inputs, mode: str) -> Ready:
    case, arrays = inputs.case, inputs.of(name, inputs.jax)
    limit = name.startswith("limit")
    step = function if mode == "value" or limit else jax.value_and_grad(function, case.gradient_of)
    if mode == "compile":

        def build() -> object:
            jax.clear_caches()
            return jax.jit(step).lower(*arrays).compile()

        return Ready(build, None, {})
    with jax.set_mesh(arrays[0].sharding.mesh) if case.axis_type is AxisType.Explicit else nullcontext():
        compiled = jax.jit(step).lower(*arrays).compile()
    memory = compiled.memory_analysis()
    facts = {
        "temporaries_mib": round(memory.temp_size_in_bytes / MIB, 1),
        "peak_mib": round((memory.temp_size_in_bytes + memory.output_size_in_bytes) / MIB, 1),
    }
    if case.split:
        facts["exchanged_mib"] = round(exchanged(compiled.as_text()) / MIB, 3)

    def run() -> object:
        return jax.block_until_ready(compiled(*arrays))

    return Ready(run, None if limit else lambda: [np.asarray(a, np.float32) for a in jax.tree.leaves(run())], facts)


def exchanged(program: str) -> int:
    """Bytes that the collectives of a compiled program give each device."""
    total = 0
    for shapes in re.findall(r"= (.*?) (?:all-|reduce-scatter|collective-permute)[\w-]*\(", program):
        for kind, sizes in re.findall(r"\b([a-z]+\d+|pred)\[([\d,]*)\]", shapes):
            bits = int(re.sub(r"\D", "", kind) or 8)
            total += math.prod(int(size) for size in sizes.split(",") if size) * bits // 8
    return total


def _torch(name: str, function: Function, inputs: Inputs, mode: str) -> Ready:
    import torch

    tensors = inputs.of(name, inputs.torch)
    if name == "torch.compile":
        # A function of several cases is compiled for each: past a limit it would silently run as it is.
        torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 10_000
        function = torch.compile(function, dynamic=False)
    leaves = [tensors[i].requires_grad_() for i in inputs.case.gradient_of] if mode == "gradient" else []

    def run() -> list["torch.Tensor"]:
        with torch.set_grad_enabled(bool(leaves)):
            value = function(*tensors)
            results = [value, *(torch.autograd.grad(value, leaves) if leaves else ())]
        if torch_device() == "cuda":
            torch.cuda.synchronize()
        return results

    facts = {"peak_mib": _peak(run)}
    return Ready(run, lambda: [a.detach().float().cpu().numpy() for a in run()], facts)


def _peak(run: Callable[[], object]) -> float | None:
    """How far one call raises the memory in use, its result included; None where the system does not tell."""
    for _ in range(2):
        run()
    gc.collect()
    if torch_device() == "cuda":
        import torch

        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return round((torch.cuda.max_memory_allocated() - before) / MIB, 1)
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier calls freed goes back, so that it is counted again
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
        before = _resident("VmRSS")
        run()
        return round(max(_resident("VmHWM") - before, 0) / MIB, 1)
    except (OSError, AttributeError):
        return None


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(field)
