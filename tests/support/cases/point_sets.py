"""Cases of losses of two sets of points."""

import gold_structured as gold
import numpy as np
from case import Case
from inputs import REAL, Arrays, Inputs, normal, takes
from measured import Measured
from mistakes import f, row
from references import Formula
from scipy.spatial.distance import cdist

import jaxloss

BANDWIDTHS = np.array([0.75, 2.0])


@takes(REAL, REAL)
def two_sets(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Four points, and as many as the size says, in the plane."""
    return tuple(normal(rng, (*inputs.shape, number, 2), inputs.scale) for number in (4, inputs.size))


def of_sizes(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    size = rng.choice([2.0**-10, 0.5, 1, 30], (*inputs.shape, 1, 1))
    return tuple(points * size for points in two_sets(rng, inputs))


def each(losses):
    """The losses of a batch, from a function of two sets."""

    def mapped(a, b, **options):
        batch = a.shape[:-2]
        pairs = zip(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]), strict=True)
        return np.array([losses(*pair, **options) for pair in pairs]).reshape(batch)

    return mapped


@each
def chamfer(a, b):
    squares = cdist(a, b, "sqeuclidean")
    return squares.min(1).mean() + squares.min(0).mean()


def mean_within(values, biased):
    return values.mean() if biased else values[~np.eye(len(values), dtype=bool)].mean()


@each
def energy_distance(a, b, biased=True):
    return 2 * cdist(a, b).mean() - sum(mean_within(cdist(x, x), biased) for x in (a, b))


@each
def mmd(a, b, bandwidth=1.0, biased=True):
    def kernel(x, y):
        return sum(np.exp(-cdist(x, y, "sqeuclidean") / (2 * s**2)) for s in np.atleast_1d(bandwidth))

    return sum(mean_within(kernel(x, x), biased) for x in (a, b)) - 2 * kernel(a, b).mean()


INPUTS = {
    "batched": Inputs((5,), size=3),
    "unbatched": Inputs(()),
    "extra": Inputs((2, 3, 2)),
    "tiny": Inputs((7,), scale=0.02),
    "huge": Inputs((7,), scale=1e4),
}
# Sets that coincide, a point between two others, and points at infinite distance for the kernels.
EDGES = (
    [[[0.0, 0], [1, 0]], [[0.0, 0], [0, 0]], [[0.0, 0], [1e4, 0]]],
    [[[0.0, 0], [1, 0]], [[0.0, 2], [0, -2]], [[0.0, 0], [1e4, 1]]],
)


def measured(formula, options=(), **more):
    return Measured(
        formula,
        lambda kind: of_sizes(np.random.default_rng(1), Inputs((24,), size=3)),
        of_sizes,
        options=dict(options),
        inputs=Inputs((24,), size=3),
        differentiable=(0, 1),
        never_negative=False,
        **more,
    )


def mistakes(name):
    function = getattr(jaxloss, name)
    fit = "`b` has shape (4, 2, 3), but `a` has shape"
    return (
        row(f"{name}-size", lambda: function(f(4, 3, 2), f(4, 2, 3)), ValueError, f"{fit} (4, 3, 2): only"),
        row(f"{name}-batch", lambda: function(f(5, 2, 3), f(4, 2, 3)), ValueError, f"{fit} (5, 2, 3): only"),
        row(f"{name}-axes", lambda: function(f(4), f(4)), ValueError, "`a` has shape (4,), but must have the axes"),
        row(f"{name}-no_points", lambda: function(f(0, 3), f(4, 3)), ValueError, "`a` has shape (0, 3): axis -2"),
        row(
            f"{name}-valid",
            lambda: function(f(4, 3), f(4, 3), f(4)),
            TypeError,
            "`valid_a` has dtype float32, but a mask is bool: use `valid_a != 0`.",
        ),
    )


def different_points(name):
    function = getattr(jaxloss, name)
    words = "`b` has shape (1, 3), but `biased=False` compares different points of a set"
    return (row(f"{name}-one", lambda: function(f(4, 3), f(1, 3), biased=False), ValueError, words),)


CASES = [
    Case(
        jaxloss.ChamferLoss,
        two_sets,
        element="pair of sets",
        inputs=INPUTS,
        edges=EDGES,
        differentiable=(0, 1),
        reference=Formula(chamfer),
        mistakes=mistakes("chamfer_loss"),
        accuracy=(measured(gold.chamfer_loss, ulps=(3, 3)),),
    ),
    Case(
        jaxloss.EnergyDistanceLoss,
        two_sets,
        element="pair of sets",
        options=({}, {"biased": False}),
        inputs=INPUTS,
        edges=EDGES,
        differentiable=(0, 1),
        never_negative=False,
        reference=Formula(energy_distance),
        mistakes=(*mistakes("energy_distance_loss"), *different_points("energy_distance_loss")),
        accuracy=(measured(gold.energy_distance_loss, ulps=(4, 4)),),
    ),
    Case(
        jaxloss.MMDLoss,
        two_sets,
        element="pair of sets",
        options=({}, {"bandwidth": 2.0, "biased": False}, {"bandwidth": BANDWIDTHS}),
        inputs=INPUTS,
        edges=EDGES,
        differentiable=(0, 1),
        never_negative=False,
        reference=Formula(mmd),
        mistakes=(
            *mistakes("mmd_loss"),
            *different_points("mmd_loss"),
            row(
                "mmd_loss-bandwidth",
                lambda: jaxloss.mmd_loss(f(4, 3), f(4, 3), bandwidth=f(2, 2)),
                ValueError,
                "`bandwidth` has shape (2, 2), but is one number or has one axis.",
            ),
        ),
        accuracy=(measured(gold.mmd_loss, {"biased": False}, ulps=(4, 4)),),
    ),
]
