"""Linear cross-entropy in chunks equals the one that makes all logits: every size, option and derivative."""

import itertools
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, promises_memory, temporaries
from variants import variants

import jaxloss
from jaxloss._ops.rows import xla, xla_cpu, xla_tpu

WIDTH = 4
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias": {"bias": True},
    "weight": {"weight": True},
    "smoothing": {"label_smoothing": 0.125},
    "z_loss": {"z_loss": 0.25},
    "softcap": {"logit_softcap": 1.5},
    "all": {"bias": True, "weight": True, "label_smoothing": 0.25, "z_loss": 0.5, "logit_softcap": 3.0},
}


def problem(classes: int, tokens: int, scale: float, dtype: str = "float64", heads: tuple[int, ...] = ()) -> Any:
    """Hidden states, a kernel and class numbers; the logits have about the scale."""
    rng = np.random.default_rng([classes, tokens, len(heads)])
    hidden = jnp.asarray(rng.normal(size=(tokens, WIDTH)), dtype)
    kernel = jnp.asarray(rng.normal(size=(WIDTH, *heads, classes)) * scale / WIDTH**0.5, dtype)
    labels = rng.integers(0, classes, (tokens, *heads))
    labels.flat[1:2] = -100
    return hidden, kernel, jnp.asarray(labels)


def given(options: dict[str, Any], kernel: jax.Array) -> dict[str, Any]:
    """The options as arrays, so that they can be differentiated."""
    rng = np.random.default_rng(0)
    made = {"bias": kernel.shape[1:], "weight": kernel.shape[-1:]}
    arrays = {name: rng.uniform(0.5, 1.5, made[name]) if name in made else value for name, value in options.items()}
    return {name: jnp.asarray(value, kernel.dtype) for name, value in arrays.items()}


def everything(function: Any, arguments: Any) -> Any:
    """A function's value, gradient, forward derivative and Hessian times a vector, and gradient of the gradient."""
    tangents = jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), arguments)
    gradient = jax.grad(function)

    def slope(arguments: Any) -> Any:
        return sum(map(jnp.vdot, jax.tree.leaves(gradient(arguments)), jax.tree.leaves(tangents)))

    return {
        "value": function(arguments),
        "gradient": gradient(arguments),
        "jvp": jax.jvp(function, (arguments,), (tangents,))[1],
        "forward over reverse": jax.jvp(gradient, (arguments,), (tangents,))[1],
        "reverse over reverse": jax.grad(slope)(arguments),
    }


def objective(labels: Any, reduction: str, **static: Any) -> Any:
    """The loss as a function of all that has a derivative, unreduced losses with cotangents that differ."""

    def function(arguments: Any) -> Any:
        hidden, kernel, options, weights = arguments
        loss = jaxloss.linear_cross_entropy(
            hidden, kernel, labels, reduction=reduction, sample_weight=weights, **options, **static
        )
        return jnp.sum(loss * jnp.sin(jnp.arange(1.0, loss.size + 1)).reshape(loss.shape).astype(loss.dtype))

    return function


def agree(hidden: Any, kernel: Any, labels: Any, options: Any, chunk_size: int, reduction: str = "mean") -> None:
    tokens = labels if jnp.issubdtype(labels.dtype, jnp.integer) else labels[..., 0]
    weights = jnp.linspace(0.5, 2.0, tokens.size, dtype=kernel.dtype).reshape(tokens.shape)
    arguments = hidden, kernel, given(options, kernel), weights
    losses = [objective(labels, reduction, implementation=name, chunk_size=chunk_size) for name in ("xla", "reference")]
    found, wanted = (jax.jit(partial(everything, loss))(arguments) for loss in losses)
    chex.assert_trees_all_close(found, wanted, rtol=1e-10, atol=1e-11)


RUNS = itertools.product(OPTIONS, ["mean", "none"])


@pytest.mark.parametrize(
    ("options", "reduction"), variants(RUNS, lambda *run: run in (("all", "mean"), ("plain", "none")))
)
def test_every_option_and_derivative(options: str, reduction: str) -> None:
    agree(*problem(7, 5, 1.0), OPTIONS[options], 2, reduction)


SIZES = itertools.product([1, 7, 1000, 1024, 1025], [1, 5, 64])


@pytest.mark.parametrize(("classes", "tokens"), variants(SIZES, lambda classes, tokens: classes == 7))
def test_every_size_scale_and_dtype(classes: int, tokens: int) -> None:
    hidden, kernel, labels = problem(classes, tokens, 1.0)

    def both(hidden: Any, kernel: Any) -> Any:
        def loss(implementation: str, hidden: Any, kernel: Any) -> Any:
            return jaxloss.linear_cross_entropy(hidden, kernel, labels, implementation=implementation, chunk_size=9)

        return [jax.value_and_grad(partial(loss, name), (0, 1))(hidden, kernel) for name in ("xla", "reference")]

    both = jax.jit(both)
    tolerances = {"float64": 1e-11, "float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}
    for (dtype, tolerance), scale in itertools.product(tolerances.items(), (0.02, 1.0, 30.0)):
        found, wanted = both(hidden.astype(dtype), (kernel * scale).astype(dtype))
        chex.assert_trees_all_equal_dtypes(found, wanted)
        # The logits' gradient is rounded to the inputs' dtype before it is multiplied by the other input.
        size = max(1e-3, *(float(jnp.max(jnp.abs(each))) for each in jax.tree.leaves(wanted)))
        chex.assert_trees_all_close(found, wanted, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize("tied", variants([False, True], lambda tied: tied))
def test_products_of_bfloat16_in_every_derivative(tied: bool) -> None:
    # XLA's CPU decides which of them it takes as they are before it is done transposing, and may fail when they run.
    rng = np.random.default_rng(0)
    tokens, width, classes = 48, 64, 96
    hidden = jnp.asarray(rng.normal(size=(tokens, width)), "bfloat16")
    kernel = jnp.asarray(rng.normal(size=(classes, width) if tied else (width, classes)) / 8, "bfloat16")
    labels = jnp.asarray(rng.integers(0, classes, tokens))

    def derivatives(implementation: str, hidden: Any, kernel: Any) -> Any:
        def loss(hidden: Any, kernel: Any) -> Any:
            kernel = kernel.T if tied else kernel
            return jaxloss.linear_cross_entropy(hidden, kernel, labels, implementation=implementation, chunk_size=16)

        return jax.jvp(jax.value_and_grad(loss, (0, 1)), (hidden, kernel), (hidden, kernel))

    found, wanted = (jax.jit(partial(derivatives, name))(hidden, kernel) for name in ("xla", "reference"))
    chex.assert_trees_all_equal_dtypes(found, wanted)
    for each, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        chex.assert_trees_all_close(each, other, rtol=0.02, atol=0.02 * float(jnp.max(jnp.abs(other))))


@pytest.mark.parametrize("reduction", variants(["mean", "none"], lambda reduction: reduction == "mean"))
@pytest.mark.parametrize("chunk_size", variants([1, 3, 6], lambda size: size == 3))
def test_chunks_that_do_not_divide_the_tokens(chunk_size: int, reduction: str) -> None:
    agree(*problem(7, 11, 1.0), {}, chunk_size, reduction)


@pytest.mark.parametrize("heads", [(2,), pytest.param((2, 3), marks=pytest.mark.exhaustive)])
def test_heads(heads: tuple[int, ...]) -> None:
    agree(*problem(5, 7, 1.0, heads=heads), OPTIONS["all"], 3)


@pytest.mark.parametrize("reduction", variants(["sum", "none"], lambda reduction: reduction == "sum"))
def test_probabilities(reduction: str) -> None:
    hidden, kernel, labels = problem(5, 7, 1.0)
    agree(hidden, kernel, jax.nn.softmax(jnp.sin(jnp.arange(35.0)).reshape(7, 5)), OPTIONS["all"], 3, reduction)


def test_equals_cross_entropy_of_the_logits_on_any_leading_axes() -> None:
    hidden, kernel, labels = problem(5, 12, 1.0)
    weight = jnp.arange(1.0, 6)
    where = jnp.arange(12).reshape(3, 4) % 5 != 2
    for reduction in ("mean", "sum", "none"):
        found = jaxloss.linear_cross_entropy(
            hidden.reshape(3, 4, -1), kernel, labels.reshape(3, 4), weight=weight, where=where, reduction=reduction
        )
        wanted = jaxloss.cross_entropy(
            (hidden @ kernel).reshape(3, 4, -1), labels.reshape(3, 4), weight=weight, where=where, reduction=reduction
        )
        chex.assert_trees_all_close(found, wanted, rtol=1e-12)


def test_what_is_left_out_may_be_nan() -> None:
    hidden, kernel, labels = problem(5, 7, 1.0)
    spoilt = hidden.at[1].set(jnp.nan)  # ignored

    def slope(hidden: Any, kernel: Any) -> Any:
        gradients = jax.grad(partial(jaxloss.linear_cross_entropy, chunk_size=3), (0, 1))(hidden, kernel, labels)
        return sum(jnp.sum(gradient**2) for gradient in gradients), gradients

    derivatives = jax.jit(jax.grad(slope, (0, 1), has_aux=True))
    chex.assert_trees_all_equal(derivatives(spoilt, kernel), derivatives(hidden, kernel))


def test_label_out_of_range_spoils_its_token_alone() -> None:
    hidden, kernel, _ = problem(5, 4, 1.0)
    losses = partial(jaxloss.linear_cross_entropy, reduction="none", chunk_size=2)
    labels = jnp.array([0, 5, 2, -1])
    chex.assert_trees_all_equal(jnp.isnan(losses(hidden, kernel, labels)), labels % 5 != labels)
    gradient = jax.grad(lambda hidden: jnp.sum(losses(hidden, kernel, labels)))(hidden)
    chex.assert_trees_all_equal(jnp.isnan(gradient).all(1), labels % 5 != labels)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_stats(chunk_size: int | None) -> None:
    hidden, kernel, labels = problem(5, 7, 1.0)
    logits = hidden @ kernel
    kept = labels >= 0
    log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.maximum(labels, 0)[:, None], 1)[:, 0]
    wanted = jaxloss.TokenStats(
        jnp.where(kept, log_prob, 0),
        kept & (jnp.argmax(logits, -1) == labels),
        jnp.where(kept, jax.nn.logsumexp(logits, -1), 0),
    )
    for reduction in ("mean", "none"):
        run = partial(jaxloss.linear_cross_entropy_with_stats, chunk_size=chunk_size, reduction=reduction)
        loss, stats = run(hidden, kernel, labels)
        chex.assert_trees_all_close(stats, wanted, rtol=1e-12)
        chex.assert_trees_all_equal(loss, jaxloss.linear_cross_entropy(hidden, kernel, labels, chunk_size=chunk_size,
                                                                       reduction=reduction))  # fmt: skip
    value_and_grad = jax.value_and_grad(partial(jaxloss.linear_cross_entropy_with_stats, chunk_size=3), has_aux=True)
    (_, stats), gradient = jax.jit(value_and_grad)(hidden, kernel, labels)
    chex.assert_trees_all_close(stats, wanted, rtol=1e-12)
    chex.assert_trees_all_close(gradient, jax.grad(jaxloss.linear_cross_entropy)(hidden, kernel, labels), rtol=1e-10)


@promises_memory
def test_memory_is_that_of_a_chunk_and_does_not_grow_with_the_tokens() -> None:
    kernel = jnp.zeros((8, 4096), "float32")
    size = kernel.size * 4 + 64 * 4096 * 4  # the kernel's gradient and a chunk of logits
    gradient = jax.value_and_grad(partial(jaxloss.linear_cross_entropy, chunk_size=64), (0, 1))
    for tokens in (256, 1024):
        arguments = jnp.zeros((tokens, 8), "float32"), kernel, jnp.zeros(tokens, int)
        extra = 3 * tokens * 8 * 4  # hidden's gradient, and what there is one of for every token
        assert temporaries(compiled(gradient, *arguments)) < 1.5 * size + extra
        value = partial(jaxloss.linear_cross_entropy, chunk_size=64)
        assert temporaries(compiled(value, *arguments)) < 1.5 * 64 * 4096 * 4 + extra


def test_memory_in_bfloat16_is_that_of_the_gradient_in_float32_and_two_chunks() -> None:
    tokens, width, classes, chunk = 512, 128, 2048, 128
    arguments = jnp.zeros((tokens, width), "bfloat16"), jnp.zeros((width, classes), "bfloat16"), jnp.zeros(tokens, int)
    product = partial(jnp.matmul, preferred_element_type="float32")
    if temporaries(compiled(product, *arguments[:2])):
        pytest.skip("XLA has no product of bfloat16 for this processor, and copies the kernel in float32")
    gradient = jax.value_and_grad(partial(jaxloss.linear_cross_entropy, chunk_size=chunk), (0, 1))
    assert temporaries(compiled(gradient, *arguments)) < 4 * classes * (width + 2 * chunk)


def test_tied_embedding_is_not_copied_in_one_chunk() -> None:
    embedding = jnp.zeros((4096, 64), "float32")
    arguments = jnp.zeros((16, 64), "float32"), embedding, jnp.zeros(16, int)

    def loss(hidden: Any, embedding: Any, labels: Any) -> Any:
        return jaxloss.linear_cross_entropy(hidden, embedding.T, labels)

    assert temporaries(compiled(loss, *arguments)) < embedding.size * 4


def test_gradient_of_the_kernel_adds_up_in_float32() -> None:
    tokens = 4096
    hidden, kernel, labels = problem(7, tokens, 1.0, "bfloat16")
    gradient = jax.jit(jax.grad(partial(jaxloss.linear_cross_entropy, chunk_size=8), 1))(hidden, kernel, labels)
    exact = jax.grad(jaxloss.linear_cross_entropy, 1)(hidden.astype(float), kernel.astype(float), labels)
    # 512 sums in bfloat16 would be off by more; half a unit in the last place is 2e-3.
    chex.assert_trees_all_close(gradient.astype(float), exact, rtol=0, atol=4e-3 * float(jnp.max(jnp.abs(exact))))


@pytest.mark.parametrize(
    ("classes", "on_cpu", "elsewhere"),
    [(1, 1024, 8192), (1000, 1024, 8192), (50257, 667, 8192), (128256, 512, 4185), (262144, 512, 4096)],
)
def test_chunk_size_within_a_budget_of_bytes(classes: int, on_cpu: int, elsewhere: int) -> None:
    assert (xla_cpu.chunk_rows(2**20, 4096, classes), xla.chunk_rows(2**20, 4096, classes)) == (on_cpu, elsewhere)
    assert xla.chunk_rows(2**20, 64, classes) == 1024


@pytest.mark.parametrize(
    ("rows", "width", "size"),
    [(2**20, 64, 512), (2**20, 768, 768), (2**20, 8192, 2048), (4096, 4096, 4096), (4097, 4097, 2048), (0, 4, 1)],
)
def test_chunk_size_on_tpus_follows_the_width(rows: int, width: int, size: int) -> None:
    assert xla_tpu.chunk_rows(rows, width, 1000) == size


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kernel": jnp.zeros((5, WIDTH))}, ValueError, "use `kernel.T`"),
        ({"kernel": jnp.zeros(WIDTH)}, ValueError, r"`kernel` has shape \(4,\)"),
        ({"kernel": jnp.zeros((WIDTH, 0))}, ValueError, "needs a class"),
        ({"kernel": jnp.zeros((WIDTH, 5), int)}, TypeError, "`kernel` has dtype int64"),
        ({"bias": jnp.zeros(4)}, ValueError, r"`bias` has shape \(4,\)"),
        ({"targets": jnp.zeros((3, 1), int)}, ValueError, r"`targets` has shape \(3, 1\)"),
        ({"targets": jnp.zeros((3, 5)), "ignore_index": 0}, ValueError, "use `where`"),
        ({"chunk_size": 0}, ValueError, "`chunk_size` is 0"),
        ({"implementation": "triton"}, ValueError, "'xla', 'reference' or None"),
        ({"logit_softcap": 0.0}, ValueError, "`logit_softcap` is 0"),
        ({"reduction": "avg"}, ValueError, "`reduction` is 'avg'"),
    ],
)
def test_mistakes(change: dict[str, Any], error: type[Exception], message: str, untyped: Any) -> None:
    arguments = {"hidden": jnp.zeros((3, WIDTH)), "kernel": jnp.zeros((WIDTH, 5)), "targets": jnp.zeros(3, int)}
    with pytest.raises(error, match=message):
        jaxloss.linear_cross_entropy(**arguments | change)


def test_stats_of_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="use class numbers"):
        jaxloss.linear_cross_entropy_with_stats(jnp.zeros((3, WIDTH)), jnp.zeros((WIDTH, 5)), jnp.full((3, 5), 0.2))


FLOAT16 = ("xla", "reference")


@pytest.mark.parametrize("weight", [1.0, 1e-6, 1e-8, 2e5])
@pytest.mark.parametrize("option", ["sample_weight", "weight"])
def test_a_weight_that_all_tokens_have_changes_no_gradient_of_float16(option: str, weight: float) -> None:
    hidden, kernel, labels = jnp.ones((2, 1), "float16"), jnp.zeros((1, 2), "float16"), jnp.zeros(2, int)
    given = {option: jnp.full(2, weight, "float32")}

    def slopes(hidden: Any, kernel: Any, implementation: str, bias: Any) -> Any:
        options = {"implementation": implementation, "bias": bias}
        return jaxloss.linear_cross_entropy(hidden, kernel, labels, **given, **options)

    for implementation in FLOAT16:
        gradients = jax.grad(slopes, (0, 1, 3))(hidden, kernel, implementation, jnp.zeros(2, "float16"))
        assert [gradient.dtype for gradient in gradients] == ["float16"] * 3
        chex.assert_trees_all_equal(gradients[1:], (jnp.array([[-0.5, 0.5]], "float16"), gradients[1][0]))


def test_weights_of_any_ratio_reach_the_gradients_of_float16() -> None:
    hidden, kernel, labels = problem(7, 24, 1.0, "float16")
    weights = jnp.asarray(10.0 ** np.linspace(-7, 5, 24), "float32")

    def loss(hidden: Any, kernel: Any, weights: Any) -> Any:
        return jaxloss.linear_cross_entropy(hidden, kernel, labels, sample_weight=weights, chunk_size=9)

    found = jax.grad(loss, (0, 1))(hidden, kernel, weights)
    wanted = jax.grad(loss, (0, 1))(hidden.astype(float), kernel.astype(float), weights.astype(float))
    size = jnp.max(jnp.abs(wanted[1]))
    chex.assert_trees_all_close(found[1].astype(float), wanted[1], rtol=2e-3, atol=2e-3 * size)
    largest = jnp.max(jnp.abs(wanted[0]), 1, keepdims=True)
    normal = largest[:, 0] > 1e-4  # smaller numbers have fewer digits in float16
    assert 5 < normal.sum() < 24
    off = jnp.abs(found[0].astype(float) - wanted[0]) / largest
    assert float(jnp.max(off[normal])) < 4e-3


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_a_loss_scale_leaves_the_gradients_of_float16_finite(reduction: str) -> None:
    kernel, labels = jnp.array([[0.5, -0.5]], "float16"), jnp.array([0])

    def scaled(hidden: Any, implementation: str) -> Any:
        options = {"reduction": reduction, "implementation": implementation}
        return 2.0**16 * jnp.sum(jaxloss.linear_cross_entropy(hidden, kernel, labels, **options))

    for implementation in FLOAT16:
        gradient = jax.grad(scaled)(jnp.zeros((1, 1), "float16"), implementation)
        chex.assert_trees_all_equal(gradient, jnp.full((1, 1), -(2.0**15), "float16"))


def test_soft_targets_of_float16_have_gradients_under_any_weight() -> None:
    hidden, kernel, _ = problem(5, 3, 1.0, "float16")
    soft = jnp.full((3, 5), 0.25, "float16")

    def loss(soft: Any, weight: float) -> Any:
        weights = jnp.full(3, weight, "float32")
        return jaxloss.linear_cross_entropy(hidden, kernel, soft, sample_weight=weights)

    wanted = jax.grad(loss)(soft, 1.0)
    for weight in (1e-8, 2e5):
        chex.assert_trees_all_close(jax.grad(loss)(soft, weight), wanted, rtol=2e-3)
