"""How time, memory and compilation grow with each size, the others held."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks.case import Case
from benchmarks.suites import cross_entropy, ctc, linear_cross_entropy

PEERS = ("jax.numpy", "optax")

# A suite's case, the names of its sizes, where they stand, and the values that one of them takes.
CURVES = [
    (cross_entropy.labels, {"N": 256, "V": 8192}, "N", (64, 256, 1024, 4096)),
    (cross_entropy.labels, {"N": 256, "V": 8192}, "V", (2048, 8192, 32768, 131072)),
    (linear_cross_entropy.case, {"N": 1024, "D": 256, "V": 8192}, "N", (256, 1024, 4096, 16384)),
    (linear_cross_entropy.case, {"N": 1024, "D": 256, "V": 8192}, "D", (64, 256, 1024)),
    (linear_cross_entropy.case, {"N": 1024, "D": 256, "V": 8192}, "V", (2048, 8192, 32768, 131072)),
    (ctc.case, {"T": 200, "N": 16, "S": 20, "C": 64}, "T", (100, 200, 400, 800, 1600)),
    (ctc.case, {"T": 200, "N": 16, "S": 20, "C": 64}, "S", (10, 20, 40, 80)),
    (ctc.case, {"T": 200, "N": 16, "S": 20, "C": 64}, "C", (32, 128, 512, 2048)),
]


def cases(quick: bool) -> list[Case]:
    return [
        point(make, sizes | {axis: value}, axis)
        for make, sizes, axis, values in CURVES
        for value in (values[:1] if quick else values)
    ]


def point(make: Callable[..., Case], sizes: dict[str, int], axis: str) -> Case:
    case = make(*sizes.values())
    return replace(
        case,
        size=", ".join(f"{name} = {size}" for name, size in sizes.items()),
        peers={name: case.peers[name] for name in PEERS if name in case.peers},
        dtypes=("float32",),
        modes=("gradient", "compile"),
        grows=(axis, sizes[axis]),
    )
