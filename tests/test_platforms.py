"""Programs for other platforms hold none of the CPU's tricks, and on a CPU each trick does what it is there for."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from case import Case
from cases import CASES
from compiled import compiled, temporaries
from variants import variants

import jaxloss
from jaxloss._ops.cross_entropy import xla_cpu
from jaxloss._ops.cross_entropy.formula import zero_if_weightless
from jaxloss._ops.rows import xla_cpu as rows_xla_cpu

PLATFORMS = ("cpu", "tpu", "cuda")
BARRIER = "stablehlo.optimization_barrier"
LOOP = "stablehlo.while"

Shape = jax.ShapeDtypeStruct


def exported(platform: str, function: Any, *arrays: Any) -> str:
    """The program for one platform. Of each choice of a platform it holds that platform's branch alone."""
    return str(jax.export.export(jax.jit(function), platforms=[platform])(*arrays).mlir_module())


def value_and_gradient(case: Case, options: Any, arrays: Any) -> tuple[Any, Any]:
    """The value and gradient of a Case's loss as a function, and its arguments, in float32."""
    arrays = [jnp.asarray(array, "float32") if array.dtype == np.float64 else jnp.asarray(array) for array in arrays]

    def value(*differentiable: Any) -> Any:
        replaced = dict(zip(case.differentiable, differentiable, strict=True))
        return case.loss.fn(*(replaced.get(position, array) for position, array in enumerate(arrays)), **options)

    arguments = [arrays[position] for position in case.differentiable]
    return jax.value_and_grad(value, tuple(range(len(arguments)))), arguments


@pytest.mark.parametrize("platform", variants(["tpu", "cuda"], lambda platform: platform == "tpu"))
@pytest.mark.parametrize(
    ("case", "number"),
    variants([(case, i) for case in CASES for i in range(len(case.options))], lambda case, number: number == 0),
    ids=lambda each: getattr(each, "id", each),
)
def test_no_barrier_of_the_cpu(case: Case, number: int, platform: str) -> None:
    # In float32: programs of low precision have a barrier on every platform, before a second pass over the logits.
    arrays = case.arrays("batched")
    function, arguments = value_and_gradient(case, case.option_sets(arrays)[number], arrays)
    assert BARRIER not in exported(platform, function, *arguments)


def test_the_cpu_has_the_barriers_that_others_lack() -> None:
    logits = Shape((4, 6), "float32")
    programs = {platform: exported(platform, jaxloss.cross_entropy, logits, logits) for platform in ("cpu", "tpu")}
    assert {platform: BARRIER in program for platform, program in programs.items()} == {"cpu": True, "tpu": False}


def test_long_rows_are_summed_in_blocks_on_the_cpu_alone() -> None:
    arguments = Shape((4, 65536), "float32"), Shape((4,), "int32")
    blocks = {name: "tensor<8x32768xf32>" in exported(name, jaxloss.cross_entropy, *arguments) for name in PLATFORMS}
    assert blocks == {"cpu": True, "tpu": False, "cuda": False}


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_chunks_have_the_size_of_the_platform(reduction: str) -> None:
    def gradient(*arrays: Any) -> Any:
        def total(hidden: Any, kernel: Any) -> Any:
            return jnp.sum(jaxloss.linear_cross_entropy(hidden, kernel, arrays[2], reduction=reduction))

        return jax.value_and_grad(total, (0, 1))(*arrays[:2])

    arguments = Shape((1024, 1024), "float32"), Shape((1024, 2**17), "float32"), Shape((1024,), "int32")
    loops = {name: LOOP in exported(name, gradient, *arguments) for name in PLATFORMS}
    assert loops == {"cpu": True, "tpu": False, "cuda": False}


def test_low_precision_logits_have_one_barrier_for_the_second_pass() -> None:
    arguments = Shape((4, 6), "bfloat16"), Shape((4,), "int32")
    counts = [
        exported("tpu", function, *arguments).count(BARRIER)
        for function in (jaxloss.cross_entropy, jax.value_and_grad(jaxloss.cross_entropy))
    ]
    assert counts == [0, 1]


# The tricks of the CPU --------------------------------------------------------------------------------------------

ROWS, CLASSES = 256, 2048


@pytest.fixture
def fresh():
    """Empty caches: JAX would use the traces of the functions that a test replaces."""
    jax.clear_caches()
    yield
    jax.clear_caches()


def memory(function: Any, *arguments: Any) -> int:
    jax.clear_caches()
    return temporaries(compiled(function, *arguments))


def select_label(exponentials: Any, label: Any, axis: Any) -> Any:
    return jnp.where(label.matches(exponentials, axis), 0.0, exponentials)


def select_largest(exponentials: Any) -> Any:
    return jnp.where(exponentials > 0.75, 0.0, exponentials)


def select_weightless(mass: Any, costs: Any, axis: Any, *, signed: bool) -> Any:
    return axis.sum(mass * zero_if_weightless(mass, costs))


def shared(*arrays: Any) -> Any:
    return arrays


def gradient(logits: Any, targets: Any) -> Any:
    return jax.value_and_grad(jaxloss.cross_entropy)(logits, targets)


def smooth(logits: Any, targets: Any) -> Any:
    return jaxloss.cross_entropy(logits, targets, label_smoothing=0.125)


@pytest.mark.parametrize(
    ("trick", "plain", "function", "soft", "dtypes"),
    [
        pytest.param(
            "mask_by_minimum", select_label, jaxloss.cross_entropy, False, ("float32", "bfloat16"), id="label"
        ),
        pytest.param("mask_by_floor", select_largest, jaxloss.cross_entropy, True, ("float32", "bfloat16"), id="floor"),
        pytest.param(
            "weighted_sum", select_weightless, jaxloss.cross_entropy, True, ("float32", "bfloat16"), id="limit"
        ),
        pytest.param("unshared", shared, jaxloss.cross_entropy, True, ("float32", "bfloat16"), id="unshared soft"),
        pytest.param("unshared", shared, smooth, False, ("float32", "bfloat16"), id="unshared smooth"),
        pytest.param("_reread", shared, gradient, False, ("bfloat16",), id="reread"),
    ],
)
@pytest.mark.usefixtures("fresh")
def test_a_trick_saves_an_array_of_the_logits_size(
    trick: str, plain: Any, function: Any, soft: bool, dtypes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for dtype in dtypes:
        logits = Shape((ROWS, CLASSES), dtype)
        targets = logits if soft else Shape((ROWS,), "int32")
        assert memory(function, logits, targets) < 0.05 * ROWS * CLASSES * 4
        with monkeypatch.context() as changed:
            changed.setattr(xla_cpu, trick, plain)
            assert memory(function, logits, targets) >= ROWS * CLASSES * 4


@pytest.mark.usefixtures("fresh")
def test_long_rows_are_summed_in_blocks_of_32768() -> None:
    text = compiled(jaxloss.cross_entropy, Shape((4, 65536), "float32"), Shape((4,), "int32")).as_text()
    assert "f32[8,32768]" in text


@pytest.mark.usefixtures("fresh")
def test_logarithms_of_short_rows_are_not_in_the_loop_of_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = Shape((65536, 10), "float32"), Shape((65536,), "int32")
    separate = memory(jaxloss.cross_entropy, *arguments)
    monkeypatch.setattr(xla_cpu, "separate_logarithms", lambda label, other_sum: other_sum)
    assert memory(jaxloss.cross_entropy, *arguments) >= separate + 4 * 65536  # one more float32 per row


@pytest.mark.usefixtures("fresh")
def test_the_transposed_log_softmax_writes_where_the_cotangents_are(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = Shape((4096, 100), "float32"), Shape((4096,), "int32")

    def loss(logits: Any, targets: Any) -> Any:
        return jax.value_and_grad(lambda x: jaxloss.nll_loss(jaxloss.log_softmax(x), targets))(logits)

    original = xla_cpu.log_softmax_and_softmax
    assert memory(loss, *arguments) < 0.1 * 4096 * 100 * 4

    def folded(logits: Any, axis: Any) -> Any:
        log_probabilities, probabilities, not_negative = original(logits, axis)
        return log_probabilities, probabilities, jnp.zeros_like(not_negative)

    monkeypatch.setattr(xla_cpu, "log_softmax_and_softmax", folded)
    assert memory(loss, *arguments) >= 0.9 * 4096 * 100 * 4


@pytest.mark.parametrize(("width", "transposed"), [(48, True), (1032, False)])
@pytest.mark.usefixtures("fresh")
def test_the_kernels_gradient_multiplies_a_transposed_copy(width: int, transposed: bool) -> None:
    arguments = Shape((96, width), "float32"), Shape((width, 640), "float32"), Shape((96,), "int32")
    text = compiled(jax.grad(jaxloss.linear_cross_entropy, (0, 1)), *arguments).as_text()
    assert rows_xla_cpu.faster_transposed(jnp.zeros((1, width), "float32")) == transposed
    assert (f"f32[{width},96]{{1,0}} copy(" in text) == transposed
