"""The forward and backward recursions of CTC over numbers of extended range.

A path stands in frame t at a blank (before, between or after the labels) or at a label. In the next frame it stays or
moves on by one state. From a label it may skip the blank if the next label differs. The S + 1 blanks and the S labels
are two arrays, because only labels can be entered by a skip.

Frames after the end of a sequence emit a blank of probability 1. No label can be entered there, so that all paths wait
at the last blank, whatever the sequence's length.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeVar, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Num

from jaxloss._core import extended_range as extended
from jaxloss._core.dtypes import accumulator
from jaxloss._core.extended_range import Extended
from jaxloss._ops.ctc.problem import Classes, Emissions, PerSequence, Problem, block_count

T = TypeVar("T")


Skips: TypeAlias = Bool[Array, "sequences labels"]


Lengths: TypeAlias = Int[Array, "sequences"]


Index: TypeAlias = Int[ArrayLike, ""]
"""The index of a loop. Under `jax.disable_jit` it is a Python integer."""


class States(NamedTuple):
    """One probability for each state in one frame.

    They are the alphas of the forward recursion (all partial paths that end in a state), or the betas of the backward
    recursion (all partial paths that start from it).
    """

    blanks: Extended
    labels: Extended


def pick(log_probs: Float[Array, "..."], classes: Classes, batch_axis: int) -> Emissions:
    """The log-probability of each class in every frame, in the dtype of the maths.

    The picked values are cast, and not the input: a cast of the input would take an array of its size.
    """

    def of_sequence(frames: Float[Array, "frames classes"], classes: Int[Array, "states"]) -> Float[Array, "..."]:
        return frames.at[:, classes].get(mode="promise_in_bounds")

    picked = jax.vmap(of_sequence, (batch_axis, 0), 1)(log_probs, classes)
    return picked.astype(accumulator(log_probs.dtype))


def pick_by_product(values: Float[Array, "..."], classes: Classes, batch_axis: int) -> Emissions:
    """The values of some classes in every frame, by a product with the classes' one-hot form.

    It is meant to be transposed: the transpose of a product is a product, and that of a gather is a scatter. The
    precision is the highest. With it the product is exact, because all terms of a sum but one are 0.
    """
    numbers = jnp.arange(values.shape[2], dtype=classes.dtype)
    one_hot = (classes[:, :, None] == numbers[None, None]).astype(values.dtype)
    form = "ntc,nsc->tns" if batch_axis == 0 else "tnc,nsc->tns"
    dtype = accumulator(values.dtype)
    return jnp.einsum(form, values, one_hot, precision="highest", preferred_element_type=dtype)


def value(problem: Problem) -> PerSequence:
    """Minus the log-probability of all paths; inf if there is no path.

    A value without a derivative needs the alphas of one frame only, so that no array of all frames is stored.
    """
    emissions, target_lengths = problem.emissions, problem.target_lengths
    skip_cost = _skip_cost(emissions, problem.skips)

    def forward(frame: Index, alphas: States, _: None) -> tuple[States, None]:
        return _emit(_step_forward(alphas, skip_cost), _frame(emissions, frame)), None

    alphas, _ = _loop_over_frames(
        emissions.shape[0], _certain_blank(emissions, jnp.zeros_like(target_lengths)), None, forward
    )
    return -extended.to_log(_likelihood(alphas, skip_cost, target_lengths))


def value_and_posteriors(problem: Problem) -> tuple[PerSequence, Emissions]:
    """The negative log-likelihood, and the posterior probability that a frame is the blank, or each label."""
    emissions, target_lengths = problem.emissions, problem.target_lengths
    frames = emissions.shape[0]
    skip_cost = _skip_cost(emissions, problem.skips)
    start = _certain_blank(emissions, jnp.zeros_like(target_lengths))

    def forward(frame: Index, alphas: States, saved: Extended) -> tuple[States, Extended]:
        alphas = _emit(_step_forward(alphas, skip_cost), _frame(emissions, frame))
        mantissa, exponent = alphas.labels
        return alphas, Extended(
            _set_frame(saved.mantissa, mantissa, frame), _set_frame(saved.exponent, exponent, frame)
        )

    # Only the alphas of the labels are stored: the posterior of the blank follows from those of the labels.
    storage = Extended(*(jnp.zeros_like(emissions[:, :, 1:], dtype=array.dtype) for array in start.labels))
    alphas, saved = _loop_over_frames(frames, start, storage, forward)
    likelihood = extended.normalize(_likelihood(alphas, skip_cost, target_lengths))
    inverse = inverse_mantissa(likelihood)
    # Going backward, a skip leaves the label before: the cost stands one place earlier.
    skip_cost_backward = jnp.pad(
        skip_cost[:, 1:], ((0, 0), (0, 1)), constant_values=extended.layout(emissions.dtype).zero_exponent
    )

    def backward(index: Index, betas: States, posteriors: Emissions) -> tuple[States, Emissions]:
        frame = frames - 1 - index
        betas = _step_backward(betas, skip_cost_backward)
        # The posteriors overwrite the stored mantissas of the alphas, which no later frame needs: that saves an array.
        alpha, beta = Extended(_frame(posteriors, frame), _frame(saved.exponent, frame)), betas.labels
        posterior = label_posteriors(alpha, beta, likelihood.exponent, inverse)
        return _emit(betas, _frame(emissions, frame)), _set_frame(posteriors, posterior, frame)

    _, labels = _loop_over_frames(frames, _certain_blank(emissions, target_lengths), saved.mantissa, backward)
    return -extended.to_log(likelihood), with_blank(labels, likelihood)


def inverse_mantissa(likelihood: Extended) -> Float[Array, "sequences"]:
    """1 / mantissa, or 0 for labels without a path, so that the gradient of an infinite loss is 0 and not 0 / 0."""
    return jnp.where(extended.is_zero(likelihood), 0.0, 1 / likelihood.mantissa)


def label_posteriors(
    alpha: Extended, beta: Extended, exponent: Int[Array, "... sequences"], inverse: Float[Array, "... sequences"]
) -> Float[Array, "... sequences labels"]:
    """alpha * beta / likelihood, as floating numbers, of the likelihood's exponent and the inverse of its mantissa."""
    product = Extended(alpha.mantissa * beta.mantissa, alpha.exponent + beta.exponent)
    # No posterior exceeds 1, so that the shift is never far upward. The bound holds for states without a path in a
    # sequence without a path, where the exponents are arbitrary.
    shift = jnp.maximum(exponent[..., None], product.exponent - 40)
    return extended.mantissa_at(product, shift) * inverse[..., None]


def with_blank(labels: Float[Array, "frames sequences labels"], likelihood: Extended) -> Emissions:
    """The posteriors of the blank before those of the labels: a frame that is no label is the blank.

    Rounding must not give it a probability below 0. The correction is a constant to the derivative, because the sum of
    all posteriors does not depend on the emissions.
    """
    blank = jnp.where(extended.is_zero(likelihood), 0.0, 1.0)[None] - jnp.sum(labels, 2)
    blank += lax.stop_gradient(jnp.maximum(-blank, 0.0))
    return jnp.concatenate([blank[:, :, None], labels], 2)


def _step_forward(alphas: States, skip_cost: Int[Array, "sequences labels"]) -> States:
    """Move the alphas on by one frame, without the new frame's emission."""
    # A blank is entered from the label before it, and a label from the blank or, by a skip, the label before it.
    blanks, labels = alphas
    into_blanks = pad(labels, (1, 0))  # the label before each blank
    previous_blanks, previous_labels = _slice(blanks, slice(-1)), _slice(into_blanks, slice(-1))
    return States(
        extended.add(blanks, into_blanks),
        extended.add(labels, previous_blanks, _add_exponent(previous_labels, skip_cost)),
    )


def _step_backward(betas: States, skip_cost: Int[Array, "sequences labels"]) -> States:
    """Move the betas back by one frame, without the new frame's emission."""
    # The mirror image: a blank leads to the label after it, and a label to the blank or the label after it.
    blanks, labels = betas
    from_blanks = pad(labels, (0, 1))  # the label after each blank
    next_blanks, next_labels = _slice(blanks, slice(1, None)), _slice(from_blanks, slice(1, None))
    return States(
        extended.add(blanks, from_blanks), extended.add(labels, next_blanks, _add_exponent(next_labels, skip_cost))
    )


def _emit(states: States, emissions: Float[Array, "sequences states"]) -> States:
    # The exponential is taken frame by frame, so that no mantissas and exponents of all frames are stored.
    return States(
        extended.multiply(states.blanks, extended.from_log(emissions[:, :1])),
        extended.multiply(states.labels, extended.from_log(emissions[:, 1:])),
    )


def _certain_blank(emissions: Emissions, at: Lengths) -> States:
    """States with probability 1 at one blank and 0 elsewhere: where the forward or the backward recursion starts.

    They are made from the emissions because a loop under `shard_map` requires that its carry varies over the devices
    like the results of its body.
    """
    layout, ones = extended.layout(emissions.dtype), jnp.ones_like(emissions[0])
    is_start = jnp.arange(ones.shape[1], dtype=at.dtype)[None] == at[:, None]
    zero = jnp.where(is_start, layout.zero_exponent, jnp.full_like(ones, layout.zero_exponent, layout.integer))
    ones = jnp.where(is_start, jnp.ones((), ones.dtype), ones)
    return States(Extended(ones, jnp.where(is_start, 0, zero)), Extended(ones[:, 1:], zero[:, 1:]))


def _likelihood(alphas: States, skip_cost: Int[Array, "sequences labels"], target_lengths: Lengths) -> Extended:
    """The probability of all complete paths: one more step takes each of them to the last blank."""
    ends = _step_forward(alphas, skip_cost).blanks
    return Extended(*(jnp.take_along_axis(array, target_lengths[:, None], 1, mode="clip")[:, 0] for array in ends))


def _loop_over_frames(
    frames: int, states: States, stored: T, body: Callable[[Index, States, T], tuple[States, T]]
) -> tuple[States, T]:
    """Loop over whole blocks of frames, and normalise the states before each block.

    Mantissas grow from frame to frame. A block is short enough that none overflows, and so the cost of a normalisation
    is shared by its frames.
    """
    number = block_count(frames)
    size = frames // number

    def block(index: Index, carry: tuple[States, T]) -> tuple[States, T]:
        states, stored = carry

        def each(frame: Index, carry: tuple[States, T]) -> tuple[States, T]:
            return body(index * size + frame, *carry)

        start = (States(extended.normalize(states.blanks), extended.normalize(states.labels)), stored)
        return cast(tuple[States, T], lax.fori_loop(0, size, each, start))

    return cast(tuple[States, T], lax.fori_loop(0, number, block, (states, stored)))


def _skip_cost(emissions: Emissions, skips: Skips) -> Int[Array, "sequences labels"]:
    """The exponent that a skip of a blank adds: 0, or that of the number zero where the skip is not allowed."""
    layout = extended.layout(emissions.dtype)
    return jnp.where(skips, 0, layout.zero_exponent).astype(layout.integer)


def _slice(x: Extended, part: slice) -> Extended:
    return Extended(x.mantissa[:, part], x.exponent[:, part])


def _add_exponent(x: Extended, exponent: Int[Array, "..."]) -> Extended:
    return Extended(x.mantissa, x.exponent + exponent)


def pad(x: Extended, sides: tuple[int, int]) -> Extended:
    """Add zeros before or after the states."""
    widths = ((0, 0), sides)
    zero_exponent = extended.layout(x.mantissa.dtype).zero_exponent
    return Extended(
        jnp.pad(x.mantissa, widths, constant_values=1.0), jnp.pad(x.exponent, widths, constant_values=zero_exponent)
    )


def _frame(array: Num[Array, "frames ..."], frame: Index) -> Num[Array, "..."]:
    return cast(Array, lax.dynamic_index_in_dim(array, frame, keepdims=False))


def _set_frame(array: Num[Array, "frames ..."], values: Num[Array, "..."], frame: Index) -> Num[Array, "frames ..."]:
    return cast(Array, lax.dynamic_update_index_in_dim(array, values, frame, 0))
