"""The pictures of the gallery: every loss and its gradient, drawn by calling the loss and `jax.grad`.

    python docs/pictures/make.py            # write them: <name>-light.svg and <name>-dark.svg
    python docs/pictures/make.py --check    # change nothing, and fail if one of them is not what would be written

It needs `pip install -e ".[docs]"`. How the pictures look is in svg.py.
"""

import argparse
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from svg import THEMES, cells, curves, document, plane

import jaxloss

HERE = Path(__file__).parent
LONGEST = 24.0  # pixels of an arrow
Interval = tuple[float, float]
Points = Mapping[str, tuple[float, float]]
OfNumber = Callable[[jax.Array], jax.Array]
OfPoint = Callable[[jax.Array, jax.Array], jax.Array]


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
        """Whether the name of a point stands here."""
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


def centres(low: float, high: float, count: int) -> np.ndarray:
    """The middles of so many equal parts."""
    return low + (np.arange(count) + 0.5) * (high - low) / count


def per_row(loss: Callable[..., jax.Array], target: list[int], **options: object) -> Callable[..., jax.Array]:
    """A loss of the scores of one row, given one by one."""
    return lambda *scores: loss(jnp.stack(scores), jnp.array(target), **options)


def divergence(probability: float) -> OfNumber:
    target = jnp.array([probability, 1 - probability])
    return lambda x: jaxloss.kl_div(jnp.log(jnp.stack([x, 1 - x])), target, reduction="sum")


def true_class(loss: Callable[..., jax.Array], classes: int, **options: object) -> OfNumber:
    """A loss of the true class's score, with the other scores at 0."""
    return lambda x: loss(jnp.zeros(classes).at[0].set(x), jnp.array(0), **options)


def cosine(margin: float, target: int) -> OfNumber:
    first = jnp.array([1.0, 0.0])
    loss = jaxloss.CosineEmbeddingLoss(margin=margin)
    return lambda angle: loss(first, jnp.stack([jnp.cos(angle), jnp.sin(angle)]), jnp.array(target))


def angular(a: jax.Array, b: jax.Array) -> jax.Array:
    return 1 - jaxloss.cosine_similarity(a, b)


def triplet(loss: jaxloss.Loss, points: Points) -> OfPoint:
    positive, negative = jnp.array(points["positive"]), jnp.array(points["negative"])
    return lambda x, y: loss(jnp.stack([x, y]), positive, negative)


ERROR = "prediction − target"
ZERO = 0.004  # the level that divides what has a loss from what has none
SIDES: Points = {"positive": (-1.0, 0.0), "negative": (1.0, 0.0)}
ABOVE: Points = {"positive": (-1.0, 1.0), "negative": (1.0, 1.0)}
KERNEL = jnp.array([[0.0, -1.8, 1.8], [1.2, -0.6, -0.6]])  # a word in each column: the points of its picture
AROUND = ("the anchor's first component", "its second component")

PICTURES: dict[str, Curves | Plane | Cells] = {
    "l1_loss": Curves(ERROR, (-4, 4), (0, 4), (-1.5, 1.5), {"L1Loss()": lambda x: jaxloss.l1_loss(x, 0.0)}),
    "mse_loss": Curves(ERROR, (-4, 4), (0, 16), (-9, 9), {"MSELoss()": lambda x: jaxloss.mse_loss(x, 0.0)}),
    "huber_loss": Curves(
        ERROR,
        (-4, 4),
        (0, 6),
        (-2.4, 2.4),
        {
            "delta=1": lambda x: jaxloss.huber_loss(x, 0.0),
            "delta=2": lambda x: jaxloss.huber_loss(x, 0.0, delta=2.0),
            "delta=0.5": lambda x: jaxloss.huber_loss(x, 0.0, delta=0.5),
        },
    ),
    "smooth_l1_loss": Curves(
        ERROR,
        (-4, 4),
        (0, 4),
        (-1.5, 1.5),
        {
            "beta=1": lambda x: jaxloss.smooth_l1_loss(x, 0.0),
            "beta=2": lambda x: jaxloss.smooth_l1_loss(x, 0.0, beta=2.0),
            "beta=0": lambda x: jaxloss.smooth_l1_loss(x, 0.0, beta=0.0),
        },
    ),
    "poisson_nll_loss": Curves(
        "prediction: logarithm of the rate",
        (-2, 3),
        (-2, 8),
        (-5, 10),
        {
            "target 0": lambda x: jaxloss.poisson_nll_loss(x, 0.0),
            "target 1": lambda x: jaxloss.poisson_nll_loss(x, 1.0),
            "target 4": lambda x: jaxloss.poisson_nll_loss(x, 4.0),
        },
    ),
    "gaussian_nll_loss": Plane(
        (ERROR, "predicted standard deviation"),
        (-4, 4),
        (0.25, 3.25),
        (-2, 0, 0.5, 1, 2, 4, 8),
        lambda x, deviation: jaxloss.gaussian_nll_loss(x, 0.0, jnp.square(deviation)),
    ),
    "kl_div": Curves(
        "predicted probability of the first of two classes",
        (0, 1),
        (0, 3),
        (-6, 6),
        {"target (½, ½)": divergence(0.5), "(0.9, 0.1)": divergence(0.9), "(1, 0)": divergence(1.0)},
    ),
    "cross_entropy": Curves(
        "logit of the true class, two others at 0",
        (-6, 10),
        (0, 6),
        (-1.2, 0.4),
        {
            "label_smoothing=0": true_class(jaxloss.cross_entropy, 3),
            "0.1": true_class(jaxloss.cross_entropy, 3, label_smoothing=0.1),
            "0.3": true_class(jaxloss.cross_entropy, 3, label_smoothing=0.3),
        },
    ),
    "nll_loss": Curves(
        "log-probability of the true class",
        (-4, 0),
        (0, 4),
        (-2.4, 0.4),
        {
            "class weight 1": lambda x: jaxloss.nll_loss(x[None], jnp.array(0), reduction="sum"),
            "class weight 2": lambda x: jaxloss.nll_loss(
                x[None], jnp.array(0), weight=jnp.array([2.0]), reduction="sum"
            ),
        },
    ),
    "linear_cross_entropy": Plane(
        ("first hidden feature", "second hidden feature"),
        (-3, 3),
        (-2, 2),
        (0, 0.5, 1, 2, 3, 4, 6),
        lambda x, y: jaxloss.linear_cross_entropy(jnp.stack([x, y]), KERNEL, jnp.array(0)),
        {"the target": (0.0, 1.2), "a word": (-1.8, -0.6), "another word": (1.8, -0.6)},
    ),
    "ctc_loss": Cells(
        ("blank", "c", "a", "t"),
        16,
        lambda x: jaxloss.ctc_loss(x, jnp.array([1, 2, 3]), jnp.array(16), jnp.array(3), reduction="sum"),
    ),
    "binary_cross_entropy": Curves(
        "predicted probability",
        (0, 1),
        (0, 5),
        (-10, 10),
        {
            "target 1": lambda x: jaxloss.binary_cross_entropy(x, 1.0),
            "target 0": lambda x: jaxloss.binary_cross_entropy(x, 0.0),
            "target 0.3": lambda x: jaxloss.binary_cross_entropy(x, 0.3),
        },
    ),
    "binary_cross_entropy_with_logits": Curves(
        "logit",
        (-6, 6),
        (0, 9),
        (-3.2, 1.6),
        {
            "target 1": lambda x: jaxloss.binary_cross_entropy_with_logits(x, 1.0),
            "target 0": lambda x: jaxloss.binary_cross_entropy_with_logits(x, 0.0),
            "target 1, pos_weight=3": lambda x: jaxloss.binary_cross_entropy_with_logits(x, 1.0, pos_weight=3.0),
        },
    ),
    "soft_margin_loss": Curves(
        "score",
        (-6, 6),
        (0, 6),
        (-1.2, 1.2),
        {
            "target 1": lambda x: jaxloss.soft_margin_loss(x, 1.0),
            "target −1": lambda x: jaxloss.soft_margin_loss(x, -1.0),
        },
    ),
    "multilabel_soft_margin_loss": Plane(
        ("logit of a class that is there", "logit of one that is not"),
        (-6, 6),
        (-4, 4),
        (0, 0.25, 0.5, 1, 2, 3, 4),
        per_row(jaxloss.multilabel_soft_margin_loss, [1, 0]),
    ),
    "multi_margin_loss": Curves(
        "score of the true class, one other at 0",
        (-2, 4),
        (0, 4),
        (-3.2, 0.8),
        {
            "p=1": true_class(jaxloss.multi_margin_loss, 2),
            "p=2": true_class(jaxloss.multi_margin_loss, 2, p=2),
            "margin=2": true_class(jaxloss.multi_margin_loss, 2, margin=2.0),
        },
    ),
    "multilabel_margin_loss": Plane(
        ("score of a true class, a second false one at 0", "score of a false one"),
        (-3, 3),
        (-2, 2),
        (ZERO, 0.5, 1, 1.5, 2, 2.5),
        lambda x, y: jaxloss.multilabel_margin_loss(jnp.stack([x, y, 0 * x]), jnp.array([0, -1, -1])),
    ),
    "hinge_embedding_loss": Curves(
        "distance",
        (0, 4),
        (0, 4),
        (-1.5, 1.5),
        {
            "target 1": lambda x: jaxloss.hinge_embedding_loss(x, 1.0),
            "target −1": lambda x: jaxloss.hinge_embedding_loss(x, -1.0),
            "−1, margin=2": lambda x: jaxloss.hinge_embedding_loss(x, -1.0, margin=2.0),
        },
    ),
    "margin_ranking_loss": Curves(
        "first score − second score",
        (-4, 4),
        (0, 5),
        (-1.5, 1.5),
        {
            "target 1": lambda x: jaxloss.margin_ranking_loss(x, 0.0, 1.0),
            "target −1": lambda x: jaxloss.margin_ranking_loss(x, 0.0, -1.0),
            "target 1, margin=1": lambda x: jaxloss.margin_ranking_loss(x, 0.0, 1.0, margin=1.0),
        },
    ),
    "cosine_embedding_loss": Curves(
        "angle between the vectors, in radians",
        (0, 3.2),
        (0, 2),
        (-1.5, 1.5),
        {"target 1": cosine(0.0, 1), "target −1": cosine(0.0, -1), "−1, margin=0.5": cosine(0.5, -1)},
    ),
    "triplet_margin_loss": Plane(
        AROUND, (-3, 3), (-2, 2), (ZERO, 0.5, 1, 1.5, 2, 2.5), triplet(jaxloss.TripletMarginLoss(), SIDES), SIDES
    ),
    "triplet_margin_with_distance_loss": Plane(
        AROUND,
        (-3, 3),
        (-2, 2),
        (ZERO, 0.5, 1, 1.5),
        triplet(jaxloss.TripletMarginWithDistanceLoss(distance_function=angular, margin=0.5), ABOVE),
        ABOVE,
    ),
    "choosing_regression": Curves(
        ERROR,
        (-4, 4),
        (0, 8),
        (-4, 4),
        {
            "mse_loss": lambda x: jaxloss.mse_loss(x, 0.0),
            "l1_loss": lambda x: jaxloss.l1_loss(x, 0.0),
            "huber_loss": lambda x: jaxloss.huber_loss(x, 0.0),
        },
    ),
    "choosing_classification": Curves(
        "score of the true class, one other at 0",
        (-3, 4),
        (0, 4),
        (-2.4, 0.6),
        {
            "cross_entropy": true_class(jaxloss.cross_entropy, 2),
            "multi_margin_loss": true_class(jaxloss.multi_margin_loss, 2),
            "multi_margin_loss, p=2": true_class(jaxloss.multi_margin_loss, 2, p=2),
        },
    ),
}


def drawings() -> Iterator[tuple[Path, str]]:
    """Every picture: its file and what is in it."""
    for name, picture in PICTURES.items():
        drawn, height = picture.draw()
        title = f"{name.removeprefix('choosing_')}: the loss and its gradient"
        for theme in THEMES:
            yield HERE / f"{name}-{theme}.svg", document(title, drawn, height, theme)


def same(drawn: str, stored: str) -> bool:
    """Whether two pictures differ by no more than 3 in the last digits of their numbers, as with another JAX."""
    number = re.compile(r"-?\d+\.(\d+)")
    if number.sub("", drawn) != number.sub("", stored):
        return False
    pairs = zip(number.finditer(drawn), number.finditer(stored), strict=True)
    return all(abs(float(new[0]) - float(old[0])) <= 3.01 * 10.0 ** -len(new[1]) for new, old in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a picture is not current")
    check = parser.parse_args().check
    made = dict(drawings())
    if check:
        stale = [path.name for path, text in made.items() if not path.exists() or not same(text, path.read_text())]
        there = [path for theme in THEMES for path in sorted(HERE.glob(f"*-{theme}.svg"))]
        left_over = [path.name for path in there if path not in made]
        if stale or left_over:
            sys.exit(f"Run `python docs/pictures/make.py`, not current: {stale}. Delete, not made now: {left_over}.")
        return
    for path, text in made.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
