"""Log-probabilities and entropies of tokens are those of the plain formulas, dense and in chunks of hidden states."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, promises_memory, temporaries
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from variants import variants

import jaxloss

RNG = np.random.default_rng(0)
HIDDEN, KERNEL = jnp.asarray(RNG.normal(size=(2, 5, 4))), jnp.asarray(RNG.normal(size=(4, 8)))
BIAS = jnp.asarray(RNG.normal(size=8))
ONE = jnp.asarray(RNG.integers(0, 8, (2, 5))).at[0, 1].set(-100)
# A token may have some of its classes masked, or all of them, or one class twice.
SEVERAL = jnp.asarray(RNG.integers(0, 8, (2, 5, 3))).at[0, 1, 2].set(-100).at[1, 0].set(-100).at[1, 1].set(2)
TARGETS = {"one": ONE, "several": SEVERAL}
OPTIONS: dict[str, dict[str, Any]] = {"plain": {}, "scaled": {"temperature": 0.7, "logit_softcap": 2.0}}
CLOSE = {"rtol": 1e-10, "atol": 1e-11}


def plain(logits: Any, targets: Any, temperature: Any = 1.0, logit_softcap: Any = None) -> tuple[Any, Any]:
    """The log-probabilities and the entropies by their formulas."""
    if logit_softcap is not None:
        logits = logit_softcap * jnp.tanh(logits / logit_softcap)
    log_softmax = jax.nn.log_softmax(logits / temperature)
    entropy = -jnp.sum(jnp.exp(log_softmax) * log_softmax, -1)
    several = targets.reshape(*logits.shape[:-1], -1)
    picked = jnp.take_along_axis(log_softmax, jnp.maximum(several, 0), -1)
    kept = several >= 0
    return jnp.where(kept, picked, 0.0).reshape(targets.shape), jnp.where(kept.any(-1), entropy, 0.0)


def everything(function: Any, arguments: Any) -> Any:
    """A function's value, gradient, forward derivative, and both kinds of second derivatives."""
    tangents = jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), arguments)

    def cost(arguments: Any) -> Any:
        return sum(jnp.sum(jnp.sin(each + 1)) for each in jax.tree.leaves(function(arguments)))

    def slope(arguments: Any) -> Any:
        return sum(map(jnp.vdot, jax.tree.leaves(jax.grad(cost)(arguments)), jax.tree.leaves(tangents)))

    return {
        "value": function(arguments),
        "gradient": jax.grad(cost)(arguments),
        "jvp": jax.jvp(function, (arguments,), (tangents,))[1],
        "forward over reverse": jax.jvp(jax.grad(cost), (arguments,), (tangents,))[1],
        "reverse over reverse": jax.grad(slope)(arguments),
    }


def agree(ours: Any, theirs: Any, arguments: Any) -> None:
    found, wanted = (jax.jit(partial(everything, each))(arguments) for each in (ours, theirs))
    chex.assert_trees_all_close(found, wanted, **CLOSE)


RUNS = [(kind, options) for kind in TARGETS for options in OPTIONS]


@pytest.mark.parametrize(("kind", "options"), variants(RUNS, lambda kind, options: options == "scaled"))
def test_of_logits_in_every_derivative(kind: str, options: str) -> None:
    given = {name: jnp.asarray(value) for name, value in OPTIONS[options].items()}

    def ours(arguments: Any) -> Any:
        logits, numbers = arguments
        kept = (TARGETS[kind].reshape(2, 5, -1) >= 0).any(-1)
        log_probs = jaxloss.token_log_probs(logits, TARGETS[kind], **numbers)
        return log_probs, jaxloss.token_entropy(logits, where=kept, **numbers)

    agree(ours, lambda arguments: plain(arguments[0], TARGETS[kind], **arguments[1]), (HIDDEN @ KERNEL, given))


@pytest.mark.parametrize(("kind", "options"), variants(RUNS, lambda kind, options: options == "scaled"))
@pytest.mark.parametrize("chunk_size", variants([3, 100], lambda size: size == 3))
def test_of_hidden_states_in_every_derivative(kind: str, options: str, chunk_size: int) -> None:
    given = {name: jnp.asarray(value) for name, value in OPTIONS[options].items()}

    def ours(arguments: Any) -> Any:
        *arrays, bias, numbers = arguments
        return tuple(
            jaxloss.linear_token_log_probs_and_entropy(
                *arrays, TARGETS[kind], bias=bias, chunk_size=chunk_size, **numbers
            )
        )

    def theirs(arguments: Any) -> Any:
        hidden, kernel, bias, numbers = arguments
        return plain(hidden @ kernel + bias[None, None], TARGETS[kind], **numbers)

    agree(ours, theirs, (HIDDEN, KERNEL, BIAS, given))


@pytest.mark.parametrize("kind", TARGETS)
def test_both_results_are_those_of_each_function(kind: str) -> None:
    options: dict[str, Any] = {"bias": BIAS, "temperature": 0.5, "chunk_size": 3}
    both = jaxloss.linear_token_log_probs_and_entropy(HIDDEN, KERNEL, TARGETS[kind], **options)
    assert isinstance(both, jaxloss.LogProbAndEntropy)
    for implementation in ("xla", "reference"):
        log_probs = jaxloss.linear_token_log_probs(
            HIDDEN, KERNEL, TARGETS[kind], implementation=implementation, **options
        )
        kept = (TARGETS[kind].reshape(2, 5, -1) >= 0).any(-1)
        entropy = jaxloss.linear_token_entropy(HIDDEN, KERNEL, where=kept, implementation=implementation, **options)
        chex.assert_trees_all_close(tuple(both), (log_probs, entropy), rtol=1e-12)


def test_heads_and_class_axes() -> None:
    kernel = jnp.asarray(RNG.normal(size=(4, 3, 8)))
    logits = jnp.einsum("ntd,dhv->nthv", HIDDEN, kernel)
    numbers = jnp.asarray(RNG.integers(0, 8, (2, 5, 3)))
    for targets in (numbers, jnp.stack([numbers, 7 - numbers], -1)):
        log_probs, entropy = plain(logits, targets)
        found = jaxloss.linear_token_log_probs_and_entropy(HIDDEN, kernel, targets, chunk_size=3)
        chex.assert_trees_all_close(tuple(found), (log_probs, entropy), **CLOSE)
        first = jnp.moveaxis(logits, -1, 1)
        chex.assert_trees_all_close(jaxloss.token_log_probs(first, targets, axis=1), log_probs, **CLOSE)
        chex.assert_trees_all_close(jaxloss.token_entropy(first, axis=1), entropy, **CLOSE)


def test_digits_of_a_dominating_class() -> None:
    logits = jnp.float32([[0.0, -20.0, -30.0], [5.0, -16.0, -75.0]])
    wide = np.asarray(logits, float)
    rest = np.exp(wide[:, 1:] - wide[:, :1]).sum(1)
    shares = np.exp(wide - wide[:, :1]) / (1 + rest)[:, None]
    exact = -np.log1p(rest)[:, None] + wide - wide[:, :1]
    one, several = jnp.zeros(2, int), jnp.array([[1, 0], [0, 2]])
    for run in (lambda f: f, jax.jit):
        np.testing.assert_allclose(run(jaxloss.token_log_probs)(logits, one), exact[:, 0], rtol=1e-6)
        found = run(jaxloss.token_log_probs)(logits, several)
        np.testing.assert_allclose(found, np.take_along_axis(exact, np.asarray(several), 1), rtol=1e-6)
        np.testing.assert_allclose(run(jaxloss.token_entropy)(logits), -(shares * exact).sum(1), rtol=1e-6)
    slope = jax.grad(lambda x: jaxloss.token_log_probs(x, jnp.array([[0, 1], [0, 1]]))[:, 0].sum())(logits)
    np.testing.assert_allclose(slope[:, 0], 1 - shares[:, 0], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_results_are_float32_or_wider(dtype: str) -> None:
    hidden, kernel = HIDDEN.astype(dtype), KERNEL.astype(dtype)
    wide = "float64" if dtype == "float64" else "float32"
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    logits = (hidden @ kernel).astype(dtype)
    for targets in TARGETS.values():
        exact = plain(logits.astype(float), targets)
        found = jaxloss.token_log_probs(logits, targets), jaxloss.token_entropy(logits)
        assert [each.dtype for each in found] == [wide, wide]
        chex.assert_trees_all_close(found[0].astype(float), exact[0], rtol=tolerance, atol=tolerance)
        linear = jaxloss.linear_token_log_probs_and_entropy(hidden, kernel, targets, chunk_size=3)
        assert [each.dtype for each in linear] == [wide, wide]
        # The product is not rounded to the inputs' dtype.
        exact = plain(hidden.astype(float) @ kernel.astype(float), targets)
        chex.assert_trees_all_close(tuple(each.astype(float) for each in linear), exact, rtol=tolerance, atol=tolerance)
    assert jaxloss.sequence_log_probs(found[0].astype(dtype)).dtype == wide


def test_masked_tokens_may_be_nan() -> None:
    where = jnp.ones((2, 5), bool).at[1, 3].set(False)
    clean = HIDDEN.at[1, 3].set(0.0)
    spoilt = HIDDEN.at[1, 3].set(jnp.nan)

    def linear(hidden: Any, kernel: Any) -> Any:
        one = jaxloss.linear_token_log_probs(hidden, kernel, ONE, where=where, chunk_size=3)
        several = jaxloss.linear_token_log_probs(hidden, kernel, SEVERAL, where=where, chunk_size=3)
        return one, several, jaxloss.linear_token_entropy(hidden, kernel, where=where, chunk_size=3)

    def dense(logits: Any, kernel: Any) -> Any:
        one = jaxloss.token_log_probs(logits, ONE, where=where)
        several = jaxloss.token_log_probs(logits, SEVERAL, where=where)
        return one, several, jaxloss.token_entropy(logits, where=where)

    for function, arrays in ((linear, (spoilt, clean)), (dense, (spoilt @ KERNEL, clean @ KERNEL))):

        def slopes(array: Any, kernel: Any, function: Any = function) -> Any:
            def slope(*given: Any) -> Any:
                values = function(*given)
                cost = sum(jnp.sum(jnp.sin(each)) for each in values)
                return cost, values

            gradient, values = jax.grad(slope, (0, 1), has_aux=True)(array, kernel)
            return sum(jnp.sum(each**2) for each in gradient), (gradient, values)

        run = jax.jit(jax.grad(slopes, (0, 1), has_aux=True))
        found, wanted = (run(array, KERNEL) for array in arrays)
        chex.assert_trees_all_equal(found, wanted)
        _, ((gradient, _), values) = found
        assert not np.any(gradient[1, 3])
        assert all(not np.any(each[1, 3]) and not np.any(np.signbit(each[1, 3])) for each in values)


@pytest.mark.parametrize("linear", [False, True])
def test_a_target_out_of_range_spoils_itself_and_the_gradient_of_its_token(linear: bool) -> None:
    def log_probs(hidden: Any, targets: Any) -> Any:
        if linear:
            return jaxloss.linear_token_log_probs(hidden, KERNEL, targets, chunk_size=3)
        return jaxloss.token_log_probs(hidden @ KERNEL, targets)

    for targets, bad in ((ONE, ONE.at[0, 0].set(8).at[1, 2].set(-1)), (SEVERAL, SEVERAL.at[0, 0, 1].set(8))):
        out = (bad == 8) | (bad == -1)
        found, wanted = log_probs(HIDDEN, bad), log_probs(HIDDEN, targets)
        assert np.array_equal(np.isnan(found), out)
        chex.assert_trees_all_close(found[~out], wanted[~out], rtol=1e-12)
        gradient = jax.grad(lambda hidden, bad=bad: jnp.sum(log_probs(hidden, bad)))(HIDDEN)
        assert np.array_equal(np.isnan(gradient).any(-1), out.reshape(2, 5, -1).any(-1))


def test_classes_that_are_ruled_out() -> None:
    logits = jnp.array([[0.0, -jnp.inf, 1.0, -jnp.inf], [-jnp.inf, 2.0, -jnp.inf, -jnp.inf]])
    finite = jnp.maximum(logits, -200.0)
    targets = jnp.array([[1, 3, 0], [0, 2, 1]])
    log_probs = jaxloss.token_log_probs(logits, targets)
    chex.assert_trees_all_close(log_probs, jnp.array([[-jnp.inf, -jnp.inf, -1.3132616875], [-jnp.inf, -jnp.inf, 0.0]]))
    assert np.isneginf(jaxloss.token_log_probs(logits, targets[:, :2])).all()
    run = jax.value_and_grad(lambda x: jnp.sum(jnp.sin(jaxloss.token_entropy(x))))
    chex.assert_trees_all_close(run(logits), run(finite), rtol=1e-12, atol=1e-12)
    second = [jax.jvp(jax.grad(lambda x: run(x)[0]), (x,), (jnp.ones_like(x).at[:, 2].set(3.0),))[1]
              for x in (logits, finite)]  # fmt: skip
    chex.assert_trees_all_close(*second, rtol=1e-12, atol=1e-12)


MESH_TARGETS = jnp.stack([jnp.arange(8) % 8, jnp.arange(8)[::-1], jnp.full(8, 3), jnp.full(8, -100)], -1)


def mesh_inputs() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(5)
    # As many targets a token as classes: their axis must not be split as that of the classes is.
    targets = jnp.concatenate([MESH_TARGETS, MESH_TARGETS[:, ::-1]], -1)
    return jnp.asarray(rng.normal(size=(8, 4))), jnp.asarray(rng.normal(size=(4, 8))), targets


def of_all(hidden: Any, kernel: Any, targets: Any, axis_name: Any = None) -> Any:
    """The results of every function, and their gradients."""
    options = {"axis_name": axis_name, "temperature": 0.5}

    def values(hidden: Any, kernel: Any) -> Any:
        dense = hidden @ kernel
        return (
            jaxloss.linear_token_log_probs_and_entropy(hidden, kernel, targets, chunk_size=3, **options),
            jaxloss.token_log_probs(dense, targets, **options),
            jaxloss.token_entropy(dense, **options),
        )

    def cost(hidden: Any, kernel: Any) -> Any:
        total = sum(jnp.sum(jnp.sin(each)) for each in jax.tree.leaves(values(hidden, kernel)))
        return total if axis_name is None else jax.lax.psum(total, "data")

    return tuple(jax.tree.leaves(values(hidden, kernel))), jax.grad(cost, (0, 1))(hidden, kernel)


def test_classes_split_over_a_mesh_axis() -> None:
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    rows, columns = PartitionSpec("data"), PartitionSpec(None, "model")
    split = jax.shard_map(
        partial(of_all, axis_name="model"),
        mesh=mesh,
        in_specs=(rows, columns, rows),
        out_specs=(rows, (rows, columns)),
    )
    found, wanted = (jax.device_get(jax.jit(each)(*mesh_inputs())) for each in (split, of_all))
    chex.assert_trees_all_close(found, wanted, **CLOSE)


@pytest.mark.exhaustive
def test_arrays_whose_types_say_how_they_are_split() -> None:
    kinds = (AxisType.Explicit,) * 2
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=kinds)
    inputs = mesh_inputs()
    specs = PartitionSpec("data"), PartitionSpec(None, "model"), PartitionSpec("data")
    with jax.set_mesh(mesh):
        placed = [jax.device_put(x, NamedSharding(mesh, spec)) for x, spec in zip(inputs, specs, strict=True)]
        found = jax.device_get(jax.jit(of_all)(*placed))
    chex.assert_trees_all_close(found, jax.device_get(jax.jit(of_all)(*inputs)), **CLOSE)


@promises_memory
def test_memory_is_that_of_a_chunk() -> None:
    tokens, width, classes, chunk = 1024, 8, 4096, 64
    arguments = jnp.zeros((tokens, width), "float32"), jnp.zeros((width, classes), "float32"), jnp.zeros(tokens, int)

    def both(hidden: Any, kernel: Any, targets: Any) -> Any:
        found = jaxloss.linear_token_log_probs_and_entropy(hidden, kernel, targets, chunk_size=chunk)
        return jnp.sum(found.log_prob**2) + jnp.sum(found.entropy**2)

    def log_probs(hidden: Any, kernel: Any, targets: Any) -> Any:
        return jnp.sum(jaxloss.linear_token_log_probs(hidden, kernel, targets, chunk_size=chunk) ** 2)

    size = 4 * chunk * classes
    for function, chunks in ((log_probs, 4), (both, 6)):
        assert temporaries(compiled(jax.value_and_grad(function, (0, 1)), *arguments)) < chunks * size


def test_functions_are_mapped_and_compiled_once(programs: list[str]) -> None:
    logits, targets = (HIDDEN @ KERNEL).astype("float32"), ONE
    mapped = jax.vmap(lambda logits, targets: jaxloss.token_log_probs(logits, targets))(logits, targets)
    chex.assert_trees_all_close(mapped, jaxloss.token_log_probs(logits, targets), rtol=1e-6)
    traced = jax.vmap(lambda t: jaxloss.token_entropy(logits, temperature=t))(jnp.array([0.5, -1.0], "float32"))
    assert np.isnan(traced[1]).all()
    assert np.isfinite(traced[0]).all()
    other = logits + 1
    jaxloss.token_log_probs(logits, targets, temperature=0.5)
    programs.clear()
    jaxloss.token_log_probs(other, targets, temperature=2.5)
    assert not programs


# Sequences -----------------------------------------------------------------------------------------------------------


def test_sequences_sum_and_average_what_is_kept() -> None:
    log_probs = jnp.array([[-1.0, -2.0, jnp.nan], [jnp.nan, jnp.nan, jnp.nan]])
    where = jnp.array([[True, True, False], [False, False, False]])
    for average, wanted in ((False, [-3.0, 0.0]), (True, [-1.5, 0.0])):
        run = partial(jaxloss.sequence_log_probs, where=where, average=average)
        assert run(log_probs).tolist() == wanted
        slope = jax.jit(jax.grad(lambda x, run=run: jnp.sum(run(x))))(log_probs)
        assert slope.tolist() == [[0.5 if average else 1.0] * 2 + [0.0], [0.0] * 3]
    clean = jnp.where(where, log_probs, -1.0)
    chex.assert_trees_all_equal(jaxloss.sequence_log_probs(clean.T, axis=0), clean.sum(1))
    chex.assert_trees_all_close(jaxloss.sequence_log_probs(clean, average=True), clean.mean(1), rtol=1e-12)


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("average", [False, True])
def test_packed_rows_are_the_sequences_that_they_hold(axis: int, average: bool) -> None:
    log_probs = jnp.asarray(-RNG.uniform(size=(2, 7)))
    ids = jnp.array([[0, 0, 0, 1, 1, -1, -1], [0, 1, 1, 3, 3, 3, 9]])  # the last row has no sequence 2
    where = jnp.ones((2, 7), bool).at[0, 1].set(False).at[1, 3].set(False)
    spoilt = jnp.where(where, log_probs, jnp.nan)

    def packed(log_probs: Any) -> Any:
        found = jaxloss.sequence_log_probs(
            jnp.moveaxis(log_probs, 1, axis),
            where=jnp.moveaxis(where, 1, axis),
            segment_ids=jnp.moveaxis(ids, 1, axis),
            num_segments=4,
            average=average,
            axis=axis,
        )
        return jnp.moveaxis(found, axis, 1)

    def one_by_one(log_probs: Any) -> Any:
        each = [
            jaxloss.sequence_log_probs(log_probs, where=where & (ids == number), average=average) for number in range(4)
        ]
        return jnp.stack(each, 1)

    chex.assert_trees_all_close(packed(spoilt), one_by_one(log_probs), rtol=1e-12)
    slopes = [jax.grad(lambda x, f=f: jnp.sum(jnp.sin(f(x))))(log_probs) for f in (packed, one_by_one)]
    chex.assert_trees_all_close(*slopes, rtol=1e-12)
