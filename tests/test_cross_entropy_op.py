"""Every implementation of the cross-entropy op computes the same terms and slopes, whatever platform it is for."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import jit
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from variants import variants

from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import labels
from jaxloss._ops.cross_entropy import IMPLEMENTATIONS, xla, xla_cpu, xla_tpu
from jaxloss._ops.cross_entropy.derivative import row_terms
from jaxloss._ops.cross_entropy.problem import Engine, LabelProblem, SoftProblem
from jaxloss._ops.platform import choose
from jaxloss._ops.rows import chunked, formula
from jaxloss._ops.rows import xla as rows_xla
from jaxloss._ops.rows import xla_cpu as rows_xla_cpu
from jaxloss._ops.rows.chunks import Chunks
from jaxloss._ops.rows.problem import Problem, Rows, Shared

INF, NAN = np.inf, np.nan
LAST = ClassAxis(1)
RNG = np.random.default_rng(0)
# Programs for other platforms run on a CPU too.
ENGINES = {
    "any platform": Engine(lambda _: None, xla.value, xla.value_and_slopes),
    "tpu": Engine(lambda _: None, xla_tpu.value, xla_tpu.value_and_slopes),
    "cpu": Engine(lambda _: None, xla_cpu.value, xla_cpu.value_and_slopes),
}
LOGITS = {
    "ordinary": RNG.normal(size=(4, 6)) * 3,
    "ties": np.array([[1.0, 1, 0], [2.0, 2, 2], [0.0, 0, 0]]),
    "one class": np.array([[0.5], [-3.0]]),
    "ruled out": np.array([[-INF, 1, 2], [0.0, 3, -INF]]),
    "masked": np.array([[0.5, 1, 2], [NAN, INF, 0], [-INF, -INF, -INF]]),
}


def problem(kind: str, logits: Any, which: str, dtype: str) -> LabelProblem | SoftProblem:
    """A problem of the kind; a class that is ruled out is no label and has no mass and no share."""
    rows, classes = logits.shape
    possible = np.isfinite(logits) if which == "ruled out" else np.ones(logits.shape, bool)
    keep = np.arange(rows) < 1 if which == "masked" else None
    if kind == "soft":
        targets = np.where(possible, RNG.uniform(0.1, 1, logits.shape), 0)
        smoothing = None if which == "ruled out" else jnp.asarray(0.25)
        weight = jnp.asarray(RNG.uniform(0.5, 2, (1, classes)))
        mask = None if keep is None else jnp.asarray(keep)[:, None]
        return SoftProblem(jnp.asarray(logits, dtype), jnp.asarray(targets, dtype), smoothing, weight, mask, LAST)
    label = labels(jnp.asarray(possible.argmax(1)), jnp.asarray(logits), LAST, keep)
    weights = np.where(possible.all(0), RNG.uniform(0.5, 2, classes), 0)[None]
    share = {"label": None, "smooth": jnp.full((1, 1), 1 / classes), "weighted": jnp.asarray(weights)}[kind]
    return LabelProblem(jnp.asarray(logits, dtype), label, share, LAST)


def derivatives(engine: Engine, given: Any) -> Any:
    """All derivatives up to the second in what has one, of a smooth function of the terms."""

    def total(arrays: Any) -> Any:
        terms = row_terms(given._replace(**arrays), engine)
        parts = [terms.nll, terms.log_sum, *([] if terms.gap is None else [terms.gap])]
        return sum(jnp.sum(jnp.sin(part * (number + 1))) for number, part in enumerate(parts))

    names = ("logits", "targets", "smoothing", "weight", "share")
    arrays = {name: getattr(given, name) for name in names if getattr(given, name, None) is not None}
    change = jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), arrays)
    gradient = jax.grad(total)

    def slope(arrays: Any) -> Any:
        return sum(map(jnp.vdot, jax.tree.leaves(gradient(arrays)), jax.tree.leaves(change)))

    return (
        row_terms(given, engine),
        gradient(arrays),
        jax.jvp(total, (arrays,), (change,))[1],
        jax.jvp(gradient, (arrays,), (change,))[1],
        jax.grad(slope)(arrays),
    )


KINDS = {
    "label": tuple(LOGITS),
    "smooth": ("ordinary", "ties", "one class", "masked"),
    "weighted": tuple(LOGITS),
    "soft": tuple(LOGITS),
}


@pytest.mark.parametrize(
    ("kind", "which"),
    variants(
        [(kind, which) for kind, all_of in KINDS.items() for which in all_of],
        lambda kind, which: which == next(iter(KINDS[kind])),
    ),
)
def test_terms_and_derivatives_equal_the_references(kind: str, which: str) -> None:
    given = problem(kind, LOGITS[which], which, "float64")
    wanted = jit(partial(derivatives, IMPLEMENTATIONS["reference"]))(given)
    for engine in ENGINES.values():
        found = jit(partial(derivatives, engine))(given)
        chex.assert_tree_all_finite(found)
        chex.assert_trees_all_close(found, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", variants(["float32", "bfloat16", "float16"], lambda dtype: dtype == "bfloat16"))
def test_platforms_agree_in_low_precision(dtype: str, kind: str) -> None:
    logits = RNG.normal(size=(8, 40)) * 3
    if kind != "label":
        logits = logits.astype("float32")
    given = jax.tree.map(
        lambda x: x.astype("float32") if x.dtype == np.float64 else x, problem(kind, logits, "ordinary", dtype)
    )
    both = [jit(engine.value_and_slopes)(given) for engine in ENGINES.values()]
    chex.assert_trees_all_equal_dtypes(*both)
    chex.assert_trees_all_close(*both, rtol=2e-6, atol=1e-6)  # some units in the last place of a float32


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_a_cost_of_inf_counts_if_it_has_a_weight(engine: Engine) -> None:
    logits = jnp.array([[0.0, -INF, 1.0]] * 4)
    for mass in (1.0, 0.5, 1e-30, 1e-300):
        targets = jnp.array([[0.5, 0.0, 0.5], [0.5, mass, 0.5], [0.0, mass, 0.0], [0.0, 0.0, 0.0]])
        terms = jit(engine.value)(SoftProblem(logits, targets, None, None, None, LAST))
        chex.assert_trees_all_equal(terms.nll[1:, 0], jnp.array([INF, INF, 0.0]))
        assert np.isfinite(terms.nll[0, 0])
    label = labels(jnp.zeros(4, int), logits, LAST, None)
    for weight, wanted in (([1.0, 0.0, 1.0], 1.0), ([1.0, 2.0, 1.0], INF), ([0.0, -1e-3, 0.0], -INF)):
        terms = jit(engine.value)(LabelProblem(logits, label, jnp.array([weight]), LAST))
        chex.assert_trees_all_equal(terms.gap[:, 0], jnp.full(4, wanted))


OTHERS = {"any platform": xla, "tpu": xla_tpu}


@pytest.mark.parametrize("functions", OTHERS.values(), ids=OTHERS)
def test_one_read_keeps_all_digits(functions: Any) -> None:
    # One class dominates, logits tie, others are ruled out, rows are ragged: 64 units in the last place of a float32.
    rows = np.concatenate([RNG.normal(size=(6, 37)) * scale for scale in (0.02, 3, 30)]).astype("float32")
    rows[0, 5] += 22
    rows[1, :30] = rows[1, 0]
    rows[2, ::3] = -INF
    rows[3] = np.finfo("float32").min
    rows[4] = [0.0] + [-INF] * 36
    numbers = rows.argmax(1) if functions is xla else np.where(np.arange(18) < 6, rows.argmax(1), np.arange(18))
    # In float64, and with log1p: the reference's log(sum) has lost digits where the loss is 1e-13.
    exact = rows.astype("float64")
    gaps = exact.max(1, keepdims=True) - exact
    others = np.exp(-gaps)
    others[np.arange(18), rows.argmax(1)] = 0
    log_sum = np.log1p(others.sum(1, keepdims=True))
    nll = log_sum + gaps[np.arange(18), numbers][:, None]
    logits = jnp.asarray(rows)
    given = LabelProblem(logits, labels(jnp.asarray(numbers), logits, LAST, None), None, LAST)
    terms, slopes = jit(functions.value_and_slopes)(given)
    close = partial(chex.assert_trees_all_close, rtol=64 * 2.0**-23, atol=1e-37)
    close(np.asarray(terms.nll, "float64"), nll)
    close(np.asarray(terms.log_sum, "float64"), log_sum)
    close(np.asarray(slopes.log_sum, "float64"), np.exp(-gaps - log_sum))
    mapped = jax.vmap(lambda x, n: functions.value(LabelProblem(x, labels(n, x, LAST, None), None, LAST)).nll)
    close(mapped(logits.reshape(3, 6, 37), jnp.asarray(numbers).reshape(3, 6)).reshape(18, 1), terms.nll)


@pytest.mark.parametrize("functions", OTHERS.values(), ids=OTHERS)
def test_a_bad_row_is_nan_and_no_other(functions: Any) -> None:
    logits = jnp.array([[-INF] * 3, [0.0, NAN, 1], [0.0, INF, 1], [0.0, 1, 2], [0.0, 1, 2]], "float32")
    label = labels(jnp.array([0, 0, 0, 3, 1]), logits, LAST, None)
    terms, slopes = jit(functions.value_and_slopes)(LabelProblem(logits, label, None, LAST))
    assert np.isnan(terms.nll[:4]).all()
    assert np.isnan(slopes.nll[:4]).all()
    targets = jnp.full((5, 3), 1 / 3, "float32").at[3, 0].set(-1e-30)
    soft_terms, soft_slopes = jit(functions.value_and_slopes)(SoftProblem(logits, targets, None, None, None, LAST))
    assert np.isnan(soft_terms.nll[:4]).all()
    assert np.isnan(soft_slopes.nll[:4]).all()
    chex.assert_tree_all_finite((terms.nll[4], slopes.nll[4], soft_terms.nll[4], soft_slopes.nll[4]))


@pytest.mark.parametrize("functions", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("kind", ["shard_map", "explicit", "automatic"])
def test_classes_and_rows_on_a_mesh(kind: str, functions: Any) -> None:
    types = {"explicit": AxisType.Explicit}.get(kind, AxisType.Auto)
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(types, types))
    logits = jnp.asarray(RNG.normal(size=(4, 8)) * 3)
    numbers, targets = jnp.arange(4), jax.nn.softmax(jnp.asarray(RNG.normal(size=(4, 8))))
    axis = ClassAxis(1, "model" if kind == "shard_map" else None)

    def terms(logits: Any, numbers: Any, targets: Any, axis: ClassAxis = axis) -> Any:
        label = LabelProblem(logits, labels(numbers, logits, axis, None), jnp.full((1, 1), 1 / 8), axis)
        soft = SoftProblem(logits, targets, jnp.asarray(0.25), None, None, axis)
        found = [functions.value_and_slopes(each) for each in (label, soft)]
        return [(each.nll, each.log_sum, slopes.nll) for each, slopes in found]

    wanted = jit(partial(terms, axis=LAST))(logits, numbers, targets)
    split, rows = PartitionSpec("data", "model"), PartitionSpec("data")
    if kind == "shard_map":
        outs = [(rows, rows, split)] * 2
        found = jit(jax.shard_map(terms, mesh=mesh, in_specs=(split, rows, split), out_specs=outs))(
            logits, numbers, targets
        )
    else:
        arrays = [
            jax.device_put(array, NamedSharding(mesh, spec))
            for array, spec in ((logits, split), (numbers, rows), (targets, split))
        ]
        with jax.set_mesh(mesh):
            found = jit(terms)(*arrays)
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(wanted), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("functions", [xla, xla_cpu], ids=["any platform", "cpu"])
@pytest.mark.parametrize("which", ["ordinary", "ties", "one class", "ruled out"])
def test_log_softmax_of_every_platform(which: str, functions: Any) -> None:
    logits = jnp.asarray(LOGITS[which])
    value = jit(partial(functions.log_softmax, axis=LAST))(logits)
    chex.assert_trees_all_close(value, jax.nn.log_softmax(logits), rtol=1e-12, atol=1e-14)
    again, probabilities, not_negative = jit(partial(functions.log_softmax_and_softmax, axis=LAST))(logits)
    chex.assert_trees_all_close((again, probabilities), (value, jax.nn.softmax(logits)), rtol=1e-12, atol=1e-14)
    assert (not_negative >= 0).all()


@pytest.mark.parametrize("tuning", [rows_xla.TUNING, rows_xla_cpu.TUNING], ids=["any platform", "cpu"])
@pytest.mark.parametrize("chunk_size", variants([2, 3, 7], lambda size: size == 3))
def test_the_loss_of_a_row_is_an_argument(chunk_size: int, tuning: Any) -> None:
    # A loss that is no cross-entropy, with data and parameters of its own.
    hidden, kernel = jnp.asarray(RNG.normal(size=(7, 4))), jnp.asarray(RNG.normal(size=(4, 5)))
    data, parameters = {"offset": jnp.arange(7.0)}, {"scale": jnp.asarray(0.5)}
    rows = Rows(hidden.at[3].set(NAN), data, jnp.arange(7) != 3)
    given = Problem(rows, Shared(kernel, parameters, LAST), jnp.linspace(0.5, 2, 7))

    def loss(product: Any, data: Any, keep: Any, parameters: Any, axis: Any) -> Any:
        each = jnp.sum(jnp.sin(product * parameters["scale"]), 1) + data["offset"] ** 2
        return jnp.where(keep, each, 0.0), each * 0 + 1

    chunks = Chunks.of(7, chunk_size)
    active = tuple(position for position, leaf in enumerate(jax.tree.leaves(given)) if leaf.dtype == np.float64)
    value, counted, slopes = jit(
        lambda given: chunked.total_and_gradient(given, loss, chunks=chunks, tuning=tuning, active=active)
    )(given)
    wanted, gradient = jax.value_and_grad(lambda given: formula.total(given, loss, None)[0], allow_int=True)(given)
    gradient = [leaf for leaf in jax.tree.leaves(gradient) if leaf.dtype == np.float64]
    chex.assert_trees_all_close((value, slopes), (wanted, gradient), rtol=1e-12, atol=1e-13)
    chex.assert_trees_all_equal(counted, jnp.ones(7))
    losses, _ = jit(lambda given: chunked.losses(given, loss, chunks))(given._replace(weights=None))
    chex.assert_trees_all_close(losses, formula.losses(given, loss, None)[0], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("count", "logits_rows"), [(6, 2), (7, 3)])
def test_a_chunk_may_have_the_logits_of_fewer_rows_in_memory(count: int, logits_rows: int, dtype: str) -> None:
    hidden, kernel = (jnp.asarray(RNG.normal(size=shape), dtype) for shape in ((count, 4), (4, 5)))
    rows = Rows(hidden.at[3].set(NAN), {"offset": jnp.arange(count, dtype="float32")}, jnp.arange(count) != 3)
    given = Problem(
        rows, Shared(kernel, {"scale": jnp.float32(0.5)}, LAST), jnp.linspace(0.5, 2, count, dtype="float32")
    )

    def loss(product: Any, data: Any, keep: Any, parameters: Any, axis: Any) -> Any:
        each = jnp.sum(jnp.sin(product * parameters["scale"]), 1) + data["offset"].astype(product.dtype)
        return jnp.where(keep, each, 0.0), data["offset"]

    def found(tuning: Any) -> Any:
        run = partial(chunked.total_and_gradient, loss=loss, chunks=Chunks.of(count, count), active=(0, 1, 3, 4, 5))
        value, data, slopes = jit(partial(run, tuning=tuning))(given)
        return jax.tree.map(lambda array: array.astype(float), (value, data, slopes))

    whole = found(rows_xla.TUNING._replace(logits_rows=None))
    rounding = 2 * float(jnp.finfo(dtype).eps)
    chex.assert_trees_all_close(
        found(rows_xla.TUNING._replace(logits_rows=logits_rows)), whole, rtol=rounding, atol=rounding
    )


def test_a_named_implementation_runs_or_raises_with_its_reason() -> None:
    reasons = {"first": "no such row", "second": None, "third": None}
    named = {name: name for name in reasons}
    assert choose(None, named, reasons.get) == "second"
    assert choose("third", named, reasons.get) == "third"
    with pytest.raises(ValueError, match="'first', which does not run here: no such row"):
        choose("first", named, reasons.get)
    with pytest.raises(ValueError, match="it must be 'first', 'second', 'third' or None"):
        choose("fourth", named, reasons.get)
