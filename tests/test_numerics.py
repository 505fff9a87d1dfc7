"""Values and derivatives at kinks and limits, where they are chosen and not merely computed."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import jit
from jax.test_util import check_grads
from variants import variants

from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import labels
from jaxloss._core.elementwise import absolute, clamp_min, hinge, softplus, times
from jaxloss._ops.cross_entropy import IMPLEMENTATIONS
from jaxloss._ops.cross_entropy.derivative import row_terms
from jaxloss._ops.cross_entropy.problem import LabelProblem, SoftProblem
from jaxloss._ops.elementwise import times_log
from jaxloss._ops.vectors import distance

INF, NAN = np.inf, np.nan
LOWEST = np.finfo(float).min
RNG = np.random.default_rng(0)


def with_slopes(function, points):
    """A function's value, derivative and second derivative at each of the points."""
    slope = jax.grad(function)
    return jit(lambda points: [jax.vmap(f)(points) for f in (function, slope, jax.grad(slope))])(jnp.array(points))


@pytest.mark.parametrize(
    ("function", "points", "values", "slopes"),
    [
        (absolute, [-2.0, -0.0, 0.0, 3.0, INF, -INF], [2, 0, 0, 3, INF, INF], [-1, 0, 0, 1, 1, -1]),
        (clamp_min, [-2.0, -0.0, 0.0, 3.0, INF, -INF], [0, 0, 0, 3, INF, 0], [0, 1, 1, 1, 1, 0]),
        (lambda x: clamp_min(x, 2.0), [1.0, 2.0, 3.0, INF], [2, 2, 3, INF], [0, 1, 1, 1]),
        (lambda x: clamp_min(x, x), [1.0, 2.0], [1, 2], [1, 1]),
        (lambda x: clamp_min(jnp.float64(2), x), [1.0, 2.0, 3.0], [2, 2, 3], [0, 0, 1]),  # the floor's derivative
        (hinge, [-2.0, -0.0, 0.0, 3.0, INF, -INF], [0, 0, 0, 3, INF, 0], [0, 0, 0, 1, 1, 0]),
    ],
)
def test_kinks(function, points, values, slopes) -> None:
    got = with_slopes(function, points)
    chex.assert_trees_all_equal(got, [np.array(values, float), np.array(slopes, float), np.zeros(len(points))])


@pytest.mark.parametrize("function", [absolute, clamp_min, hinge, softplus])
def test_nan_stays_nan(function) -> None:
    assert np.isnan(function(jnp.array(NAN)))


def test_nan_unless() -> None:
    ok, values = jnp.array([True, False, True]), jnp.array([1.0, 2.0, NAN])
    chex.assert_trees_all_equal(nan_unless(ok, values), np.array([1.0, NAN, NAN]))
    chex.assert_trees_all_equal(jax.grad(lambda v: nan_unless(ok, v).sum())(values), np.array([1.0, NAN, 1.0]))
    chex.assert_trees_all_equal(jax.jvp(lambda v: nan_unless(ok, v), (values,), (values,))[1][:2], np.array([1.0, NAN]))


@pytest.mark.parametrize(
    ("factor", "x", "value", "by_factor", "by_x"),
    [
        (2.0, 3.0, 6, 3, 2),
        (0.0, 3.0, 0, 3, 0),
        (0.0, INF, 0, 0, 0),
        (0.0, -INF, 0, 0, 0),
        (-0.0, INF, 0, 0, 0),
        (2.0, INF, INF, INF, 2),
        (-2.0, INF, -INF, INF, -2),
        (0.0, NAN, NAN, NAN, 0),
        (NAN, 0.0, NAN, 0, NAN),
    ],
)
def test_times(factor, x, value, by_factor, by_x) -> None:
    given = jnp.array(factor), jnp.array(x)
    got, slopes = jax.value_and_grad(times, (0, 1))(*given)
    chex.assert_trees_all_equal((got, slopes), jax.tree.map(np.float64, (value, (by_factor, by_x))))
    if factor == 0 and np.isinf(x):  # a weight of nothing: no derivative of it is NaN
        forward = jax.jvp(times, given, (jnp.ones(()), jnp.ones(())))
        chex.assert_trees_all_equal(forward, (np.float64(0), np.float64(0)))
        assert np.isfinite(jax.tree.leaves(jax.hessian(times, (0, 1))(*given))).all()


def test_softplus() -> None:
    points = [-INF, -1e4, -700, -40, -1, -1e-300, 0, 1e-300, 1, 40, 700, 1e4, INF]
    x = np.array(points)
    small = np.exp(-np.abs(x))
    sigmoid = np.where(x < 0, small, 1) / (1 + small)
    value, slope, curvature = with_slopes(softplus, points)
    # rtol alone: the value is small far on the left, and none of its digits may go.
    chex.assert_trees_all_close(value, np.logaddexp(0, x), rtol=1e-15)
    chex.assert_trees_all_close(slope, sigmoid, rtol=1e-15)
    chex.assert_trees_all_close(curvature, small / (1 + small) ** 2, rtol=1e-14)
    assert slope[6] == 0.5
    assert softplus(jnp.float32(100)) == 100


@pytest.mark.parametrize(
    ("count", "log", "value", "by_count"),
    [
        (2.0, 3.0, 6, 3),
        (0.0, 3.0, 0, 3),
        (0.0, -INF, 0, LOWEST),
        (1.0, -INF, LOWEST, LOWEST),
        (2.0, -INF, -INF, LOWEST),
        (0.5, LOWEST, LOWEST / 2, LOWEST),
        (2.0, INF, INF, INF),
    ],
)
def test_times_log(count, log, value, by_count) -> None:
    got, slopes = jax.value_and_grad(times_log, (0, 1))(jnp.array(count), jnp.array(log))
    chex.assert_trees_all_equal((got, slopes), jax.tree.map(np.float64, (value, (by_count, count))))


def test_times_log_of_no_number_is_none() -> None:
    assert np.isnan(times_log(jnp.array(NAN), jnp.array(1.0)))
    assert np.isnan(times_log(jnp.array(1.0), jnp.array(NAN)))


def test_derivatives_twice_forward_and_reverse() -> None:
    def all_of_them(x):  # away from kinks, and with a second derivative
        kinked = absolute(x) ** 3, clamp_min(x, 0.3) ** 2, hinge(x) ** 2, times(x[:2], x[1:])
        return *kinked, softplus(x), times_log(x * x, x), nan_unless(x < 100, x * x)

    agrees_with_differences(all_of_them, jnp.array([-1.5, 0.7, 2.25]))


def agrees_with_differences(function, *points) -> None:
    # What a central difference of JAX's own step, 1e-4, leaves of the digits.
    check_grads(jax.jit(function), points, order=2, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


# Norms


def norm(p, x):
    """The distance from the origin."""
    return distance(x, jnp.zeros_like(x), jnp.zeros((), x.dtype), p)


ORDERS = [0, 0.5, 1, 1.5, 2, 3, INF, -INF, -1]
every_order = pytest.mark.parametrize("p", ORDERS)


@every_order
def test_norm_equals_numpys(p: float) -> None:
    vectors = RNG.normal(size=(6, 5)) * np.array([1, 1e-3, 1e3, 1, 1, 1])[:, None]
    vectors[3, 1:3] = 0
    vectors[4] = 2.0  # ties
    vectors[5] = [-3.0, 0, 0, 0, 0]
    with np.errstate(divide="ignore"):  # a component of 0 to a negative power: its norm is 0
        wanted = np.linalg.norm(vectors, p, -1)
    value = jit(lambda x: norm(p, x))(vectors)
    chex.assert_trees_all_close(value, wanted, rtol=1e-14)
    assert not np.isnan(jit(jax.jacobian(lambda x: norm(p, x).sum()))(vectors)).any()


@every_order
def test_norm_of_zeros_has_no_slope(p: float) -> None:
    zeros = jnp.zeros((2, 3))
    value, slope = jit(jax.value_and_grad(lambda x: norm(p, x).sum()))(zeros)
    assert float(value) == 0
    chex.assert_trees_all_equal(slope, np.zeros((2, 3)))
    forward = jit(lambda x: jax.jvp(lambda x: norm(p, x), (x,), (jnp.ones_like(x),))[1])(zeros)
    chex.assert_trees_all_equal(forward, np.zeros(2))


def test_norms_differentiate_twice() -> None:
    vectors = jnp.array([[1.5, -0.7, 0.4], [0.9, 2.0, -1.2]])
    agrees_with_differences(lambda x: [norm(p, x) for p in ORDERS], vectors)


@pytest.mark.parametrize("p", [0.5, 1.5, 2, 3, -1])
@pytest.mark.parametrize("size", variants([1e37, 1e20, 1e-20, 1e-37], lambda size: size in (1e37, 1e-37)))
def test_norm_neither_overflows_nor_underflows(p: float, size: float) -> None:
    vector = np.array([1.0, -2.0, 0.5]) * size
    value, slope = jit(jax.value_and_grad(lambda x: norm(p, x)))(jnp.asarray(vector, "float32"))
    # float32's digits, of which a power and a root of it lose some.
    chex.assert_trees_all_close(np.float64(value), np.linalg.norm(vector, p), rtol=1e-6)
    unit = jax.grad(lambda x: norm(p, x))(jnp.asarray(vector / size))
    chex.assert_trees_all_close(np.asarray(slope, float), unit, rtol=2e-6)


# The logarithm of a softmax's denominator

LOGITS = {
    "ordinary": RNG.normal(size=(3, 5)),
    "ties": [[1.0, 1, 1, 1, 1], [2.0, 2, 0, 0, 2], [0.0, 0, 0, 0, -1]],
    "one class": [[0.5], [-3.0], [1e4]],
    "ruled out": [[-INF, 1, 2, -INF, 0], [0.0, -INF, -INF, -INF, 3], [1.0, 2, 3, 4, -INF]],
    "dominating": [[20.0, 0, 0, 0, 0], [100.0, 0, -100, 1, 2], [1e4, -1e4, 0, 1, 2]],
}
some_logits = pytest.mark.parametrize("logits", [np.array(rows) for rows in LOGITS.values()], ids=LOGITS)
# The relative error of a float32: some units in the last place.
ROUNDING = {"float64": 1e-14, "float32": 1e-6}
LAST = ClassAxis(1)


def largest(logits):
    return jax.lax.stop_gradient(jnp.max(logits, -1, keepdims=True))


def of_label(logits, numbers, where=None):
    """The negative log-likelihood, and log(sum(exp(logits - largest))) from the sum without the label."""
    problem = LabelProblem(logits, labels(numbers, logits, LAST, where), None, LAST)
    terms = row_terms(problem, IMPLEMENTATIONS["xla"])
    return terms.nll, terms.log_sum


def of_all(logits, keep=None):
    """log(sum(exp(logits - largest))) for targets without a label."""
    problem = SoftProblem(logits, jnp.zeros_like(logits), None, None, keep, LAST)
    return row_terms(problem, IMPLEMENTATIONS["xla"]).log_sum


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@some_logits
@pytest.mark.parametrize("dtype", ROUNDING)
def test_nll_and_its_slope_keep_their_digits(logits: np.ndarray, dtype: str) -> None:
    rows, classes = logits.shape
    values = jit(lambda x, y: (of_label(x, y), jax.grad(lambda x: of_label(x, y)[0].sum())(x)))
    for number in range(classes):
        numbers = np.where(np.isinf(logits[:, number]), logits.argmax(-1), number)  # one that is possible
        (loss, log_sum), slope = values(jnp.asarray(logits, dtype), numbers)
        own = logits[np.arange(rows), numbers][:, None]
        others = np.where(np.arange(classes) == numbers[:, None], -INF, logits - own)
        margin = np.logaddexp.reduce(others, -1, keepdims=True)
        # Where one class dominates, the loss is 1e-9 and its digits count, down to the smallest of normal size.
        close = {"rtol": ROUNDING[dtype], "atol": float(jnp.finfo(dtype).tiny)}
        chex.assert_trees_all_close(np.asarray(loss, float), np.logaddexp(0, margin), **close)
        gaps = logits - logits.max(-1, keepdims=True)
        # The other output leaves out the same label, and so adds numbers that may cancel: its error is absolute.
        total = np.log(np.exp(gaps).sum(-1, keepdims=True))
        chex.assert_trees_all_close(np.asarray(log_sum, float), total, rtol=ROUNDING[dtype], atol=ROUNDING[dtype])
        of_own = -np.exp(-np.logaddexp(0, -margin))  # softmax - 1, without the subtraction
        wanted = np.where(np.arange(classes) == numbers[:, None], of_own, softmax(logits))
        chex.assert_trees_all_close(np.asarray(slope, float), wanted, **close)


@some_logits
@pytest.mark.parametrize("dtype", ROUNDING)
def test_shifted_log_sum_and_its_slope_keep_their_digits(logits: np.ndarray, dtype: str) -> None:
    both = jit(lambda x: (of_all(x), jax.grad(lambda x: of_all(x).sum())(x)))
    value, slope = both(jnp.asarray(logits, dtype))
    ranked = np.sort(logits - logits.max(-1, keepdims=True), -1)
    close = {"rtol": ROUNDING[dtype], "atol": float(jnp.finfo(dtype).tiny)}
    wanted = np.log1p(np.exp(ranked[:, :-1]).sum(-1, keepdims=True))
    chex.assert_trees_all_close(np.asarray(value, float), wanted, **close)
    chex.assert_trees_all_close(np.asarray(slope, float), softmax(logits), **close)


FUNCTIONS = {
    "nll": lambda logits: of_label(logits, np.arange(3) % logits.shape[-1]),
    "log_sum": lambda logits: (of_all(logits),),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("which", variants(["ordinary", "ties"], lambda which: which == "ties"))
def test_softmax_differentiates_twice(function, which: str) -> None:
    def smooth(logits):
        *losses, log_sum = function(logits)
        # With the largest added, which a step from a tie changes, the sum is smooth; the sine is what comes after.
        return jnp.sin(sum(losses, log_sum + largest(logits)))

    agrees_with_differences(smooth, jnp.asarray(LOGITS[which]))


@some_logits
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_softmax_has_no_nan_in_two_derivatives(function, logits: np.ndarray) -> None:
    def total(logits):
        return sum(value[1:].sum() for value in function(logits))

    hessian = jit(jax.hessian(total))(jnp.asarray(logits))
    chex.assert_tree_all_finite(hessian)
    chex.assert_trees_all_equal(hessian[0], np.zeros_like(hessian[0]))  # of the row that is not in the total
    chex.assert_trees_all_close(hessian.sum(-1), np.zeros(hessian.shape[:-1]), atol=1e-15)  # an offset changes nothing
    count = len(function(jnp.asarray(logits)))
    one = softmax(logits)[1]
    chex.assert_trees_all_close(hessian[1, :, 1], count * (np.diag(one) - np.outer(one, one)), atol=1e-15)


@pytest.mark.parametrize("function", ["nll", "log_sum"])
def test_rows_that_are_not_kept_have_no_derivatives(function: str) -> None:
    where = jnp.array([True, False, False])
    logits = jnp.array([[1.0, 2.0, 0.5], [NAN, 1.0, INF], [-INF, -INF, -INF]])

    def total(logits):
        if function == "log_sum":
            return of_all(logits, where[:, None]).sum()
        return of_label(logits, jnp.array([0, 1, 2]), where)[0].sum()

    value, slope, hessian = jit(lambda x: (total(x), jax.grad(total)(x), jax.hessian(total)(x)))(logits)
    assert np.isfinite(value)
    one = softmax(np.asarray(logits[0]))
    chex.assert_trees_all_close(slope[0], one - (function == "nll") * np.eye(3)[0], atol=1e-15)
    chex.assert_trees_all_close(hessian[0, :, 0], np.diag(one) - np.outer(one, one), atol=1e-15)
    assert not np.any(slope[1:])
    assert not np.any(hessian[1:])
