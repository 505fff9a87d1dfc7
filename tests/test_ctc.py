"""CTC against the enumeration of all paths, in every form of its arguments, at a thousand frames, without a path."""

from functools import partial
from itertools import groupby, product

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, temporaries
from variants import variants

import jaxloss
from jaxloss._core.sequences import sequence_batch
from jaxloss._ops.ctc import negative_log_likelihood, xla_cpu

CLASSES, LABELS = 3, 3
RNG = np.random.default_rng(0)
exactly = partial(chex.assert_trees_all_close, rtol=1e-11, atol=1e-12)


@partial(jax.jit, static_argnames="zero_infinity")
def both(log_probs, targets, frames, sizes, **options):
    """The losses, and the gradient of their sum; compiled once for each shape."""

    def total(log_probs):
        losses = jaxloss.ctc_loss(log_probs, targets, frames, sizes, reduction="none", **options)
        return jnp.sum(losses), losses

    gradient, losses = jax.grad(total, has_aux=True)(log_probs)
    return losses, gradient


aligned = jax.jit(jaxloss.ctc_alignment, static_argnames=("blank", "time_major"))


def collapsed(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(label for label, _ in groupby(path) if label != blank)


def log_softmax(*shape: int) -> jax.Array:
    return jax.nn.log_softmax(jnp.asarray(RNG.normal(size=shape) * 2))


@pytest.mark.parametrize("blank", [0, 2])
def test_every_sequence_against_all_of_its_paths(blank: int) -> None:
    """All labels of up to three letters, in up to five frames: the loss, the posterior and the likeliest path."""
    longest = 5
    letters = [c for c in range(CLASSES) if c != blank]
    spelled = [word for size in range(LABELS + 1) for word in product(letters, repeat=size)]
    rows = [(frames, word) for frames in range(longest + 1) for word in spelled]
    targets = np.array([[*word, *[letters[0]] * (LABELS - len(word))] for _, word in rows])
    frames, sizes = np.array([t for t, _ in rows]), np.array([len(word) for _, word in rows])
    log_probs = log_softmax(len(rows), longest, CLASSES)

    losses, posteriors = np.full(len(rows), np.inf), np.zeros(log_probs.shape)
    best, scores = np.full((len(rows), longest), -1), np.full(len(rows), -np.inf)
    for row, (count, word) in enumerate(rows):
        paths = [path for path in product(range(CLASSES), repeat=count) if collapsed(path, blank) == word]
        logs = np.array([sum(log_probs[row, t, c] for t, c in enumerate(path)) for path in paths], float)
        if not paths:
            continue
        losses[row], scores[row] = -np.log(np.sum(np.exp(logs))), np.max(logs)
        best[row, :count] = paths[np.argmax(logs)]
        for path, log in zip(paths, logs, strict=True):
            posteriors[row, np.arange(count), list(path)] += np.exp(log + losses[row])

    found = jaxloss.ctc_loss(log_probs, targets, frames, sizes, blank=blank, reduction="none")
    exactly(found, losses)
    alignment = aligned(log_probs, targets, frames, sizes, blank=blank)
    exactly(alignment.posterior, posteriors)
    exactly(alignment.score, scores)
    chex.assert_trees_all_equal(alignment.path, best)


def batch(time: int = 7) -> tuple[jax.Array, np.ndarray, list[int], list[int]]:
    return log_softmax(3, time, 5), np.array([[1, 1, 2], [3, 4, 1], [2, 1, 1]]), [time, time - 2, time], [3, 0, 2]


def test_forms_of_the_arguments_agree() -> None:
    log_probs, targets, frames, sizes = batch()
    unreduced = jax.jit(partial(jaxloss.ctc_loss, reduction="none"))
    plain, _ = both(log_probs, targets, *map(np.array, (frames, sizes)))
    packed = np.concatenate([row[:size] for row, size in zip(targets, sizes, strict=True)])
    time_major = jax.jit(partial(jaxloss.ctc_loss, time_major=True, reduction="none"))
    each = [
        jaxloss.ctc_loss(*one, reduction="none")
        for one in zip(log_probs, map(jnp.asarray, targets), frames, sizes, strict=True)
    ]
    for other in (
        jaxloss.ctc_loss(log_probs, packed, tuple(frames), np.array(sizes), reduction="none"),
        jax.jit(lambda x: jaxloss.ctc_loss(x, packed, frames, sizes, reduction="none"))(log_probs),
        unreduced(log_probs, targets.astype(np.uint8), np.array(frames, np.int8), np.array(sizes)),
        time_major(log_probs.swapaxes(0, 1), targets, np.array(frames), np.array(sizes)),
        jnp.stack(each),
        jnp.stack([jaxloss.ctc_loss(log_probs[0], targets[0], [7], [3], time_major=True, reduction="sum"), *each[1:]]),
    ):
        exactly(other, plain)
    mean = jnp.mean(plain / jnp.maximum(jnp.array(sizes, float), 1))
    exactly(jaxloss.CTCLoss()(log_probs, targets, *map(jnp.array, (frames, sizes))), mean)


def test_alignment_of_other_forms() -> None:
    log_probs, targets, frames, sizes = batch()
    frames, sizes = np.array(frames), np.array(sizes)
    plain = aligned(log_probs, targets, frames, sizes)
    first = aligned(log_probs.swapaxes(0, 1), targets, frames, sizes, time_major=True)
    exactly(tuple(first), (plain.path.T, plain.score, plain.posterior.swapaxes(0, 1)))
    one = aligned(log_probs[0], targets[0], frames[0], sizes[0])
    exactly(one, jax.tree.map(lambda array: array[0], plain))
    used = np.arange(7) < frames[:, None]
    exactly(jnp.sum(plain.posterior, -1), used.astype(float))


@pytest.mark.parametrize("time_major", variants([False, True], lambda time_major: time_major))
def test_greedy_decoding(time_major: bool) -> None:
    best = np.array([[1, 1, 0, 1, 2, 0], [0, 0, 2, 2, 0, 2], [3, 3, 3, 1, 1, 1]])
    frames = [6, 6, 3]
    log_probs = jax.nn.one_hot(best.T if time_major else best, 4)
    decode = jax.jit(partial(jaxloss.ctc_greedy_decode, time_major=time_major))
    labels, sizes = decode(log_probs, np.array(frames))
    chex.assert_trees_all_equal(labels, np.array([[1, 1, 2, 0, 0, 0], [2, 2, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0]]))
    chex.assert_trees_all_equal(sizes, np.array([3, 2, 1]))
    labels, size = jax.jit(partial(jaxloss.ctc_greedy_decode, blank=1))(jax.nn.one_hot(best[0], 4), 5)
    chex.assert_trees_all_equal((labels, size), (jnp.array([0, 2, 1, 1, 1, 1]), jnp.array(2)))
    # What is decoded has the likeliest path of all, if it is as likely as any path can be.
    certain = jnp.log(0.97 * jax.nn.one_hot(best, 4) + 0.01)
    read = jax.jit(jaxloss.ctc_greedy_decode)(certain, jnp.array([6, 6, 6]))
    chex.assert_trees_all_equal(aligned(certain, read[0], jnp.array([6, 6, 6]), read[1]).path, best)


@pytest.mark.parametrize("dtype", variants(["float32", "float64"], lambda dtype: dtype == "float32"))
def test_no_path(dtype: str) -> None:
    """One frame too few for a repeated label: inf, or 0, with a gradient of 0, beside another sequence's."""
    log_probs = log_softmax(2, 6, 4).astype(dtype)
    targets, frames, sizes = jnp.array([[1, 1, 2], [1, 2, 3]]), jnp.array([3, 6]), jnp.array([3, 3])
    losses, gradient = both(log_probs, targets, frames, sizes, zero_infinity=False)
    assert np.isposinf(losses[0])
    assert np.isfinite(losses[1])
    assert not gradient[0].any()
    assert gradient[1].any()
    zeroed, zeroed_gradient = both(log_probs, targets, frames, sizes, zero_infinity=True)
    chex.assert_trees_all_equal((zeroed, zeroed_gradient), (losses.at[0].set(0), gradient))
    exact, _ = both(log_probs, targets, jnp.array([4, 6]), sizes, zero_infinity=False)
    assert np.isfinite(exact).all()

    def steepness(x):
        return jnp.sum(jax.grad(lambda x: jaxloss.ctc_loss(x, targets[0], 3, 3, zero_infinity=True))(x) ** 2)

    assert not jax.jit(jax.grad(steepness))(log_probs[0]).any()


@pytest.mark.parametrize(
    "dtype", variants(["float32", "bfloat16", "float16", "float64"], lambda dtype: dtype in ("float32", "bfloat16"))
)
def test_what_is_not_used_may_be_anything(dtype: str) -> None:
    log_probs, targets, frames, sizes = batch()
    log_probs = log_probs.astype(dtype)
    clean = both(log_probs, targets, jnp.array(frames), jnp.array(sizes))
    behind = np.arange(7)[None, :, None] >= np.array(frames)[:, None, None]
    spoilt_targets = np.where(np.arange(3) < np.array(sizes)[:, None], targets, [[10**6, -1, 0]])
    for junk in (np.nan, np.inf, -np.inf):
        found = both(jnp.where(behind, junk, log_probs), spoilt_targets, jnp.array(frames), jnp.array(sizes))
        chex.assert_trees_all_equal(found, clean)
    # The second sequence has no labels, and no sequence has label 4: nothing there looks at classes 1 to 4, or 4.
    unused = np.zeros((3, 1, 5), bool)
    unused[1, :, 1:] = unused[:, :, 4] = True
    for junk in (np.nan, -np.inf):
        losses, gradient = both(jnp.where(unused, junk, log_probs), targets, jnp.array(frames), jnp.array(sizes))
        chex.assert_trees_all_equal((losses, gradient), clean)


def test_logits_of_minus_infinity_rule_out_classes() -> None:
    """optax's loss is NaN then."""
    logits = jnp.asarray(RNG.normal(size=(2, 6, 5))).at[:, :, 4].set(-jnp.inf).at[0, 2, 1].set(-jnp.inf)
    targets, frames, sizes = np.array([[1, 2], [3, 3]]), [6, 5], [2, 2]

    def loss(logits):
        return jaxloss.ctc_loss(jax.nn.log_softmax(logits), targets, frames, sizes)

    without, _ = jax.value_and_grad(loss)(logits[:, :, :4])
    value, gradient = jax.value_and_grad(loss)(logits)
    exactly(value, without)
    assert np.isfinite(gradient).all()
    assert not gradient[:, :, 4].any()
    low = jnp.maximum(logits, -1e9)  # as good as ruled out
    exactly(jax.value_and_grad(loss)(low), (value, gradient))


GOOD = {"targets": [1, 2], "input_lengths": 6, "target_lengths": 2}


@pytest.mark.parametrize(
    "bad",
    [
        {"targets": [1, 5]},
        {"targets": [0, 2]},
        {"targets": [-1, 2]},
        {"targets": [1, 10**6]},
        {"input_lengths": 7},
        {"input_lengths": -1},
        {"target_lengths": 3},
        {"target_lengths": -1},
        {"log_probs": np.nan},
        {"log_probs": np.inf},
        {"log_probs": 1e30},
    ],
    ids=str,
)
def test_bad_value_is_nan_in_its_sequence(bad: dict[str, object]) -> None:
    given = {name: [GOOD[name], bad.get(name, GOOD[name]), GOOD[name]] for name in GOOD}
    log_probs = log_softmax(3, 6, 5).astype("float32")
    if "log_probs" in bad:
        log_probs = log_probs.at[1, 3, 1].set(bad["log_probs"])
    losses, gradient = both(log_probs, *map(jnp.asarray, given.values()))
    assert np.isnan(losses[1])
    assert np.isnan(gradient[1]).any()
    assert np.isfinite(losses[np.array([0, 2])]).all()
    assert np.isfinite(gradient[np.array([0, 2])]).all()
    alignment = aligned(log_probs, *map(jnp.asarray, given.values()))
    assert np.isnan(alignment.score[1])
    assert (alignment.path[1] == -1).all()


def test_second_derivative_in_a_scan() -> None:
    log_probs, targets, frames, sizes = batch(5)
    arrays = (log_probs, *map(jnp.asarray, (targets, frames, sizes)))

    def total(log_probs):
        return jnp.sum(jaxloss.ctc_loss(log_probs, *arrays[1:], reduction="none") ** 2)

    def scanned(log_probs):
        def step(carry, row):
            return carry + jaxloss.ctc_loss(*row) ** 2 * jnp.maximum(row[3], 1).astype(float) ** 2, None

        return jax.lax.scan(step, 0.0, (log_probs, *arrays[1:]))[0]

    tangent = jnp.cos(jnp.arange(log_probs.size, dtype=float)).reshape(log_probs.shape)

    def twice(loss):
        def along(log_probs):
            return jnp.vdot(jax.grad(loss)(log_probs), tangent)

        return jax.jit(lambda x: (jax.jvp(jax.grad(loss), (x,), (tangent,))[1], jax.grad(along)(x)))(log_probs)

    exactly(twice(scanned), twice(total))


@pytest.mark.parametrize("offset", [0.0, -300.0])
def test_a_thousand_frames_in_float32(offset: float) -> None:
    """PyTorch's gradient is off by 1.4e-2 there. The offset, on all classes, shifts the loss by as much per frame."""
    time, count, size, classes = 1000, 3, 100, 20
    logits = np.float32(RNG.normal(size=(count, time, classes)) * 2)
    log_probs = jnp.float32(jax.nn.log_softmax(logits) + offset)
    arrays = RNG.integers(1, classes, (count, size)), np.array([time, time - 300, time]), np.array([size, size, 10])
    losses, gradient = both(log_probs, *arrays)
    exact, exact_gradient = both(log_probs.astype("float64"), *arrays)
    # 4e-8 and 2e-6 were measured.
    chex.assert_trees_all_close(np.float64(losses), exact, rtol=1e-6)
    chex.assert_trees_all_close(np.float64(gradient), exact_gradient, atol=1e-5)
    assert gradient.max() <= 0


def test_value_alone_keeps_one_frame_of_states() -> None:
    def memory(function, time):
        log_probs, targets = jnp.zeros((4, time, 4), "float32"), jnp.ones((4, 30), "int32")
        frames, sizes = jnp.full(4, time), jnp.full(4, 30)
        return temporaries(compiled(function, log_probs, targets, frames, sizes))

    states = 4 * 4 * 31  # bytes of one array of states, in one frame
    value = partial(jaxloss.ctc_loss, reduction="sum")
    # The emissions of all frames, before and after those behind the end are masked; nothing else grows with the frames.
    assert memory(value, 512) - memory(value, 256) <= 256 * states * 2.3
    assert memory(jax.grad(value), 512) - memory(jax.grad(value), 256) <= 256 * states * 5


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 4, 1)])
def test_nothing_to_read(shape: tuple[int, ...]) -> None:
    """No sequences, no frames, no class but the blank; and no labels."""
    log_probs = -jnp.ones(shape)
    targets, frames, sizes = jnp.zeros((shape[0], 0), int), jnp.full(shape[0], shape[1]), jnp.zeros(shape[0], int)
    losses, gradient = both(log_probs, targets, frames, sizes)
    exactly(losses, jnp.full(shape[0], float(shape[1])))
    exactly(gradient, jnp.zeros(shape).at[:, :, 0].set(-1))
    alignment = aligned(log_probs, targets, frames, sizes)
    chex.assert_trees_all_equal(alignment.path, jnp.zeros(shape[:2], alignment.path.dtype))


def of_implementation(name, log_probs, blank=0):
    """The sum of the squared losses of a batch, one of them without a path."""
    targets, frames, sizes = np.array([[1, 1, 2], [3, 4, 1], [2, 2, 2]]), np.array([7, 5, 4]), np.array([3, 0, 3])
    losses = negative_log_likelihood(sequence_batch(log_probs, (3,), targets, frames, sizes), 0, blank, name)
    return jnp.sum(jnp.where(losses < jnp.inf, losses, 0.0) ** 2), losses


def test_implementations_agree_in_value_and_two_derivatives() -> None:
    log_probs = log_softmax(3, 7, 5)

    def everything(name):
        def total(log_probs):
            return of_implementation(name, log_probs)[0]

        gradient = jax.grad(total)
        tangent = jnp.cos(log_probs)
        second = jax.jvp(gradient, (log_probs,), (tangent,))[1]
        reverse = jax.grad(lambda x: jnp.vdot(gradient(x), tangent))(log_probs)
        return of_implementation(name, log_probs)[1], gradient(log_probs), second, reverse

    fast, reference = (jax.jit(partial(everything, name))() for name in ("xla", "reference"))
    exactly(fast, reference)
    assert np.isposinf(fast[0][2])
    assert not fast[1][2].any()


FEW, MANY = xla_cpu.FEW_CLASSES, xla_cpu.FEW_CLASSES + 1


@pytest.mark.parametrize("classes", [FEW, MANY])
def test_tpus_multiply_by_one_hot_labels_and_cpus_do_if_the_classes_are_few(classes: int) -> None:
    log_probs, lengths = jnp.zeros((2, 6, classes)), jnp.full(2, 6)
    gradient = jax.jit(jax.grad(lambda x: jaxloss.ctc_loss(x, jnp.ones((2, 3), int), lengths, lengths // 2)))

    def operations(platform: str) -> tuple[bool, bool]:
        text = jax.export.export(gradient, platforms=[platform])(log_probs).mlir_module()
        return "stablehlo.dot_general" in text, "stablehlo.scatter" in text

    assert operations("cpu") == (classes == FEW, classes == MANY)
    assert operations("tpu") == (True, False)
    assert operations("cuda") == (False, True)


def test_one_hot_labels_save_temporaries(monkeypatch) -> None:
    """On CPUs the scatter's updates are an array of their own."""
    log_probs, targets = jnp.zeros((200, 8, FEW), "float32"), jnp.ones((8, 30), "int32")
    frames, sizes = jnp.full(8, 200), jnp.full(8, 30)

    def memory() -> int:
        return temporaries(
            compiled(jax.grad(partial(jaxloss.ctc_loss, time_major=True)), log_probs, targets, frames, sizes)
        )

    ours = memory()
    monkeypatch.setattr(xla_cpu, "FEW_CLASSES", 0)
    assert ours < 0.75 * memory()
