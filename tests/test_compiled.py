"""Each loss compiles for a TPU, and moves no more bytes there than it must. No TPU is needed, only its compiler."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from case import Case
from cases import CASES
from jax.experimental.compilation_cache import compilation_cache

import jaxloss

sys.path.insert(0, str(Path(__file__).parent.parent))
devices, meter = (pytest.importorskip(f"benchmarks.{name}") for name in ("devices", "compiled"))
if importlib.util.find_spec("libtpu") is None:
    pytest.skip(devices.why_not("v5e"), allow_module_level=True)
pytestmark = pytest.mark.xdist_group("libtpu")  # one process loads the compiler
devices.prepare()

SIZE = (2048, 4096)
FLOOR = 1.3  # units of the inputs and outputs


@pytest.fixture(autouse=True, scope="module")
def without_a_cache() -> Iterator[None]:
    """JAX stores programs for absent devices in its cache, but cannot load them from it."""
    used = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", used)
    compilation_cache.reset_cache()


def value_and_gradient(case: Case) -> tuple[Any, list[Any]]:
    """The value and gradient of a Case's loss as a function of its arrays, and the arrays, in float32."""

    def narrow(value: Any) -> Any:
        return value.astype("float32") if isinstance(value, np.ndarray) and value.dtype == np.float64 else value

    arrays = [narrow(array) for array in case.arrays("batched")]
    options = {name: narrow(value) for name, value in case.option_sets(tuple(arrays))[0].items()}
    return jax.value_and_grad(lambda *arrays: case.loss.fn(*arrays, **options), case.differentiable), arrays


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_loss_compiles_for_a_tpu(case: Case) -> None:
    function, arrays = value_and_gradient(case)
    found = meter.figures(devices.compiled("v5e", function, *arrays), devices.DEVICES["v5e"])
    assert found["kernels"] > 0


def elementwise() -> list[Any]:
    from benchmarks.suites import elementwise

    return [*elementwise.regression(SIZE), *elementwise.binary(SIZE)]


@pytest.mark.parametrize("case", elementwise(), ids=lambda case: case.loss)
@pytest.mark.parametrize("mode", ["value", "gradient"])
def test_an_elementwise_loss_moves_each_array_once(case: Any, mode: str, request: pytest.FixtureRequest) -> None:
    if (case.loss, mode) == ("hinge_embedding_loss", "gradient"):
        request.applymarker(pytest.mark.xfail(strict=True, reason="its gradient moves 3 units on a TPU v5e"))
    arrays = [jax.ShapeDtypeStruct(a.shape, jnp.dtype(a.dtype)) for a in case.arrays(np.random.default_rng(0))]
    function = case.ours if mode == "value" else jax.value_and_grad(case.ours, case.gradient_of)
    found = meter.figures(devices.compiled("v5e", function, *arrays), devices.DEVICES["v5e"])
    assert found["units"] <= FLOOR
    assert found["temporaries_mib"] <= 1
    assert found["unknown_loops"] == found["conditionals"] == 0


# In reads of the logits: the soft targets are a second array.
READS = {"value": 1.05, "gradient": 3.05, "weight": 1.1, "soft": 2.1}


def reading(name: str, dtype: str) -> tuple[Any, tuple[Any, ...]]:
    """A call of `cross_entropy`, and its arrays."""
    logits, labels = jax.ShapeDtypeStruct((8192, 32000), dtype), jax.ShapeDtypeStruct((8192,), "int32")
    if name == "soft":
        return jaxloss.cross_entropy, (logits, logits)
    if name == "weight":
        weight = jax.ShapeDtypeStruct((32000,), "float32")
        return lambda x, t, w: jaxloss.cross_entropy(x, t, weight=w), (logits, labels, weight)
    return jaxloss.cross_entropy if name == "value" else jax.value_and_grad(jaxloss.cross_entropy), (logits, labels)


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cross_entropy_reads_the_logits_once_for_a_value_and_once_more_for_the_gradient(dtype: str, name: str) -> None:
    function, arrays = reading(name, dtype)
    program = devices.compiled("v5e", function, *arrays)
    unit = arrays[0].size * arrays[0].dtype.itemsize
    assert program.cost_analysis()["bytes accessed"] <= READS[name] * unit
    assert program.memory_analysis().temp_size_in_bytes < 2**20


def test_ctc_of_logits_has_no_array_of_log_probabilities() -> None:
    shapes = [((16, 1000, 5000), "float32"), ((16, 100), "int32"), ((16,), "int32"), ((16,), "int32")]
    arrays = [jax.ShapeDtypeStruct(*each) for each in shapes]
    with jax.enable_x64(False):  # as users have it: lengths and labels of 64 bits take memory too
        program = devices.compiled("v5e", jax.value_and_grad(jaxloss.ctc_loss_with_logits), *arrays)
    found = meter.figures(program, devices.DEVICES["v5e"])
    assert found["temporaries_mib"] <= 5
    assert found["moved_mib"] <= 3200  # the logits are read twice, and the gradient is written once: 916


def picking(loss: str) -> tuple[Any, tuple[Any, ...]]:
    """A loss that picks a number of each example at its label, and its arrays in bfloat16."""
    logits, labels = jax.ShapeDtypeStruct((4096, 8192), "bfloat16"), jax.ShapeDtypeStruct((4096,), "int32")
    if loss == "cross_entropy":
        weight = jax.ShapeDtypeStruct((8192,), "float32")
        return lambda x, t, w: jaxloss.cross_entropy(x, t, weight=w), (logits, labels, weight)
    return getattr(jaxloss, loss), (logits, labels)


@pytest.mark.parametrize("loss", ["cross_entropy", "nll_loss", "multi_margin_loss"])
def test_what_is_picked_at_the_label_is_not_stored_for_all_classes(loss: str) -> None:
    function, arrays = picking(loss)
    for step in (function, jax.value_and_grad(function)):
        found = meter.figures(devices.compiled("v5e", step, *arrays), devices.DEVICES["v5e"])
        assert found["temporaries_mib"] <= 1
