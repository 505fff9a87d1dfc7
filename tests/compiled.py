"""What a compiled program says of itself: what its devices exchange, and what each needs."""

import math
import re
from typing import Any, NamedTuple

import jax

BYTES = {"pred": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "f64": 8}
EXCHANGE = re.compile(
    r" = (.+?) (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(?:-start)?\(.*?op_name=\"([^\"]*)\""
)


class Exchange(NamedTuple):
    """A collective operation of one device."""

    kind: str
    shapes: list[tuple[int, ...]]
    bytes: int
    """Of its result."""
    looped: bool
    """Whether it is within a loop."""


def exchanges(compiled: Any) -> list[Exchange]:
    """The collectives in a program's text."""
    found: list[Exchange] = []
    for arrays, kind, name in EXCHANGE.findall(compiled.as_text()):
        typed = [(dtype, tuple(map(int, filter(None, shape.split(","))))) for dtype, shape in SHAPE.findall(arrays)]
        size = sum(BYTES[dtype] * math.prod(shape) for dtype, shape in typed)
        found.append(Exchange(kind, [shape for _, shape in typed], size, "while" in name))
    return found


SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")


def compiled(function: Any, *arguments: Any) -> Any:
    return jax.jit(function).lower(*arguments).compile()


def temporaries(program: Any) -> int:
    """Of one device, in bytes."""
    return program.memory_analysis().temp_size_in_bytes
