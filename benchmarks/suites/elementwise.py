"""Every loss of one value per number or per example, but for those that have a suite of their own."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case, Function, mean
from benchmarks.peers import optional

optax, keras, functional = map(optional, ("optax", "keras.losses", "torch.nn.functional"))


def cases(quick: bool) -> list[Case]:
    if quick:
        size = 64, 33
    elif jax.default_backend() == "gpu":
        size = 32768, 4096
    else:
        size = 1024, 1024  # in the caches: larger results measure how the system hands out pages
    return [*regression(size), *binary(size), *classes(size)]


def case(
    loss: str,
    size: tuple[int, int],
    kinds: str,
    ours: Function,
    peers: dict[str, Function],
    reference: Function | None = None,
) -> Case:
    """The arrays are named by their kinds: see `drawn`."""

    def arrays(rng: np.random.Generator) -> Arrays:
        return tuple(drawn(kind, size, rng) for kind in kinds.split())

    return Case(loss=loss, size=f"{size[0]}, {size[1]}", arrays=arrays, ours=ours, peers=peers, reference=reference)


def drawn(kind: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """An array of what a loss takes: numbers, probabilities, signs, labels, ..."""
    n, c = size
    if kind == "labels":
        return rng.integers(0, c, n, np.int32)
    if kind == "lists":  # up to eight labels a row, then -1
        listed = np.arange(c) < rng.integers(1, 9, (n, 1))
        return np.where(listed, rng.integers(0, c, size), -1).astype(np.int32)
    if kind in ("distributions", "log_distributions"):
        rows = rng.standard_exponential(size) + 1e-6
        rows /= rows.sum(-1, keepdims=True)
        return (np.log(rows) if kind == "log_distributions" else rows).astype(np.float32)
    numbers = {
        "numbers": lambda: rng.standard_normal(size),
        "positive": lambda: rng.gamma(2, 1, size) + 0.1,
        "counts": lambda: rng.poisson(3, size),
        "probabilities": lambda: rng.uniform(0.01, 0.99, size),
        "zeros_and_ones": lambda: rng.integers(0, 2, size),
        "signs": lambda: 2 * rng.integers(0, 2, size) - 1,
    }
    return numbers[kind]().astype(np.float32)


def regression(size: tuple[int, int]) -> list[Case]:
    return [
        case(
            "l1_loss",
            size,
            "numbers numbers",
            jaxloss.l1_loss,
            {
                "jax.numpy": lambda x, t: jnp.mean(jnp.abs(x - t)),
                "keras": mean(lambda x, t: keras.mean_absolute_error(t, x)),
                "torch": lambda x, t: functional.l1_loss(x, t),
            },
            reference=lambda x, t: jnp.mean(jnp.sign(x - t) * (x - t)),
        ),
        case(
            "mse_loss",
            size,
            "numbers numbers",
            jaxloss.mse_loss,
            {
                "jax.numpy": lambda x, t: jnp.mean((x - t) ** 2),
                "optax": mean(lambda x, t: optax.squared_error(x, t)),
                "keras": mean(lambda x, t: keras.mean_squared_error(t, x)),
                "torch": lambda x, t: functional.mse_loss(x, t),
            },
        ),
        case(
            "huber_loss",
            size,
            "numbers numbers",
            jaxloss.huber_loss,
            {
                "jax.numpy": plain_smooth_l1,
                "optax": mean(lambda x, t: optax.huber_loss(x, t)),
                "keras": mean(lambda x, t: keras.huber(t, x)),
                "torch": lambda x, t: functional.huber_loss(x, t),
            },
        ),
        case(
            "smooth_l1_loss",
            size,
            "numbers numbers",
            jaxloss.smooth_l1_loss,
            {"jax.numpy": plain_smooth_l1, "torch": lambda x, t: functional.smooth_l1_loss(x, t)},
        ),
        case(
            "poisson_nll_loss",
            size,
            "numbers counts",
            jaxloss.poisson_nll_loss,
            {
                "jax.numpy": lambda x, t: jnp.mean(jnp.exp(x) - t * x),
                "torch": lambda x, t: functional.poisson_nll_loss(x, t),
            },
        ),
        case(
            "gaussian_nll_loss",
            size,
            "numbers numbers positive",
            jaxloss.gaussian_nll_loss,
            {
                "jax.numpy": plain_gaussian,
                "torch": lambda x, t, var: functional.gaussian_nll_loss(x, t, var),
            },
        ),
        case(
            "kl_div",
            size,
            "log_distributions distributions",
            lambda x, t: jaxloss.kl_div(x, t, reduction="batchmean"),
            {
                "jax.numpy": lambda x, t: jnp.mean(jnp.sum(t * (jnp.log(t) - x), -1)),
                "optax": mean(lambda x, t: optax.kl_divergence(x, t)),
                "torch": lambda x, t: functional.kl_div(x, t, reduction="batchmean"),
            },
        ),
    ]


def binary(size: tuple[int, int]) -> list[Case]:
    with_logits = {
        "jax.numpy": lambda x, t: jnp.mean(jax.nn.softplus(x) - x * t),
        "optax": mean(lambda x, t: optax.sigmoid_binary_cross_entropy(x, t)),
        "keras": mean(lambda x, t: keras.binary_crossentropy(t, x, from_logits=True)),
    }
    return [
        case(
            "binary_cross_entropy",
            size,
            "probabilities zeros_and_ones",
            jaxloss.binary_cross_entropy,
            {
                "jax.numpy": plain_binary,
                "keras": mean(lambda x, t: keras.binary_crossentropy(t, x)),
                "torch": lambda x, t: functional.binary_cross_entropy(x, t),
            },
        ),
        case(
            "binary_cross_entropy_with_logits",
            size,
            "numbers zeros_and_ones",
            jaxloss.binary_cross_entropy_with_logits,
            with_logits | {"torch": lambda x, t: functional.binary_cross_entropy_with_logits(x, t)},
        ),
        case(
            "multilabel_soft_margin_loss",
            size,
            "numbers zeros_and_ones",
            jaxloss.multilabel_soft_margin_loss,
            with_logits | {"torch": lambda x, t: functional.multilabel_soft_margin_loss(x, t)},
        ),
        case(
            "soft_margin_loss",
            size,
            "numbers signs",
            jaxloss.soft_margin_loss,
            {
                "jax.numpy": lambda x, t: jnp.mean(jax.nn.softplus(-t * x)),
                "torch": lambda x, t: functional.soft_margin_loss(x, t),
            },
        ),
        case(
            "hinge_embedding_loss",
            size,
            "numbers signs",
            jaxloss.hinge_embedding_loss,
            {
                "jax.numpy": lambda x, t: jnp.mean(jnp.where(t == 1, x, jnp.maximum(1 - x, 0))),
                "torch": lambda x, t: functional.hinge_embedding_loss(x, t),
            },
            reference=lambda x, t: jnp.mean(jnp.where(t == 1, x, hinge(1 - x))),
        ),
        case(
            "margin_ranking_loss",
            size,
            "numbers numbers signs",
            jaxloss.margin_ranking_loss,
            {
                "jax.numpy": lambda a, b, t: jnp.mean(jnp.maximum(-t * (a - b), 0)),
                "torch": lambda a, b, t: functional.margin_ranking_loss(a, b, t),
            },
            reference=lambda a, b, t: jnp.mean(hinge(-t * (a - b))),
        ),
    ]


def classes(size: tuple[int, int]) -> list[Case]:
    return [
        case(
            "nll_loss",
            size,
            "log_distributions labels",
            jaxloss.nll_loss,
            {
                "jax.numpy": lambda x, t: -jnp.mean(jnp.take_along_axis(x, t[:, None], 1)),
                "torch": lambda x, t: functional.nll_loss(x, t),
            },
        ),
        case(
            "multi_margin_loss",
            size,
            "numbers labels",
            jaxloss.multi_margin_loss,
            {"jax.numpy": plain_multi_margin, "torch": lambda x, t: functional.multi_margin_loss(x, t)},
        ),
        case(
            "multilabel_margin_loss",
            (max(size[0] // 16, 8), size[1]),  # the plain formula has all pairs of classes of all examples
            "numbers lists",
            jaxloss.multilabel_margin_loss,
            {"jax.numpy": plain_multilabel_margin, "torch": lambda x, t: functional.multilabel_margin_loss(x, t)},
        ),
    ]


def hinge(distance: jax.Array) -> jax.Array:
    """max(distance, 0) with PyTorch's gradient at 0, where numbers of bfloat16 often are; that of jax.numpy is half."""
    return jnp.where(distance >= 0, distance, 0)


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
    short = jnp.maximum(1 - score + scores, 0) * (1 - jax.nn.one_hot(labels, scores.shape[1], dtype=scores.dtype))
    return jnp.mean(short)


def plain_multilabel_margin(scores: jax.Array, lists: jax.Array) -> jax.Array:
    def row(scores: jax.Array, classes: jax.Array) -> jax.Array:
        listed = jnp.cumsum(classes == -1) == 0
        others = ~jnp.any((classes[:, None] == jnp.arange(scores.size)) & listed[:, None], 0)
        pairs = jnp.maximum(1 - scores[classes][:, None] + scores, 0)
        return jnp.sum(pairs * listed[:, None] * others) / scores.size

    return jnp.mean(jax.vmap(row)(scores, lists))
