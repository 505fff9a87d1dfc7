"""Losses that break a law each, in the way that losses do: a law that these pass would prove nothing."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss


def plain(x: Any, t: Any, **keywords: Any) -> Any:
    return jaxloss.reduce((x - t) ** 2, **keywords)


calls = itertools.count(1.0)


def keeping_a_state(x: Any, t: Any, **keywords: Any) -> Any:
    return plain(x, t, **keywords) * next(calls)


@jax.custom_batching.custom_vmap
def _centred(x: Any) -> Any:
    return x - jnp.mean(x)


@_centred.def_vmap
def _centred_of_a_batch(_: int, batched: list[bool], x: Any) -> tuple[Any, bool]:
    return x - jnp.mean(x), batched[0]  # over the batch too


def with_a_batching_rule(x: Any, t: Any, **keywords: Any) -> Any:
    return plain(_centred(jax.lax.stop_gradient(x)), t, **keywords)


def normalised_over_the_batch(x: Any, t: Any, **keywords: Any) -> Any:
    return plain(x / jnp.mean(x), t, **keywords)


@jax.custom_vjp
def _reverse_only(x: Any) -> Any:
    return x**2


_reverse_only.defvjp(lambda x: (x**2, x), lambda x, ct: (2 * x * ct,))


def without_forward_mode(x: Any, t: Any, **keywords: Any) -> Any:
    return jaxloss.reduce(_reverse_only(x - t), **keywords)


def with_a_constant_for_a_factor(x: Any, t: Any, **keywords: Any) -> Any:
    return jaxloss.reduce((x - t) * jax.lax.stop_gradient(x - t), **keywords)


def dividing_by_all(x: Any, t: Any, reduction: str = "mean", where: Any = None, **keywords: Any) -> Any:
    total = plain(x, t, reduction="sum" if reduction == "mean" else reduction, where=where, **keywords)
    return total / x.size if reduction == "mean" else total


def not_normalising_weights(x: Any, t: Any, reduction: str = "mean", sample_weight: Any = 1.0, **keywords: Any) -> Any:
    return jaxloss.reduce((x - t) ** 2 * jnp.asarray(sample_weight, x.dtype), reduction, **keywords)


def nan_for_an_empty_mask(x: Any, t: Any, reduction: str = "mean", where: Any = True, **keywords: Any) -> Any:
    losses = (x - t) ** 2
    return losses if reduction == "none" else jnp.mean(losses, where=jnp.broadcast_to(where, losses.shape))


def unmasked_when_unreduced(x: Any, t: Any, reduction: str = "mean", where: Any = None, **keywords: Any) -> Any:
    return plain(x, t, reduction=reduction, where=None if reduction == "none" else where, **keywords)


def parts_of_weight_one(x: Any, t: Any, reduction: str = "mean", **keywords: Any) -> Any:
    if reduction == "mean":
        return jaxloss.reduce(plain(x, t, **keywords)[None], reduction)  # the mean of one mean
    return plain(x, t, reduction=reduction, **keywords)


def rounding_the_losses(x: Any, t: Any, **keywords: Any) -> Any:
    return plain(x, t, **keywords).astype(x.dtype)


def nan_beside_the_point(x: Any, t: Any, **keywords: Any) -> Any:
    return jaxloss.reduce(jnp.where(x == x, (x - t) ** 2, (x - x) / (x - x)), **keywords)


def weighing_by_position(x: Any, t: Any, **keywords: Any) -> Any:
    return jaxloss.reduce((x - t) ** 2 * jnp.arange(len(x), dtype=x.dtype)[:, None], **keywords)


def looking_at_a_value(x: Any, t: Any, **keywords: Any) -> Any:
    return plain(x, t, **keywords) if float(x[0, 0]) > -np.inf else 0.0


def below_zero(x: Any, t: Any, **keywords: Any) -> Any:
    return jaxloss.reduce((x - t) ** 2 - 1, **keywords)


def all_pairs(x: Any, t: Any, reduction: str = "mean", where: Any = None, **keywords: Any) -> Any:
    """A contrastive loss: row i of `t` is the positive of row i of `x`, and all other rows are its negatives.

    It breaks no law.
    """
    keep = jnp.ones(len(x), bool) if where is None else where
    x, t = (jnp.where(keep[:, None], array, jnp.zeros_like(array)) for array in (x, t))
    logits = jnp.matmul(x, t.T, preferred_element_type=jnp.float32 if x.dtype.itemsize < 4 else x.dtype)
    others = jnp.where(keep[None], logits, -1e30)  # an infinity would stop `jax.debug_infs`
    others = jnp.where(keep[:, None], others, jnp.zeros_like(others))  # a masked row may have no other row at all
    largest = jax.lax.stop_gradient(jnp.max(others, axis=1, keepdims=True, initial=-1e30))
    log_sums = largest[:, 0] + jnp.log(jnp.sum(jnp.exp(others - largest), axis=1))
    losses = log_sums - jnp.diagonal(logits)
    return jaxloss.reduce(losses, reduction, where, dtype=x.dtype, **keywords)


def all_pairs_with_masked_negatives(x: Any, t: Any, reduction: str = "mean", where: Any = None, **keywords: Any) -> Any:
    losses = jax.nn.logsumexp(x @ t.T, axis=1) - jnp.sum(x * t, axis=1)
    return jaxloss.reduce(losses, reduction, where, **keywords)


def all_pairs_with_positions(x: Any, t: Any, **keywords: Any) -> Any:
    """The loss of an example depends on its position too."""
    return all_pairs(x, jnp.cumsum(t, axis=0), **keywords)
