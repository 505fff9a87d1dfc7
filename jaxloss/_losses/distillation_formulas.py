"""Divergences of two distributions, from their log-probabilities. None of their terms is negative."""

from collections.abc import Mapping
from functools import partial
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from jaxloss._core.arguments import Number
from jaxloss._core.autodiff import Tangent, along
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
    if divergence == "js":
        return _js_terms(p, q, ratio, beta)
    return _terms(p, beta * p + (1 - beta) * q, _log_mixture(ratio, 1 - beta))


@jax.custom_jvp
def _js_terms(p: Values, q: Values, ratio: Values, beta: Values) -> Values:
    """The terms of the Jensen-Shannon divergence, where `ratio` is log(q / p)."""
    of_teacher, of_student = _js_parts(p, q, ratio, beta)
    return beta * of_teacher + (1 - beta) * of_student


@partial(_js_terms.defjvp, symbolic_zeros=True)
def _js_terms_jvp(
    primals: tuple[Values, Values, Values, Values], tangents: tuple[Tangent, Tangent, Tangent, Tangent]
) -> tuple[Values, Values]:
    # In the derivatives of the two parts, terms of the mixture's size cancel. Where one of the two probabilities is
    # small, they would leave no digit. The sum has the derivatives beta log(p / m) and (1 - beta) log(q / m).
    p, q, ratio, beta = primals
    by_p, by_q, _, by_beta = tangents

    def slope_in_beta() -> Values:
        of_teacher, of_student = _js_parts(p, q, ratio, beta)
        return of_teacher - of_student

    slopes = along(
        (by_p, by_q, by_beta),
        lambda: -beta * _log_mixture(ratio, 1 - beta),
        lambda: -(1 - beta) * _log_mixture(-ratio, beta),
        slope_in_beta,
    )
    return _js_terms(p, q, ratio, beta), slopes


def _js_parts(p: Values, q: Values, ratio: Values, beta: Values) -> tuple[Values, Values]:
    """The terms of both divergences from the mixture."""
    mixture = beta * p + (1 - beta) * q
    return _terms(p, mixture, _log_mixture(ratio, 1 - beta)), _terms(q, mixture, _log_mixture(-ratio, beta))


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
