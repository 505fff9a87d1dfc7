"""`jaxloss.checked`: a value outside its domain is an error that says which, where and what; nothing else changes."""

import inspect
import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from case import Case
from cases import CASES
from jax.experimental import checkify
from jax.sharding import AxisType, PartitionSpec
from variants import variants

import jaxloss
from jaxloss import checked
from jaxloss._core.domains import Domain, expect


def f(*values: object) -> jax.Array:
    return jnp.array(values, float)


def i(*values: object) -> jax.Array:
    return jnp.array(values, int)


SCORES = f([0.25, -1.5, 2.0], [1.0, 0.5, 0.0])
FRAMES = jnp.full((2, 4, 3), -1.0)
REFUSED = [
    (jaxloss.cross_entropy, (SCORES, i(1, 3)), "`targets[1]` is 3, but must be a class number from 0 to 2, or -100."),
    (jaxloss.cross_entropy, (SCORES, i(-1, 0)), "`targets[0]` is -1, but must be a class number from 0 to 2, or -100."),
    (
        jaxloss.cross_entropy,
        (SCORES[0], jnp.array(10**6)),
        "`targets` is 1000000, but must be a class number from 0 to 2, or -100.",
    ),
    (
        jaxloss.CrossEntropyLoss(axis=1, ignore_index=255),
        (jnp.zeros((2, 3, 2, 2)), jnp.array([[[0, 1], [2, 3]], [[0, 1], [2, 0]]], "uint8")),
        "`targets[0, 1, 1]` is 3, but must be a class number from 0 to 2, or 255.",
    ),
    (jaxloss.cross_entropy, (SCORES, f([0, 1.5, 0], [1, 0, 0])), "`targets[0, 1]` is 1.5, but must be in [0, 1]."),
    (
        jaxloss.cross_entropy,
        (SCORES, f([0, 1, 0], [0.5, 0.25, 0])),
        "`targets.sum(1, keepdims=True)[1, 0]` is 0.75, but must be 1.",
    ),
    (
        jaxloss.linear_cross_entropy,
        (SCORES, jnp.eye(3), i(0, 5)),
        "`targets[1]` is 5, but must be a class number from 0 to 2, or -100.",
    ),
    (
        jaxloss.nll_loss,
        (-abs(SCORES), i(1, 7)),
        "`targets[1]` is 7, but must be a class number from 0 to 2, or -100.",
    ),
    (
        jaxloss.nll_loss,
        (f([0.25, -1, -2], [-1, -2, 0]), i(1, 1)),
        "`log_probs[0, 0]` is 0.25, but must be a log-probability, at most 0.",
    ),
    (jaxloss.multi_margin_loss, (SCORES, i(0, 3)), "`targets[1]` is 3, but must be a class number from 0 to 2."),
    (
        jaxloss.multilabel_margin_loss,
        (SCORES, i([0, -1, 9], [2, -2, 0])),
        "`targets[1, 1]` is -2, but must be a class number from 0 to 2, or -1 to end the list.",
    ),
    (jaxloss.binary_cross_entropy, (f(0.5, 1.5), f(0, 1)), "`predictions[1]` is 1.5, but must be in [0, 1]."),
    (jaxloss.binary_cross_entropy, (f(0.5, 0.5), f(0, -0.5)), "`targets[1]` is -0.5, but must be in [0, 1]."),
    (
        jaxloss.binary_cross_entropy_with_logits,
        (f(0.5, 9), f(255, 1)),
        "`targets[0]` is 255.0, but must be in [0, 1].",
    ),
    (
        jaxloss.multilabel_soft_margin_loss,
        (SCORES, f([0, 1, 0], [1, 1, 2])),
        "`targets[1, 2]` is 2.0, but must be in [0, 1].",
    ),
    (jaxloss.soft_margin_loss, (f(0.5, 0.5), f(1, 0)), "`targets[1]` is 0.0, but must be -1 or 1."),
    (jaxloss.hinge_embedding_loss, (f(0.5, 0.5), f(1, 0)), "`targets[1]` is 0.0, but must be -1 or 1."),
    (jaxloss.margin_ranking_loss, (f(0.5), f(0.5), f(2)), "`targets[0]` is 2.0, but must be -1 or 1."),
    (jaxloss.cosine_embedding_loss, (SCORES, SCORES, f(1, 0.5)), "`targets[1]` is 0.5, but must be -1 or 1."),
    (
        jaxloss.kl_div,
        (f(-1, 0.5), f(1, 0.5)),
        "`log_predictions[1]` is 0.5, but must be a log-probability, at most 0.",
    ),
    (jaxloss.kl_div, (f(-1, -1), f(1, -0.5)), "`targets[1]` is -0.5, but must be in [0, 1]."),
    (
        jaxloss.KLDivLoss(log_target=True),
        (f(-1, -1), f(-1, 0.25)),
        "`targets[1]` is 0.25, but must be a log-probability, at most 0.",
    ),
    (jaxloss.poisson_nll_loss, (f(-1, 1), f(1, -2)), "`targets[1]` is -2.0, but must be at least 0."),
    (
        jaxloss.PoissonNLLLoss(log_input=False),
        (f(0, -1e-9), f(1, 2)),
        "`predictions[1]` is -1e-09, but must be at least 0.",
    ),
    (jaxloss.gaussian_nll_loss, (f(1, 1), f(1, 1), f(1, -1)), "`var[1]` is -1.0, but must be at least 0."),
    (
        jaxloss.ctc_loss,
        (FRAMES, i([1, 5], [2, 0]), i(4, 4), i(2, 1)),
        "`targets[0, 1]` is 5, but must be a class number from 0 to 2 that is not the blank, 0.",
    ),
    (
        jaxloss.CTCLoss(blank=1),
        (FRAMES, i([0, 2], [1, 0]), i(4, 4), i(2, 1)),
        "`targets[1, 0]` is 1, but must be a class number from 0 to 2 that is not the blank, 1.",
    ),
    (
        jaxloss.ctc_loss,
        (FRAMES, i([1, 2], [2, 0]), i(4, 5), i(2, 1)),
        "`input_lengths[1]` is 5, but must be from 0 to the 4 frames.",
    ),
    (
        jaxloss.ctc_loss,
        (FRAMES, i([1, 2], [2, 0]), i(4, 4), i(2, -1)),
        "`target_lengths[1]` is -1, but must be from 0 to the 2 labels.",
    ),
    (
        jaxloss.ctc_loss,
        (FRAMES.at[1, 2, 0].set(0.5), i([1, 2], [2, 0]), i(4, 4), i(2, 1)),
        "`log_probs[1, 2, 0]` is 0.5, but must be a log-probability, at most 0.",
    ),
    (
        jaxloss.l1_loss,
        (f(1, np.nan), f(1, 1)),
        "`losses[1]` is nan, but must be a number: an argument is not one there.",
    ),
    (
        jaxloss.L1Loss() + 0.5 * jaxloss.PoissonNLLLoss(),
        (f(-1, 1), f(1, -2)),
        "`targets[1]` is -2.0, but must be at least 0.",
    ),
]


@pytest.mark.parametrize(("loss", "arrays", "refused"), REFUSED)
def test_the_error_names_argument_index_and_value(loss, arrays, refused: str) -> None:
    refused += " (`check` failed)"
    error, _ = jax.jit(checkify.checkify(checked(loss)))(*arrays)
    assert error.get() == refused


# Step by step, which takes its time.
@pytest.mark.parametrize(
    ("loss", "arrays", "refused"), variants(REFUSED, lambda loss, *_: loss in (jaxloss.cross_entropy, jaxloss.kl_div))
)
def test_the_error_is_raised_outside_jit(loss, arrays, refused: str) -> None:
    with pytest.raises(checkify.JaxRuntimeError) as found:
        checked(loss)(*arrays)
    assert str(found.value) == refused + " (`check` failed)"


@pytest.mark.exhaustive
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_values_within_their_domains_pass_and_nothing_else_changes(case: Case) -> None:
    # Not rounded as `case.arrays` are: rows of probabilities must sum to 1.
    arrays = list(case.make(np.random.default_rng(0), case.inputs["batched"]))
    if case.name == "nll_loss":
        arrays[0] = -abs(arrays[0])
    given = tuple(map(jnp.asarray, arrays))
    losses = [case.loss(**options) for options in case.option_sets(case.arrays())]

    def run(transform, *arrays):
        return [jax.value_and_grad(transform(loss), case.differentiable)(*arrays) for loss in losses]

    error, found = jax.jit(checkify.checkify(partial(run, checked)))(*given)
    error.throw()
    # The checks are compiled with the rest, which may then round the last digit otherwise.
    chex.assert_trees_all_close(found, jax.jit(partial(run, lambda loss: loss))(*given), rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_without_it_the_program_has_no_checks(case: Case) -> None:
    given = tuple(map(jnp.asarray, case.arrays("batched")))
    for options in case.option_sets(given):
        loss = case.loss(**options)
        before = str(jax.make_jaxpr(loss)(*given))
        _ = jax.make_jaxpr(checkify.checkify(checked(loss)))(*given)
        assert str(jax.make_jaxpr(loss)(*given)) == before
        assert "check[" not in before


@pytest.mark.parametrize("jit", variants([True, False], lambda jit: jit))
@pytest.mark.parametrize(
    ("loss", "arrays", "refused"),
    variants(
        [row for row in REFUSED if row[1][0].shape[0] == 2],
        lambda loss, *_: loss in (jaxloss.cross_entropy, jaxloss.kl_div, jaxloss.ctc_loss),
    ),
)
def test_what_is_masked_is_not_looked_at(loss, arrays, refused: str, jit: bool) -> None:
    bad = int(re.search(r"\[(\d+)", refused)[1])
    keep = jnp.arange(2) != bad
    keep = keep[:, None, None] if isinstance(loss, jaxloss.CrossEntropyLoss) else keep  # of images
    if jit:
        error, value = jax.jit(checkify.checkify(checked(loss)))(*arrays, where=keep)
        error.throw()
    else:
        value = checked(loss)(*arrays, where=keep)
    assert np.isfinite(value)
    assert value == (jax.jit(loss) if jit else loss)(*arrays, where=keep)


def test_labels_that_are_ignored_pass() -> None:
    assert checked(jaxloss.cross_entropy)(SCORES, i(-100, 1)) == jaxloss.cross_entropy(SCORES, i(-100, 1))


@pytest.mark.parametrize("dtype", variants(["float32", "bfloat16", "float16"], lambda dtype: dtype == "bfloat16"))
def test_probabilities_may_be_rounded(dtype: str) -> None:
    soft = jax.nn.softmax(jnp.linspace(-3, 3, 700).reshape(7, 100)).astype(dtype)
    logits = jnp.zeros((7, 100), dtype)
    checked(jaxloss.cross_entropy)(logits, soft)
    checked(jaxloss.kl_div)(jax.nn.log_softmax(logits) + jnp.finfo(dtype).eps, soft)
    with pytest.raises(checkify.JaxRuntimeError, match="must be 1"):
        checked(jaxloss.cross_entropy)(logits, soft / 2)


def test_traced_options_are_checked() -> None:
    step = jax.jit(checkify.checkify(lambda delta: checked(jaxloss.HuberLoss(delta=delta))(f(1, 2), f(1, 3))))
    assert step(1.0)[0].get() is None
    assert step(-1.0)[0].get() == "`delta` is -1.0, but must be above 0. (`check` failed)"


# The transform among JAX's own -----------------------------------------------------------------------------------

GOOD, BAD = (f(0.5, 2), f(1, -1)), (f(0.5, 2), f(1, 0))


def summed(x, t):
    return jaxloss.soft_margin_loss(x, t, reduction="sum")


def stepwise(x, t):
    return jax.lax.scan(lambda total, pair: (total + checked(summed)(*pair), None), 0.0, (x, t))[0]


def sharded(x, t):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
    data = PartitionSpec("data")
    spread = jax.shard_map(
        lambda x, t: jax.lax.psum(jaxloss.parts(jaxloss.soft_margin_loss)(x, t), "data").value,
        mesh=mesh,
        in_specs=(data, data),
        out_specs=PartitionSpec(),
    )
    return jax.jit(spread)(x, t)


@pytest.mark.parametrize(
    "run",
    [
        checked(summed),
        checked(jax.jit(summed)),
        checked(lambda x, t: 2 * jax.jit(summed)(x, t)),  # jitted within: its trace has checks too
        checked(checked(summed)),
        checked(jaxloss.parts(jaxloss.soft_margin_loss)),
        jaxloss.parts(checked(jaxloss.soft_margin_loss)),
        checked(jaxloss.SoftMarginLoss(reduction="sum")),
        jax.grad(checked(summed)),
        checked(jax.value_and_grad(summed)),
        jax.hessian(checked(summed)),
        lambda x, t: jax.jvp(lambda x: checked(summed)(x, t), (x,), (x,)),
        jax.vmap(checked(summed)),
        checked(jax.vmap(summed)),
        checked(jax.checkpoint(summed)),
        checked(sharded),
        stepwise,
    ],
)
def test_it_composes(run) -> None:
    refused = r"`targets(\[\d\])?` is 0.0, but must be -1 or 1."
    functional = checkify.checkify(run)
    for functionalized in (functional, jax.jit(functional)):
        error, result = functionalized(*GOOD)
        assert error.get() is None
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result))
        with pytest.raises(checkify.JaxRuntimeError, match=refused):
            functionalized(*BAD)[0].throw()
    if run is not stepwise:  # a scan is staged: its checks are not seen until they are functionalized
        with pytest.raises(checkify.JaxRuntimeError, match=refused):
            run(*BAD)


def test_a_jitted_function_keeps_a_trace_without_checks() -> None:
    traces = []

    @jax.jit
    def jitted(x, t):
        traces.append(None)
        return summed(x, t)

    plain = jitted(*BAD)
    for _ in range(2):
        with pytest.raises(checkify.JaxRuntimeError):
            checked(jitted)(*BAD)
        assert jitted(*BAD) == plain
    assert len(traces) == 2  # one without checks, and one with them


def test_jitted_without_checkify_it_is_refused() -> None:
    with pytest.raises(ValueError, match="not functionalized"):
        jax.jit(checked(summed))(*GOOD)


@pytest.mark.parametrize(
    "run",
    [jax.jit(summed).lower(*GOOD).compile(), jnp.subtract, jaxloss.pairwise_distance],
    ids=["aot", "jnp", "helper"],
)
def test_what_holds_no_check_is_refused(run) -> None:
    with pytest.raises(TypeError, match="found no values to check"):
        checked(run)(*GOOD)


def test_nothing_to_look_at_is_no_error() -> None:
    assert checked(summed)(f(), f()) == 0
    assert checked(jaxloss.cross_entropy)(jnp.zeros((0, 3)), i()) == 0


def test_it_has_the_signature_and_the_documentation_of_the_loss() -> None:
    assert inspect.signature(checked(jaxloss.huber_loss)) == inspect.signature(jaxloss.huber_loss)
    assert checked(jaxloss.huber_loss).__doc__ == jaxloss.huber_loss.__doc__
    assert inspect.signature(checked(jaxloss.HuberLoss())) == inspect.signature(jaxloss.HuberLoss())


def test_braces_in_a_message_are_text() -> None:
    def loss(x):
        expect(Domain("{1}", lambda x: x == 1), x=x)
        return x

    with pytest.raises(checkify.JaxRuntimeError, match=r"`x` is 2.0, but must be \{1\}\."):
        checked(loss)(jnp.array(2.0))
