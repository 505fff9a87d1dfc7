"""Faults measured in other libraries, and that ours does not have them: one test a fault."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, Case
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxloss

NAN, INF = np.nan, np.inf
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64 with room for a different order of summation


def a(values, dtype=np.float64) -> jax.Array:
    return jnp.asarray(np.asarray(values, dtype))


def value_and_grads(fn, *arrays: jax.Array):
    """The value, and the gradient in every floating array, of a loss reduced to a number."""
    floating = tuple(n for n, array in enumerate(arrays) if jnp.issubdtype(array.dtype, jnp.floating))
    return jax.value_and_grad(fn, floating)(*arrays)


def finite(tree) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


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


@pytest.mark.parametrize(
    ("fn", "targets", "keywords"),
    [
        (jaxloss.cross_entropy, [-100, -100], {}),
        (jaxloss.cross_entropy, [-100, -100], {"weight": a([1.0, 2.0, 3.0]), "label_smoothing": 0.5, "z_loss": 0.5}),
        (jaxloss.cross_entropy, [0, 1], {"where": a([False, False], bool)}),
        (jaxloss.nll_loss, [-100, -100], {"weight": a([1.0, 2.0, 3.0])}),
        (jaxloss.multi_margin_loss, [0, 1], {"where": a([False, False], bool)}),
    ],
)
def test_all_ignored_is_zero_with_a_zero_gradient(fn, targets, keywords) -> None:
    logits = a([[1.0, NAN, 3.0], [0.0, 1.0, INF]])
    value, (gradient,) = value_and_grads(lambda x: fn(x, a(targets, int), **keywords), logits)
    chex.assert_trees_all_equal((value, gradient), (jnp.zeros(()), jnp.zeros((2, 3))))


@pytest.mark.parametrize("options", [{}, {"weight": a([1.0, 2.0, 3.0]), "label_smoothing": 0.5, "z_loss": 0.5}])
def test_cross_entropy_ignored_row_of_nan_is_clean_to_the_second_derivative(options) -> None:
    kept = a([[0.0, 1.0, -0.5]])

    def ignoring(x):
        return jaxloss.cross_entropy(x, a([-100, 1], int), **options)

    def alone(x):
        return jaxloss.cross_entropy(x, a([1], int), **options)

    def derivatives(fn):
        first, forward, reverse = jax.value_and_grad(fn), jax.jacfwd(jax.jacfwd(fn)), jax.jacrev(jax.jacrev(fn))
        return jax.jit(lambda x: (*first(x), jax.hessian(fn)(x), forward(x), reverse(x)))

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
    second = jax.jit(jax.hessian(masked))(logits, targets)
    wanted_second = jax.jit(jax.hessian(jaxloss.cross_entropy))(logits[1:], targets[1:])
    chex.assert_trees_all_close(second, jnp.pad(wanted_second, rows * 2), **EXACT)


@pytest.mark.parametrize(
    ("fn", "arrays"),
    [
        (jaxloss.mse_loss, ([1.0, 2.0, 4.0], [0.5, 0.0, 1.0])),
        (jaxloss.binary_cross_entropy_with_logits, ([1.0, 2.0, -4.0], [0.5, 0.0, 1.0])),
        (jaxloss.kl_div, ([-1.0, -2.0, -0.5], [0.5, 0.25, 0.25])),
        (
            jaxloss.triplet_margin_loss,
            ([[1.0, 2], [0, 1], [3, 4]], [[0.0, 1], [1, 1], [5, 5]], [[2.0, 2], [1, 2], [4, 4]]),
        ),
        (jaxloss.cosine_embedding_loss, ([[1.0, 2], [0, 1], [3, 4]], [[0.0, 1], [1, 1], [5, 5]], [1.0, -1, -1])),
    ],
)
@pytest.mark.parametrize("junk", [NAN, INF])
def test_nan_under_the_mask_reaches_neither_value_nor_gradient(fn, arrays, junk) -> None:
    keep = np.array([True, False, True])
    clean = [np.asarray(array, float) for array in arrays]
    dirty = [np.where(np.expand_dims(keep, tuple(range(1, array.ndim))), array, junk) for array in clean]
    value, gradients = value_and_grads(lambda *xs: fn(*xs, where=jnp.asarray(keep)), *map(a, dirty))
    wanted, wanted_gradients = value_and_grads(fn, *[a(array[keep]) for array in clean])
    chex.assert_trees_all_close(value, wanted, **EXACT)
    for gradient, wanted_gradient in zip(gradients, wanted_gradients, strict=True):
        chex.assert_trees_all_close(gradient[keep], wanted_gradient, **EXACT)
        chex.assert_trees_all_equal(gradient[~keep], jnp.zeros_like(gradient[~keep]))


@pytest.mark.parametrize("name", ["multi_margin_loss", "multilabel_margin_loss"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_empty_batch_is_zero_and_not_what_memory_held(name, reduction) -> None:
    targets = jnp.zeros((0,) if name == "multi_margin_loss" else (0, 3), jnp.int32)
    fn = getattr(jaxloss, name)
    value, (gradient,) = value_and_grads(lambda x: fn(x, targets, reduction=reduction), jnp.zeros((0, 3)))
    assert value == 0
    chex.assert_shape(gradient, (0, 3))
    chex.assert_shape(fn(jnp.zeros((0, 3)), targets, reduction="none"), (0,))


def test_weights_normalise() -> None:
    errors, weight = a([1.0, 2.0, 6.0]), a([1.0, 1.0, 2.0])
    value, (gradient,) = value_and_grads(lambda x: jaxloss.l1_loss(x, jnp.zeros(3), sample_weight=weight), errors)
    assert value == (1 + 2 + 2 * 6) / 4  # and not / 3
    chex.assert_trees_all_equal(gradient, weight / 4)


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


def test_soft_margin_is_finite_at_1e4() -> None:
    scores, targets = a([1e4, -1e4, 1e4, -1e4], np.float32), a([1, 1, -1, -1], np.float32)
    losses = jaxloss.soft_margin_loss(scores, targets, reduction="none")
    chex.assert_trees_all_equal(losses, a([0, 1e4, 1e4, 0], np.float32))
    gradient = jax.grad(lambda x: jaxloss.soft_margin_loss(x, targets, reduction="sum"))(scores)
    chex.assert_trees_all_equal(gradient, a([0, -1, 1, 0], np.float32))


@pytest.mark.parametrize(("logit", "target"), [(INF, 1.0), (-INF, 0.0)])
@pytest.mark.parametrize("options", [{}, {"pos_weight": a(3.0), "weight": a(2.0)}])
def test_bce_with_infinite_logits_of_the_right_sign_is_zero(logit, target, options) -> None:
    def loss(x):
        return jaxloss.binary_cross_entropy_with_logits(x, a(target), **options)

    assert jax.value_and_grad(loss)(a(logit)) == (0, 0)
    assert jax.grad(jax.grad(loss))(a(logit)) == 0
    assert jaxloss.binary_cross_entropy_with_logits(-a(logit), a(target), **options) == INF


def test_bce_gradient_at_the_ends_is_pytorchs() -> None:
    predictions, targets = a([0.0, 1.0, 0.0, 1.0], np.float32), a([1.0, 0.0, 0.0, 1.0], np.float32)
    losses = jaxloss.binary_cross_entropy(predictions, targets, reduction="none")
    chex.assert_trees_all_equal(losses, a([100, 100, 0, 0], np.float32))
    gradient = jax.grad(lambda x: jaxloss.binary_cross_entropy(x, targets, reduction="sum"))(predictions)
    chex.assert_trees_all_close(gradient, a([-1e12, 1e12, 0, 0], np.float32), rtol=1e-6)


# Zeros, and what is multiplied by them ----------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [0, 1, 2], ids=["first", "second", "both"])
def test_cosine_of_zero_vectors_is_finite(zero: int) -> None:
    vectors = [a([[3.0, 4.0]]), a([[1.0, 2.0]])]
    for position in (0, 1) if zero == 2 else (zero,):
        vectors[position] = jnp.zeros((1, 2))
    similarity, gradients = value_and_grads(lambda *xs: jnp.sum(jaxloss.cosine_similarity(*xs)), *vectors)
    assert similarity == 0
    assert finite(gradients)
    for target, wanted in ((1.0, 1.0), (-1.0, 0.0)):
        loss, gradients = value_and_grads(lambda *xs, t=target: jaxloss.cosine_embedding_loss(*xs, a([t])), *vectors)
        assert loss == wanted
        assert finite(gradients)


def test_kl_target_of_zero_has_a_finite_gradient() -> None:
    log_predictions, targets = a([-1.0, -0.5]), a([0.0, 0.5])
    value, gradients = value_and_grads(lambda x, t: jaxloss.kl_div(x, t, reduction="sum"), log_predictions, targets)
    chex.assert_trees_all_close(value, a(0.5 * (np.log(0.5) + 0.5)), **EXACT)
    chex.assert_trees_all_close(gradients, (a([0.0, -0.5]), a([0.0, np.log(0.5) + 0.5 + 1])), **EXACT)


@pytest.mark.parametrize("log_target", [False, True])
def test_kl_log_prediction_of_minus_infinity_of_a_target_of_zero_is_zero(log_target: bool) -> None:
    log_predictions = a([-INF, 0.0])
    targets = a([-INF, 0.0]) if log_target else a([0.0, 1.0])
    value, gradients = value_and_grads(
        lambda x, t: jaxloss.kl_div(x, t, log_target=log_target, reduction="sum"), log_predictions, targets
    )
    assert value == 0
    chex.assert_trees_all_equal(gradients, (a([0.0, -1.0]), a([0.0, 1.0])))


def test_kl_log_prediction_of_minus_infinity_of_a_likely_target_is_infinite() -> None:
    assert jaxloss.kl_div(a([-INF]), a([0.5])) == INF


# Shapes and powers ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", ["huber_loss", "hinge_embedding_loss", "l1_loss", "soft_margin_loss", "kl_div"])
@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((3,), (3, 1)), ((1, 3), (3, 3)), ((), (3,))])
def test_column_against_row_is_not_a_square_of_errors(name: str, shapes) -> None:
    with pytest.raises(ValueError, match="losses do not broadcast them"):
        getattr(jaxloss, name)(*map(jnp.ones, shapes))


@pytest.mark.parametrize(("p", "norm"), [(1.0, 7.0), (3.0, 91 ** (1 / 3)), (2.0, 5.0), (INF, 4.0), (1.5, None)])
def test_triplet_is_right_for_every_p(p: float, norm: float | None) -> None:
    # Differences of both signs, so that a sum without the absolute value, or a root of a negative number, shows.
    anchor, positive, negative = a([[0.0, 0.0]]), a([[3.0, -4.0]]), a([[-0.5, 0.25]])

    def distance(d: np.ndarray) -> float:
        return float(np.linalg.norm(d, p))

    near, far = distance(np.array([-3.0, 4.0])), distance(np.array([0.5, -0.25]))
    if norm is not None:
        assert near == pytest.approx(norm, rel=1e-15)
    value, gradients = value_and_grads(
        lambda *xs: jaxloss.triplet_margin_loss(*xs, p=p, eps=0.0), anchor, positive, negative
    )
    chex.assert_trees_all_close(value, a(near - far + 1), **EXACT)
    slope = {INF: np.array([0.0, 1.0])}.get(p)  # of |(-3, 4)|
    if slope is None:
        slope = np.sign([-3.0, 4.0]) * (np.array([3.0, 4.0]) / near) ** (p - 1)
    chex.assert_trees_all_close(gradients[1], a([-slope]), **EXACT)
    assert finite(gradients)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_no_check_reads_a_value(case: Case) -> None:
    arrays = case.arrays("batched")
    for options in case.option_sets(arrays):
        loss = case.loss(**options)
        shape = jax.eval_shape(lambda *arrays, loss=loss: loss(*arrays), *map(jnp.asarray, arrays))
        chex.assert_shape(shape, ())


# Gradients at kinks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "arrays", "wanted"),
    [
        pytest.param(jaxloss.l1_loss, ([1.0], [1.0]), ([0.0], [0.0]), id="l1-equal"),
        pytest.param(jaxloss.smooth_l1_loss, ([1.0], [0.0]), ([1.0], [-1.0]), id="smooth_l1-at_beta"),
        pytest.param(
            lambda x, t: jaxloss.smooth_l1_loss(x, t, beta=0.0), ([1.0], [1.0]), ([0.0], [0.0]), id="smooth_l1-beta_0"
        ),
        pytest.param(jaxloss.huber_loss, ([-1.0], [0.0]), ([-1.0], [1.0]), id="huber-at_delta"),
        pytest.param(lambda x: jaxloss.hinge_embedding_loss(x, a([-1.0])), ([1.0],), ([-1.0],), id="hinge_embedding"),
        pytest.param(
            lambda x, y: jaxloss.margin_ranking_loss(x, y, a([1.0])), ([2.0], [2.0]), ([-1.0], [1.0]), id="ranking"
        ),
        pytest.param(
            lambda x, y: jaxloss.cosine_embedding_loss(x, y, a([-1.0])),
            ([[1.0, 0.0]], [[0.0, 1.0]]),
            ([[0.0, 1.0]], [[1.0, 0.0]]),
            id="cosine_embedding-at_margin",
        ),
        pytest.param(
            lambda *xs: jaxloss.triplet_margin_loss(*xs, eps=0.0),
            ([[0.0]], [[1.0]], [[2.0]]),
            ([[0.0]], [[1.0]], [[-1.0]]),
            id="triplet-at_margin",
        ),
        pytest.param(
            lambda *xs: jaxloss.triplet_margin_loss(*xs, eps=0.0, swap=True),
            ([[0.0]], [[4.0]], [[2.0]]),
            ([[-0.5]], [[0.5]], [[0.0]]),
            id="triplet-swap_tie",
        ),
        pytest.param(
            lambda x, y: jnp.sum(jaxloss.pairwise_distance(x, y, eps=0.0)),
            ([[1.0, 2.0]], [[1.0, 2.0]]),
            ([[0.0, 0.0]], [[0.0, 0.0]]),
            id="distance_0",
        ),
        pytest.param(
            lambda x: jaxloss.multi_margin_loss(x, a([0], int)),
            ([[1.0, 0.0, 0.5]],),
            ([[-1 / 3, 0, 1 / 3]],),
            id="multi",
        ),
        pytest.param(
            lambda x: jaxloss.multilabel_margin_loss(x, a([[0, -1, 0]], int)),
            ([[1.0, 0.0, 0.5]],),
            ([[-1 / 3, 0, 1 / 3]],),
            id="multilabel",
        ),
        pytest.param(lambda x: jaxloss.soft_margin_loss(x, a([1.0])), ([0.0],), ([-0.5],), id="soft_margin-0"),
        pytest.param(
            lambda x: jaxloss.binary_cross_entropy_with_logits(x, a([1.0])), ([0.0],), ([-0.5],), id="bce_logits-0"
        ),
        pytest.param(
            lambda x, v: jaxloss.gaussian_nll_loss(x, a([0.0]), v),
            ([1.0], [0.0]),
            ([1e6], [-4.999995e11]),
            id="gaussian-clamped_variance",
        ),
    ],
)
def test_gradient_at_a_kink_is_pytorchs(fn, arrays, wanted) -> None:
    _, gradients = value_and_grads(fn, *map(a, arrays))
    # 1e-12 under the roots of cosine_embedding_loss is PyTorch's.
    chex.assert_trees_all_close(gradients, tuple(map(a, wanted)), rtol=1e-12, atol=2e-12)


def test_row_of_impossible_logits_is_nan_and_clean_under_the_mask() -> None:
    # The gradient of jax.nn.logsumexp is NaN there in every row's mask too.
    logits = a([[-INF, -INF], [0.0, 1.0]])
    assert np.isnan(jaxloss.cross_entropy(logits, a([0, 1], int)))
    value, (gradient,) = value_and_grads(
        lambda x: jaxloss.cross_entropy(x, a([0, 1], int), where=a([False, True], bool)), logits
    )
    chex.assert_trees_all_close(value, jnp.log1p(jnp.exp(-1.0)), **EXACT)
    chex.assert_trees_all_equal(gradient[0], jnp.zeros(2))


# Derivatives of every kind ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("soft", [False, True], ids=["label", "probability"])
def test_cross_entropy_has_forward_mode_and_second_derivatives(soft: bool) -> None:
    logits = a([0.5, -1.0, 2.0])
    targets = a([0.25, 0.0, 0.75]) if soft else a(2, int)
    probabilities = np.exp(np.asarray(logits)) / np.exp(np.asarray(logits)).sum()
    one_hot = np.asarray(targets) if soft else np.eye(3)[2]
    _, along = jax.jvp(lambda x: jaxloss.cross_entropy(x, targets), (logits,), (a([1.0, -2.0, 0.5]),))
    chex.assert_trees_all_close(along, a((probabilities - one_hot) @ [1.0, -2.0, 0.5]), **EXACT)
    second = jax.jit(jax.hessian(jaxloss.cross_entropy))(logits, targets)
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


@pytest.mark.parametrize(("dtype", "copies"), [("float32", 0), ("bfloat16", 1)])
def test_cross_entropy_gradient_needs_few_copies_of_the_logits(dtype: str, copies: int) -> None:
    # A CPU computes bfloat16 in one float32 array; optax needs as much as two.
    shape = (256, 2048)
    arrays = jax.ShapeDtypeStruct(shape, dtype), jax.ShapeDtypeStruct(shape[:1], "int32")
    used = jax.jit(jax.value_and_grad(jaxloss.cross_entropy)).lower(*arrays).compile().memory_analysis()
    assert used.temp_size_in_bytes < (copies + 0.05) * 4 * shape[0] * shape[1]


# Many devices -----------------------------------------------------------------------------------------------------

LOGITS = np.random.default_rng(0).normal(size=(8, 6)).round(2)
LABELS = np.array([0, 5, 2, 3, 1, 4, 4, 0])
SOFT = np.random.default_rng(1).dirichlet(np.ones(6), 8).round(3)
KEPT = np.arange(8) != 3
OPTIONS = {"weight": a(np.arange(6.0) / 4 + 0.5), "label_smoothing": 0.125, "z_loss": 0.25}

# The loss, its second argument, and along which mesh axes the two are split.
BOTH, BATCH = PartitionSpec("data", "classes"), PartitionSpec("data")
SHARDED = {
    "labels": (jaxloss.cross_entropy, LABELS, BOTH, BATCH),
    "labels_and_options": (lambda x, t: jaxloss.cross_entropy(x, t, **OPTIONS), LABELS, BOTH, BATCH),
    "probabilities": (jaxloss.cross_entropy, SOFT, BOTH, BOTH),
    "probabilities_and_options": (lambda x, t: jaxloss.cross_entropy(x, t, **OPTIONS), SOFT, BOTH, BOTH),
    "multi_margin": (jaxloss.multi_margin_loss, LABELS, BOTH, BATCH),
    "elementwise": (jaxloss.huber_loss, SOFT, PartitionSpec("data", None), PartitionSpec("data", None)),
}


def sharded(kind: AxisType, *arrays: tuple[np.ndarray, PartitionSpec]) -> tuple[jax.sharding.Mesh, list[jax.Array]]:
    mesh = jax.make_mesh((4, 2), ("data", "classes"), axis_types=(kind, kind))
    return mesh, [jax.device_put(jnp.asarray(array), NamedSharding(mesh, spec)) for array, spec in arrays]


@pytest.mark.parametrize("name", SHARDED)
def test_explicit_mesh_gives_what_one_device_does(name: str) -> None:
    fn, targets, spec, target_spec = SHARDED[name]
    mesh, arrays = sharded(AxisType.Explicit, (LOGITS, spec), (targets, target_spec))
    with jax.set_mesh(mesh):
        value, gradient = jax.jit(jax.value_and_grad(fn))(*arrays)
    assert jax.typeof(gradient).sharding.spec == spec
    wanted = jax.value_and_grad(fn)(jnp.asarray(LOGITS), jnp.asarray(targets))
    chex.assert_trees_all_close((np.asarray(value), np.asarray(gradient)), jax.device_get(wanted), **EXACT)


@pytest.mark.parametrize("name", SHARDED)
def test_auto_mesh_gathers_nothing(name: str) -> None:
    fn, targets, spec, target_spec = SHARDED[name]
    _, arrays = sharded(AxisType.Auto, (LOGITS, spec), (targets, target_spec))
    compiled = jax.jit(jax.value_and_grad(fn)).lower(*arrays).compile()
    program = compiled.as_text()
    assert "all-reduce" in program  # the program is of many devices, and the sums over them are all it exchanges
    for exchange in ("all-gather", "all-to-all", "collective-permute"):
        assert exchange not in program
    value, gradient = compiled(*arrays)
    assert gradient.sharding.is_equivalent_to(arrays[0].sharding, 2)
    wanted = jax.value_and_grad(fn)(jnp.asarray(LOGITS), jnp.asarray(targets))
    chex.assert_trees_all_close((np.asarray(value), np.asarray(gradient)), jax.device_get(wanted), **EXACT)


def test_mask_split_over_devices_gives_the_mean_over_what_is_kept() -> None:
    # The devices keep different numbers of rows: a mean of their means is another number.
    mesh, (logits, labels, keep) = sharded(AxisType.Explicit, (LOGITS, BATCH), (LABELS, BATCH), (KEPT, BATCH))

    def loss(x, t, keep):
        return jaxloss.cross_entropy(x, t, where=keep)

    with jax.set_mesh(mesh):
        value, gradient = jax.jit(jax.value_and_grad(loss))(logits, labels, keep)
    wanted = jax.value_and_grad(jaxloss.cross_entropy)(jnp.asarray(LOGITS[KEPT]), jnp.asarray(LABELS[KEPT]))
    losses = jaxloss.cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS), where=jnp.asarray(KEPT), reduction="none")
    of_means = np.mean(np.asarray(losses).reshape(4, 2).sum(1) / KEPT.reshape(4, 2).sum(1))
    assert abs(of_means - float(wanted[0])) > 1e-3
    chex.assert_trees_all_close(np.asarray(value), np.asarray(wanted[0]), **EXACT)
    chex.assert_trees_all_close(np.asarray(gradient)[KEPT], np.asarray(wanted[1]), **EXACT)
    assert not np.asarray(gradient)[~KEPT].any()
