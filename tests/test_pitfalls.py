"""Faults measured in other libraries, and that ours does not have them: one test a fault."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from case import Case
from cases import CASES
from pitfalls import EXACT, INF, NAN, a, finite, value_and_grads

import jaxloss

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


# Shapes that PyTorch documents ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "shape_of_targets"), [((5,), (1,)), ((5, 5), (5, 1)), ((5, 5), (1, 5)), ((4, 3), (1, 1))]
)
def test_gaussian_targets_of_size_1_broadcast(shape, shape_of_targets) -> None:
    rng = np.random.default_rng(0)
    predictions, var = a(rng.normal(size=shape)), a(rng.gamma(2, 1, shape))
    targets = a(rng.normal(size=shape_of_targets))
    value, gradients = value_and_grads(jaxloss.gaussian_nll_loss, predictions, targets, var)
    losses = (np.log(var) + (predictions - np.asarray(targets) * np.ones(shape)) ** 2 / var) / 2
    chex.assert_trees_all_close(value, losses.mean(), **EXACT)
    chex.assert_shape(gradients[1], shape_of_targets)
    chex.assert_trees_all_close(jnp.sum(gradients[1]), -jnp.sum(gradients[0]), **EXACT)


@pytest.mark.parametrize("axis", [0, -1])
def test_cosine_of_numbers_is_a_sign(axis: int) -> None:
    cosines = [jaxloss.cosine_similarity(a(first), a(second), axis=axis) for first, second in ((2, 3), (2, -3), (0, 1))]
    assert [float(each) for each in cosines] == [1, -1, 0]


@pytest.mark.parametrize("name", ["multi_margin_loss", "multilabel_margin_loss"])
@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize(("shape", "shape_of_targets"), [((), ()), ((), (1,)), ((1,), ())])
def test_one_number_is_an_example_of_one_class(name: str, reduction: str, shape, shape_of_targets) -> None:
    predictions, targets = jnp.full(shape, 2.0), jnp.zeros(shape_of_targets, int)
    loss = getattr(jaxloss, name)
    value, (gradient,) = value_and_grads(lambda x: loss(x, targets, reduction=reduction), predictions)
    chex.assert_trees_all_equal((value, gradient), (jnp.zeros(()), jnp.zeros(shape)))
    assert np.isnan(loss(predictions, targets + 1))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("width", [1, 2])
def test_widths_do_not_broadcast(width: int) -> None:
    vectors, other, summed = jnp.ones((4, 3)), jnp.ones((4, width)), lambda x, y: jnp.sum(x - y, -1)
    for narrow in range(3):
        arrays = [other if position == narrow else vectors for position in range(3)]
        for loss in (
            jaxloss.triplet_margin_loss,
            jaxloss.triplet_margin_with_distance_loss,
            jaxloss.TripletMarginWithDistanceLoss(distance_function=summed),
        ):
            with pytest.raises(ValueError, match="The shapes .* (differ in the features' axes|do not broadcast)"):
                loss(*arrays)
    for arrays in ((vectors, other), (other, vectors)):
        with pytest.raises(ValueError, match="The shapes .* (differ in the features' axes|do not broadcast)"):
            jaxloss.cosine_embedding_loss(*arrays, jnp.ones(4))


def test_axes_of_the_batch_broadcast() -> None:
    rng = np.random.default_rng(0)
    anchor, positive, negative = a(rng.normal(size=(4, 3))), a(rng.normal(size=(1, 3))), a(rng.normal(size=(4, 3)))
    repeated = jnp.broadcast_to(positive, (4, 3))
    loss = jaxloss.triplet_margin_loss(anchor, positive, negative)
    chex.assert_trees_all_close(loss, jaxloss.triplet_margin_loss(anchor, repeated, negative), **EXACT)
    pairs = [jaxloss.cosine_embedding_loss(anchor, second, jnp.ones(4)) for second in (positive, repeated)]
    chex.assert_trees_all_close(*pairs, **EXACT)


# Infinite values in their domain ----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["sample_weight", "weight"])
def test_no_weight_on_an_infinite_loss_is_nothing(option: str) -> None:
    logits, targets, weight = a([INF, 0.0]), a([0.0, 1.0]), a([0.0, 1.0])
    value, (gradient,) = value_and_grads(
        lambda x: jaxloss.binary_cross_entropy_with_logits(x, targets, reduction="sum", **{option: weight}), logits
    )
    chex.assert_trees_all_close((value, gradient), (a(np.log(2)), a([0.0, -0.5])), **EXACT)


@pytest.mark.parametrize(
    ("loss", "arrays"),
    [
        (jaxloss.binary_cross_entropy_with_logits, ([-INF, INF, 1.0], [0.0, 1.0, 0.5])),
        (jaxloss.multilabel_soft_margin_loss, ([-INF, INF, 1.0], [0.0, 1.0, 0.5])),
        (lambda x: jaxloss.soft_margin_loss(x, a([-1, 1, 1])), ([-INF, INF, 1.0],)),
        (jaxloss.poisson_nll_loss, ([-INF, 1.0], [0.0, 1.0])),
        (jaxloss.kl_div, ([-INF, 0.0], [0.0, 1.0])),
        (jaxloss.cross_entropy, ([-INF, 0.0, 1.0], [0.0, 0.5, 0.5])),
        (lambda x: jaxloss.cross_entropy(x, a(1, int)), ([-INF, 0.0, 1.0],)),
        (lambda x: jaxloss.nll_loss(x, a(1, int)), ([-INF, -0.5, -1.0],)),
    ],
    ids=["bce", "multilabel", "soft_margin", "poisson", "kl", "probabilities", "labels", "nll"],
)
def test_infinite_values_of_a_finite_loss_make_no_nan_on_the_way(loss, arrays) -> None:
    with jax.debug_nans(True), jax.disable_jit():
        value, gradients = value_and_grads(loss, *map(a, arrays))
    assert finite((value, gradients))
