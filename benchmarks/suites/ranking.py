"""Losses of padded lists of items."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case, Function
from benchmarks.peers import optional

rax = optional("rax")

# lists, items
QUICK = {(5, 7): "a small size"}
CPU = {(1024, 10): "a page of results", (256, 100): "candidates of a query", (16, 1000): "long lists"}
GPU = {(65536, 10): "a page of results", (8192, 100): "candidates of a query", (256, 1000): "long lists"}


def cases(quick: bool) -> list[Case]:
    sizes = QUICK if quick else GPU if jax.default_backend() == "gpu" else CPU
    return [case for (n, items), source in sizes.items() for case in lists(n, items, source)]


def lists(n: int, items: int, source: str = "") -> list[Case]:
    def arrays(rng: np.random.Generator) -> Arrays:
        """Scores, grades from 0 to 4, and 1 for the items of lists that are filled to three quarters."""
        scores, grades = rng.standard_normal((n, items), np.float32), rng.integers(0, 5, (n, items)).astype(np.float32)
        lengths = rng.integers(items // 2, items + 1, (n, 1))
        return scores, grades, (np.arange(items) < lengths).astype(np.int32)

    def case(loss: str, ours: Function, plain: Function, peer: Function) -> Case:
        return Case(
            loss=loss,
            size=f"{n}, {items}",
            source=source,
            arrays=arrays,
            ours=lambda scores, grades, keep: ours(scores, grades, where=keep > 0),
            peers={"jax.numpy": plain, "rax": lambda scores, grades, keep: peer(scores, grades, keep > 0)},
            dtypes=("float32",),
        )

    return [
        case(
            "listnet_loss",
            jaxloss.ListNetLoss(normalization=None),
            softmax,
            lambda s, y, where: rax.softmax_loss(s, y, where=where),
        ),
        case("listmle_loss", jaxloss.listmle_loss, listmle, lambda s, y, where: rax.listmle_loss(s, y, where=where)),
        case(
            "pairwise_logistic_loss",
            jaxloss.pairwise_logistic_loss,
            lambda *arrays: of_pairs(jax.nn.softplus, *arrays),
            lambda s, y, where: rax.pairwise_logistic_loss(s, y, where=where),
        ),
        case(
            "pairwise_hinge_loss",
            jaxloss.pairwise_hinge_loss,
            lambda *arrays: of_pairs(lambda gap: jnp.maximum(1 + gap, 0), *arrays),
            lambda s, y, where: rax.pairwise_hinge_loss(s, y, where=where),
        ),
        case(
            "approx_ndcg_loss",
            jaxloss.approx_ndcg_loss,
            approx_ndcg,
            lambda s, y, where: 1 + rax.approx_t12n(rax.ndcg_metric)(s, y, where=where),
        ),
    ]


def softmax(scores: jax.Array, grades: jax.Array, keep: jax.Array) -> jax.Array:
    log_probs = scores - jax.nn.logsumexp(scores, -1, where=keep > 0, keepdims=True)
    return -jnp.mean(jnp.sum(jnp.where(keep > 0, grades * log_probs, 0), -1))


def listmle(scores: jax.Array, grades: jax.Array, keep: jax.Array) -> jax.Array:
    order = jnp.argsort(jnp.where(keep > 0, -grades, jnp.inf), -1, stable=True)
    scores, kept = (jnp.take_along_axis(each, order, -1) for each in (scores, keep > 0))
    rest = jax.lax.cumlogsumexp(jnp.where(kept, scores, -1e9), 1, reverse=True)
    return jnp.mean(jnp.sum(jnp.where(kept, rest - scores, 0), -1))


def of_pairs(loss: Function, scores: jax.Array, grades: jax.Array, keep: jax.Array) -> jax.Array:
    pairs = (grades[:, :, None] > grades[:, None]) & (keep[:, :, None] > 0) & (keep[:, None] > 0)
    return jnp.sum(jnp.where(pairs, loss(scores[:, None] - scores[:, :, None]), 0)) / jnp.sum(pairs)


def approx_ndcg(scores: jax.Array, grades: jax.Array, keep: jax.Array) -> jax.Array:
    """Every list of these sizes has a relevant item."""
    gains, places = jnp.where(keep > 0, 2**grades - 1, 0), jnp.arange(scores.shape[1]) + 1
    best = jnp.sum(-jnp.sort(-gains, -1) / jnp.log2(1 + places)[None], -1)
    others = jax.nn.sigmoid(scores[:, None] - scores[:, :, None])
    ranks = 0.5 + jnp.sum(jnp.where(keep[:, None] > 0, others, 0), -1)
    return jnp.mean(1 - jnp.sum(gains / jnp.log2(1 + ranks), -1) / best)
