"""Faults measured in other libraries' cross-entropies, and that ours does not have them: one test a fault."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, jit, temporaries
from pitfalls import EXACT, INF, NAN, a, finite, value_and_grads

import jaxloss

# Labels that are no class -----------------------------------------------------------------------------------------


def test_cross_entropy_label_minus_one_is_not_the_last_class() -> None:
    logits = a([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    value, (gradient,) = value_and_grads(lambda x: jaxloss.cross_entropy(x, a([-1, 1], int)), logits)
    assert np.isnan(value)
    assert np.isnan(gradient[0]).all()
    assert np.isfinite(gradient[1]).all()


def test_cross_entropy_label_past_the_last_class_has_no_finite_gradient() -> None:
    logits = a([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    value, (gradient,) = value_and_grads(lambda x: jaxloss.cross_entropy(x, a([1, 3], int)), logits)
    assert np.isnan(value)
    assert np.isnan(gradient[1]).all()
    assert np.isfinite(gradient[0]).all()


def test_cross_entropy_label_minus_100_is_ignored() -> None:
    logits = a([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    value, (gradient,) = value_and_grads(lambda x: jaxloss.cross_entropy(x, a([-100, 1], int)), logits)
    alone, (gradient_alone,) = value_and_grads(lambda x: jaxloss.cross_entropy(x, a([1], int)), logits[1:])
    chex.assert_trees_all_equal((value, gradient), (alone, jnp.concatenate([jnp.zeros((1, 3)), gradient_alone])))


def test_cross_entropy_of_a_ruled_out_target_is_infinite_and_not_negative() -> None:
    assert jaxloss.cross_entropy(a([[-INF, 1.0, 2.0]]), a([0], int)) == INF


def test_cross_entropy_of_a_ruled_out_other_class_has_a_clean_gradient() -> None:
    ruled_out, two = a([[-INF, 1.0, 2.0]]), a([[1.0, 2.0]])
    for targets, fewer in ((a([1], int), a([0], int)), (a([[0.0, 0.25, 0.75]]), a([[0.25, 0.75]]))):
        value, gradient = jax.value_and_grad(jaxloss.cross_entropy)(ruled_out, targets)
        wanted, wanted_gradient = jax.value_and_grad(jaxloss.cross_entropy)(two, fewer)
        chex.assert_trees_all_close(value, wanted, **EXACT)
        chex.assert_trees_all_close(gradient, jnp.pad(wanted_gradient, ((0, 0), (1, 0))), **EXACT)


# Nothing, or NaN, to average --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"weight": a([1.0, 2.0, 3.0]), "label_smoothing": 0.5, "z_loss": 0.5}])
def test_cross_entropy_ignored_row_of_nan_is_clean_to_the_second_derivative(options) -> None:
    kept = a([[0.0, 1.0, -0.5]])

    def ignoring(x):
        return jaxloss.cross_entropy(x, a([-100, 1], int), **options)

    def alone(x):
        return jaxloss.cross_entropy(x, a([1], int), **options)

    def derivatives(fn):
        first, forward, reverse = jax.value_and_grad(fn), jax.jacfwd(jax.jacfwd(fn)), jax.jacrev(jax.jacrev(fn))
        return jit(lambda x: (*first(x), jax.hessian(fn)(x), forward(x), reverse(x)))

    value, gradient, *second = derivatives(alone)(kept)
    assert np.abs(second[0]).max() > 0.1
    rows = ((1, 0), (0, 0))
    wanted = value, jnp.pad(gradient, rows), *[jnp.pad(each, rows * 2) for each in second]
    of_both = derivatives(ignoring)
    for junk in (NAN, INF, -INF):
        chex.assert_trees_all_close(of_both(jnp.concatenate([jnp.full((1, 3), junk), kept])), wanted, **EXACT)


def test_probabilities_of_a_masked_row_of_nan_are_clean_to_the_second_derivative() -> None:
    logits, targets = a([[NAN, 0.0, INF], [0.0, 1.0, -0.5]]), a([[NAN, 0.5, 0.5], [0.25, 0.5, 0.25]])

    def masked(x, t):
        return jaxloss.cross_entropy(x, t, where=a([False, True], bool))

    value, gradients = value_and_grads(masked, logits, targets)
    wanted, wanted_gradients = value_and_grads(jaxloss.cross_entropy, logits[1:], targets[1:])
    rows = ((1, 0), (0, 0))
    chex.assert_trees_all_close(value, wanted, **EXACT)
    chex.assert_trees_all_close(gradients, tuple(jnp.pad(g, rows) for g in wanted_gradients), **EXACT)
    second = jit(jax.hessian(masked))(logits, targets)
    wanted_second = jit(jax.hessian(jaxloss.cross_entropy))(logits[1:], targets[1:])
    chex.assert_trees_all_close(second, jnp.pad(wanted_second, rows * 2), **EXACT)


def test_row_of_impossible_logits_is_nan_and_clean_under_the_mask() -> None:
    # The gradient of jax.nn.logsumexp is NaN there in every row's mask too.
    logits = a([[-INF, -INF], [0.0, 1.0]])
    assert np.isnan(jaxloss.cross_entropy(logits, a([0, 1], int)))
    value, (gradient,) = value_and_grads(
        lambda x: jaxloss.cross_entropy(x, a([0, 1], int), where=a([False, True], bool)), logits
    )
    chex.assert_trees_all_close(value, jnp.log1p(jnp.exp(-1.0)), **EXACT)
    chex.assert_trees_all_equal(gradient[0], jnp.zeros(2))


# Precision --------------------------------------------------------------------------------------------------------


def test_bfloat16_mean_over_4096_rows_is_log_10() -> None:
    value = jaxloss.cross_entropy(jnp.zeros((4096, 10), jnp.bfloat16), jnp.zeros(4096, jnp.int32))
    assert value.dtype == jnp.float32
    chex.assert_trees_all_close(float(value), np.log(10), rtol=2e-6)  # 4096 roundings of float32; PyTorch: 2.2656


@pytest.mark.parametrize(
    "targets", [np.array([0], np.int32), np.array([[1, 0]], np.float32)], ids=["label", "probability"]
)
def test_small_cross_entropy_keeps_its_digits(targets: np.ndarray) -> None:
    logits = a([[16.0, 0.4]], np.float32)
    true = np.log1p(np.exp(-15.6))
    # In float32 16 + 1e-7 is 16, and what is left when the logit is subtracted is nothing.
    naive = jax.nn.logsumexp(logits, axis=-1)[0] - logits[0, 0]
    assert abs(float(naive) - true) > 0.1 * true
    value, gradient = jax.value_and_grad(jaxloss.cross_entropy)(logits, jnp.asarray(targets))
    assert value.dtype == jnp.float32
    chex.assert_trees_all_close(float(value), true, rtol=1e-6)  # half a unit in the last place of 15.6 is 5e-7 of it
    slope = np.exp(-15.6) / (1 + np.exp(-15.6))
    chex.assert_trees_all_close(np.asarray(gradient[0, 1], np.float64), slope, rtol=1e-6)
    if targets.ndim == 1:  # softmax - one_hot, whose difference is gone in float32 too, is not what is computed
        chex.assert_trees_all_close(np.asarray(gradient[0, 0], np.float64), -slope, rtol=1e-6)


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_cross_entropy_keeps_its_digits_at_an_offset(offset: float) -> None:
    logits = a([[0.5, 0.0, -1.0]], np.float32)
    moved = jaxloss.cross_entropy(logits * 2 + offset, a([0], np.int32))
    chex.assert_trees_all_equal(moved, jaxloss.cross_entropy(logits * 2, a([0], np.int32)))


# Derivatives of every kind ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("soft", [False, True], ids=["label", "probability"])
def test_cross_entropy_has_forward_mode_and_second_derivatives(soft: bool) -> None:
    logits = a([0.5, -1.0, 2.0])
    targets = a([0.25, 0.0, 0.75]) if soft else a(2, int)
    probabilities = np.exp(np.asarray(logits)) / np.exp(np.asarray(logits)).sum()
    one_hot = np.asarray(targets) if soft else np.eye(3)[2]
    _, along = jax.jvp(lambda x: jaxloss.cross_entropy(x, targets), (logits,), (a([1.0, -2.0, 0.5]),))
    chex.assert_trees_all_close(along, a((probabilities - one_hot) @ [1.0, -2.0, 0.5]), **EXACT)
    second = jit(jax.hessian(jaxloss.cross_entropy))(logits, targets)
    chex.assert_trees_all_close(second, a(np.diag(probabilities) - np.outer(probabilities, probabilities)), **EXACT)


def test_probabilities_have_a_gradient() -> None:
    logits, targets = a([0.5, -1.0, 2.0]), a([0.25, 0.0, 0.75])
    gradient = jax.grad(jaxloss.cross_entropy, 1)(logits, targets)
    chex.assert_trees_all_close(gradient, -jax.nn.log_softmax(logits), **EXACT)


def test_cotangent_that_is_not_uniform_weighs_each_row() -> None:
    logits, targets = a([[0.5, -1.0, 2.0], [0.0, 1.0, 0.5]]), a([2, 0], int)
    _, transposed = jax.vjp(lambda x: jaxloss.cross_entropy(x, targets, reduction="none"), logits)
    cotangent = a([2.0, -0.5])
    each = transposed(jnp.ones(2))[0]
    chex.assert_trees_all_close(transposed(cotangent)[0], each * cotangent[:, None], **EXACT)


def test_weights_below_zero_count_against_and_no_weight_on_infinity_is_nothing() -> None:
    logits, weight = a([[0.5, -INF, 2.0], [0.0, 1.0, 0.5]]), np.array([-1.0, 0.0, 2.0])
    weighted = weight * np.maximum(jax.nn.log_softmax(logits), -1e9)
    soft = np.array([[0.25, 0.5, 0.25], [0.0, 0.0, 1.0]])
    losses = jaxloss.cross_entropy(logits, jnp.asarray(soft), weight=weight, reduction="none")
    chex.assert_trees_all_close(losses, -np.sum(soft * weighted, -1), **EXACT)
    smooth = jaxloss.cross_entropy(logits, a([0, 2], int), weight=weight, label_smoothing=0.25, reduction="none")
    wanted = -0.75 * weighted[[0, 1], [0, 2]] - 0.25 * np.mean(weighted, -1)
    chex.assert_trees_all_close(smooth, wanted, **EXACT)
    assert jaxloss.cross_entropy(logits, jnp.asarray(soft), reduction="none")[0] == INF


@pytest.mark.parametrize("target", ["label", "smooth label", "probabilities"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cross_entropy_needs_few_copies_of_the_logits(dtype: str, target: str) -> None:
    # In bfloat16 a CPU forms the gradient from one float32 array, and newer ones that of smooth labels; optax needs two
    # and more.
    shape = (256, 2048)
    loss = partial(jaxloss.cross_entropy, label_smoothing=0.1 * (target == "smooth label"))
    targets = jax.ShapeDtypeStruct(*((shape, dtype) if target == "probabilities" else (shape[:1], "int32")))
    of_gradient = dtype == "bfloat16" or target == "smooth label"
    for function, copies in ((loss, 0), (jax.value_and_grad(loss), of_gradient)):
        program = compiled(function, jax.ShapeDtypeStruct(shape, dtype), targets)
        assert temporaries(program) < (copies + 0.05) * 4 * shape[0] * shape[1]


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "probabilities"])
@pytest.mark.parametrize("scale", [1.0, 1e25, 1e37])
def test_finite_costs_of_any_size_and_weights_of_either_sign(soft: bool, scale: float) -> None:
    """0 * inf is 0 without a limit on finite costs, and a negative class weight subtracts."""
    logits, weight = np.array([[3.0, -2.0, 0.5], [0.0, 1.0, -4.0]]) * scale, np.array([-0.75, 2.5, 0.0])
    targets = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]) if soft else np.array([1, 0])
    mass = 0.75 * (targets if soft else np.eye(3)[targets]) + 0.25 / 3
    costs = logits.max(1, keepdims=True) - logits
    costs = costs + np.log(np.exp(-costs).sum(1, keepdims=True))
    expected = (weight * mass * costs).sum(1)
    given = [jnp.asarray(logits, jnp.float32), jnp.asarray(targets, jnp.float32) if soft else jnp.asarray(targets)]
    options = {"weight": jnp.asarray(weight, jnp.float32), "label_smoothing": 0.25, "reduction": "none"}
    found = jit(partial(jaxloss.cross_entropy, **options))(*given)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


WEIGHTS = a([0.0, 1.0, 0.0, 2.0, 1.0])
RULED_OUT = jnp.zeros((2, 5)).at[0, 2].set(-INF)  # class 2 has no weight


@pytest.mark.parametrize("options", [{"weight": WEIGHTS}, {"sample_weight": a([0.0, 2.0])}], ids=["class", "example"])
@pytest.mark.parametrize("loss", [jaxloss.cross_entropy, jaxloss.nll_loss])
def test_no_weight_on_a_label_that_is_ruled_out_is_nothing(loss, options) -> None:
    value, (gradient,) = value_and_grads(lambda x: loss(x, a([2, 3], int), **options), RULED_OUT)
    kept = {name: array[1:] if name == "sample_weight" else array for name, array in options.items()}
    wanted, (wanted_gradient,) = value_and_grads(lambda x: loss(x, a([3], int), **kept), RULED_OUT[1:])
    chex.assert_trees_all_close(value, wanted, **EXACT)
    chex.assert_trees_all_close(gradient, jnp.pad(wanted_gradient, ((1, 0), (0, 0))), **EXACT)


def test_no_weight_on_a_ruled_out_label_is_nothing_with_smoothing_and_in_weights() -> None:
    options = {"label_smoothing": 0.25, "weight": WEIGHTS}
    value = jaxloss.cross_entropy(RULED_OUT[:1], a([2], int), reduction="sum", **options)
    chex.assert_trees_all_close(value, a(0.25 * 4 / 5 * np.log(4)), **EXACT)  # four classes share the probability
    by_weight = jax.grad(lambda w: jaxloss.cross_entropy(RULED_OUT, a([2, 3], int), weight=w, reduction="sum"))(WEIGHTS)
    assert finite(by_weight)


def test_no_weight_on_an_infinite_loss_is_nothing_in_a_linear_layer() -> None:
    bias = jnp.zeros(5).at[2].set(-INF)
    for options, wanted in (({"weight": WEIGHTS}, np.log(4)), ({"sample_weight": a([0.0, 1.0])}, np.log(4))):
        loss = jaxloss.linear_cross_entropy(jnp.zeros((2, 3)), jnp.zeros((3, 5)), a([2, 3], int), bias=bias, **options)
        chex.assert_trees_all_close(loss, a(wanted), **EXACT)
