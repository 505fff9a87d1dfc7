"""A mistake that only the values could tell is met by NaN, there and nowhere else."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mistakes import f, i
from variants import variants

import jaxloss
from jaxloss import Loss

pytestmark = pytest.mark.usefixtures("untyped")


@pytest.mark.parametrize(
    ("loss", "arrays"),
    [
        (jaxloss.HuberLoss(delta=0.0), (f(3), f(3))),
        (jaxloss.HuberLoss(delta=-1.0), (f(3), f(3))),
        (jaxloss.SmoothL1Loss(beta=-1.0), (f(3), f(3))),
        (jaxloss.GaussianNLLLoss(eps=0.0), (f(3), f(3), f(3))),
        (jaxloss.CrossEntropyLoss(label_smoothing=-0.5), (f(4, 3), i(4))),
        (jaxloss.CrossEntropyLoss(label_smoothing=1.5), (f(4, 3), i(4))),
        (jaxloss.CrossEntropyLoss(label_smoothing=1.5), (f(4, 3), f(4, 3))),
        (jaxloss.TripletMarginLoss(margin=0.0), (f(4, 3), f(4, 3), f(4, 3))),
        (jaxloss.TripletMarginLoss(margin=-1.0), (f(4, 3), f(4, 3), f(4, 3))),
        (jaxloss.TripletMarginWithDistanceLoss(margin=-1.0), (f(4, 3), f(4, 3), f(4, 3))),
    ],
    ids=lambda value: repr(value) if isinstance(value, Loss) else "",
)
def test_traced_option_out_of_range_is_nan(loss: Loss, arrays: tuple[jax.Array, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        loss(*arrays)
    assert np.isnan(jax.jit(lambda loss: loss(*arrays))(loss))  # the loss is a pytree: its options are traced


def test_traced_eps_out_of_range_is_nan() -> None:
    similarity = jax.jit(lambda eps: jaxloss.cosine_similarity(f(4, 3), f(4, 3), eps=eps))
    assert np.isnan(similarity(-1.0)).all()
    assert np.isfinite(similarity(1e-8)).all()


LABELLED = {
    "cross_entropy": jaxloss.cross_entropy,
    "cross_entropy_with_options": lambda logits, targets, **keywords: jaxloss.cross_entropy(
        logits, targets, weight=CLASS_WEIGHT, label_smoothing=0.25, z_loss=0.5, **keywords
    ),
    "nll_loss": jaxloss.nll_loss,
    "linear_cross_entropy": lambda hidden, targets, **keywords: jaxloss.linear_cross_entropy(
        hidden, np.eye(3), targets, **keywords
    ),
    "linear_cross_entropy_in_chunks": lambda hidden, targets, **keywords: jaxloss.linear_cross_entropy(
        hidden, np.eye(3), targets, chunk_size=2, label_smoothing=0.25, **keywords
    ),
    "multi_margin_loss": jaxloss.multi_margin_loss,
    "multi_margin_loss_with_options": lambda scores, targets, **keywords: jaxloss.multi_margin_loss(
        scores, targets, p=2, weight=CLASS_WEIGHT, **keywords
    ),
}
CLASS_WEIGHT = np.array([0.5, 2.0, 1.0])
SCORES = np.array([[0.25, -1.5, 2.0], [1.0, 0.5, 0.0], [-0.5, 3.0, 0.125], [0.75, 0.5, -2.0]])
BAD = 1
"""The row that is out of range."""

OUT_OF_RANGE = [
    ("int32", 3),
    ("int32", -1),
    ("int32", 10**6),
    ("int64", 2**32),  # 0 once in 32 bits
    ("int64", -(2**32) + 1),
    ("int8", 3),
    ("int8", -1),
    ("int8", 127),
    ("int16", -1),
    ("uint8", 3),
    ("uint8", 255),
    ("uint8", 156),  # -100 in 8 bits, but not ignored: PyTorch's is -100
    ("uint16", 65535),
    ("uint32", 2**31),
    ("uint32", 2**32 - 1),
    ("uint64", 2**63),
    ("uint64", 2**64 - 1),
]


@partial(jax.jit, static_argnums=(0, 2))
def losses_and_gradients(loss, arrays: tuple[jax.Array, ...], floating: tuple[int, ...]):
    """The unreduced losses, the gradients of their sum, and the mean."""

    def summed(*chosen: jax.Array):
        given = list(arrays)
        for position, array in zip(floating, chosen, strict=True):
            given[position] = array
        losses = loss(*given, reduction="none")
        return jnp.sum(losses), losses

    chosen = [arrays[position] for position in floating]
    gradients, losses = jax.grad(summed, tuple(range(len(chosen))), has_aux=True)(*chosen)
    return losses, gradients, loss(*arrays, reduction="mean")


def only_the_bad_one_is_nan(loss, bad: tuple[np.ndarray, ...], good: tuple[np.ndarray, ...], floating=(0,)) -> None:
    losses, gradients, mean = losses_and_gradients(loss, bad, floating)
    wanted, wanted_gradients, _ = losses_and_gradients(loss, good, floating)
    assert np.isnan(mean)
    for ours, clean in zip((losses, *gradients), (wanted, *wanted_gradients), strict=True):
        assert np.isfinite(clean).all()
        assert np.isnan(ours[BAD]).all()
        chex.assert_trees_all_equal(np.delete(ours, BAD, 0), np.delete(clean, BAD, 0))  # to the last digit


@pytest.mark.parametrize(("dtype", "label"), OUT_OF_RANGE)
@pytest.mark.parametrize("name", variants(LABELLED, lambda name: name in jaxloss.__all__))
def test_label_out_of_range_is_nan_there_only(name: str, dtype: str, label: int) -> None:
    good = np.array([0, 1, 2, 1], dtype)
    bad = good.copy()
    bad[BAD] = label
    only_the_bad_one_is_nan(LABELLED[name], (SCORES, bad), (SCORES, good))


@pytest.mark.parametrize(("dtype", "label"), [(d, label) for d, label in OUT_OF_RANGE if label != -1] + [("int32", -2)])
@pytest.mark.parametrize("position", [0, 1])
def test_label_out_of_range_in_a_list_is_nan_there_only(dtype: str, label: int, position: int) -> None:
    good = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 1, 1]], dtype)
    bad = good.copy()
    bad[BAD, position] = label
    only_the_bad_one_is_nan(jaxloss.multilabel_margin_loss, (SCORES, bad), (SCORES, good))


def test_what_follows_the_end_of_a_list_may_be_out_of_range() -> None:
    lists = np.array([[0, 1, -1], [2, -1, 0], [-1, 0, 0], [1, -1, 1]])
    junk = np.where(np.cumsum(lists == -1, -1) > 1, 0, lists)
    junk = np.where((np.cumsum(lists == -1, -1) == 1) & (lists != -1), 10**6, junk)
    assert (junk == 10**6).any()
    chex.assert_trees_all_equal(
        losses_and_gradients(jaxloss.multilabel_margin_loss, (SCORES, junk), (0,)),
        losses_and_gradients(jaxloss.multilabel_margin_loss, (SCORES, lists), (0,)),
    )


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int16", "uint64"])
def test_label_of_many_classes_does_not_wrap(dtype: str) -> None:
    scores = np.arange(200.0)[None] / 100
    value = jaxloss.nll_loss(jnp.asarray(scores), jnp.asarray(np.array([130], dtype)))
    assert value == -1.3


def test_label_beyond_8_bits_is_out_of_range_of_many_classes() -> None:
    # -56 is 200 in 8 bits, a class there would be if the sign were lost.
    value = jaxloss.nll_loss(jnp.zeros((1, 300)), jnp.asarray(np.array([-56], np.int8)))
    assert np.isnan(value)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "multi_margin_loss"])
def test_label_out_of_range_under_the_mask_changes_nothing(name: str) -> None:
    fn = getattr(jaxloss, name)
    keep = np.arange(4) != BAD

    @jax.jit
    def run(targets: jax.Array):
        def summed(scores, weight, reduction):
            value = fn(scores, targets, weight=weight, where=keep, reduction=reduction)
            return jnp.sum(value), value

        gradient = partial(jax.grad(summed, (0, 1), has_aux=True), jnp.asarray(SCORES), jnp.asarray(CLASS_WEIGHT))
        return {reduction: gradient(reduction) for reduction in ("none", "mean", "sum")}

    good = np.array([0, 1, 2, 1])
    clean = run(good)
    for label in (3, -1, 10**6):
        bad = good.copy()
        bad[BAD] = label
        masked = run(bad)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(masked))
        for (by_scores, by_weight), _ in masked.values():
            assert (np.asarray(by_scores)[BAD] == 0).all()
            assert np.any(by_weight)
        chex.assert_trees_all_equal(masked, clean)


def test_list_out_of_range_under_the_mask_changes_nothing() -> None:
    keep = jnp.arange(4) != BAD

    def loss(scores, targets, reduction):
        return jaxloss.multilabel_margin_loss(scores, targets, where=keep, reduction=reduction)

    good = np.array([[0, 1, -1], [2, -1, 0], [1, 0, 2], [1, -1, 1]])
    bad = good.copy()
    bad[BAD] = 10**6
    masked = losses_and_gradients(loss, (SCORES, bad), (0,))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(masked))
    chex.assert_trees_all_equal(masked, losses_and_gradients(loss, (SCORES, good), (0,)))


def log_probs_and_probs() -> tuple[np.ndarray, ...]:
    return np.array([-0.5, -1.0, -2.0]), np.array([0.25, 0.5, 0.25])


@pytest.mark.parametrize(
    ("loss", "good", "position", "value"),
    [
        pytest.param(loss, good, position, value, id=f"{id}={value}")
        for id, loss, good, position, values in (
            (
                "binary_cross_entropy-predictions",
                jaxloss.binary_cross_entropy,
                (np.array([0.25, 0.5, 0.75]), np.array([0.0, 1.0, 0.5])),
                0,
                (-0.125, 1.125, np.inf, np.nan),
            ),
            (
                "binary_cross_entropy-targets",
                jaxloss.binary_cross_entropy,
                (np.array([0.25, 0.5, 0.75]), np.array([0.0, 1.0, 0.5])),
                1,
                (-0.125, 1.125, np.inf, np.nan),
            ),
            (
                "binary_cross_entropy_with_logits-targets",
                jaxloss.binary_cross_entropy_with_logits,
                (np.array([0.25, -3.0, 0.75]), np.array([0.0, 1.0, 0.5])),
                1,
                (-0.125, 1.5, 255.0, np.inf, np.nan),
            ),
            (
                "binary_cross_entropy_with_logits-targets-pos_weight",
                partial(jaxloss.binary_cross_entropy_with_logits, pos_weight=np.array(3.0), weight=np.array(0.5)),
                (np.array([0.25, -3.0, 0.75]), np.array([0.0, 1.0, 0.5])),
                1,
                (-0.125, 1.5),
            ),
            (
                "multilabel_soft_margin_loss-targets",
                jaxloss.multilabel_soft_margin_loss,
                (SCORES, np.eye(4)[:, :3]),
                1,
                (-0.125, 1.5, np.nan),
            ),
            (
                "cross_entropy-probabilities",
                jaxloss.cross_entropy,
                (SCORES, np.array([[0.5, 0.5, 0], [0, 1, 0], [0.25, 0.25, 0.5], [1, 0, 0]])),
                1,
                (-0.125, np.nan),
            ),
            (
                "linear_cross_entropy-probabilities",
                lambda hidden, targets, reduction: jaxloss.linear_cross_entropy(
                    hidden, np.eye(3), targets, reduction=reduction
                ),
                (SCORES, np.array([[0.5, 0.5, 0], [0, 1, 0], [0.25, 0.25, 0.5], [1, 0, 0]])),
                1,
                (-0.125, np.nan),
            ),
            (
                "gaussian_nll_loss-var",
                jaxloss.gaussian_nll_loss,
                (np.array([0.5, 1.0, 2.0]), np.array([0.0, 1.5, 2.0]), np.array([1.0, 0.5, 2.0])),
                2,
                (-1.0, -1e-9, np.nan),
            ),
            (
                "poisson_nll_loss-rate",
                lambda rates, counts, reduction: jaxloss.poisson_nll_loss(
                    rates, counts, log_input=False, reduction=reduction
                ),
                (np.array([0.5, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])),
                0,
                (-1.0, -0.5),
            ),
            ("kl_div-targets", jaxloss.kl_div, log_probs_and_probs(), 1, (-0.5, -1e-9, np.nan)),
        )
        for value in values
    ],
)
def test_value_out_of_its_domain_is_nan_there_only(loss, good, position: int, value: float) -> None:
    bad = tuple(array.copy() for array in good)
    bad[position][BAD] = value
    only_the_bad_one_is_nan(loss, bad, good, tuple(range(len(good))))


def test_rate_of_a_count_of_zero_is_nan_below_zero_too() -> None:
    # 0 log(x) is where a library that guards its logarithms says nothing.
    good = np.array([0.5, 1.0, 2.0]), np.array([0.0, 0.0, 2.0])
    bad = np.array([0.5, -1.0, 2.0]), good[1]

    def loss(rates, counts, reduction):
        return jaxloss.poisson_nll_loss(rates, counts, log_input=False, reduction=reduction)

    only_the_bad_one_is_nan(loss, bad, good)
