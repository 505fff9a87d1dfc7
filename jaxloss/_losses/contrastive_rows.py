"""The losses of one row of similarities, for `contrastive`: what a chunk of anchors makes of all candidates."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Integer, Shaped

from jaxloss._core.arguments import filled
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import AxisName, ClassAxis, class_axis, varying
from jaxloss._core.class_numbers import signed
from jaxloss._core.domains import Domain, within
from jaxloss._core.elementwise import softplus
from jaxloss._core.log_sum import masked_logsumexp
from jaxloss._core.types import AnyArray, ArrayLike, Mask, Scalar, Values
from jaxloss._core.vectors import Directions, embedding_arrays, labelled
from jaxloss._ops.rows.problem import Rows, Shared

T = TypeVar("T")


class Candidates(NamedTuple):
    """The arrays of the candidates, which all anchors share."""

    inverse_norm: Float[Array, "candidates"]
    temperature: Float[Array, ""]
    keep: Bool[Array, "candidates"]
    negative: Bool[Array, "candidates"]
    """Whether a candidate that is kept may be a negative."""
    group: Integer[Array, "candidates"] | None
    log_q: Float[Array, "candidates"] | None

    def logits(self, product: Values, inverse_norm: Float[Array, "anchors"]) -> Values:
        """The similarities over the temperature, less the logarithm of the candidates' sampling probability."""
        logits = product * inverse_norm[:, None] * (self.inverse_norm / self.temperature)[None]
        return logits if self.log_q is None else logits - self.log_q.astype(logits.dtype)[None]


class Anchors(NamedTuple):
    """The arrays of the anchors, one entry for each row."""

    inverse_norm: Float[Array, "anchors"]
    own: Integer[Array, "anchors"]
    """The number of the positive candidate."""
    itself: Integer[Array, "anchors"] | None
    """The number of the anchor among the candidates, if it is one of them."""
    group: Integer[Array, "anchors"] | None
    negatives: Float[Array, "anchors"] | None = None
    """The logsumexp of further negatives of the anchor alone."""


class Pool(NamedTuple):
    """The candidates of all devices, and the number of this device's first candidate."""

    shared: Shared
    first: Integer[Array, ""] | int

    @classmethod
    def of(
        cls,
        candidates: Directions,
        temperature: Scalar,
        keep: Bool[Array, "candidates"],
        negative: Bool[Array, "candidates"],
        groups: Shaped[ArrayLike, "..."] | None,
        log_q: Values | None,
        axis_name: AxisName | None,
    ) -> "Pool":
        """Gather the candidates of all devices. JAX's transpose of that scatters their gradients back."""
        count = keep.shape[0]
        group = fitting("groups", groups, count)
        number = jnp.asarray(temperature, candidates.inverse_norm.dtype)
        local = Candidates(candidates.inverse_norm, number, keep, negative, group, log_q)
        vectors, parameters = gathered((candidates.vectors, local), axis_name)
        first = 0 if axis_name is None else count * lax.axis_index(axis_name)
        return cls(Shared(vectors.T, parameters, ClassAxis(1)), first)

    def numbers(self, count: int) -> Integer[Array, "count"]:
        """The numbers of this device's first candidates among those of all devices."""
        return self.first + jnp.arange(count, dtype=jnp.int32)


def gathered(tree: T, axis_name: AxisName | None) -> T:
    """The arrays of all devices of a mesh axis, one device after the other. Numbers stay as they are."""
    if axis_name is None:
        return tree
    names = class_axis(0, axis_name).names

    def gather(array: AnyArray) -> AnyArray:
        if array.ndim == 0:
            return array
        missing = tuple(sorted(names - varying(array)))
        array = cast(AnyArray, lax.pcast(array, missing, to="varying")) if missing else array
        return cast(AnyArray, lax.all_gather(array, axis_name, axis=0, tiled=True))

    return jax.tree.map(gather, tree)


def fitting(name: str, array: Shaped[ArrayLike, "..."] | None, count: int) -> AnyArray | None:
    """An optional array with one entry for each example, checked."""
    if array is None:
        return None
    array = jnp.asarray(array)
    wanted = jnp.bool_ if name == "key_where" else jnp.integer
    if not jnp.issubdtype(array.dtype, wanted):
        raise TypeError(
            f"`{name}` has dtype {array.dtype}, but must be {'bool' if wanted == jnp.bool_ else 'integers'}."
        )
    if array.shape != (count,):
        raise ValueError(f"`{name}` has shape {array.shape}, but must be ({count},).")
    return array


def anchors(
    directions: Directions,
    keep: Bool[Array, "anchors"],
    pool: Pool,
    own: Integer[Array, "anchors"],
    itself: Integer[Array, "anchors"] | None = None,
) -> Rows:
    """The rows of anchors whose positive candidate is `own`, a number among the candidates of all devices."""
    candidates = cast(Candidates, pool.shared.parameters)
    count = candidates.keep.shape[0]
    own = jnp.where(keep, signed(own), 0)
    known = within(Domain(f"a number from 0 to {count - 1}", lambda n: (n >= 0) & (n < count)), targets=own)
    inverse_norm = nan_unless(known | ~keep, directions.inverse_norm)
    own = jnp.where(known, own, 0).astype(jnp.int32)
    group = None if candidates.group is None else jnp.take(candidates.group, own, mode="clip")
    return Rows(directions.vectors, Anchors(inverse_norm, own, itself, group), keep)


def with_negatives(
    rows: Rows,
    negatives: Float[Array, "anchors negatives width"],
    direct: Callable[[Values], Directions],
    temperature: Scalar,
) -> Rows:
    """The rows, with further negatives of each anchor alone."""
    count, width = rows.hidden.shape
    if negatives.ndim != 3 or negatives.shape[::2] != (count, width):
        raise ValueError(f"`negatives` has shape {negatives.shape}, but must be ({count}, negatives, {width}).")
    if negatives.shape[1] == 0:
        return rows
    data = cast(Anchors, rows.data)
    flat = direct(negatives.reshape(-1, width))
    vectors, inverse_norm = flat.vectors.reshape(negatives.shape), flat.inverse_norm.reshape(negatives.shape[:2])
    product = jnp.einsum("nd,nkd->nk", rows.hidden, vectors, preferred_element_type=inverse_norm.dtype)
    logits = product * data.inverse_norm[:, None] * inverse_norm / jnp.asarray(temperature, inverse_norm.dtype)
    return rows._replace(data=data._replace(negatives=masked_logsumexp(logits, logits == logits, ClassAxis(1)).value))


class Labelled(NamedTuple):
    """Examples of a batch with class numbers, each an anchor that is compared with all others."""

    rows: Rows
    shared: Shared
    keep: Bool[Array, "examples"]

    @classmethod
    def of(
        cls,
        embeddings: Float[ArrayLike, "..."],
        targets: Shaped[ArrayLike, "..."],
        temperature: Scalar,
        ignore_index: int,
        axis_name: AxisName | None,
        where: Mask | None,
    ) -> "Labelled":
        (embeddings,) = embedding_arrays(embeddings=embeddings)
        targets, keep = labelled(targets, embeddings.shape[0], ignore_index, where)
        directions = Directions.of(filled(embeddings, keep, 0.0))
        pool = Pool.of(directions, temperature, keep, keep, targets, None, axis_name)
        return cls(anchors(directions, keep, pool, pool.numbers(keep.shape[0])), pool.shared, keep)


# The losses of a chunk of rows ------------------------------------------------------------------------------------


def candidate_losses(
    product: Values, data: Anchors, keep: Bool[Array, "anchors"], parameters: Candidates, axis: ClassAxis
) -> tuple[Values, Values]:
    """Minus the log-probability of the positive among it and the negatives."""
    excess, some, counted = _margin(product, data, keep, parameters, axis)
    # The softplus keeps the digits of a loss near 0, where the positive is by far the likeliest.
    return jnp.where(counted & some, softplus(excess), 0.0), counted.astype(product.dtype)


def decoupled_losses(
    product: Values, data: Anchors, keep: Bool[Array, "anchors"], parameters: Candidates, axis: ClassAxis
) -> tuple[Values, Values]:
    """The logsumexp of the negatives minus the logit of the positive."""
    excess, some, counted = _margin(product, data, keep, parameters, axis)
    return jnp.where(counted & some, excess, 0.0), (counted & some).astype(product.dtype)


def sigmoid_losses(
    product: Values,
    data: Anchors,
    keep: Bool[Array, "anchors"],
    parameters: tuple[Candidates, Values],
    axis: ClassAxis,
) -> tuple[Values, None]:
    """The sum over the candidates of the binary cross-entropy of being the positive."""
    candidates, bias = parameters
    logits = candidates.logits(product, data.inverse_norm) + bias
    own = _numbers(product, axis) == data.own[:, None]
    terms = softplus(jnp.where(own, -logits, logits))
    used = keep[:, None] & (own | _negatives(own, data, candidates))
    return jnp.squeeze(axis.sum(jnp.where(used, terms, 0.0)), 1), None


def supervised_losses(
    product: Values, data: Anchors, keep: Bool[Array, "anchors"], parameters: Candidates, axis: ClassAxis
) -> tuple[Values, Values]:
    """The mean over the positives, which have the anchor's group, of minus their log-probability."""
    logits = parameters.logits(product, data.inverse_norm)
    others, positive = relations(product, data, keep, parameters, axis)
    count = jnp.squeeze(axis.sum(positive.astype(logits.dtype)), 1)
    total = masked_logsumexp(logits, others, axis)
    # Both terms are at least 0: the logits of the positives below the largest, and the excess of the logsumexp.
    below = jnp.squeeze(axis.sum(jnp.where(positive, total.largest[:, None] - logits, 0.0)), 1)
    some = count > 0
    return jnp.where(some, below / jnp.where(some, count, 1.0) + total.excess, 0.0), some.astype(logits.dtype)


def relations(
    product: Values, data: Anchors, keep: Bool[Array, "anchors"], candidates: Candidates, axis: ClassAxis
) -> tuple[Bool[Array, "anchors candidates"], Bool[Array, "anchors candidates"]]:
    """Which candidates an anchor is compared with, all but itself, and which of these have its group."""
    others = candidates.keep[None] & keep[:, None] & (_numbers(product, axis) != data.own[:, None])
    assert candidates.group is not None
    assert data.group is not None
    return others, others & (candidates.group[None] == data.group[:, None])


def _margin(
    product: Values, data: Anchors, keep: Bool[Array, "anchors"], candidates: Candidates, axis: ClassAxis
) -> tuple[Values, Bool[Array, "anchors"], Bool[Array, "anchors"]]:
    """The logsumexp of the negatives minus the logit of the positive, and whether each of the two takes part."""
    logits = candidates.logits(product, data.inverse_norm)
    numbers = _numbers(product, axis)
    own = numbers == data.own[:, None]
    negative = _negatives(own, data, candidates)
    if data.itself is not None:
        negative &= numbers != data.itself[:, None]
    others = masked_logsumexp(logits, negative, axis)
    positive = jnp.squeeze(axis.sum(jnp.where(own, logits, 0.0)), 1)
    counted = keep & (jnp.squeeze(axis.sum((own & candidates.keep[None]).astype(logits.dtype)), 1) > 0)
    value, some = others.value, others.some
    if data.negatives is not None:
        value = jnp.where(some, jnp.logaddexp(value, data.negatives), data.negatives)
        some = jnp.ones_like(some)
    return value - positive, some, counted


def _negatives(
    own: Bool[Array, "anchors candidates"], data: Anchors, candidates: Candidates
) -> Bool[Array, "anchors candidates"]:
    negative = candidates.negative[None] & ~own
    if candidates.group is None or data.group is None:
        return negative
    return negative & (candidates.group[None] != data.group[:, None])


def _numbers(product: Values, axis: ClassAxis) -> Integer[Array, "1 candidates"]:
    """The numbers of the candidates among those of all devices."""
    count = product.shape[axis.number]
    return axis.first_class(count) + jnp.arange(count, dtype=jnp.int32)[None]
