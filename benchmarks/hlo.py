"""Reads the traffic of a compiled program off its optimised HLO.

A kernel is an instruction that is neither bookkeeping nor control flow. It counts once per trip of the loops around it.
It moves its operands and its result through the device's memory. Of an operand that a fusion only slices or gathers
from, it moves the slices; of a result that it updates in place, the slice that it writes.

The figures have limits. Caches are not modelled. A loop whose number of trips the compiler does not know counts one
trip. A conditional counts its branch with the most bytes. A kernel that reads an operand twice counts it once.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

BYTES = {"pred": 1, "c64": 8, "c128": 16}
ARRAY = re.compile(r"(\w+)\[([\d,]*)\](\{[^}]*\})?")
HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{\s*$")
START = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
OPCODE = re.compile(r"\s*([\w\-]+)\(")
TRIPS = re.compile(r'known_trip_count"?:\{"n":"(\d+)"')
BOOKKEEPING = {
    "add-dependency", "after-all", "bitcast", "constant", "domain", "get-dimension-size", "get-tuple-element",
    "opt-barrier", "optimization-barrier", "parameter", "partition-id", "replica-id", "tuple",
}  # fmt: skip


class Instruction(NamedTuple):
    """One line of a program."""

    shape: str
    opcode: str
    operands: tuple[str, ...]
    arguments: str  # the text between the parentheses
    attributes: str  # the text after them
    root: bool


class Kernel(NamedTuple):
    """The bytes and the products' operations of one instruction, with the number of times that it runs."""

    name: str
    opcode: str
    read: float
    written: float
    operations: float
    times: int

    @property
    def moved(self) -> float:
        return self.read + self.written


class Traffic(NamedTuple):
    """What a program runs."""

    kernels: list[Kernel]
    unknown_loops: int  # loops whose number of trips the compiler does not know
    conditionals: int

    @property
    def moved(self) -> float:
        """The bytes that all kernels move, loops included."""
        return sum(kernel.moved * kernel.times for kernel in self.kernels)

    @property
    def moved_in_further_trips(self) -> float:
        """The bytes that a count of each loop's body as one trip lacks."""
        return sum(kernel.moved * (kernel.times - 1) for kernel in self.kernels)

    @property
    def launches(self) -> int:
        return sum(kernel.times for kernel in self.kernels)

    def roofline(self, bandwidth: float, operations: float) -> float:
        """The least seconds: each kernel takes the longer of moving its bytes and of computing its products."""
        return sum(k.times * max(k.moved / bandwidth, k.operations / operations) for k in self.kernels)


Computation = dict[str, Instruction]


def size(shape: str, on_chip: bool = False) -> int:
    """The bytes of a shape, tuples included. `on_chip` leaves out arrays in memory space 1, a TPU's on-chip memory."""
    total = 0
    for dtype, dims, layout in ARRAY.findall(shape):
        if not (on_chip and "S(1)" in layout):
            total += math.prod(map(int, filter(None, dims.split(",")))) * _item(dtype)
    return total


def _item(dtype: str) -> int:
    if dtype in BYTES:
        return BYTES[dtype]
    bits = re.match(r"b?[a-z](\d+)", dtype)  # f32, bf16, s32, u8, f8e4m3fn
    return max(int(bits[1]) // 8, 1) if bits else 0


def _dims(shape: str) -> list[int]:
    found = ARRAY.search(shape)
    return [int(each) for each in found[2].split(",") if each] if found else []


def parse(text: str) -> tuple[dict[str, Computation], str]:
    """All computations by name, and the name of the entry."""
    computations: dict[str, Computation] = {}
    entry, current = "", None
    for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
        if current is None:
            if head := HEAD.match(line):
                current = computations.setdefault(head[2], {})
                entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            current = None
        elif start := START.match(line):
            current[start[2]] = _instruction(line[start.end() :], bool(start[1]))
    return computations, entry


def _instruction(text: str, root: bool) -> Instruction:
    end = _closing(text, 0) if text.startswith("(") else text.index(" ")  # a tuple, or an array without spaces
    opcode = OPCODE.match(text, end)
    assert opcode, text
    close = _closing(text, opcode.end() - 1)
    arguments = text[opcode.end() : close - 1]
    return Instruction(
        text[:end], opcode[1], tuple(re.findall(r"%([\w.\-]+)", arguments)), arguments, text[close:], root
    )


def _closing(text: str, start: int) -> int:
    """The position after the parenthesis that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i + 1
    raise ValueError(f"unbalanced parentheses: {text}")


def traffic(text: str, on_chip: bool = False) -> Traffic:
    """The traffic of a program, from `compiled.as_text()`."""
    return _Reader(*parse(text), on_chip).traffic()


class _Reader:
    def __init__(self, computations: dict[str, Computation], entry: str, on_chip: bool) -> None:
        self.computations, self.entry, self.on_chip = computations, entry, on_chip

    def traffic(self) -> Traffic:
        return self._walk(self.entry, 1)

    def _walk(self, name: str, times: int) -> Traffic:
        kernels: list[Kernel] = []
        loops = conditionals = 0
        for label, each in self.computations[name].items():
            inner: list[Traffic] = []
            if each.opcode in BOOKKEEPING or each.opcode.endswith(("-done", "-update")):
                continue
            if each.opcode == "while":
                trips = TRIPS.search(each.attributes)
                loops += not trips
                inner = [self._walk(_called(each, "body"), times * int(trips[1] if trips else 1))]
                inner += [] if trips else [self._walk(_called(each, "condition"), times)]
            elif each.opcode == "conditional":
                conditionals += 1
                branches = [self._walk(branch, times) for branch in self._branches(each)]
                inner = [max(branches, key=lambda branch: branch.moved)]
            elif each.opcode in ("call", "async-start"):
                inner = [self._walk(_called(each, "to_apply|calls"), times)]
            elif "AllocateBuffer" not in each.attributes:  # a buffer that nothing is written into
                kernels.append(self._kernel(label, each, self.computations[name], times))
            for found in inner:
                kernels += found.kernels
                loops, conditionals = loops + found.unknown_loops, conditionals + found.conditionals
        return Traffic(kernels, loops, conditionals)

    def _branches(self, conditional: Instruction) -> list[str]:
        found = re.search(r"branch_computations=\{([^}]*)\}", conditional.attributes)
        names = re.findall(r"%?([\w.\-]+)", found[1]) if found else re.findall(
            r"(?:true|false)_computation=%?([\w.\-]+)", conditional.attributes
        )  # fmt: skip
        return names

    def _kernel(self, label: str, each: Instruction, around: Computation, times: int) -> Kernel:
        sizes = [size(around[name].shape, self.on_chip) if name in around else 0 for name in each.operands]
        read, written = sum(sizes), size(each.shape, self.on_chip)
        if each.opcode == "fusion":
            read, written = self._fused(self.computations[_called(each, "calls")], sizes, each)
        elif each.opcode == "dynamic-update-slice":
            read = written = sizes[1]
        elif each.opcode in ("dynamic-slice", "slice", "gather"):
            read = size(each.shape)
        elif each.opcode in ("copy-start", "slice-start"):  # the result is a tuple of the operand and its copy
            copied = min(map(size, re.findall(r"\w+\[[\d,]*\]", each.shape)[:2]))
            read, written = self._copied(each, around, copied)
        return Kernel(label, each.opcode, read, written, self._operations({label: each}, around), times)

    def _copied(self, copy: Instruction, around: Computation, copied: int) -> tuple[int, int]:
        target = ARRAY.search(copy.shape)
        return (
            copied if size(around[copy.operands[0]].shape, self.on_chip) else 0,
            copied if target and size(target[0], self.on_chip) else 0,
        )

    def _fused(self, inner: Computation, sizes: list[int], fusion: Instruction) -> tuple[int, int]:
        """The bytes that a fusion reads and writes."""
        read = 0
        for name, each in inner.items():
            if each.opcode == "parameter":
                whole = sizes[int(each.arguments)]
                read += min(whole, sum(_touched(inner, name, whole)))
        root = next(name for name, each in inner.items() if each.root)
        results = inner[root].operands if inner[root].opcode == "tuple" else (root,)
        shapes = [found[0] for found in ARRAY.finditer(fusion.shape)]
        written = 0
        for name, shape in zip(results, shapes, strict=False):
            written += min(_updated(inner, name), size(shape, self.on_chip))
        return read, written

    def _operations(self, instructions: Computation, around: Computation) -> float:
        """The multiplications and additions of the matrix products, those of nested fusions included."""
        total = 0.0
        for each in instructions.values():
            if each.opcode == "fusion":
                inner = self.computations[_called(each, "calls")]
                total += self._operations(inner, inner)
            elif each.opcode in ("dot", "convolution"):
                total += 2 * math.prod(_dims(each.shape)) * _contracted(each, around)
        return total


def _called(instruction: Instruction, key: str) -> str:
    found = re.search(rf"(?:{key})=%?([\w.\-]+)", instruction.attributes)
    assert found, instruction
    return found[1]


def _users(inner: Computation, name: str) -> Iterator[tuple[Instruction, str]]:
    """The users of a value, seen through bitcasts, each with the name by which it takes the value."""
    for user, each in inner.items():
        if name in each.operands:
            if each.opcode == "bitcast" and not each.root:
                yield from _users(inner, user)
            else:
                yield each, name


def _touched(inner: Computation, name: str, whole: int) -> Iterator[int]:
    """The bytes that each user of a fusion's parameter reads of it."""
    for each, taken in _users(inner, name):
        first = each.operands[0] == taken
        if first and each.opcode in ("dynamic-slice", "slice", "gather"):
            yield size(each.shape)
        elif first and each.opcode == "dynamic-update-slice":
            yield 0  # it is updated in place
        elif first and each.opcode == "scatter":
            yield size(inner[each.operands[2]].shape)
        else:
            yield whole


def _updated(inner: Computation, name: str) -> int:
    """The bytes that a fusion writes for one of its results."""
    while inner[name].opcode == "bitcast":
        name = inner[name].operands[0]
    each = inner[name]
    update = {"dynamic-update-slice": 1, "scatter": 2}.get(each.opcode)
    return size(inner[each.operands[update]].shape if update else each.shape)


def _contracted(product: Instruction, around: Computation) -> int:
    """The number of terms in each entry of a product. TPUs write a product as a convolution."""
    if product.opcode == "dot":
        axes = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", product.attributes)
        dims = _dims(around[product.operands[0]].shape)
        return math.prod(dims[int(axis)] for axis in axes[1].split(",") if axis) if axes else 1
    labels = re.search(r"dim_labels=\w+_(\w+)->", product.attributes)
    dims = _dims(around[product.operands[1]].shape)
    return math.prod(dims) // dims[labels[1].index("o")] if labels else 1
