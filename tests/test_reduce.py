"""`reduce`, `Mean`, `parts` and `legacy_reduction`: the one place where losses become the result."""

import functools
import inspect
import itertools
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import jaxloss
from jaxloss import Mean, parts, reduce

RNG = np.random.default_rng(0)
LOSSES = RNG.normal(size=(4, 3))
WEIGHTS = RNG.uniform(0.5, 2, size=(4, 3))
COUNTS = RNG.uniform(0.5, 2, size=(4, 3))
KEEP = np.array([[1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 1]], bool)
# Slices of the full arrays that broadcast to it, the empty mask among them.
SHAPES = {"none": None, "full": np.s_[:, :], "rows": np.s_[:, :1], "columns": np.s_[1:2], "one": np.s_[:1, :1]}


def sliced(array: np.ndarray, shape: str) -> np.ndarray | None:
    return None if SHAPES[shape] is None else array[SHAPES[shape]]


def formula(losses, where, weight, count) -> dict[str, np.ndarray]:
    """The definition, written out; 0 where nothing is kept."""
    ones = np.ones_like(losses)
    keep, weight, count = (1.0 if array is None else array * ones for array in (where, weight, count))
    kept = np.where(keep * ones, weight * losses, 0.0)
    return {"none": kept, "sum": kept.sum(), "mean": kept.sum() / (keep * weight * count * ones).sum()}


@pytest.mark.parametrize("where", SHAPES)
def test_formula_in_every_shape(where: str) -> None:
    """NaN under the mask, in losses, weights and counts, and whatever broadcasts."""
    keep = sliced(KEEP, where)
    masked = np.zeros((4, 3), bool) if keep is None else ~np.broadcast_to(keep, (4, 3))
    losses = np.where(masked, np.nan, LOSSES)

    def hidden(array, shape):
        return np.where(masked, np.nan, array) if shape == "full" else sliced(array, shape)

    asked = list(itertools.product(SHAPES, SHAPES))
    given = [(hidden(WEIGHTS, weight), hidden(COUNTS, count)) for weight, count in asked]

    @jax.jit
    def results(losses, given):
        calls = [functools.partial(reduce, losses, where=keep, sample_weight=w, count=c) for w, c in given]
        return [{reduction: call(reduction) for reduction in ("none", "mean", "sum")} for call in calls]

    for got, (weight, count) in zip(results(losses, given), asked, strict=True):
        wanted = formula(LOSSES, keep, sliced(WEIGHTS, weight), sliced(COUNTS, count))
        chex.assert_trees_all_close(got, jax.tree.map(np.asarray, wanted), rtol=1e-13, atol=1e-15)
        chex.assert_trees_all_equal(np.asarray(got["none"])[masked], np.zeros(masked.sum()))
        chex.assert_trees_all_close(got["none"].sum(), got["sum"], rtol=1e-13, atol=1e-15)


def test_gradient_is_the_formulas_and_zero_under_the_mask() -> None:
    losses, weight = np.where(KEEP, LOSSES, np.nan), np.where(KEEP, WEIGHTS, np.nan)
    slope, weight_slope = jax.jit(
        jax.grad(lambda losses, weight: reduce(losses, "mean", KEEP, weight), argnums=(0, 1))
    )(losses, weight)
    total, mean = (KEEP * WEIGHTS).sum(), (KEEP * WEIGHTS * LOSSES).sum() / (KEEP * WEIGHTS).sum()
    chex.assert_trees_all_close(slope, KEEP * WEIGHTS / total, rtol=1e-13)
    chex.assert_trees_all_close(weight_slope, KEEP * (LOSSES - mean) / total, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "bool"])
def test_weights_and_counts_may_be_whole(dtype: str) -> None:
    losses, whole = np.arange(6.0), np.array([100, 100, 100, 0, 1, 2])  # their sum overflows int8 and uint8
    whole = whole.astype(dtype)
    exact = whole.astype(float)
    if dtype != "bool":  # a mask is no weight
        chex.assert_trees_all_close(reduce(losses, sample_weight=whole), (losses * exact).sum() / exact.sum())
        chex.assert_trees_all_close(reduce(losses, count=jnp.asarray(whole)), losses.sum() / exact.sum())
        both = reduce(losses, sample_weight=whole, count=jnp.asarray(whole))
        chex.assert_trees_all_close(both, (losses * exact).sum() / (exact**2).sum())
    chex.assert_trees_all_close(reduce(losses, where=whole.astype(bool)), losses[whole > 0].mean())


EMPTY = {
    "masked": (np.full(3, np.nan), {"where": np.zeros(3, bool)}),
    "masked by broadcasting": (np.full((3, 2), np.nan), {"where": np.zeros((3, 1), bool)}),
    "of no elements": (np.zeros((0, 2)), {}),
    "of no elements, masked": (np.zeros((0, 2)), {"where": np.zeros((0, 1), bool)}),
    "of no weight": (np.ones(3), {"sample_weight": np.zeros(3)}),
    "of no weight where kept": (np.ones(2), {"sample_weight": np.array([0, 1]), "where": np.array([True, False])}),
    "counted as nothing": (np.zeros(3), {"count": jnp.zeros(3)}),
}


@pytest.mark.parametrize(("losses", "options"), EMPTY.values(), ids=EMPTY)
def test_mean_over_nothing_is_zero_with_zero_gradient(losses: np.ndarray, options: dict) -> None:
    def mean(losses):
        return reduce(losses, **options)

    everything = jax.jit(lambda losses: (mean(losses), jax.grad(mean)(losses), jax.hessian(mean)(losses)))
    value, gradient, hessian = everything(losses)
    assert float(value) == 0
    chex.assert_trees_all_equal(gradient, np.zeros_like(losses))
    assert not np.any(hessian)


@pytest.mark.parametrize("shape", [(5,), (3,), (2, 3), (4, 3, 1)])
@pytest.mark.parametrize("name", ["where", "sample_weight", "count"])
def test_shapes_that_do_not_fit_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"`{name}` has shape"):
        reduce(LOSSES, **{name: jnp.ones(shape, bool if name == "where" else float)})


def test_losses_that_nothing_counts_are_loud() -> None:
    assert reduce(np.ones(2), count=jnp.zeros(2)) == np.inf
    assert np.isnan(reduce(np.array([np.nan, 1.0])))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_is_summed_in_float32(dtype: str) -> None:
    one_more = jnp.full(4099, 1 + 2**-7, dtype)  # a sum in either dtype loses digits, and float32's does not
    total = 4099 * (1 + 2**-7)
    for weight in (None, jnp.ones(4099, dtype)):
        call = functools.partial(reduce, one_more, sample_weight=weight)
        part = parts(reduce)(one_more, sample_weight=weight)
        results = [call("sum"), call("mean"), part.total, part.weight]
        assert {result.dtype for result in results} == {jnp.dtype("float32")}
        assert [float(result) for result in results] == [total, 1 + 2**-7, total, 4099]
        assert call("none").dtype == dtype
    assert float(parts(reduce)(one_more, count=jnp.ones(4099, dtype)).weight) == 4099
    overflowing = reduce(jnp.full(4, 6e4, dtype), "sum")
    chex.assert_trees_all_close(float(overflowing), 4 * float(jnp.array(6e4, dtype)), rtol=1e-7)
    assert jax.grad(reduce)(one_more).dtype == dtype


def test_dtype_is_that_of_unreduced_losses_only() -> None:
    losses = jnp.ones(3, "float32")
    assert reduce(losses, "none", dtype="bfloat16").dtype == "bfloat16"
    assert reduce(losses, "mean", dtype="bfloat16").dtype == "float32"
    assert [reduce(jnp.ones(3), reduction).dtype for reduction in ("none", "mean", "sum")] == ["float64"] * 3


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("masked", [True, False])
def test_counts_beyond_the_digits_of_float32(columns: int, masked: bool) -> None:
    """A float32 that counts by ones stops at 2**24."""
    rows = 2**24 // columns + 8
    where = jnp.ones((rows, 1), bool).at[0].set(not masked)

    @jax.jit
    def counted(where):
        losses = jnp.broadcast_to(jnp.ones((), "float16"), (rows, columns))
        return parts(own_loss)(losses, where=where).weight

    assert float(counted(where)) == float(np.float32((rows - masked) * columns))


def own_loss(losses, *, reduction="mean", where=None, sample_weight=None):
    return reduce(losses, reduction, where, sample_weight)


# Mean and parts


def test_means_subtract_and_scale() -> None:
    first, second = (jaxloss.parts(jaxloss.l1_loss)(x, jnp.zeros_like(x)) for x in (jnp.ones(3), jnp.full(2, 6.0)))
    both = first + second
    chex.assert_trees_all_equal(both - second, first)
    chex.assert_trees_all_equal((3 * both).value, 3 * both.value)
    chex.assert_trees_all_equal((both / 4).value, both.value / 4)
    chex.assert_trees_all_equal(sum([first, second], start=0.0), both)


def test_means_add() -> None:
    a, b, c = (Mean(jnp.array(total), jnp.array(weight)) for total, weight in [(3.0, 3.0), (9.0, 1.0), (0.0, 0.0)])
    assert float((a + b).value) == 3
    assert float(sum([a, b, c]).value) == 3
    assert float(c.value) == 0
    both = Mean(a.total, a.weight, rest=b) + Mean(b.total, b.weight, rest=b)
    assert float(both.value) == 12 / 4 + 18 / 2
    with pytest.raises(ValueError, match="Mean"):  # of another sum of losses
        a + both


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("other", [1, 1.0, None])
def test_only_means_add_to_means(other: object) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        other + Mean(jnp.array(1.0), jnp.array(1.0))


def test_mean_is_a_pytree() -> None:
    mean = Mean(jnp.array(3.0), jnp.array(2.0), rest=Mean(jnp.array(1.0), jnp.array(4.0)))
    leaves, structure = jax.tree.flatten(mean)
    assert list(map(float, leaves)) == [3, 2, 1, 4]
    placeholders = [object() for _ in leaves]
    assert jax.tree.leaves(jax.tree.unflatten(structure, placeholders)) == placeholders
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(mean)]
    assert paths == [".total", ".weight", ".rest.total", ".rest.weight"]
    doubled = jax.jit(lambda mean: jax.tree.map(lambda leaf: 2 * leaf, mean))(mean)
    assert type(doubled) is Mean
    assert float(doubled.value) == float(mean.value) == 1.75


LOGITS = jnp.asarray(RNG.normal(size=(16, 5)))
LABELS = jnp.asarray(RNG.integers(0, 5, 16))
VALID = jnp.asarray(np.arange(16) % 8 < np.arange(16) // 2)  # 0, 0, ..., 7 of each pair of rows: they differ
LOSS = jaxloss.CrossEntropyLoss(weight=jnp.array([1.0, 0.25, 4.0, 2.0, 0.5]), ignore_index=3)


@pytest.mark.parametrize("loss", [LOSS, LOSS + 0.5 * jaxloss.CrossEntropyLoss(z_loss=0.1)], ids=["loss", "sum"])
def test_psum_over_devices_gives_the_global_mean(loss: jaxloss.Loss) -> None:
    mesh, rows = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")
    assert mesh.size == 8

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(rows, rows, rows), out_specs=(PartitionSpec(), rows))
    def over_devices(logits, labels, where):
        mean = parts(loss)(logits, labels, where=where)
        return jax.lax.psum(mean, "data").value, mean.value[None]

    value, of_devices = over_devices(LOGITS, LABELS, VALID)
    wanted = loss(LOGITS, LABELS, where=VALID)
    chex.assert_trees_all_close(value, wanted, rtol=1e-14)
    assert abs(of_devices.mean() - wanted) > 1e-3  # which the mean of the devices' means is not


def accumulated(loss, weights, batches) -> tuple[jax.Array, jax.Array]:
    """The value and gradient over micro-batches, as a training step accumulates them."""

    def step(carry, batch):
        def total(weights):
            *arrays, where = batch
            mean = parts(loss)(arrays[0] * weights, *arrays[1:], where=where)
            return mean.total, mean

        gradient, mean = jax.grad(total, has_aux=True)(weights)
        return jax.tree.map(jnp.add, carry, (gradient, mean)), None

    zero = jnp.zeros(())
    (gradient, mean), _ = jax.lax.scan(step, (jnp.zeros_like(weights), Mean(zero, zero)), batches)
    return mean.value, gradient / mean.weight


def test_accumulated_gradient_is_exactly_the_whole_batchs() -> None:
    # Whole numbers and eight valid tokens: every sum and quotient is exact, so that equal means equal.
    inputs, targets = RNG.integers(-8, 8, (2, 4, 6)).astype(float)
    where = np.arange(6) < np.array([5, 0, 1, 2])[:, None]
    targets[~where] = np.nan
    weights = jnp.array([1.0, 2.0, -1.0, 3.0, 1.0, 5.0])
    value, gradient = jax.jit(functools.partial(accumulated, jaxloss.mse_loss))(weights, (inputs, targets, where))

    def whole(weights):
        return jaxloss.mse_loss(inputs * weights[None], targets, where=where)

    chex.assert_trees_all_equal((value, gradient), jax.value_and_grad(whole)(weights))


def test_accumulated_gradient_with_class_weights() -> None:
    batches = jax.tree.map(lambda array: array.reshape(4, 4, *array.shape[1:]), (LOGITS, LABELS, VALID))
    weights = jnp.linspace(0.5, 1.5, 5)[None]
    value, gradient = jax.jit(functools.partial(accumulated, LOSS))(weights, batches)
    wanted = jax.value_and_grad(lambda weights: LOSS(LOGITS * weights, LABELS, where=VALID))(weights)
    chex.assert_trees_all_close((value, gradient), wanted, rtol=1e-13)


@jax.jit
def parts_under_transforms(logits):
    options = {"label_smoothing": 0.25, "weight": LOSS.weight}
    unfinished = functools.partial(parts(jaxloss.cross_entropy), **options)
    rows = jax.vmap(lambda logits, label, where: unfinished(logits, label, where=where))(logits, LABELS, VALID)
    values = {
        "whole": unfinished(logits, LABELS, where=VALID).value,
        "rows": Mean(rows.total.sum(), rows.weight.sum()).value,
        "finished": jaxloss.cross_entropy(logits, LABELS, where=VALID, **options),
    }
    return values, rows


def test_parts_under_transforms() -> None:
    values, rows = parts_under_transforms(LOGITS)
    slopes = jax.jacobian(lambda logits: parts_under_transforms(logits)[0])(LOGITS)
    chex.assert_shape([rows.total, rows.weight], (16,))
    for name in ("whole", "rows"):
        chex.assert_trees_all_close(values[name], values["finished"], rtol=1e-14)
        chex.assert_trees_all_close(slopes[name], slopes["finished"], rtol=1e-13, atol=1e-17)


@pytest.mark.parametrize(
    "loss",
    [
        own_loss,
        functools.partial(own_loss, reduction="mean"),
        functools.partial(own_loss, sample_weight=np.array([1.0, 1.0, 1.0])),
        jax.jit(own_loss, static_argnames="reduction"),
    ],
)
def test_parts_of_losses_of_your_own(loss) -> None:
    mean = parts(loss)(np.array([1.0, 2.0, 9.0]), where=np.array([True, True, False]))
    assert (float(mean.total), float(mean.weight), float(mean.value)) == (3, 2, 1.5)


def test_parts_of_a_jitted_loss() -> None:
    jitted = jax.jit(jaxloss.cross_entropy, static_argnames=("reduction", "ignore_index", "axis"))
    mean = parts(jitted)(LOGITS, LABELS, where=VALID, ignore_index=3)
    assert type(mean) is Mean
    wanted = jaxloss.cross_entropy(LOGITS, LABELS, where=VALID, ignore_index=3)
    chex.assert_trees_all_close(mean.value, wanted, rtol=1e-14)


def loss_of_keywords(losses, **keywords):
    return reduce(losses, **keywords)


def test_parts_of_a_loss_that_passes_its_keywords_on() -> None:
    mean = parts(loss_of_keywords)(np.array([1.0, 2.0, 9.0]), where=np.array([True, True, False]))
    assert (float(mean.total), float(mean.weight)) == (3, 2)
    with pytest.raises(ValueError, match="reduction='sum'"):
        parts(loss_of_keywords)(np.ones(3), reduction="sum")


def test_parts_have_the_signature_of_the_loss_without_its_reduction() -> None:
    signature = inspect.signature(parts(jaxloss.huber_loss))
    assert list(signature.parameters) == ["predictions", "targets", "delta", "where", "sample_weight"]
    assert signature.return_annotation is Mean
    assert list(inspect.signature(parts(loss_of_keywords)).parameters) == ["losses", "keywords"]
    assert list(inspect.signature(parts(jaxloss.HuberLoss())).parameters)[:2] == ["predictions", "targets"]


@pytest.mark.parametrize(
    "loss",
    [
        jaxloss.huber_loss,
        loss_of_keywords,
        jaxloss.HuberLoss(delta=2.0),
        jaxloss.HuberLoss() + 0.5 * jaxloss.L1Loss(),
    ],
    ids=["function", "keywords", "object", "sum"],
)
def test_parts_pickle(loss) -> None:
    arrays = [np.array([0.0, 4.0])] * (1 if loss is loss_of_keywords else 2)
    same = pickle.loads(pickle.dumps(parts(loss)))
    chex.assert_trees_all_equal(same(*arrays), parts(loss)(*arrays))


def test_a_mean_pickles() -> None:
    mean = Mean(jnp.array(3.0), jnp.array(2.0), rest=Mean(jnp.array(1.0), jnp.array(4.0)))
    assert b"cjaxloss\nMean\n" in pickle.dumps(mean, protocol=0)
    chex.assert_trees_all_equal(pickle.loads(pickle.dumps(mean)), mean)


def test_parts_keeps_the_name_of_the_loss() -> None:
    assert parts(jaxloss.l1_loss).__name__ == "l1_loss"
    assert parts(jaxloss.l1_loss).__doc__ == jaxloss.l1_loss.__doc__


@pytest.mark.parametrize("other", [lambda predictions, targets: 0.0, jaxloss.pairwise_distance])
def test_parts_of_what_takes_no_reduction(other) -> None:
    with pytest.raises(TypeError, match="takes `reduction`"):
        parts(other)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("reduction", ["sum", "none", "batchmean", "parts"])
@pytest.mark.parametrize("how", ["argument", "partial", "object"])
def test_parts_are_of_a_mean(reduction: str, how: str) -> None:
    arrays = np.zeros(3), np.zeros(3)
    call = {
        "argument": lambda: parts(jaxloss.kl_div)(*arrays, reduction=reduction),
        "partial": lambda: parts(functools.partial(jaxloss.kl_div, reduction=reduction))(*arrays),
        "object": lambda: parts(jaxloss.KLDivLoss(reduction=reduction))(*arrays),
    }[how]
    with pytest.raises(ValueError, match=f"reduction='{reduction}'"):
        call()


@pytest.mark.parametrize(
    ("size_average", "reduce_flag", "reduction"),
    [
        (None, None, "mean"),
        (None, True, "mean"),
        (None, False, "none"),
        (True, None, "mean"),
        (True, True, "mean"),
        (True, False, "none"),
        (False, None, "sum"),
        (False, True, "sum"),
        (False, False, "none"),
    ],
)
def test_legacy_reduction(size_average: bool | None, reduce_flag: bool | None, reduction: str) -> None:
    assert jaxloss.legacy_reduction(size_average, reduce_flag) == reduction
