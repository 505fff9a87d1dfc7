"""The paths of CTC: a label in some frames, a blank in the others, each label entered after the one before it.

A path stands in frame t at a blank, before, between or behind the labels, or at a label. It stays, or moves on by one;
from a label it may skip the blank, if the next label is another one. Blanks (S + 1) and labels (S) are two arrays.
Frames behind the end of a sequence are blanks of probability 1: no label can be entered there, so that all paths wait
at the last blank, whatever the sequence's length.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Num

from jaxloss._core.extended_range import Extended, is_zero, layout, log, normalized, of_log, plus, scaled, times
from jaxloss._ops.ctc.formula import surprise_in_logs
from jaxloss._ops.ctc.problem import block_count

T = TypeVar("T")


Emissions = Float[Array, "frames sequences states"]
"""The log-probabilities of the blank, then of each label, in every frame."""


Skips = Bool[Array, "sequences labels"]
"""Whether a path may come to a label from the one before it, without a blank."""


Lengths = Int[Array, "sequences"]


PerSequence = Float[Array, "sequences"]


class Front(NamedTuple):
    """The probability of all ways to, or from, each state in one frame."""

    blanks: Extended
    labels: Extended


@jax.custom_jvp
def surprise(emissions: Emissions, skips: Skips, lengths: Lengths) -> PerSequence:
    """Minus the logarithm of the probability of all paths; inf if there is none."""

    penalty = _penalty(emissions, skips)

    def forth(frame: Int[Array, ""], front: Front, _: None) -> tuple[Front, None]:
        return _emitted(_forth(front, penalty), _at(emissions, frame)), None

    front, _ = _in_blocks(emissions.shape[0], _start(emissions, jnp.zeros_like(lengths)), None, forth)
    return -log(_total(front, penalty, lengths))


@surprise.defjvp
def _surprise_jvp(
    primals: tuple[Emissions, Skips, Lengths], tangents: tuple[Emissions, object, object]
) -> tuple[PerSequence, PerSequence]:
    losses, posteriors = surprise_and_posteriors(*primals)
    return losses, -jnp.sum(posteriors * tangents[0], (0, 2))


@jax.custom_jvp
def surprise_and_posteriors(emissions: Emissions, skips: Skips, lengths: Lengths) -> tuple[PerSequence, Emissions]:
    """The surprise, and minus its derivative: the probability that a frame is the blank, or each label."""
    frames = emissions.shape[0]
    penalty, start = _penalty(emissions, skips), _start(emissions, jnp.zeros_like(lengths))

    def forth(frame: Int[Array, ""], front: Front, saved: Extended) -> tuple[Front, Extended]:
        front = _emitted(_forth(front, penalty), _at(emissions, frame))
        mantissa, exponent = front.labels
        return front, Extended(_put(saved.mantissa, mantissa, frame), _put(saved.exponent, exponent, frame))

    room = Extended(*(jnp.zeros_like(emissions[:, :, 1:], dtype=array.dtype) for array in start.labels))
    front, saved = _in_blocks(frames, start, room, forth)
    total = normalized(_total(front, penalty, lengths))
    inverse = jnp.where(is_zero(total), 0.0, 1 / total.mantissa)[:, None]
    penalty_back = jnp.pad(penalty[:, 1:], ((0, 0), (0, 1)), constant_values=layout(emissions.dtype).nothing)

    def back(index: Int[Array, ""], front: Front, found: Emissions) -> tuple[Front, Emissions]:
        frame = frames - 1 - index
        front = _back(front, penalty_back)
        # Posteriors take the place of the mantissas that they are made of, which nothing else needs.
        came, goes = Extended(_at(found, frame), _at(saved.exponent, frame)), front.labels
        both = Extended(came.mantissa * goes.mantissa, came.exponent + goes.exponent)
        # No posterior is above 1; the bound is for states without a path in a sequence without a path.
        posterior = scaled(both, jnp.maximum(total.exponent[:, None], both.exponent - 40)) * inverse
        return _emitted(front, _at(emissions, frame)), _put(found, posterior, frame)

    _, labels = _in_blocks(frames, _start(emissions, lengths), saved.mantissa, back)
    # A frame that is no label is the blank. Rounding must not make it less likely than impossible.
    blank = jnp.where(is_zero(total), 0.0, 1.0)[None] - jnp.sum(labels, 2)
    blank += lax.stop_gradient(jnp.maximum(-blank, 0.0))
    return -log(total), jnp.concatenate([blank[:, :, None], labels], 2)


@surprise_and_posteriors.defjvp
def _surprise_and_posteriors_jvp(
    primals: tuple[Emissions, Skips, Lengths], tangents: tuple[Emissions, object, object]
) -> tuple[tuple[PerSequence, Emissions], tuple[PerSequence, Emissions]]:
    # JAX would differentiate what is above, but keep all posteriors for every frame. So this is the derivative of the
    # same recursion in logarithms. (In a scan JAX 0.10 does take the other way, which must be right too.)
    def total(emissions: Emissions) -> Float[Array, ""]:
        return jnp.sum(surprise_in_logs(emissions, *primals[1:]))

    def posteriors(emissions: Emissions) -> Emissions:
        return -cast(Emissions, jax.grad(total)(emissions))

    found = surprise_and_posteriors(*primals)
    return found, (-jnp.sum(found[1] * tangents[0], (0, 2)), jax.jvp(posteriors, primals[:1], tangents[:1])[1])


def _forth(front: Front, penalty: Int[Array, "sequences labels"]) -> Front:
    """One frame on, before its emission."""
    blanks, labels = front
    entered = _padded(labels, (1, 0))  # one before each blank
    came, skipped = _cut(blanks, slice(-1)), _cut(entered, slice(-1))
    return Front(plus(blanks, entered), plus(labels, came, _shifted(skipped, penalty)))


def _back(front: Front, penalty: Int[Array, "sequences labels"]) -> Front:
    """One frame back, before its emission."""
    blanks, labels = front
    left = _padded(labels, (0, 1))  # one behind each blank
    goes, skips = _cut(blanks, slice(1, None)), _cut(left, slice(1, None))
    return Front(plus(blanks, left), plus(labels, goes, _shifted(skips, penalty)))


def _emitted(front: Front, emissions: Float[Array, "sequences states"]) -> Front:
    return Front(times(front.blanks, of_log(emissions[:, :1])), times(front.labels, of_log(emissions[:, 1:])))


def _start(emissions: Emissions, at: Lengths) -> Front:
    """All the probability at one blank.

    What a loop carries must vary over devices as what the loop makes of it does: so it is made from the inputs.
    """
    its, ones = layout(emissions.dtype), jnp.ones_like(emissions[0])
    here = jnp.arange(ones.shape[1], dtype=at.dtype)[None] == at[:, None]
    nothing = jnp.where(here, its.nothing, jnp.full_like(ones, its.nothing, its.integer))
    ones = jnp.where(here, jnp.ones((), ones.dtype), ones)
    return Front(Extended(ones, jnp.where(here, 0, nothing)), Extended(ones[:, 1:], nothing[:, 1:]))


def _total(front: Front, penalty: Int[Array, "sequences labels"], lengths: Lengths) -> Extended:
    """The probability of the paths that end: they could come to the last blank in one more frame."""
    ends = _forth(front, penalty).blanks
    return Extended(*(jnp.take_along_axis(array, lengths[:, None], 1, mode="clip")[:, 0] for array in ends))


def _in_blocks(
    frames: int, front: Front, rest: T, body: Callable[[Int[Array, ""], Front, T], tuple[Front, T]]
) -> tuple[Front, T]:
    """A loop over whole blocks of frames, in front of each of which the front is normalised."""
    number = block_count(frames)
    size = frames // number

    def block(index: Int[Array, ""], carry: tuple[Front, T]) -> tuple[Front, T]:
        front, rest = carry

        def each(frame: Int[Array, ""], carry: tuple[Front, T]) -> tuple[Front, T]:
            return body(index * size + frame, *carry)

        start = (Front(normalized(front.blanks), normalized(front.labels)), rest)
        return cast(tuple[Front, T], lax.fori_loop(0, size, each, start))

    return cast(tuple[Front, T], lax.fori_loop(0, number, block, (front, rest)))


def _penalty(emissions: Emissions, skips: Skips) -> Int[Array, "sequences labels"]:
    """The exponent of what a step without a blank costs: nothing, or everything."""
    its = layout(emissions.dtype)
    return jnp.where(skips, 0, its.nothing).astype(its.integer)


def _cut(x: Extended, part: slice) -> Extended:
    return Extended(x.mantissa[:, part], x.exponent[:, part])


def _shifted(x: Extended, exponent: Int[Array, "..."]) -> Extended:
    return Extended(x.mantissa, x.exponent + exponent)


def _padded(x: Extended, sides: tuple[int, int]) -> Extended:
    """With zeros in front of, or behind, the states."""
    widths = ((0, 0), sides)
    nothing = layout(x.mantissa.dtype).nothing
    return Extended(
        jnp.pad(x.mantissa, widths, constant_values=1.0), jnp.pad(x.exponent, widths, constant_values=nothing)
    )


def _at(every: Num[Array, "frames ..."], frame: Int[Array, ""]) -> Num[Array, "..."]:
    return cast(Array, lax.dynamic_index_in_dim(every, frame, keepdims=False))


def _put(every: Num[Array, "frames ..."], one: Num[Array, "..."], frame: Int[Array, ""]) -> Num[Array, "frames ..."]:
    return cast(Array, lax.dynamic_update_index_in_dim(every, one, frame, 0))
