"""The compilers' own figures for TPUs and an H100: nothing runs, and no device is needed.

Each loss is compiled as a value and with its gradient, and so are its peers in JAX. Bytes are in units of the program's
inputs and outputs: a program that reads every input once and writes every output once has 1.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import devices

if TYPE_CHECKING:
    from benchmarks.case import Case

PEERS = ("jax.numpy", "optax")
MODES = ("value", "gradient")
MIB = 2**20
COLUMNS = {"": 22, "units": 9, "temporaries MiB": 17, "kernels": 9, "loops": 7, "conditionals": 14, "roofline ms": 13}


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks compiled", description=__doc__)
    parser.add_argument("--device", action="append", choices=devices.DEVICES, help="v5e and h100 if left out")
    parser.add_argument("--quick", action="store_true", help="small arrays and few losses, to see that it runs")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help='part of "loss; size; dtype; mode"')
    parser.add_argument("--json", type=Path, metavar="DIR", help="put the figures into DIR/compiled")
    arguments = parser.parse_args(words)
    devices.prepare()
    for name in arguments.device or ("v5e", "h100"):
        if reason := devices.why_not(name):
            print(f"without {name}: {reason}")
        else:
            _measure(name, arguments)


def _measure(name: str, arguments: argparse.Namespace) -> None:
    from benchmarks import results

    file = arguments.json and arguments.json / "compiled" / f"{name}.json"
    machine = _machine(name)
    print(f"\n{machine}\n" + "".join(f"{text:>{width}}" for text, width in COLUMNS.items()))
    for case in cases(arguments.quick):
        for dtype in case.dtypes:
            wanted = [m for m in MODES if _wanted(f"{case.name}; {dtype}; {m}", arguments.only)]
            for mode, rows in groups(case, dtype, wanted, name):
                print(f"{case.name}; {dtype}; {mode}", *map(_line, rows), sep="\n")
                if file:
                    results.write(file, results.merged(results.read(file), machine, rows))


def cases(quick: bool) -> list["Case"]:
    """The suites' losses, at sizes that no cache of the devices holds."""
    from benchmarks.suites import (
        contrastive,
        cross_entropy,
        ctc,
        distillation,
        elementwise,
        embedding,
        linear_cross_entropy,
        tokens,
        transducer,
    )

    if quick:
        return [replace(cross_entropy.labels(256, 512), dtypes=("float32",)), *embedding.vectors(64, 128)[:1]]
    size = (8192, 4096)
    small = [*elementwise.regression(size), *elementwise.binary(size), *elementwise.classes(size)]
    return [
        *(cross_entropy.labels(n, v) for n, v in ((8192, 32000), (65536, 1000))),
        *cross_entropy.options(8192, 32000),
        *(replace(case, dtypes=("float32",)) for case in small + embedding.vectors(65536, 768)),
        *(replace(linear_cross_entropy.case(n, 4096, v), dtypes=("bfloat16",)) for n, v in ((8192, 32000),)),
        *tokens.cases(quick=False),
        *distillation.cases(quick=False),
        *contrastive.cases(quick=False),
        ctc.case(1000, 16, 100, 5000),
        transducer.case(8, 200, 51, 500),
    ]


def groups(case: "Case", dtype: str, modes: list[str], device: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The rows of a case in each mode."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    if not modes:
        return
    arrays = [
        jax.ShapeDtypeStruct(a.shape, jnp.dtype(dtype) if a.dtype.kind == "f" else a.dtype)
        for a in case.arrays(np.random.default_rng(0))
    ]
    for mode in modes:
        chosen = {"jaxloss": case.ours} | {peer: case.peers[peer] for peer in PEERS if peer in case.peers}
        rows = []
        for name, function in chosen.items():
            step = function if mode == "value" else jax.value_and_grad(function, case.gradient_of)
            row = {"loss": case.loss, "size": case.size, "dtype": dtype, "mode": mode, "name": name}
            try:
                rows.append(row | figures(devices.compiled(device, step, *arrays), devices.DEVICES[device]))
            except Exception as error:  # a peer may fail in any way, and that is a result
                if name == "jaxloss":
                    raise
                rows.append(row | {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"})
        yield mode, rows


def figures(program: Any, device: devices.Device) -> dict[str, Any]:
    """What the compiler says of a program, and what its text says where the compiler is silent."""
    from benchmarks.hlo import traffic

    on_tpu = device.platform == "tpu"
    memory, read = program.memory_analysis(), traffic(program.as_text(), on_chip=on_tpu)
    moved = read.moved
    if on_tpu:  # the compiler counts a loop's body once
        moved = program.cost_analysis()["bytes accessed"] + read.moved_in_further_trips
    return {
        "units": round(moved / (memory.argument_size_in_bytes + memory.output_size_in_bytes), 3),
        "moved_mib": round(moved / MIB, 1),
        "temporaries_mib": round(memory.temp_size_in_bytes / MIB, 2),
        "kernels": read.launches,
        "unknown_loops": read.unknown_loops,
        "conditionals": read.conditionals,
        "roofline_ms": float(f"{1e3 * max(read.roofline(*device[-2:]), moved / device.bandwidth):.3g}"),
    }


def _machine(name: str) -> dict[str, Any]:
    from importlib.metadata import version

    compiler = "libtpu" if devices.DEVICES[name].platform == "tpu" else "jaxlib"
    return {
        "device": devices.DEVICES[name].title,
        "versions": {each: version(each) for each in ("jax", compiler, "optax")},
    }


def _wanted(name: str, texts: list[str]) -> bool:
    return not texts or any(text in name for text in texts)


def _line(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"  {row['name']:20}  {row['failed']}"
    keys = ("units", "temporaries_mib", "kernels", "unknown_loops", "conditionals", "roofline_ms")
    cells = (f"  {row['name']:20}", *(str(row[key]) for key in keys))
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, COLUMNS.values(), strict=True))
