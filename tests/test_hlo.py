"""The reader of compiled programs, on programs whose traffic is known by hand."""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from compiled import compiled

sys.path.insert(0, str(Path(__file__).parent.parent))
hlo = pytest.importorskip("benchmarks.hlo")  # a source distribution has none of them

N, KIB = 4096, 1024
ARRAY = jax.ShapeDtypeStruct((N,), "float32")
SQUARE = jax.ShapeDtypeStruct((64, 64), "float32")


def traffic(function: Any, *arrays: Any) -> Any:
    return hlo.traffic(compiled(function, *arrays).as_text())


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("f32[]", 4),
        ("bf16[8,3]{1,0}", 48),
        ("pred[5]{0}", 5),
        ("u8[5]", 5),
        ("f8e4m3fn[7]", 7),
        ("s64[0]", 0),
        ("(f32[2]{0:T(128)S(1)}, /*index=1*/s32[3], token[])", 8 + 12),
    ],
)
def test_size_of_a_shape(shape: str, expected: int) -> None:
    assert hlo.size(shape) == expected


def test_memory_on_the_chip_is_not_traffic() -> None:
    assert hlo.size("(f32[2]{0:T(128)S(1)}, s32[3]{0:T(128)})", on_chip=True) == 12


def test_a_map_reads_its_inputs_once_and_writes_its_output() -> None:
    found = traffic(lambda a, b: jnp.exp(a) * b + a, ARRAY, ARRAY)
    assert found.moved == 3 * 4 * N
    assert found.launches == 1
    assert found.unknown_loops == found.conditionals == 0


def test_a_slice_moves_its_own_bytes() -> None:
    # At a constant start the slice fuses with the map. 64 numbers are read and 64 written.
    assert traffic(lambda a: jnp.exp(a[5:69]), ARRAY).moved == 2 * 4 * 64


def test_a_product_counts_its_operations() -> None:
    found = traffic(lambda a, b: a @ b, SQUARE, SQUARE)
    assert sum(kernel.operations for kernel in found.kernels) == 2 * 64**3
    assert found.moved == 3 * 4 * 64**2
    # A device that moves a byte in a second and computes without end is bound by the bytes, and the other by products.
    assert found.roofline(1.0, float("inf")) == found.moved
    assert found.roofline(float("inf"), 1.0) == 2 * 64**3


PROGRAM = """HloModule loop, is_scheduled=true

%body (state: (s32[], f32[1024])) -> (s32[], f32[1024]) {
  %state = (s32[], f32[1024]{0:T(1024)}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %x = f32[1024]{0:T(1024)} get-tuple-element(%state), index=1
  %y = f32[1024]{0:T(1024)} exponential(%x)
  ROOT %next = (s32[], f32[1024]{0:T(1024)}) tuple(%i, %y)
}

%condition (state: (s32[], f32[1024])) -> pred[] {
  %state = (s32[], f32[1024]{0:T(1024)}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %limit = s32[] constant(3)
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}

ENTRY %main (i: s32[], x: f32[1024]) -> (s32[], f32[1024]) {
  %i = s32[] parameter(0)
  %x = f32[1024]{0:T(1024)} parameter(1)
  %start = (s32[], f32[1024]{0:T(1024)}) tuple(%i, %x)
  ROOT %loop = (s32[], f32[1024]{0:T(1024)}) while(%start), condition=%condition, body=%body BACKEND
}
"""


def test_a_loop_counts_its_trips() -> None:
    found = hlo.traffic(PROGRAM.replace("BACKEND", ', backend_config={"known_trip_count":{"n":"7"}}'))
    assert found.launches == 7
    assert found.moved == 7 * 8 * KIB
    assert found.moved_in_further_trips == 6 * 8 * KIB
    assert found.unknown_loops == 0


def test_a_loop_of_unknown_length_is_counted_as_one() -> None:
    found = hlo.traffic(PROGRAM.replace(" BACKEND", ""))
    assert found.unknown_loops == 1
    assert found.moved == 8 * KIB + 4 + 4 + 1  # one trip, and the comparison of its condition


def test_a_loop_of_jax_counts_its_trips() -> None:
    def step(_: int, x: jax.Array) -> jax.Array:
        return jnp.sin(x) @ x

    found = traffic(lambda x: jax.lax.fori_loop(0, 5, step, x), SQUARE)
    assert sum(kernel.operations * kernel.times for kernel in found.kernels) == 5 * 2 * 64**3


def test_a_conditional_counts_its_branch_with_the_most_bytes() -> None:
    def chosen(choice: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        return jax.lax.cond(choice, lambda a, b: a @ b, lambda a, b: -a, a, b)

    found = traffic(chosen, jax.ShapeDtypeStruct((), "bool"), SQUARE, SQUARE)
    assert found.conditionals == 1
    assert sum(kernel.operations for kernel in found.kernels) == 2 * 64**3


IN_PLACE = """HloModule update

%fused (array: f32[1024], piece: f32[8], at: s32[]) -> f32[1024] {
  %array = f32[1024]{0} parameter(0)
  %piece = f32[8]{0} parameter(1)
  %at = s32[] parameter(2)
  ROOT %updated = f32[1024]{0} dynamic-update-slice(%array, %piece, %at)
}

ENTRY %main (array: f32[1024], piece: f32[8], at: s32[]) -> f32[1024] {
  %array = f32[1024]{0} parameter(0)
  %piece = f32[8]{0} parameter(1)
  %at = s32[] parameter(2)
  ROOT %fusion = f32[1024]{0} fusion(%array, %piece, %at), kind=kLoop, calls=%fused
}
"""


def test_an_update_in_place_moves_what_it_writes() -> None:
    assert hlo.traffic(IN_PLACE).moved == 2 * 4 * 8 + 4
