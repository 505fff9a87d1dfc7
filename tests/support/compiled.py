"""What a compiled program says of itself: what its devices exchange, and what each needs."""

import math
import re
from functools import partial
from typing import Any, NamedTuple

import jax
import pytest
from quick import USUAL

jit = partial(jax.jit, compiler_options=USUAL)
"""`jax.jit` as users have it: the other programs of the tests are compiled quickly instead of well."""

# XLA of older versions of JAX materialises more of a loss's large arrays. Values and gradients are the same there.
promises_memory = pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="memory is promised on JAX 0.10 and newer")

BYTES = {"pred": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "f64": 8}
EXCHANGE = re.compile(
    r" = (.+?) (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(?:-start)?\("
    r"(.*?)op_name=\"([^\"]*)\""
)
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
ALONE = re.compile(r"replica_groups=(\{\{\d+\}|\[\d+,1\])")
# As newer versions write it: the mesh, and the axes along which devices form a group.
GROUPS = re.compile(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}")


class Exchange(NamedTuple):
    """A collective operation of one device."""

    kind: str
    shapes: list[tuple[int, ...]]
    bytes: int
    """Of its result."""
    looped: bool
    """Whether it is within a loop."""


def exchanges(program: Any) -> list[Exchange]:
    """The collectives in a program's text, without those of a device with itself."""
    found: list[Exchange] = []
    for arrays, kind, attributes, name in EXCHANGE.findall(program.as_text()):
        typed = [(dtype, tuple(map(int, filter(None, shape.split(","))))) for dtype, shape in ARRAY.findall(arrays)]
        size = sum(BYTES[dtype] * math.prod(shape) for dtype, shape in typed)
        if not alone(attributes):
            found.append(Exchange(kind, [shape for _, shape in typed], size, "while" in name))
    return found


def alone(attributes: str) -> bool:
    """Whether each device is a group of its own."""
    if groups := GROUPS.search(attributes):
        sizes = dict(re.findall(r"('\w+')=(\d+)", groups[1]))
        return all(sizes[name] == "1" for name in re.findall(r"'\w+'", groups[2]))
    return bool(ALONE.search(attributes))


def compiled(function: Any, *arguments: Any) -> Any:
    return jit(function).lower(*arguments).compile()


def temporaries(program: Any) -> int:
    """Of one device, in bytes."""
    return program.memory_analysis().temp_size_in_bytes
