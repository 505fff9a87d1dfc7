"""Every loss of one value per element or per example, side by side with optax or the plain formula in jax.numpy.

    python benchmarks/elementwise.py                    # (4096, 1024) float32, value and gradient
    python benchmarks/elementwise.py --quick            # small arrays, to see that it runs
    python benchmarks/elementwise.py --json FILE --only huber_loss cross_entropy

Both run jitted in one process on the same arrays, taking turns; the figure is the ratio of the medians of their times,
ours over theirs, after both have been seen to agree. Temporary memory is what the compiler says.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxloss

Function = Callable[..., jax.Array]


class Row(NamedTuple):
    """A loss, what one would use instead, and the arrays; the gradient is in the first."""

    ours: Function
    theirs: Function
    arrays: tuple[np.ndarray, ...]
    peer: str = "jax.numpy"


def rows(n: int, c: int) -> dict[str, Row]:
    """Everything compared, on arrays of shape (n, c)."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    predictions, targets, third = normal(n, c), normal(n, c), normal(n, c)
    probabilities = rng.uniform(0.01, 0.99, (n, c)).astype(np.float32)
    binary = rng.integers(0, 2, (n, c)).astype(np.float32)
    signs, row_signs = 2 * binary - 1, (2 * binary - 1)[:, 0].copy()
    variances = rng.gamma(2, 1, (n, c)).astype(np.float32) + 0.1
    counts = rng.poisson(3, (n, c)).astype(np.float32)
    labels = rng.integers(0, c, n).astype(np.int32)
    soft = rng.dirichlet(np.ones(c), n).astype(np.float32)
    lists = np.where(np.arange(c) < rng.integers(1, 9, (n, 1)), rng.integers(0, c, (n, c)), -1).astype(np.int32)
    log_probs = np.log(rng.dirichlet(np.ones(c), n) + 1e-6).astype(np.float32)

    def mean(function: Function) -> Function:
        return lambda *arrays: jnp.mean(function(*arrays))

    return {
        "l1_loss": Row(jaxloss.l1_loss, lambda x, t: jnp.mean(jnp.abs(x - t)), (predictions, targets)),
        "mse_loss": Row(jaxloss.mse_loss, mean(optax.squared_error), (predictions, targets), "optax"),
        "huber_loss": Row(jaxloss.huber_loss, mean(optax.huber_loss), (predictions, targets), "optax"),
        "smooth_l1_loss": Row(jaxloss.smooth_l1_loss, plain_smooth_l1, (predictions, targets)),
        "poisson_nll_loss": Row(
            jaxloss.poisson_nll_loss, lambda x, t: jnp.mean(jnp.exp(x) - t * x), (predictions, counts)
        ),
        "gaussian_nll_loss": Row(jaxloss.gaussian_nll_loss, plain_gaussian, (predictions, targets, variances)),
        "kl_div": Row(
            lambda x, t: jaxloss.kl_div(x, t, reduction="batchmean"),
            mean(optax.kl_divergence),
            (log_probs, soft),
            "optax",
        ),
        "cross_entropy": Row(
            jaxloss.cross_entropy,
            mean(optax.softmax_cross_entropy_with_integer_labels),
            (predictions, labels),
            "optax",
        ),
        "cross_entropy, probabilities": Row(
            jaxloss.cross_entropy, mean(optax.softmax_cross_entropy), (predictions, soft), "optax"
        ),
        "cross_entropy, label smoothing": Row(
            lambda x, t: jaxloss.cross_entropy(x, t, label_smoothing=0.1),
            lambda x, t: jnp.mean(
                optax.softmax_cross_entropy(x, optax.smooth_labels(jax.nn.one_hot(t, x.shape[-1]), 0.1))
            ),
            (predictions, labels),
            "optax",
        ),
        "nll_loss": Row(
            jaxloss.nll_loss,
            lambda x, t: -jnp.mean(jnp.take_along_axis(x, t[:, None], 1)),
            (log_probs, labels),
        ),
        "binary_cross_entropy": Row(jaxloss.binary_cross_entropy, plain_binary, (probabilities, binary)),
        "binary_cross_entropy_with_logits": Row(
            jaxloss.binary_cross_entropy_with_logits,
            mean(optax.sigmoid_binary_cross_entropy),
            (predictions, binary),
            "optax",
        ),
        "soft_margin_loss": Row(
            jaxloss.soft_margin_loss, lambda x, t: jnp.mean(jax.nn.softplus(-t * x)), (predictions, signs)
        ),
        "multilabel_soft_margin_loss": Row(
            jaxloss.multilabel_soft_margin_loss,
            mean(optax.sigmoid_binary_cross_entropy),
            (predictions, binary),
            "optax",
        ),
        "multi_margin_loss": Row(jaxloss.multi_margin_loss, plain_multi_margin, (predictions, labels)),
        "multilabel_margin_loss": Row(jaxloss.multilabel_margin_loss, plain_multilabel_margin, (predictions, lists)),
        "hinge_embedding_loss": Row(
            jaxloss.hinge_embedding_loss,
            lambda x, t: jnp.mean(jnp.where(t == 1, x, jnp.maximum(1 - x, 0))),
            (predictions, signs),
        ),
        "margin_ranking_loss": Row(
            jaxloss.margin_ranking_loss,
            lambda a, b, t: jnp.mean(jnp.maximum(-t * (a - b), 0)),
            (predictions, targets, signs),
        ),
        "cosine_embedding_loss": Row(jaxloss.cosine_embedding_loss, plain_cosine, (predictions, targets, row_signs)),
        "triplet_margin_loss": Row(jaxloss.triplet_margin_loss, plain_triplet, (predictions, targets, third)),
        "triplet_margin_with_distance_loss": Row(
            jaxloss.triplet_margin_with_distance_loss, plain_triplet, (predictions, targets, third)
        ),
        "pairwise_distance": Row(
            lambda a, b: jnp.mean(jaxloss.pairwise_distance(a, b)),
            lambda a, b: jnp.mean(jnp.linalg.norm(a - b + 1e-6, axis=-1)),
            (predictions, targets),
        ),
        "cosine_similarity": Row(
            mean(jaxloss.cosine_similarity),
            mean(lambda a, b: optax.cosine_similarity(a, b, epsilon=1e-8)),
            (predictions, targets),
            "optax",
        ),
    }


def plain_smooth_l1(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    error = jnp.abs(predictions - targets)
    return jnp.mean(jnp.where(error < 1, error**2 / 2, error - 0.5))


def plain_gaussian(predictions: jax.Array, targets: jax.Array, var: jax.Array) -> jax.Array:
    var = jnp.maximum(var, 1e-6)
    return jnp.mean((jnp.log(var) + (predictions - targets) ** 2 / var) / 2)


def plain_binary(predictions: jax.Array, targets: jax.Array) -> jax.Array:
    yes, no = jnp.maximum(jnp.log(predictions), -100), jnp.maximum(jnp.log1p(-predictions), -100)
    return -jnp.mean(targets * yes + (1 - targets) * no)


def plain_multi_margin(scores: jax.Array, labels: jax.Array) -> jax.Array:
    score = jnp.take_along_axis(scores, labels[:, None], 1)
    short = jnp.maximum(1 - score + scores, 0) * (1 - jax.nn.one_hot(labels, scores.shape[1]))
    return jnp.mean(short)


def plain_multilabel_margin(scores: jax.Array, lists: jax.Array) -> jax.Array:
    def row(scores_and_list: tuple[jax.Array, jax.Array]) -> jax.Array:
        # One example at a time: all pairs of all examples would be 16 GiB.
        scores, classes = scores_and_list
        listed = jnp.cumsum(classes == -1) == 0
        others = ~jnp.any((classes[:, None] == jnp.arange(scores.size)) & listed[:, None], 0)
        pairs = jnp.maximum(1 - scores[classes][:, None] + scores, 0)
        return jnp.sum(pairs * listed[:, None] * others) / scores.size

    return jnp.mean(jax.lax.map(row, (scores, lists)))


def plain_cosine(a: jax.Array, b: jax.Array, signs: jax.Array) -> jax.Array:
    norms = jnp.sqrt((jnp.sum(a * a, -1) + 1e-12) * (jnp.sum(b * b, -1) + 1e-12))
    cosine = jnp.sum(a * b, -1) / norms
    return jnp.mean(jnp.where(signs == 1, 1 - cosine, jnp.maximum(cosine, 0)))


def plain_triplet(anchor: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
    near = jnp.linalg.norm(anchor - positive + 1e-6, axis=-1)
    far = jnp.linalg.norm(anchor - negative + 1e-6, axis=-1)
    return jnp.mean(jnp.maximum(near - far + 1, 0))


def measured(name: str, row: Row, seconds: float, rounds: int) -> dict[str, object]:
    """Medians of both, taking turns, for at least `rounds` rounds and until `seconds` have passed."""
    arrays = tuple(map(jnp.asarray, row.arrays))
    compiled = [jax.jit(jax.value_and_grad(function)).lower(*arrays).compile() for function in (row.ours, row.theirs)]
    values = [run(*arrays) for run in compiled]
    for ours, theirs in zip(*map(jax.tree.leaves, values), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-6, err_msg=name)
    times: list[list[float]] = [[], []]
    start = time.perf_counter()
    while len(times[0]) < rounds or (time.perf_counter() - start < seconds and len(times[0]) < 301):
        for run, taken in zip(compiled, times, strict=True):
            before = time.perf_counter()
            jax.block_until_ready(run(*arrays))
            taken.append(time.perf_counter() - before)
    ours, theirs = (statistics.median(taken) * 1e3 for taken in times)
    memory = [run.memory_analysis().temp_size_in_bytes / 2**20 for run in compiled]
    return {
        "loss": name,
        "peer": row.peer,
        "ours_ms": round(ours, 3),
        "theirs_ms": round(theirs, 3),
        "ratio": round(ours / theirs, 2),
        "ours_temporaries_mib": round(memory[0], 1),
        "theirs_temporaries_mib": round(memory[1], 1),
        "rounds": len(times[0]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small arrays, to see that it runs")
    parser.add_argument("--only", nargs="+", metavar="LOSS", help="these losses, by the name in the table")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    shape = (64, 32) if arguments.quick else (4096, 1024)
    machine = {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "optax": optax.__version__,
        "shape": shape,
        "dtype": "float32",
    }
    print("value and gradient;", ", ".join(f"{key} {value}" for key, value in machine.items()))
    print(f"{'loss':34}{'peer':11}{'ours ms':>9}{'theirs ms':>11}{'ratio':>7}{'ours MiB':>10}{'theirs MiB':>12}")
    results = []
    for name, row in rows(*shape).items():
        if arguments.only and name not in arguments.only:
            continue
        result = measured(name, row, seconds=0.1 if arguments.quick else 3, rounds=7)
        results.append(result)
        print(
            f"{name:34}{row.peer:11}{result['ours_ms']:9}{result['theirs_ms']:11}{result['ratio']:7}"
            f"{result['ours_temporaries_mib']:10}{result['theirs_temporaries_mib']:12}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
