"""Divergences of two distributions, from their log-probabilities. None of their terms is negative."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import jax.numpy as jnp

from jaxloss._core.arguments import Number
from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import absolute, clamp_min, exp_excess, one_minus_exp
from jaxloss._core.types import Values

Divergence: TypeAlias = Literal["kl", "reverse_kl", "js", "skew_kl", "tv"]
"""The divergence of the student's distribution from the teacher's."""

DIVERGENCES: tuple[Divergence, ...] = ("kl", "reverse_kl", "js", "skew_kl", "tv")


def beta_range(arguments: Mapping[str, object]) -> Number:
    """The range of `beta`. At 0 and 1 the Jensen-Shannon divergence is 0 for all distributions."""
    if arguments["divergence"] == "js":
        return Number(above=0, below=1, condition=' for divergence="js", which is 0 at both ends: use divergence="kl"')
    return Number(at_least=0, at_most=1)


def divergence_terms(divergence: Divergence, log_p: Values, log_q: Values, beta: Values) -> Values:
    """The terms of the classes, which add up to the divergence. None is negative, and equal inputs give 0."""
    if divergence == "kl":
        return kl_terms(log_p, log_q)
    if divergence == "reverse_kl":
        return kl_terms(log_q, log_p)
    p, q = jnp.exp(log_p), jnp.exp(log_q)
    lowest = -limits(log_p.dtype).max / 4
    ratio = clamp_min(log_q, lowest) - clamp_min(log_p, lowest)
    if divergence == "tv":
        # The difference of two probabilities would lose the digits of a small one.
        return jnp.where(ratio > 0, q, p) * one_minus_exp(absolute(ratio)) / 2
    mixture = beta * p + (1 - beta) * q
    of_teacher = _terms(p, mixture, _log_mixture(ratio, 1 - beta))
    if divergence == "skew_kl":
        return of_teacher
    return beta * of_teacher + (1 - beta) * _terms(q, mixture, _log_mixture(-ratio, beta))


def kl_terms(log_p: Values, log_q: Values) -> Values:
    """The terms of KL(p | q). A class that q rules out and p does not makes an infinite term."""
    lowest = -limits(log_p.dtype).max / 4
    possible = log_p >= lowest
    ratio = jnp.where(possible, log_q, clamp_min(log_q, lowest)) - clamp_min(log_p, lowest)
    return _terms(jnp.exp(log_p), jnp.exp(log_q), ratio)


def _terms(p: Values, q: Values, ratio: Values) -> Values:
    """The terms p (q / p - 1 - log(q / p)) of KL(p | q), where `ratio` is log(q / p).

    They add up to the divergence, because both distributions add up to 1. In contrast to p log(p / q) each is at least
    0, so that nothing cancels in the sum.
    """
    far = ratio > 1  # where p may be 0 and its ratio overflows
    return jnp.where(far, q - p * (1 + jnp.where(far, ratio, 0.0)), p * exp_excess(jnp.where(far, 0.0, ratio)))


def _log_mixture(ratio: Values, weight: Values) -> Values:
    """log(1 - weight + weight exp(ratio)), with all digits where the ratio is near 0 and for large ratios."""
    positive = ratio > 0
    below = jnp.where(positive, 0.0, ratio)
    above = jnp.where(positive, ratio, 0.0)
    return jnp.where(
        positive, above + jnp.log1p((1 - weight) * jnp.expm1(-above)), jnp.log1p(weight * jnp.expm1(below))
    )
