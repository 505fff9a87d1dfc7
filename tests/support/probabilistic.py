"""Inputs of likelihoods, scores and survival, and where they are tried."""

from collections.abc import Callable
from typing import Any

import numpy as np
from inputs import COUNT, LABEL, RATE, REAL, VARIANCE, WEIGHTS, Arrays, Domain, Inputs, normal, takes
from points import Kind, grid, sampled

SMALL = Inputs((100,), size=4)
"""The ordinary inputs that accuracy is measured at: derivatives in many digits are slow."""


def parametric(*parameters: Any) -> Callable[[np.random.Generator, Inputs], Arrays]:
    """Numbers, numbers and positive parameters, one for each domain."""

    @takes(REAL, REAL, *parameters)
    def make(rng: np.random.Generator, inputs: Inputs) -> Arrays:
        scale = min(inputs.scale, 8)
        numbers = normal(rng, inputs.shape, scale), normal(rng, inputs.shape, scale)
        return (*numbers, *(np.asarray(rng.gamma(2, 1, inputs.shape) + 0.125) for _ in parameters))

    return make


one_scale, two_scales, any_scale = parametric(RATE), parametric(RATE, RATE), parametric(VARIANCE)


LOG_MEAN = Domain((0.0, 2.0**-10, 1.0, 17.0, -17.0))  # the square of the mean does not overflow


@takes(REAL, COUNT, RATE)
def log_means_counts_totals(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    log_means = normal(rng, inputs.shape, min(inputs.scale, 3))
    return log_means, np.asarray(rng.poisson(6, inputs.shape) * 1.0), np.asarray(rng.gamma(2, 4, inputs.shape) + 0.125)


@takes(REAL, RATE, RATE)
def log_means_amounts(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    amounts = np.asarray(rng.gamma(2, 1, inputs.shape) + 0.125)
    return normal(rng, inputs.shape, min(inputs.scale, 3)), amounts, np.asarray(rng.gamma(2, 4, inputs.shape) + 0.125)


@takes(LOG_MEAN, RATE)
def log_means_and_amounts(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return log_means_amounts(rng, inputs)[:2]


@takes(RATE, RATE, RATE)
def means_amounts(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return tuple(np.asarray(rng.gamma(2, 1, inputs.shape) + 0.125) for _ in range(3))


@takes(REAL, REAL, RATE, REAL)
def mixtures(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape, scale = (*inputs.shape, inputs.size), min(inputs.scale, 8)
    scales = np.asarray(rng.gamma(2, 1, shape) + 0.125)
    return normal(rng, shape, scale), normal(rng, inputs.shape, scale), scales, normal(rng, shape, 1)


@takes(REAL, REAL, WEIGHTS)
def vectors_and_factors(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = (*inputs.shape, min(inputs.size, 5))
    factors = rng.normal(size=(*shape, shape[-1])) / 4
    factors = np.where(np.eye(shape[-1]) > 0, np.abs(factors) + 1, factors)
    scale = min(inputs.scale, 8)
    return normal(rng, shape, scale), normal(rng, shape, scale), factors


@takes(REAL, REAL)
def ensembles(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = (*inputs.shape, inputs.size)
    return normal(rng, shape, inputs.scale), normal(rng, inputs.shape, inputs.scale)


@takes(REAL, REAL)
def ensembles_of_vectors(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, (*inputs.shape, inputs.size, 3), inputs.scale), normal(rng, (*inputs.shape, 3), inputs.scale)


@takes(REAL, WEIGHTS, WEIGHTS)
def studies(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Subjects with few durations, so that some are equal; the longest is an event."""
    shape = (*inputs.shape, inputs.size)
    durations, events = rng.integers(1, 4, shape), rng.integers(0, 2, shape)
    events[..., 0] = 1
    return normal(rng, shape, inputs.scale), durations, events


@takes(REAL, LABEL, WEIGHTS)
def hazards(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = (*inputs.shape, inputs.size)
    durations = np.asarray(rng.integers(0, inputs.size, inputs.shape))
    return normal(rng, shape, inputs.scale), durations, np.asarray(rng.integers(0, 2, inputs.shape))


def _sizes(kind: Kind, *values: float) -> np.ndarray:
    return np.unique(kind.rounded(values).astype(float))


def at_parameters(number: int) -> Callable[[Kind], Arrays]:
    """Errors from 0 to far outliers, under scales and other parameters of many sizes."""

    def make(kind: Kind) -> Arrays:
        real = _sizes(kind, 0, 1e-4, 0.5, -1, 3, -17, 1e4)
        positive = _sizes(kind, 1e-3, 0.5, 1, 8, 100, 1e4, *([1e12] if number == 2 else []))
        return sampled(real, real, *[positive] * number, number=300)

    return make


def at_counts(kind: Kind) -> Arrays:
    counts = np.unique(_sizes(kind, 0, 1, 2, 7, 8, 9, 100, 1e4))
    return grid(_sizes(kind, -17, -1, 0, 1, 5, 11), counts, _sizes(kind, 1e-3, 0.5, 7.5, 8, 100, 1e4, 1e8))


def at_amounts(kind: Kind) -> Arrays:
    return grid(_sizes(kind, -8, -1, 0, 1, 5), _sizes(kind, 1e-3, 1, 2, 100), _sizes(kind, 1e-3, 0.5, 8, 100, 1e4))


def at_two(kind: Kind) -> Arrays:
    return grid(_sizes(kind, -8, -1e-3, 0, 1e-4, 1, 5, 17), _sizes(kind, 1e-3, 1, 2, 100))
