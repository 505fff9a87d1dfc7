"""Losses of arrays that are split over the devices of a mesh: what the devices exchange, and what each holds.

On processors the eight devices share the cores, so that the times say little about time on real ones; the bytes do.
"""

from dataclasses import replace

from jax.sharding import AxisType, PartitionSpec

from benchmarks.case import Case
from benchmarks.suites import cross_entropy, ctc, linear_cross_entropy

ROWS, CLASSES, WHOLE = PartitionSpec("devices"), PartitionSpec(None, "devices"), PartitionSpec()
PEERS = ("jax.numpy", "optax")


def cases(quick: bool) -> list[Case]:
    logits = cross_entropy.labels(*(64, 48) if quick else (2048, 32000))
    head = linear_cross_entropy.case(*(64, 16, 48) if quick else (4096, 256, 8192))
    frames = ctc.case(*(12, 8, 4, 7) if quick else (500, 32, 50, 128))
    return [
        split(logits, "by rows", ROWS, ROWS),
        split(logits, "by classes", CLASSES, WHOLE),
        replace(split(logits, "by classes, explicit mesh", CLASSES, WHOLE), axis_type=AxisType.Explicit),
        split(head, "by tokens", ROWS, WHOLE, ROWS),
        split(frames, "by sequences", ROWS, ROWS, ROWS, ROWS),
    ]


def split(case: Case, how: str, *specs: PartitionSpec) -> Case:
    return replace(
        case,
        size=f"{case.size}, {how}",
        peers={name: case.peers[name] for name in PEERS if name in case.peers},
        dtypes=("float32",),
        split=specs,
    )
