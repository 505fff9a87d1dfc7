"""The recursions of CTC for GPUs, where the launch of a kernel takes longer than its work.

One loop goes forward and backward at once: its step t has the alphas of frame t and the betas of frame T - 1 - t. The
blanks and the labels have the same shape, and the states of both directions are two arrays, mantissas and exponents. So
XLA makes few kernels of a step. The posteriors of all frames follow after the loop.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int

from jaxloss._core import extended_range as extended
from jaxloss._core.extended_range import Extended
from jaxloss._ops.ctc import xla
from jaxloss._ops.ctc.problem import Emissions, PerSequence, Problem

UNROLL = 8
"""Steps of the loop in one of its iterations. For a thousand frames, the program for an H100 has 1.3 kernels a frame
with 8 steps and 2.0 with 4. The two loops of `xla.py` have 14.6."""


def value_and_posteriors(problem: Problem) -> tuple[PerSequence, Emissions]:
    """The negative log-likelihood, and the posterior probability that a frame is the blank, or each label."""
    emissions, target_lengths = problem.emissions, problem.target_lengths
    zero = extended.layout(emissions.dtype).zero_exponent
    blanks, labels = _from_log(emissions)
    cost = jnp.pad(jnp.where(problem.skips, 0, zero), ((0, 0), (0, 1)), constant_values=zero)
    cost_backward = jnp.pad(cost[:, 1:], ((0, 0), (0, 1)), constant_values=zero)
    cost, cost_backward = (each.astype(labels.exponent.dtype) for each in (cost, cost_backward))

    def step(carry: Extended, frame: tuple[Extended, ...]) -> tuple[Extended, Extended]:
        (a_blanks, a_labels, b_blanks, b_labels), (blank, label, blank_back, label_back) = _planes(carry), frame
        before = _shift(a_labels, (1, 0))
        a_blanks, a_labels = (
            extended.add(a_blanks, before),
            extended.add(a_labels, a_blanks, _costing(before, cost)),
        )
        a_blanks, a_labels = _emitted(a_blanks, blank), _emitted(a_labels, label)
        after = _shift(b_labels, (0, 1))
        b_blanks, b_labels = (
            extended.add(b_blanks, b_labels),
            extended.add(b_labels, _shift(b_blanks, (0, 1)), _costing(after, cost_backward)),
        )
        found = _stack([a_labels, extended.normalize(b_labels)])
        emitted = _emitted(b_blanks, blank_back), _emitted(b_labels, label_back)
        return _stack([a_blanks, a_labels, *emitted]), found

    frames = (blanks, labels, *(Extended(x.mantissa[::-1], x.exponent[::-1]) for x in (blanks, labels)))
    end, found = lax.scan(step, _start(emissions, target_lengths), frames, unroll=UNROLL)

    a_blanks, a_labels, *_ = _planes(end)
    ends = extended.add(a_blanks, _shift(a_labels, (1, 0)))
    at_end = (jnp.take_along_axis(each, target_lengths[:, None], 1, mode="clip")[:, 0] for each in ends)
    likelihood = extended.normalize(Extended(*at_end))
    alphas = Extended(found.mantissa[:, 0, :, :-1], found.exponent[:, 0, :, :-1])
    betas = Extended(found.mantissa[::-1, 1, :, :-1], found.exponent[::-1, 1, :, :-1])
    inverse = xla.inverse_mantissa(likelihood)[None]
    labels = xla.label_posteriors(alphas, betas, likelihood.exponent[None], inverse)
    return -extended.to_log(likelihood), xla.with_blank(labels, likelihood)


def _from_log(emissions: Emissions) -> tuple[Extended, Extended]:
    """The emissions of the blank and of the labels, with a label more, whose emission is zero."""
    mantissa, exponent = extended.from_log(emissions[:, :, 1:])
    widths, zero = ((0, 0), (0, 0), (0, 1)), extended.layout(emissions.dtype).zero_exponent
    labels = Extended(jnp.pad(mantissa, widths, constant_values=1.0), jnp.pad(exponent, widths, constant_values=zero))
    return extended.from_log(emissions[:, :, :1]), labels


def _start(emissions: Emissions, target_lengths: Int[Array, "sequences"]) -> Extended:
    """The certain first blank of the forward recursion, and the certain last one of the backward recursion.

    They are made from the emissions because a scan under `shard_map` requires that its carry varies like them.
    """
    layout, ones = extended.layout(emissions.dtype), jnp.ones_like(emissions[0])
    none = jnp.full_like(ones, layout.zero_exponent, layout.integer)
    lane = jnp.arange(ones.shape[1], dtype=target_lengths.dtype)[None]
    first, last = (Extended(ones, jnp.where(lane == at, 0, none)) for at in (0, target_lengths[:, None]))
    nothing = Extended(ones, none)
    return _stack([first, nothing, last, nothing])


def _emitted(states: Extended, emission: Extended) -> Extended:
    return extended.normalize(extended.multiply(states, emission))


def _costing(states: Extended, cost: Int[Array, "sequences states"]) -> Extended:
    return Extended(states.mantissa, states.exponent + cost)


def _shift(states: Extended, sides: tuple[int, int]) -> Extended:
    """The states before (1, 0) or after (0, 1) each state, in the same shape; zero where there is none."""
    width = states.mantissa.shape[1]
    kept = slice(0, width - 1) if sides[0] else slice(1, width)
    return xla.pad(Extended(states.mantissa[:, kept], states.exponent[:, kept]), sides)


def _stack(planes: list[Extended]) -> Extended:
    mantissas, exponents = zip(*planes, strict=True)
    return Extended(jnp.stack(mantissas), jnp.stack(exponents))


def _planes(stacked: Extended) -> list[Extended]:
    return [Extended(*pair) for pair in zip(stacked.mantissa, stacked.exponent, strict=True)]
