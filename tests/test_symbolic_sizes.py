"""Losses in programs of `jax.export` for batches of any size, whose sizes are symbols while they are traced."""

from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from case import Case
from cases import CASES
from flax import nnx
from jax import export
from variants import variants

import jaxloss
from jaxloss.flax import AdaptiveLogSoftmaxWithLoss

pytestmark = pytest.mark.usefixtures("untyped")  # jaxtyping would compare sizes that are symbols
RNG = np.random.default_rng(0)
BATCH = 6


def exported(function: Callable[..., Any], *shapes: str, dtypes: str = "") -> export.Exported:
    """The program for arrays of these shapes; of float32, except where `dtypes` says i or b: int32 or bool."""
    scope, names = export.SymbolicScope(), {"f": "float32", "i": "int32", "b": "bool"}
    kinds = dtypes or "f" * len(shapes)
    arguments = [
        jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope) if shape else (), names[kind])
        for shape, kind in zip(shapes, kinds, strict=True)
    ]
    return export.export(jax.jit(function))(*arguments)


def agree(program: export.Exported, function: Callable[..., Any], *arrays: np.ndarray) -> None:
    chex.assert_trees_all_close(program.call(*arrays), function(*arrays), rtol=1e-5, atol=1e-6)


# Every loss -------------------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    return value.id if isinstance(value, Case) else str(value)


SETS = [(case, number) for case in CASES for number in range(len(case.options))]


def batched(case: Case) -> list[np.ndarray]:
    arrays = case.arrays("batched", shape=(BATCH, *case.inputs["batched"].shape[1:]))
    return [array.astype("float32" if array.dtype == np.float64 else "int32") for array in arrays]


def derivatives(case: Case, number: int) -> Callable[..., Any]:
    """The value, the gradients and the parts under a mask, of a Case with one of its option sets."""
    options = {
        name: value.astype("float32") if isinstance(value, np.ndarray) else value
        for name, value in case.option_sets(tuple(batched(case)))[number].items()
    }
    loss = case.loss(**options)

    def results(*arrays: Any) -> Any:
        losses = jax.eval_shape(partial(case.loss.fn, reduction="none", **options), *arrays)
        where = jnp.ones(case.kept(losses.shape), bool)
        return jax.value_and_grad(loss, case.differentiable)(*arrays), jaxloss.parts(loss)(*arrays, where=where)

    return results


def shapes(case: Case, arrays: list[np.ndarray]) -> list[str]:
    """The shapes with the batch as a symbol. What all examples share keeps its size."""
    whole = [i in case.shared or array.shape[:1] != (BATCH,) for i, array in enumerate(arrays)]
    return [
        ",".join(map(str, array.shape if fixed else ("batch", *array.shape[1:])))
        for array, fixed in zip(arrays, whole, strict=True)
    ]


@pytest.mark.parametrize(
    ("case", "number"), variants(SETS, lambda case, number: not number and not case.variant), ids=shown
)
def test_every_loss_has_a_program_for_batches_of_any_size(case: Case, number: int) -> None:
    arrays = batched(case)
    kinds = "".join("i" if array.dtype == np.int32 else "f" for array in arrays)
    program = exported(derivatives(case, number), *shapes(case, arrays), dtypes=kinds)
    assert len(program.out_avals) == len(case.differentiable) + 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_program_for_any_size_gives_what_that_of_the_size_does(case: Case) -> None:
    arrays = batched(case)
    kinds = "".join("i" if array.dtype == np.int32 else "f" for array in arrays)
    function = derivatives(case, 0)
    agree(exported(function, *shapes(case, arrays), dtypes=kinds), function, *arrays)


# Sizes that a program depends on ----------------------------------------------------------------------------------


def linear(tokens: int) -> tuple[np.ndarray, ...]:
    hidden, kernel = RNG.normal(size=(tokens, 3)), RNG.normal(size=(3, 5))
    return hidden.astype("float32"), kernel.astype("float32"), RNG.integers(0, 5, tokens).astype("int32")


@pytest.mark.parametrize(
    ("options", "reduction"),
    variants(
        [
            ({"chunk_size": 4}, "mean"),
            ({"chunk_size": 4}, "none"),
            ({}, "mean"),
            ({"implementation": "reference"}, "sum"),
        ],
        lambda options, reduction: "chunk_size" in options and reduction == "mean",
    ),
)
def test_tokens_of_a_linear_layer_in_chunks(options: dict[str, Any], reduction: str) -> None:
    def results(hidden: Any, kernel: Any, labels: Any) -> Any:
        def total(hidden: Any, kernel: Any) -> Any:
            loss, stats = jaxloss.linear_cross_entropy_with_stats(
                hidden, kernel, labels, reduction=reduction, **options
            )
            return jnp.sum(jnp.sin(loss)), stats

        return jax.value_and_grad(total, (0, 1), has_aux=True)(hidden, kernel)

    program = exported(results, "tokens, 3", "3, 5", "tokens", dtypes="ffi")
    for tokens in (1, 9):  # less than a chunk, and more than whole chunks
        agree(program, results, *linear(tokens))


def test_chunks_of_any_number_of_tokens_keep_the_logits_of_one() -> None:
    loss = jax.value_and_grad(partial(jaxloss.linear_cross_entropy, chunk_size=64), (0, 1))
    text = str(exported(loss, "batch, length, 8", "8, 4096", "batch, length", dtypes="ffi").mlir_module())
    assert "tensor<64x4096xf32>" in text
    assert "tensor<?x4096xf32>" not in text


@pytest.mark.parametrize("options", variants([{}, {"label_smoothing": 0.125}], bool), ids=str)
@pytest.mark.parametrize("dtype", variants(["float32", "bfloat16"], lambda dtype: dtype == "float32"))
def test_any_number_of_classes(options: dict[str, float], dtype: str) -> None:
    logits, labels = RNG.normal(size=(4, 5)).astype("float32"), np.array([0, 4, -100, 2], "int32")

    def results(logits: Any, labels: Any, weight: Any) -> Any:
        given = jaxloss.CrossEntropyLoss(weight=weight, **options)
        soft = jax.nn.softmax(logits)
        logits = logits.astype(dtype)
        return jax.value_and_grad(given)(logits, labels), given(logits, soft.astype(dtype))

    weight = np.arange(5, dtype="float32")
    agree(exported(results, "rows, classes", "rows", "classes", dtypes="fif"), results, logits, labels, weight)


def test_any_number_of_frames_and_labels() -> None:
    log_probs = np.asarray(jax.nn.log_softmax(RNG.normal(size=(2, 20, 5)).astype("float32")))
    labels, frames, lengths = ([[1, 2, 2], [3, 1, 0]], [20, 15], [3, 2])
    arrays = (log_probs, *(np.array(each, "int32") for each in (labels, frames, lengths)))
    function = jax.value_and_grad(jaxloss.ctc_loss)
    agree(exported(function, "n, t, c", "n, s", "n", "n", dtypes="fiii"), function, *arrays)


@pytest.mark.exhaustive
def test_any_number_of_rows_of_an_adaptive_softmax() -> None:
    module = AdaptiveLogSoftmaxWithLoss(4, 8, [2, 5], rngs=nnx.Rngs(0), div_value=2.0)
    hidden, labels = RNG.normal(size=(6, 4)).astype("float32"), np.arange(6, dtype="int32")

    def results(hidden: Any, labels: Any) -> Any:
        return jax.value_and_grad(module.loss)(hidden, labels), module.predict(hidden)

    agree(exported(results, "rows, 4", "rows", dtypes="fi"), results, hidden, labels)


def test_masks_and_weights_that_broadcast_are_counted() -> None:
    losses, where, weight = np.ones((4, 5), "float32"), np.array([[True], [False], [True], [True]]), np.arange(1.0, 6)

    def results(losses: Any, where: Any, weight: Any) -> Any:
        masked = jaxloss.parts(jaxloss.reduce)(losses, where=where)
        return masked.weight, jaxloss.parts(jaxloss.reduce)(losses, sample_weight=weight).weight

    program = exported(results, "rows, columns", "rows, 1", "1, columns", dtypes="fbf")
    assert list(map(float, program.call(losses, where, weight[None].astype("float32")))) == [15, 60]


def test_batchmean_of_any_size() -> None:
    divergence = partial(jaxloss.kl_div, reduction="batchmean")
    program = exported(divergence, "rows, columns", "rows, columns")
    assert float(program.call(np.full((4, 6), -0.5, "float32"), np.ones((4, 6), "float32"))) == 3
