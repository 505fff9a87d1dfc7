"""The kinds of pictures: curves, a plane or cells, drawn by calling a loss and `jax.grad`."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from svg import cells, curves, plane

LONGEST = 24.0  # pixels of an arrow
ERROR = "prediction − target"
ZERO = 0.004  # the level that divides what has a loss from what has none
Interval: TypeAlias = tuple[float, float]
Points: TypeAlias = Mapping[str, tuple[float, float]]
OfNumber: TypeAlias = Callable[[jax.Array], jax.Array]
OfPoint: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]


class Curves(NamedTuple):
    """Losses of one number, each by its name in the legend, and their derivatives below them."""

    label: str
    across: Interval
    values: Interval  # the losses shown
    slopes: Interval  # the derivatives shown
    lines: dict[str, OfNumber]

    def draw(self) -> tuple[str, float]:
        across = np.linspace(*self.across, 161, dtype=np.float32)
        inwards = (across[1] - across[0]) / 4  # at the ends of its domain a loss may be infinite
        across[0], across[-1] = across[0] + inwards, across[-1] - inwards
        found = {name: jax.vmap(jax.value_and_grad(loss))(across) for name, loss in self.lines.items()}
        lines = {name: (np.asarray(value), np.asarray(slope)) for name, (value, slope) in found.items()}
        return curves(self.label, self.across, across, lines, self.values, self.slopes)


class Plane(NamedTuple):
    """A loss of two numbers, as bands between levels, and arrows against its gradient."""

    labels: tuple[str, str]
    across: Interval
    up: Interval
    levels: tuple[float, ...]
    loss: OfPoint
    points: Points = MappingProxyType({})  # marked, with their names

    def draw(self) -> tuple[str, float]:
        across, up = np.linspace(*self.across, 201), np.linspace(*self.up, 141)
        losses = self.on(self.loss, across, up)
        few = centres(*self.across, 11), centres(*self.up, 7)
        right, higher = self.on(jax.grad(self.loss, (0, 1)), *few)
        steepness = np.hypot(right, higher)
        usual = np.median(steepness[steepness > 0])
        pixels = -LONGEST * np.tanh(steepness / usual) / np.maximum(steepness, 1e-6)  # for a gradient of 1
        places = [(i, j, x, y) for j, y in enumerate(few[1]) for i, x in enumerate(few[0]) if not self.named(x, y)]
        arrows = [(x, y, pixels[j, i] * right[j, i], pixels[j, i] * higher[j, i]) for i, j, x, y in places]
        return plane(self.labels, across, up, losses, self.levels, arrows, self.points)

    def named(self, x: float, y: float) -> bool:
        """Whether the name of a point stands at this place."""
        return any(abs(x - right) < 0.8 and abs(y - higher) < 0.6 for right, higher in self.points.values())

    @staticmethod
    def on(function: Callable[..., object], across: np.ndarray, up: np.ndarray) -> np.ndarray:
        grid = (grid.astype(np.float32).ravel() for grid in np.meshgrid(across, up))
        return np.asarray(jax.vmap(function)(*grid)).reshape(-1, len(up), len(across)).squeeze()


class Cells(NamedTuple):
    """A loss of probabilities in every frame, as minus its gradient: where more probability would lower it."""

    rows: tuple[str, ...]
    frames: int
    loss: OfNumber  # of log-probabilities (frames, rows)

    def draw(self) -> tuple[str, float]:
        uniform = jnp.full((self.frames, len(self.rows)), -math.log(len(self.rows)))
        value, slope = jax.value_and_grad(self.loss)(uniform)
        return cells("frame", self.rows, -np.asarray(slope).T, f"minus gradient; the loss is {value:.2f}")


Picture: TypeAlias = Curves | Plane | Cells


def centres(low: float, high: float, count: int) -> np.ndarray:
    """The middles of `count` equal parts."""
    return low + (np.arange(count) + 0.5) * (high - low) / count


def per_row(loss: Callable[..., jax.Array], target: list[int], **options: object) -> Callable[..., jax.Array]:
    """A loss of the scores of one row, given one by one."""
    return lambda *scores: loss(jnp.stack(scores), jnp.array(target), **options)


def true_class(loss: Callable[..., jax.Array], classes: int, **options: object) -> OfNumber:
    """A loss of the true class's score, with the other scores at 0."""
    return lambda x: loss(jnp.zeros(classes).at[0].set(x), jnp.array(0), **options)
